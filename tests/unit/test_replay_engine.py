"""How a replay runs: batches, pace, ends; killed anywhere and gone on with, nothing is lost and a batch is repeated."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.replay.edits import edit_by_paths, read_edit
from localcloud.replay.patience import keep_trying
from localcloud.replay.resume import Bookmark, read_bookmark, write_bookmark
from localcloud.replay.sources.streams import (
    StreamSource,
    open_consumer,
    open_stream,
    read_cursor,
    read_span,
    write_cursor,
    write_span,
)
from localcloud.replay.targets.files import FileTarget
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.flows.consume import ReplayOptions, open_replay
from sluiceway.rules.consuming.spans import SHARD_END, Checkpoint, Span
from tests.fakes import KilledError, Life, LoopClockMs
from tests.unit.consume_setup import BRISK, KinesisCaller, aggregate, make_reader, put_all
from tests.unit.kinesis_setup import OPEN, Api, with_api
from tests.unit.replay_setup import FixedChance, ListSource, ListTarget, Notes, make_item, make_run


def test_items_go_in_batches_and_each_is_settled_before_the_next() -> None:
    """The last one is smaller; what is noted after each batch covers what was sent, and no more."""

    async def main() -> None:
        source, target, notes = ListSource([make_item(n) for n in range(7)]), ListTarget(), Notes()
        report = await make_run(source, target, notes=notes, batch=3).run()
        assert target.batches == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
        assert notes.counts == [(3, 0), (6, 0), (7, 0)]
        assert [item.key for item, _ in source.settled] == target.taken
        assert (report.tally.taken, report.tally.size_bytes, report.interrupted) == (7, 49, False)

    run_virtual(main)


def test_a_rate_is_kept() -> None:
    """Ten a second in batches of a second: a hundred items take nine seconds and a bit."""

    async def main() -> None:
        target = ListTarget()
        await make_run(ListSource([make_item(n) for n in range(100)]), target, batch=100, rate=10.0).run()
        assert [len(batch) for batch in target.batches] == [10] * 10
        assert target.times == pytest.approx([float(n) for n in range(10)])

    run_virtual(main)


def test_a_rate_below_one_a_second_is_kept() -> None:
    """One by one, at their distance."""

    async def main() -> None:
        target = ListTarget()
        await make_run(ListSource([make_item(n) for n in range(3)]), target, rate=0.5).run()
        assert target.times == pytest.approx([0.0, 2.0, 4.0])

    run_virtual(main)


def test_what_is_refused_is_counted_by_its_reason_and_named() -> None:
    """A fault and a failed edit never reach the target; the source is told of each."""

    async def main() -> None:
        items = [make_item(0), make_item(1), make_item(2, content=b"no JSON"), make_item(3, fault="gone: it is")]
        source, lines = ListSource(items), list[str]()
        target = ListTarget(refuse=lambda item: "bad" if item.key == "1" else "")
        report = await make_run(source, target, lines=lines).run(edit_by_paths([read_edit("x=1")]))
        assert target.contents == [b'{"n":0,"x":1}', b'{"n":1,"x":1}']
        edit_failed = "edit-failed: it is no JSON, and has no paths"
        assert report.reasons == Counter({"bad": 1, "gone: it is": 1, edit_failed: 1})
        assert [reason for _, reason in source.settled] == ["", "bad", edit_failed, "gone: it is"]
        assert (report.tally.taken, report.tally.refused) == (1, 3)
        assert lines == [
            f"refused: {key}: {why}\n" for key, why in (("1", "bad"), ("2", edit_failed), ("3", "gone: it is"))
        ]

    run_virtual(main)


@pytest.mark.parametrize(
    ("at_s", "rate", "taken"),
    [(1.3, None, 4), (0.9, None, 0), (2.7, None, 8), (1.1, 1.0, 1), (2.1, 0.1, 1)],
    ids=["while it sends", "before the first", "while it reads", "while it waits for its turn", "at a low rate"],
)
def test_a_stop_ends_the_batch_under_way_and_begins_none(at_s: float, rate: float | None, taken: int) -> None:
    """Whatever it waits for, it ends within the sending of a batch, and what was sent is noted whole."""

    async def main() -> None:
        source, notes = ListSource([make_item(n) for n in range(90)], delay_s=0.25), Notes()
        target = ListTarget(delay_s=0.5)
        run = make_run(source, target, notes=notes, batch=4, rate=rate)
        loop = asyncio.get_running_loop()
        loop.call_later(at_s, run.stop)
        report = await run.run()
        assert report.interrupted
        assert loop.time() <= at_s + 0.5
        assert (report.tally.taken, len(target.taken), notes.cursor.get("at", 0)) == (taken, taken, taken)

    run_virtual(main)


def test_trouble_of_the_target_ends_the_run_and_leaves_what_was_noted() -> None:
    """The batch that failed is not settled; another run begins before it."""

    class Failing(ListTarget):
        async def send(self, items: Any) -> list[str]:
            if items[0].key == "4":
                raise Retryable("away")
            return await super().send(items)

    async def main() -> None:
        items, notes = [make_item(n) for n in range(10)], Notes()
        source = ListSource(items)
        with pytest.raises(Retryable):
            await make_run(source, Failing(), notes=notes, batch=2).run()
        assert notes.cursor == {"at": 4}
        assert [item.key for item, _ in source.settled] == ["0", "1", "2", "3"]

    run_virtual(main)


@given(
    count=st.integers(0, 60),
    batch=st.integers(1, 12),
    lives=st.lists(st.floats(0.1, 6.0), max_size=5),
    delays=st.tuples(st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.3])),
)
@settings(max_examples=150, deadline=None)
def test_killed_anywhere_and_gone_on_with_everything_is_taken(
    count: int, batch: int, lives: list[float], delays: tuple[float, float]
) -> None:
    """Each item at least once; a kill repeats no more than the batch that was not acknowledged."""

    async def main() -> None:
        items, notes, target = [make_item(n) for n in range(count)], Notes(), ListTarget(delay_s=delays[1])
        for limit_s in (*lives, None):
            source = ListSource(items, notes.cursor, delay_s=delays[0])
            run = make_run(source, target, notes=notes, batch=batch)
            acknowledged = notes.cursor.get("at", 0)
            before = len(target.batches)
            with suppress(KilledError):
                await (run.run() if limit_s is None else Life(limit_s).spend(run.run()))
            sent = [key for each in target.batches[before:] for key in each]
            assert sent == [str(n) for n in range(acknowledged, acknowledged + len(sent))]
            assert len(sent) - (notes.cursor.get("at", acknowledged) - acknowledged) <= batch
        assert set(target.taken) == {str(n) for n in range(count)}
        assert len(target.taken) <= count + batch * len(lives)

    run_virtual(main)


@given(
    count=st.integers(0, 40),
    batch=st.integers(1, 7),
    kills=st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_file_has_every_line_once_however_often_the_run_is_killed(
    count: int, batch: int, kills: list[tuple[int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was written and not noted is cut off, half lines too."""
    folder = tmp_path_factory.mktemp("file")
    path, bookmark = folder / "out.jsonl", folder / "resume.json"
    items = [make_item(n) for n in range(count)]

    class Killed(Exception):
        """Here it ends."""

    async def run_once(kill: tuple[int, bool] | None) -> None:
        earlier = read_bookmark(bookmark)
        noted = 0

        def note(cursor: Any, mark: Any, tally: Any) -> None:
            nonlocal noted
            noted += 1
            if kill is not None and noted == kill[0]:
                raise Killed  # sent, and not noted
            write_bookmark(bookmark, Bookmark("s", "t", "p", {}).at(cursor, mark, taken=tally.taken, refused=0))

        with FileTarget.open(path, None if earlier is None else earlier.mark) as target:
            if earlier is None:  # what the command does before the first batch
                write_bookmark(bookmark, Bookmark("s", "t", "p", {}, {}, target.mark()))
            await make_run(ListSource(items, earlier and earlier.cursor), target, notes=note, batch=batch).run()  # type: ignore[arg-type]

    for kill in (*kills, None):
        try:
            run_virtual(lambda kill=kill: run_once(kill))
        except Killed:
            if kill is not None and kill[1]:
                path.write_bytes(path.read_bytes() + b'{"half a line')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kinesis"]["sequenceNumber"] for line in lines] == [str(n) for n in range(count)]


