"""The recorder of traces: what belongs together, what is kept, who hears of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.traces.header import read_parent, read_root, with_parent
from localcloud.traces.recorder import MAX_SPANS, MAX_TRACE_SPANS, MAX_TRACES, Recorder, Span

ROOT = "1-6748a000-0123456789abcdef01234567"
PARENT = "53995c3f42cd8ad8"


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def recorder(wall: Wall) -> Recorder:
    return Recorder(clock=wall, rng=random.Random(1))


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("header", "root", "parent"),
    [
        (f"Root={ROOT};Parent={PARENT};Sampled=1", ROOT, PARENT),
        (f"Sampled=1; Parent={PARENT}; Root={ROOT}", ROOT, PARENT),
        (f"Self=1-a-b;Root={ROOT};Lineage=a:1", ROOT, ""),
        ("Root=1-abc-def", "1-abc-def", ""),
        ("", "", ""),
        ("hello", "", ""),
        ("Root=", "", ""),
        ("Root=../../x", "", ""),
        ('Root=1-a"b-c', "", ""),
        ("Root=" + "1" * 65, "", ""),
        (f"NoRoot={ROOT};Parent=zz", "", ""),
    ],
)
def test_root_and_parent_are_read(header: str, root: str, parent: str) -> None:
    """In any order and with whatever stands between; what cannot be an id is none."""
    assert (read_root(header), read_parent(header)) == (root, parent)


@given(st.lists(st.sampled_from(["Parent=aaaaaaaaaaaaaaaa", "Parent=b", "Sampled=0", "Lineage=x:1", "junk"])))
def test_another_parent_leaves_the_rest(parts: list[str]) -> None:
    """Root, sampling and what else there is stay; there is one parent afterwards."""
    header = ";".join([*parts[:2], f"Root={ROOT}", *parts[2:]])
    changed = with_parent(header, PARENT)
    assert (read_root(changed), read_parent(changed)) == (ROOT, PARENT)
    kept = [part for part in header.split(";") if not part.startswith("Parent=")]
    assert [part for part in changed.split(";") if not part.startswith("Parent=")] == kept


# ---------------------------------------------------------------- spans


def test_spans_of_one_root_are_one_trace(recorder: Recorder, wall: Wall) -> None:
    """They hang below the span that made their header, else below the first; the trace lasts from end to end."""
    gateway = recorder.begin(f"Root={ROOT}", "gateway", "POST /jobs", status_code=None)
    wall.now_s += 1
    function = recorder.begin(f"Root={ROOT};Sampled=1", "function", "f")
    call = recorder.begin(with_parent(f"Root={ROOT}", function.id), "call", "DynamoDB PutItem")
    foreign = recorder.begin(f"Root={ROOT};Parent={PARENT}", "call", "S3 GetObject")
    trace = recorder.find(ROOT)
    assert trace is not None
    assert [gateway.parent, function.parent, call.parent, foreign.parent] == ["", gateway.id, function.id, gateway.id]
    for span in (foreign, call, function):
        recorder.end(span)
    assert (trace.duration_ms, trace.to_json()["duration_ms"]) == (None, None)
    wall.now_s += 1
    recorder.end(gateway, status_code=202)
    assert gateway.detail == {"status_code": 202}
    assert trace.to_json() == {
        "trace": ROOT,
        "name": "POST /jobs",
        "kind": "gateway",
        "start_ms": 1_800_000_000_000.0,
        "duration_ms": 2000.0,
        "status": "ok",
        "spans": 4,
    }


def test_a_span_without_a_root_begins_a_trace(recorder: Recorder) -> None:
    """Its root has AWS's form, with the date in it."""
    span = recorder.begin("garbage", "function", "f")
    assert span.trace.startswith(f"1-{1_800_000_000:08x}-")
    assert len(span.trace) == 35
    assert recorder.latest(10)[0].root is span


def test_what_has_ended_stays_as_it_is(recorder: Recorder, wall: Wall) -> None:
    """A second end changes nothing and is not told."""
    span = recorder.begin("", "call", "x")
    recorder.end(span, failed=True, error_code="A")
    before = span.to_json() | {"detail": dict(span.detail)}
    heard: list[Span] = []
    recorder.listen(heard.append)
    wall.now_s += 5
    recorder.end(span, error_code="B")
    assert (span.to_json(), heard) == (before, [])


def test_a_clock_that_goes_back_gives_no_negative_time(recorder: Recorder, wall: Wall) -> None:
    """A span ends when it began at the earliest."""
    span = recorder.begin("", "call", "x")
    wall.now_s -= 3600
    recorder.end(span)
    assert span.end_ms == span.start_ms


@pytest.mark.parametrize(("kind", "status"), [("call", "ok"), ("function", "error"), ("model", "error")])
def test_a_failed_call_alone_fails_no_trace(recorder: Recorder, kind: Any, status: str) -> None:
    """A condition that did not hold is often expected; a function or a model that failed is not."""
    recorder.end(recorder.begin(f"Root={ROOT}", "gateway", "POST /jobs"))
    recorder.end(recorder.begin(f"Root={ROOT}", kind, "x"), failed=True)
    assert recorder.latest(1)[0].to_json()["status"] == status


