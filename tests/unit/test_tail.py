"""`sluiceway tail`: which spans are told, how a line reads, and that a stream of events is read from a socket."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from localcloud.cli.main import main
from localcloud.cli.tail import Picked, read_events, show_span
from localcloud.console.events import encode_event
from localcloud.state import RunningState, write_state

TRACE = "1-66f00000-000000000000000000000001"


def make_span(kind: str = "function", name: str = "stack-ReadJob", **other: Any) -> dict[str, Any]:
    """A span as the console tells it, ended after 12.5 ms."""
    span = {"trace": TRACE, "id": "a" * 16, "parent": None, "kind": kind, "name": name}
    return {**span, "start_ms": 1_500.0, "end_ms": 1_512.5, "status": "ok", "detail": {}, **other}


def test_line() -> None:
    """A line has date, kind, name, duration, result, details and trace, in this order."""
    shown = show_span(make_span(detail={"cold_start": True}))
    assert shown.split() == [
        "00:00:01.500", "invocation", "stack-ReadJob", "12.5", "ms", "ok", "cold_start=True", TRACE,
    ]  # fmt: skip


def test_line_moves_no_cursor() -> None:
    """Control characters of a name are not written to a terminal; an error is red there."""
    assert "\x1b" not in show_span(make_span(name="GET /\x1b[2J"))
    assert show_span(make_span(status="error"), coloured=True).startswith("\x1b[31m")


def test_only_what_has_ended() -> None:
    """A span that has begun is not told yet."""
    assert not Picked().takes(make_span(end_ms=None))
    assert Picked().takes(make_span())


def test_function_and_its_calls() -> None:
    """Of one function its invocations are told, and the calls below them; not those of another."""
    picked = Picked("stack-ReadJob")
    assert not picked.takes(make_span(end_ms=None))
    call = make_span("call", "DynamoDB GetItem", id="b" * 16, parent="a" * 16)
    assert picked.takes(call)
    assert not picked.takes({**call, "parent": "c" * 16})
    assert not picked.takes(make_span(name="other", id="d" * 16))


def test_trace_and_errors() -> None:
    """`--trace` tells one trace, `--errors` what failed."""
    assert [Picked(trace=trace).takes(make_span()) for trace in (TRACE, "1-2-3")] == [True, False]
    found = [Picked(errors=True).takes(make_span(status=status)) for status in ("ok", "error")]
    assert found == [False, True]


def test_reads_what_the_console_writes() -> None:
    """Events are read as the console encodes them; comments that keep the connection open are none."""
    written = b": here\n\n" + encode_event("span", make_span(name="POST /äöü")) + encode_event("dropped", {"count": 3})
    found = list(read_events(written.splitlines(keepends=True)))
    assert found == [("span", make_span(name="POST /äöü")), ("dropped", {"count": 3})]


@contextmanager
def serve_events(events: bytes, status: int = 200) -> Generator[str]:
    """A console that tells `events` and ends."""

    class Console(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/events" else 404)
            self.end_headers()
            self.wfile.write(events)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the class above
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Console) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        thread.join()


def describe(folder: Path, console: str) -> None:
    """Write the state of a cloud that is this process."""
    functions = {"ReadJob": "stack-ReadJob"}
    state = RunningState(os.getpid(), "template.yaml", "us-east-1", "", {"console": console}, {}, functions, {})
    write_state(folder, state)


def test_tells_until_the_cloud_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes a JSON object a span of the function that a logical id names, what was missed, and ends."""
    other = make_span(name="other", id="e" * 16)
    told = [encode_event("span", span) for span in (make_span(end_ms=None), other, make_span())]
    with serve_events(b"".join([*told, encode_event("log", {}), encode_event("dropped", {"count": 3})])) as console:
        describe(tmp_path, console)
        code = main(["--state", str(tmp_path), "tail", "--function", "ReadJob", "--json"])
    output = capsys.readouterr()
    assert (code, [json.loads(line) for line in output.out.splitlines()]) == (0, [make_span()])
    assert output.err == "sluiceway: 3 events came too fast and are not told\n"


def test_refuses_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function that is none, and a console without events, are said in a sentence; exit code 2."""
    with serve_events(b"", status=404) as console:
        describe(tmp_path, console)
        assert main(["--state", str(tmp_path), "tail", "--function", "Nobody"]) == 2
        assert "there is no function Nobody; there are ReadJob" in capsys.readouterr().err
        assert main(["--state", str(tmp_path), "tail"]) == 2
        assert "tells no events here (status 404)" in capsys.readouterr().err


def test_several_regions_are_tailed_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where several Regions run, their folders are named; nothing is read from what holds them together."""
    folders = {"us-west-2": "two", "us-east-1": "one"}
    write_state(tmp_path, RunningState(os.getpid(), "", "us-east-1", "", {}, {}, {}, {}, regions=folders))
    assert main(["--state", str(tmp_path), "tail"]) == 2
    assert "name one: --state one, --state two\n" in capsys.readouterr().err