def test_a_file_that_is_there_is_not_written_to(tmp_path: Path) -> None:
    """Nor one that is shorter than the bookmark says, nor one in a folder that is not there."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"mine\n")
    for mark, where in (
        (None, path),
        ({"size": 99}, path),
        (None, tmp_path / "none" / "x"),
        ({"size": 0}, tmp_path / "y"),
    ):
        with pytest.raises(Misconfigured), FileTarget.open(where, mark):
            pass
    assert path.read_bytes() == b"mine\n"


# ---------------------------------------------------------------- a stream, killed and gone on with


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_is_replayed_whole_through_kills_and_aggregates(seed: int) -> None:
    """Every record at least once, none twice beyond a batch for each kill; the cursor goes through JSON."""

    async def body(api: Api) -> None:
        await api.make(shards=2)
        for n in range(12):
            await put_all(api, (f"k{n}", b"%d" % n), (f"k{n}", aggregate((f"k{n}", b"a%d" % n), (f"k{n}", b"b%d" % n))))
        await asyncio.sleep(1)
        span = read_span(json.loads(json.dumps(write_span(Span(until_ms=LoopClockMs().now_ms())))))
        notes, target, batch, kills = Notes(), ListTarget(delay_s=0.6), 3 + seed, 0

        async def run_once() -> None:
            options = ReplayOptions(manner=BRISK, clock=LoopClockMs(), done=read_cursor(notes.cursor))
            async with open_replay(make_reader(api), span, options=options) as replay:
                await make_run(StreamSource(replay), target, notes=notes, batch=batch).run()

        for _ in range(30):
            try:
                async with asyncio.timeout(1.3 + seed / 7):
                    await run_once()
                break
            except TimeoutError:
                kills += 1
            notes.cursor = json.loads(json.dumps(notes.cursor))
        counts = Counter(target.contents)
        assert set(counts) == {kind % n for n in range(12) for kind in (b"%d", b"a%d", b"b%d")}
        assert kills > 1
        assert sum(counts.values()) <= 36 + kills * batch

    with_api(body, limits=OPEN)


@pytest.mark.parametrize("fails", [False, True])
def test_a_consumer_lives_as_long_as_its_replay(fails: bool) -> None:
    """It is active before it is read by, and gone afterwards, also where the run breaks off."""

    async def body(api: Api) -> None:
        await api.make()
        reader = make_reader(api)
        await put_all(api, ("k", b"1"))
        await asyncio.sleep(1)
        caller = KinesisCaller(api)
        found: list[Any] = []
        with suppress(ZeroDivisionError):
            async with open_consumer(caller, reader, "mine", chance=FixedChance()) as pushed:
                options = ReplayOptions(manner=BRISK, clock=LoopClockMs())
                async with open_stream(pushed, Span(until_ms=LoopClockMs().now_ms()), options=options) as source:
                    while (item := await source.next()) is not None:
                        found.append(item.content)
                if fails:
                    raise ZeroDivisionError
        assert found == [b"1"]
        await asyncio.sleep(60)
        assert (await api.call("ListStreamConsumers", StreamARN=reader.arn))["Consumers"] == []

    with_api(body)


def test_a_cursor_and_a_span_go_through_json() -> None:
    """A shard's end, the middle of an aggregate, a shard that is not begun; the kinds of a span."""
    cursor = {"a": Checkpoint("12", 3), "b": Checkpoint("12"), "c": SHARD_END, "d": Checkpoint()}
    assert read_cursor(json.loads(json.dumps(write_cursor(cursor)))) == cursor
    spans = [
        Span(until_ms=5),
        Span("AT_TIMESTAMP", at_ms=4, until_ms=9),
        Span("AFTER_SEQUENCE_NUMBER", after={"s": "1"}),
    ]
    assert [read_span(json.loads(json.dumps(write_span(span)))) for span in spans] == spans