def test_listeners_hear_beginnings_and_ends(recorder: Recorder) -> None:
    """Until they stop listening."""
    heard: list[tuple[str, bool]] = []
    stop = recorder.listen(lambda span: heard.append((span.name, span.end_ms is None)))
    first = recorder.begin("", "call", "a")
    recorder.end(first)
    stop()
    recorder.begin("", "call", "b")
    assert heard == [("a", True), ("a", False)]


# ---------------------------------------------------------------- bounds


def test_the_latest_traces_are_kept(recorder: Recorder) -> None:
    """The oldest goes first, and what ends after its trace is gone harms nothing."""
    first = recorder.begin("", "call", "first")
    for number in range(MAX_TRACES):
        recorder.begin("", "call", str(number))
    assert recorder.find(first.trace) is None
    assert [trace.root.name for trace in recorder.latest(2)] == [str(MAX_TRACES - 1), str(MAX_TRACES - 2)]
    assert len(recorder.latest(MAX_TRACES * 2)) == MAX_TRACES
    recorder.end(first)


def test_a_trace_has_so_many_spans_at_most(recorder: Recorder) -> None:
    """A client that sends every request with one root fills no memory; what is over is told, not kept."""
    heard: list[Span] = []
    recorder.listen(heard.append)
    for number in range(MAX_TRACE_SPANS + 5):
        recorder.end(recorder.begin(f"Root={ROOT}", "call", str(number)))
    trace = recorder.find(ROOT)
    assert trace is not None
    assert (len(trace.spans), trace.running, len(heard)) == (MAX_TRACE_SPANS, 0, 2 * (MAX_TRACE_SPANS + 5))


def test_all_spans_together_are_bounded(recorder: Recorder) -> None:
    """Many spans of few traces push the oldest traces out."""
    for trace in range(2 * MAX_SPANS // MAX_TRACE_SPANS):
        for _ in range(MAX_TRACE_SPANS):
            recorder.begin(f"Root=1-{trace:08x}-a", "call", "x")
    kept = recorder.latest(MAX_TRACES)
    assert sum(len(trace.spans) for trace in kept) == MAX_SPANS
    assert kept[-1].id == f"1-{MAX_SPANS // MAX_TRACE_SPANS:08x}-a"


def test_an_old_trace_that_goes_on_is_kept(recorder: Recorder) -> None:
    """The one that a span was just put in is never the one that goes."""
    for trace in range(MAX_SPANS // MAX_TRACE_SPANS):
        for _ in range(MAX_TRACE_SPANS - (trace == 0)):
            recorder.begin(f"Root=1-{trace:08x}-a", "call", "x")
    recorder.begin("Root=1-ffffffff-a", "call", "x")
    recorder.begin("Root=1-00000000-a", "call", "the last of its trace")
    assert recorder.find("1-00000000-a") is not None
    assert recorder.find("1-00000001-a") is None


def test_names_and_details_are_cut(recorder: Recorder) -> None:
    """Whatever they are made of, they are short."""
    span = recorder.begin("", "model", "x" * 10_000, model="y" * 10_000, tokens=10**6)
    recorder.end(span, error_code="z" * 10_000)
    assert (len(span.name), len(str(span.detail["model"])), len(str(span.detail["error_code"]))) == (200, 200, 200)
    assert span.detail["tokens"] == 10**6


# ---------------------------------------------------------------- links


def test_a_trace_goes_on_in_a_linked_span(recorder: Recorder, wall: Wall) -> None:
    """Its answer has the other trace's span with what lies below it, and nothing else of that trace."""
    other = "1-00000001-b"
    mine = recorder.begin(f"Root={ROOT}", "queue", "jobs")
    recorder.end(recorder.begin(f"Root={other}", "gateway", "POST /jobs"))
    wall.now_s += 1
    function = recorder.begin(f"Root={other}", "function", "f")
    recorder.link(f"Root={ROOT}", function)
    wall.now_s += 1
    below = recorder.begin(with_parent(f"Root={other}", function.id), "call", "x")
    below2 = recorder.begin(with_parent(f"Root={other}", below.id), "call", "y")
    trace = recorder.find(ROOT)
    assert trace is not None
    assert recorder.spans_of(trace) == [mine, function, below, below2]
    assert len(trace.spans) == 1


def test_links_to_oneself_and_to_nothing_are_none(recorder: Recorder) -> None:
    """A batch whose messages are of one trace is linked to nothing; an unknown trace is not made by a link."""
    span = recorder.begin(f"Root={ROOT}", "function", "f")
    for header in (f"Root={ROOT}", "Root=1-00000009-z", ""):
        recorder.link(header, span)
    trace = recorder.find(ROOT)
    assert trace is not None
    assert (trace.linked, recorder.find("1-00000009-z")) == ([], None)
