"""The console's API and events, without sockets: answers, refusals, bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.function import FunctionSpec
from localcloud.console.api import Api, Facts
from localcloud.console.events import MAX_BYTES, MAX_EVENTS, Counters, Events, Reader, encode_event
from localcloud.console.files import read_file, security_headers
from localcloud.console.records import ApiNames, describe_connection
from localcloud.console.refusals import ApiError
from localcloud.models.choose import kind_of
from localcloud.services.logs.model import Logs
from localcloud.state import RunningState
from localcloud.traces.recorder import Recorder
from tests.unit.websocket_setup import World, open_world

ENDPOINTS = {"aws": "http://127.0.0.1:1", "console": "http://127.0.0.1:4", "api": "http://127.0.0.1:2/x/v1"}
OUTPUTS = {"ApiUrl": "http://127.0.0.1:2/x/v1", "StreamUrl": "http://127.0.0.1:2/lambda-url/u/", "QueueUrl": "http://q"}


@dataclass
class Desk:
    """An API over a world of WebSockets, logs and traces that tests write into."""

    api: Api
    world: World
    logs: Logs
    recorder: Recorder


def spec(name: str, logical_id: str, group: str = "") -> FunctionSpec:
    arn = f"arn:aws:lambda:eu-central-1:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="h", code_dir=Path(), logical_id=logical_id, log_group=group)


@asynccontextmanager
async def open_desk(folder: Path = Path(), *, audience: str = "sluiceway") -> AsyncIterator[Desk]:
    clock = LoopClock(asyncio.get_running_loop())
    logs, recorder = Logs(clock=clock), Recorder(clock=clock, rng=random.Random(1))
    async with open_world() as world:
        specs = (spec("app-Ask", "Ask"), spec("app-One", "One", "shared"), spec("app-Two", "Two", "shared"))
        socket = {"socketapi": f"ws://127.0.0.1:3/{world.api_id}/v1", "url": "http://127.0.0.1:2/lambda-url/u"}
        state = RunningState(
            pid=1,
            template="t",
            region="eu-central-1",
            audience=audience,
            endpoints=ENDPOINTS | socket,
            outputs=OUTPUTS | {"SocketUrl": socket["socketapi"]},
            functions={one.logical_id: one.name for one in specs},
            logs={},
        )
        facts = Facts(
            state=state,
            model="scripted",
            folder=folder,
            clock=clock,
            recorder=recorder,
            logs=logs,
            sockets=world.gateway,
            functions=lambda: specs,
        )
        yield Desk(Api(facts), world, logs, recorder)


# ---------------------------------------------------------------- config


def test_the_config_names_endpoints_as_the_outputs_do() -> None:
    """By logical id, and by the output that shows an API; a queue's address is no endpoint, a key is nowhere."""

    async def main() -> None:
        async with open_desk() as desk:
            config = desk.api.config()
            socket = f"ws://127.0.0.1:3/{desk.world.api_id}/v1"
            assert config["endpoints"] == ENDPOINTS | {
                "socketapi": socket,
                "url": "http://127.0.0.1:2/lambda-url/u",
                "socket": socket,
                "stream": "http://127.0.0.1:2/lambda-url/u",
            }
            assert (config["local"], config["region"], config["model"]) == (True, "eu-central-1", "scripted")
            assert config["functions"] == {"Ask": "app-Ask", "One": "app-One", "Two": "app-Two"}

    run_virtual(main)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("scripted", "scripted"),
        ("scripted:/home/me/replies.json", "scripted"),
        ("embedded", "embedded"),
        ("https://me:secret@models.example/v1?key=secret", "openai"),
    ],
)
def test_the_kind_of_a_model_tells_no_secret(setting: str, kind: str) -> None:
    """No path, no address, no key."""
    assert kind_of(setting) == kind


# ---------------------------------------------------------------- traces, logs, connections


@pytest.mark.parametrize("n", ["0", "501", "-1", "x", "", "1.5", "²", "9" * 30])
def test_a_count_has_bounds(n: str) -> None:
    """Of traces and of logs."""

    async def main() -> None:
        async with open_desk() as desk:
            with pytest.raises(ApiError, match="n is a number from 1 to 500"):
                desk.api.traces({"n": n})

    run_virtual(main)