@pytest.mark.parametrize("told", [{"a": 1}, {"a": ["x", None]}, {"a": ["1"]}, [], {"a": ["1", "x"]}])
def test_a_cursor_of_another_kind_is_called_that(told: Any) -> None:
    """Not a traceback."""
    with pytest.raises(Misconfigured, match="resume file"):
        read_cursor(told)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"version": 2}', '{"version": 1, "x": 1}', '{"version": 1}'])
def test_a_resume_file_of_another_kind_is_called_that(text: str, tmp_path: Path) -> None:
    """Whatever is in it."""
    path = tmp_path / "resume.json"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"resume\.json"):
        read_bookmark(path)
    assert read_bookmark(tmp_path / "none.json") is None


def test_a_target_that_asks_for_a_day_is_not_waited_for() -> None:
    """The run ends, and goes on another time; five minutes are waited."""

    async def main() -> tuple[int, float]:
        begun = asyncio.get_running_loop().time()
        asked = 0

        async def attempt() -> None:
            nonlocal asked
            asked += 1
            raise Retryable("busy", after_s=300.0 if asked == 1 else 86_400.0)

        with pytest.raises(Retryable):
            await keep_trying(attempt, chance=FixedChance())
        return asked, asyncio.get_running_loop().time() - begun

    assert run_virtual(main) == (2, 300.0)