def test_traces_come_latest_first() -> None:
    """As many as are asked for; one by its id has its spans, and names the traces it goes on in."""

    async def main() -> None:
        async with open_desk() as desk:
            for number in range(3):
                root = f"1-0000000{number}-a"
                span = desk.recorder.begin(f"Root={root}", "gateway", f"GET /{number}")
                if number:
                    desk.recorder.link("Root=1-00000000-a", span)
            assert [each["name"] for each in desk.api.traces({"n": "2"})["traces"]] == ["GET /2", "GET /1"]
            trace = desk.api.trace("1-00000000-a")
            assert [span["trace"] for span in trace["spans"]] == ["1-00000000-a", "1-00000001-a", "1-00000002-a"]
            assert trace["links"] == ["1-00000001-a", "1-00000002-a"]
            with pytest.raises(ApiError) as caught:
                desk.api.trace("1-ffffffff-a")
            assert caught.value.status == 404

    run_virtual(main)


def test_logs_are_read_by_function() -> None:
    """JSON objects parsed; functions that share a group are told apart by stream; the last ones, oldest first."""

    async def main() -> None:
        async with open_desk() as desk:
            desk.logs.append("/aws/lambda/app-Ask", "s", '{"message":"job.done","n":1}')
            desk.logs.append("/aws/lambda/app-Ask", "s", "{not json")
            desk.logs.append("/aws/lambda/app-Ask", "s", '["a"]')
            for number in range(5):
                name = "app-One" if number % 2 else "app-Two"
                desk.logs.append("shared", f"2026/11/27/{name}[$LATEST]aa", str(number))
                await asyncio.sleep(1)
            desk.logs.append("somebody", "s", "else's")
            read = desk.api.logs({})["logs"]
            assert [log["record"] for log in read[:2]] == [{"message": "job.done", "n": 1}, None]
            assert [log["message"] for log in read] == [None, "{not json", '["a"]', "0", "1", "2", "3", "4"]
            assert [log["function"] for log in read[3:]] == ["Two", "One", "Two", "One", "Two"]
            for name in ("One", "app-One", "one"):
                assert [log["message"] for log in desk.api.logs({"function": name, "n": "2"})["logs"]] == ["1", "3"]
            assert [log["message"] for log in desk.api.logs({"n": "1"})["logs"]] == ["4"]
            with pytest.raises(ApiError, match="There is no function Nobody; there are Ask, One, Two") as caught:
                desk.api.logs({"function": "Nobody"})
            assert caught.value.status == 404

    run_virtual(main)


def test_connections_say_whose_they_are_and_what_went_over_them() -> None:
    """By time of connection; the caller is the authorizer's principal; a cut closes the socket with no frame."""

    async def main() -> None:
        async with open_desk() as desk:
            first, wire = await desk.world.open()
            await asyncio.sleep(1)
            second, _ = await desk.world.open()
            await desk.world.say(first, wire, {"action": "ask"})
            wire.stuck = 7
            shown = desk.api.connections()["connections"]
            assert [each["id"] for each in shown] == [first.id, second.id]
            assert {key: shown[0][key] for key in ("api", "stage", "caller", "buffered_bytes")} == {
                "api": "socketapi",
                "stage": "v1",
                "caller": "ann",
                "buffered_bytes": 7,
            }
            assert (shown[0]["messages_in"], shown[0]["messages_out"]) == (1, first.messages_out)
            assert shown[0]["last_active_ms"] >= shown[0]["connected_ms"] + 1000
            desk.api.cut(first.id)
            assert (wire.log, wire.frames()) == (["abort"], [])
            with pytest.raises(ApiError) as caught:
                desk.api.cut("nobody")
            assert caught.value.status == 404

    run_virtual(main)


# ---------------------------------------------------------------- events


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    """The queue never grows; what is left comes in order after the word of what was dropped, said once."""

    async def main() -> None:
        events = Events()
        with events.read() as reader:
            for number in range(MAX_EVENTS + 3):
                events.tell("span", lambda number=number: {"n": number})
            read = (await reader.take(1)).decode().split("\n\n")[:-1]
            assert read[0] == 'event: dropped\ndata: {"count":3}'
            assert read[1] == 'event: span\ndata: {"n":3}'
            assert len(read) == MAX_EVENTS + 1
            events.tell("span", lambda: {"n": 0})
            assert (await reader.take(1)).decode() == 'event: span\ndata: {"n":0}\n\n'

    run_virtual(main)


@given(st.lists(st.integers(0, MAX_BYTES), max_size=12))
def test_what_waits_is_bounded_in_bytes(sizes: list[int]) -> None:
    """Whatever the size of log lines; the newest is always there."""
    reader = Reader()
    for size in sizes:
        reader.put(bytes(size))
    waiting = list(reader._waiting)
    assert sum(map(len, waiting)) <= MAX_BYTES or len(waiting) == 1
    assert [len(each) for each in waiting] == sizes[len(sizes) - len(waiting) :]
    assert reader._dropped == len(sizes) - len(waiting)


def test_nothing_is_made_while_nobody_reads() -> None:
    """Who left is told nothing more, and two readers get the same."""
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {}

    async def main() -> None:
        events = Events()
        events.tell("log", make)
        with events.read() as one, events.read() as two:
            events.tell("log", make)
            assert await one.take(1) == await two.take(1) == b"event: log\ndata: {}\n\n"
        events.tell("log", make)
        assert (made, events.readers) == ([1], 0)

    run_virtual(main)


def test_a_reader_waits_for_news_and_is_let_go_at_the_end() -> None:
    """Nothing in time is nothing; the end wakes who waits, also one who comes later."""

    async def main() -> None:
        events, loop = Events(), asyncio.get_running_loop()
        with events.read() as reader:
            assert (await reader.take(0.25), loop.time()) == (b"", 0.25)
            loop.call_later(1, events.tell, "log", dict[str, Any])
            assert (await reader.take(5), loop.time()) == (b"event: log\ndata: {}\n\n", 1.25)
            loop.call_later(1, events.end)
            assert (await reader.take(60), loop.time(), reader.is_over) == (b"", 2.25, True)
        with events.read() as late:
            assert late.is_over

    run_virtual(main)


@given(st.dictionaries(st.text(), st.text(st.characters(), max_size=20), max_size=3))
def test_an_event_is_one_data_line(data: dict[str, Any]) -> None:
    """Line breaks of any kind and half characters end no event early."""
    text = encode_event("log", data).decode()
    head, line, *rest = text.split("\n")
    assert (head, rest) == ("event: log", ["", ""])
    assert "\r" not in line
    assert line.startswith("data: ")


def test_counters_are_told_for_connections_that_changed() -> None:
    """Nothing where nothing went; one event a connection however much went."""

    async def main() -> None:
        async with open_world() as world:
            quiet, _ = await world.open()
            names = ApiNames({"socket": f"ws://127.0.0.1:3/{world.api_id}/v1"})
            counters = Counters(world.gateway, names)
            busy, wire = await world.open()
            assert counters.changed() == b""
            for _ in range(3):
                await world.say(busy, wire, {"action": "ask"})
            expected = encode_event("connection", {"event": "counters", **describe_connection(busy, names)})
            assert counters.changed() == expected
            assert counters.changed() == b""
            del quiet

    run_virtual(main)


# ---------------------------------------------------------------- files


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page" / "sub").mkdir(parents=True)
    for name in ("index.html", "app.js", "sub/style.css", "notes.py", ".hidden.js"):
        (tmp_path / "page" / name).write_text(name)
    (tmp_path / "secret.js").write_text("secret")
    (tmp_path / "page" / "link.js").symlink_to(tmp_path / "secret.js")
    return tmp_path / "page"


@pytest.mark.parametrize(
    ("path", "name", "content_type"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/app.js", "app.js", "text/javascript; charset=utf-8"),
        ("/sub/style.css", "sub/style.css", "text/css; charset=utf-8"),
    ],
)
def test_the_pages_files_have_their_types(page: Path, path: str, name: str, content_type: str) -> None:
    """By their ending."""
    assert read_file(path, page) == (name.encode(), content_type)


@pytest.mark.parametrize(
    "path",
    [
        "", "//", "/notes.py", "/.hidden.js", "/../secret.js", "/sub/../../secret.js", "/sub/../app.js", "/link.js",
        "/%2e%2e/secret.js", "/sub", "/sub/", "/app.js/", "/app.js\x00", "/nothing.js", "/a\\b.js", "//app.js",
        "/sub//style.css", "/./app.js", "/" + "a" * 5000 + ".js",
    ],
)  # fmt: skip
def test_nothing_else_is_given(page: Path, path: str) -> None:
    """No other ending, no hidden file, nothing outside the folder, also not over a link."""
    assert read_file(path, page) is None


def test_the_policy_lets_scripts_of_its_own_and_calls_to_the_cloud() -> None:
    """Nothing inline, no frame around it, and each origin of the endpoints once."""
    endpoints = {"api": "http://127.0.0.1:2/x/v1", "url": "http://127.0.0.1:2/u", "socket": "ws://127.0.0.1:3/y/v1"}
    headers = security_headers(endpoints)
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == "'self' http://127.0.0.1:2 ws://127.0.0.1:3"
    assert (policy["default-src"], policy["script-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
