"""The console over real sockets: who is answered, what is served, events to slow readers, a job's whole waterfall."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from localcloud.clock import SystemClock
from localcloud.console.api import Facts
from localcloud.console.files import PAGE
from localcloud.console.server import MAX_READERS, origin_of, serve_console
from localcloud.listening import open_listener
from localcloud.services.logs.model import Logs
from localcloud.state import RunningState
from localcloud.traces.recorder import Recorder
from tests.local.conftest import RunningCloud, call_api, start_cloud
from tests.unit.websocket_setup import World, open_world

pytestmark = pytest.mark.local


class Desk:
    """A console that serves, over traces and logs that the test writes."""

    def __init__(self, origin: str, world: World, recorder: Recorder, logs: Logs) -> None:
        self.origin = origin
        self.world = world
        self.recorder = recorder
        self.logs = logs

    async def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; headers in snake case."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as session:
            url = f"{self.origin}{path}"
            async with session.request(method, url, data=body, headers=sent, allow_redirects=False) as reply:
                return reply.status, {name.lower(): value for name, value in reply.headers.items()}, await reply.read()


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    clock = SystemClock()
    logs, recorder = Logs(clock=clock), Recorder(clock=clock, rng=random.Random(1))
    listener = open_listener()
    async with open_world() as world:
        state = RunningState(
            pid=1,
            template="t",
            region="eu-central-1",
            audience="sluiceway",
            endpoints={"aws": "http://127.0.0.1:1", "socket": f"ws://127.0.0.1:3/{world.api_id}/v1"},
            outputs={},
            functions={},
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
            functions=tuple,
        )
        async with serve_console(facts, listener):
            yield Desk(origin_of(listener), world, recorder, logs)


# ---------------------------------------------------------------- who is answered


@pytest.mark.parametrize("path", ["/", "/config.json", "/api/traces", "/api/events", "/api/token", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Host": "evil.example"},
        {"Host": "evil"},
        {"Referer": "http://evil.example/page"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Referer": "http://evil.example/"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
async def test_no_other_site_is_answered(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    """Another origin, also one of this machine; a browser's word for it; another host name; whatever is asked."""
    async with open_desk(tmp_path) as desk:
        for method in ("GET", "POST", "DELETE"):
            status, given, body = await desk.ask(method, path, **headers)
            assert status == 403
            assert json.loads(body)["error"].endswith(".")
            assert "access-control-allow-origin" not in given


async def test_the_pages_own_requests_are_answered(tmp_path: Path) -> None:
    """With its Origin, with a browser's own headers, and from the command line."""
    async with open_desk(tmp_path) as desk:
        own = {"Origin": desk.origin, "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
        visit = {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Referer": "http://localhost:3000/"}
        assert (await desk.ask("POST", "/api/token", **own))[0] == 200
        assert (await desk.ask("GET", "/api/traces", **own))[0] == 200
        assert (await desk.ask("GET", "/config.json", **visit))[0] == 200
        assert (await desk.ask("GET", "/api/connections"))[0] == 200


async def test_localhost_is_led_to_the_origin_that_the_api_lets_in(tmp_path: Path) -> None:
    """A page has one origin, and CORS of the stack names that one."""
    async with open_desk(tmp_path) as desk:
        host = f"localhost:{urlsplit(desk.origin).port}"
        status, headers, _ = await desk.ask("GET", "/", Host=host)
        assert (status, headers["location"]) == (302, f"{desk.origin}/")
        assert (await desk.ask("POST", "/api/token", Host=host))[0] == 403


# ---------------------------------------------------------------- what is served


async def test_every_answer_has_the_headers_that_hold_a_page(tmp_path: Path) -> None:
    """Of the page, the API, a refusal and the events."""
    async with open_desk(tmp_path) as desk:
        for method, path in (("GET", "/"), ("GET", "/api/traces"), ("GET", "/nothing"), ("POST", "/api/token")):
            _, headers, _ = await desk.ask(method, path)
            assert headers["cache-control"] == "no-store"
            policy = headers["content-security-policy"]
            assert "connect-src 'self' ws://127.0.0.1:3;" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"


async def test_the_page_is_served_with_its_files(tmp_path: Path) -> None:
    """Every file of the folder has a type, and what index.html names is there."""
    async with open_desk(tmp_path) as desk:
        status, headers, body = await desk.ask("GET", "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body == (PAGE / "index.html").read_bytes()
        for file in PAGE.rglob("*"):
            if file.is_file():
                status, headers, body = await desk.ask("GET", f"/{file.relative_to(PAGE)}")
                assert (status, body) == (200, file.read_bytes()), file
        status, _, body = await desk.ask("HEAD", "/")
        assert (status, body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "allow"),
    [
        ("GET", "/nothing", None, 404, ""),
        ("GET", "/api", None, 404, ""),
        ("GET", "/api/", None, 404, ""),
        ("GET", "/api/traces/", None, 404, ""),
        ("GET", "/api/traces/1-0-0", None, 404, ""),
        ("GET", "/api/traces/a/b", None, 404, ""),
        ("GET", "/api/traces?n=x", None, 400, ""),
        ("GET", "/api/logs?n=9999", None, 400, ""),
        ("GET", "/api/logs?function=Nobody", None, 404, ""),
        ("POST", "/api/traces", b"", 405, "GET"),
        ("GET", "/api/token", None, 405, "POST"),
        ("GET", "/api/connections/x", None, 405, "DELETE"),
        ("DELETE", "/api/connections/%2e%2e", None, 404, ""),
        ("POST", "/api/events", b"", 404, ""),
        ("PUT", "/index.html", b"", 405, "GET"),
        ("POST", "/api/token", b"{", 400, ""),
        ("POST", "/api/token", b"x" * 20_000, 413, ""),
        ("OPTIONS", "/api/token", None, 405, "POST"),
        ("GET", "/../server.py", None, 404, ""),
        ("GET", "/%2e%2e/server.py", None, 404, ""),
    ],
)
async def test_what_is_not_there_is_said_in_a_sentence(
    tmp_path: Path, method: str, path: str, body: bytes | None, status: int, allow: str
) -> None:
    """A 4xx with `error`, never a 5xx."""
    async with open_desk(tmp_path) as desk:
        host, port = urlsplit(desk.origin).hostname, urlsplit(desk.origin).port

        def send() -> tuple[int, str, Any]:
            connection = http.client.HTTPConnection(host or "", port, timeout=10)
            try:
                connection.request(method, path, body)  # as it stands: other clients mend paths
                reply = connection.getresponse()
                return reply.status, reply.getheader("allow", ""), json.loads(reply.read())
            finally:
                connection.close()

        given, allowed, answer = await asyncio.to_thread(send)
        assert (given, allowed) == (status, allow)
        assert list(answer) == ["error"]


# ---------------------------------------------------------------- events


def events_of(text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith((":", "retry")))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def read_until(
    content: aiohttp.StreamReader, done: Callable[[list[tuple[str, Any]]], bool]
) -> list[tuple[str, Any]]:
    text = b""
    async with asyncio.timeout(10):
        while not done(events_of(text.decode())):
            text += await content.readuntil(b"\n\n")
    return events_of(text.decode())


async def test_events_tell_spans_logs_and_connections(tmp_path: Path) -> None:
    """A span twice, a log line, a connection that opens, counts, and is cut by the console."""
    async with open_desk(tmp_path) as desk, aiohttp.ClientSession() as session:
        async with session.get(f"{desk.origin}/api/events") as reply:
            assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
            await reply.content.readuntil(b"\n\n")
            span = desk.recorder.begin("", "gateway", "POST /jobs")
            desk.recorder.end(span, status_code=202)
            desk.logs.append("/aws/lambda/f", "s", '{"message":"job.done"}')
            connection, wire = await desk.world.open()
            await desk.world.say(connection, wire, {"action": "ask"})
            seen = await read_until(reply.content, lambda found: len(found) >= 5)
            status, _, body = await desk.ask("DELETE", f"/api/connections/{connection.id}")
            assert (status, body, wire.log) == (204, b"", ["abort"])
            connection.lost()
            seen += await read_until(reply.content, lambda found: len(found) >= 1)
        assert [name for name, _ in seen] == ["span", "span", "log", "connection", "connection", "connection"]
        assert [data["end_ms"] is None for _, data in seen[:2]] == [True, False]
        assert seen[2][1]["record"] == {"message": "job.done"}
        told = [data for _, data in seen[3:]]
        assert [data["event"] for data in told] == ["opened", "counters", "closed"]
        assert {data["id"] for data in told} == {connection.id}
        assert (told[1]["messages_in"], told[1]["caller"], told[1]["api"]) == (1, "ann", "socket")


async def test_a_reader_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """50 MB of log lines pass a reader that takes nothing; it is told what it missed, another one has the rest."""
    async with open_desk(tmp_path) as desk:
        where = urlsplit(desk.origin)
        stuck = socket.create_connection((where.hostname or "", where.port or 0))
        stuck.sendall(f"GET /api/events HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        await asyncio.sleep(0.2)
        began = time.monotonic()
        for number in range(5_000):
            desk.logs.append("g", "s", f"{number} {'x' * 10_000}")
            if number % 50 == 0:
                await asyncio.sleep(0)
        assert time.monotonic() - began < 20
        assert (await desk.ask("GET", "/api/traces"))[0] == 200

        def read_rest() -> str:
            text = bytearray()
            stuck.settimeout(5)
            with stuck:
                while b"4999 " not in text[-30_000:]:
                    text += stuck.recv(1 << 20)
            return text.decode()

        text = await asyncio.to_thread(read_rest)
        assert "event: dropped" in text
        assert len(text) < 25_000_000
        assert text.count("event: log") < 5_000


async def test_so_many_read_at_a_time(tmp_path: Path) -> None:
    """One more is refused with a sentence; who leaves makes room."""
    async with open_desk(tmp_path) as desk, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        replies = [await session.get(f"{desk.origin}/api/events") for _ in range(MAX_READERS)]
        assert (await desk.ask("GET", "/api/events"))[0] == 429
        replies.pop().close()
        async with asyncio.timeout(10):
            while True:
                reply = await session.get(f"{desk.origin}/api/events")
                reply.close()
                if reply.status == 200:
                    break
                await asyncio.sleep(0.05)
        for each in replies:
            each.close()


async def test_the_end_lets_readers_go(tmp_path: Path) -> None:
    """Their stream ends at once: the local cloud's own end waits for nobody."""
    async with aiohttp.ClientSession() as session:
        async with open_desk(tmp_path) as desk:
            reply = await session.get(f"{desk.origin}/api/events")
            await reply.content.readuntil(b"\n\n")
            began = time.monotonic()
        assert time.monotonic() - began < 0.9
        assert await reply.content.read() == b""


# ---------------------------------------------------------------- in a cloud


@contextmanager
def ask_console(cloud: RunningCloud) -> Iterator[Callable[..., Any]]:
    origin = cloud.status["endpoints"]["console"]

    def ask(path: str, method: str = "GET", body: Any = None) -> Any:
        reply = call_api(origin, method, path, body=body)
        assert reply.status == 200, reply.body
        return reply.json()

    yield ask


def find_trace(ask: Callable[..., Any], root: str, kinds: set[str]) -> list[dict[str, Any]]:
    """The spans of a trace once they have ended and are of all these kinds."""
    ends = time.monotonic() + 60
    while True:
        spans = ask(f"api/traces/{root}")["spans"]
        if kinds <= {span["kind"] for span in spans} and all(span["end_ms"] for span in spans):
            return spans
        assert time.monotonic() < ends, spans
        time.sleep(0.1)


def new_root() -> str:
    return f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def test_a_job_is_one_waterfall(cloud: RunningCloud) -> None:
    """Gateway, authorizer, queue, worker, model and tables under the id that the client sent, each below its cause."""
    with ask_console(cloud) as ask:
        made = ask("api/token", "POST", {"subject": "waterfall"})
        root = new_root()
        accepted = call_api(
            cloud.api,
            "POST",
            "jobs",
            token=made["token"],
            body={"prompt": "three rivers"},
            x_amzn_trace_id=f"Root={root}",
        )
        assert accepted.status == 202
        spans = find_trace(ask, root, {"gateway", "queue", "function", "model", "call"})
        by_id = {span["id"]: span for span in spans}
        functions = cloud.status["functions"]

        def find(kind: str, name: str) -> dict[str, Any]:
            (span,) = [each for each in spans if (each["kind"], each["name"]) == (kind, name)]
            return span

        gateway, queue = find("gateway", "POST /jobs"), find("queue", "sluiceway-JobsQueue")
        worker = find("function", functions["GenerateAnswer"])
        model = find("model", "Converse")
        puts = [span for span in spans if (span["kind"], span["name"]) == ("call", "DynamoDB PutItem")]
        claim, put = sorted(puts, key=lambda span: span["start_ms"])  # of the job's key, and of its record
        assert gateway["parent"] is None
        assert (gateway["detail"]["status_code"], gateway["detail"]["request_id"]) == (
            202,
            accepted.headers["x-amzn-requestid"],
        )
        assert [by_id[span["parent"]]["name"] for span in (queue, worker, model, claim, put)] == [
            "POST /jobs", "sluiceway-JobsQueue", worker["name"], worker["name"], worker["name"],
        ]  # fmt: skip
        began = [span["start_ms"] for span in (gateway, queue, worker, claim, put, model)]
        assert began == sorted(began)
        assert worker["detail"]["batch_size"] == 1
        assert model["detail"]["output_tokens"] > 0
        assert model["detail"]["first_token_ms"] <= model["end_ms"] - model["start_ms"] + 0.01
        assert {span["status"] for span in spans} == {"ok"}
        text = json.dumps(spans)
        assert "three rivers" not in text
        assert made["token"] not in text
        summary = next(each for each in ask("api/traces")["traces"] if each["trace"] == root)
        assert (summary["name"], summary["spans"], summary["status"]) == ("POST /jobs", len(spans), "ok")


def test_the_stack_lets_the_consoles_own_origin_in(cloud: RunningCloud) -> None:
    """The parameter that the template's metadata names has the real address, also on a free port."""
    console = cloud.status["endpoints"]["console"]
    reply = call_api(cloud.api, "GET", "jobs/x", token=cloud.token(), origin=console)
    assert reply.headers["access-control-allow-origin"] == console
    with ask_console(cloud) as ask:
        config = ask("config.json")
        assert (config["local"], config["model"]) == (True, "scripted")
        assert config["endpoints"]["api"] == cloud.api
        assert config["functions"] == cloud.status["functions"]
        logged = ask("api/logs?function=AuthorizeRequest&n=5")["logs"]
        assert {log["function"] for log in logged} == {"AuthorizeRequest"}


def test_up_says_where_the_console_is(tmp_path: Path) -> None:
    """On a line of its own; a template without an issuer gives no tokens."""
    path = tmp_path / "t.yaml"
    path.write_text("Resources: {Q: {Type: AWS::SQS::Queue}}")
    cloud = start_cloud(tmp_path / "state", "--template", str(path))
    try:
        console = cloud.status["endpoints"]["console"]
        said = (tmp_path / "state" / "up.log").read_text()
        assert f"  Console: {console}\n" in said
        assert call_api(console, "GET", "config.json").json()["outputs"] == {}
        assert call_api(console, "POST", "api/token").status == 404
    finally:
        cloud.sluiceway("down")


async def test_an_answer_over_a_socket_is_one_waterfall(cloud: RunningCloud) -> None:
    """The message, its function, the worker that waited to be invoked, the model, and each post to the connection."""
    with ask_console(cloud) as ask:
        token = await asyncio.to_thread(ask, "api/token", "POST")
        socket_url = (await asyncio.to_thread(ask, "config.json"))["endpoints"]["socket"]
        protocols = ("sluiceway", f"bearer.{token['token']}")
        async with aiohttp.ClientSession() as session:
            client = await session.ws_connect(socket_url, protocols=protocols)
            await client.send_json({"action": "ask", "req": secrets.token_hex(8), "prompt": "three rivers"})
            async with asyncio.timeout(60):
                while (await client.receive_json())["t"] != "final":
                    pass
            open_one = (await asyncio.to_thread(ask, "api/connections"))["connections"][-1]
            assert (open_one["api"], open_one["messages_in"]) == ("socketapi", 1)
            assert open_one["messages_out"] >= 2
            traces = (await asyncio.to_thread(ask, "api/traces"))["traces"]
            root = next(trace["trace"] for trace in traces if trace["name"] == "ask")
            spans = await asyncio.to_thread(find_trace, ask, root, {"gateway", "queue", "function", "model", "call"})
            console = cloud.status["endpoints"]["console"]
            cut = await asyncio.to_thread(call_api, console, "DELETE", f"api/connections/{open_one['id']}")
            assert cut.status == 204
            assert (await client.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSED
            assert client.close_code == 1006
        by_id = {span["id"]: span for span in spans}
        functions = cloud.status["functions"]

        def path_of(span: dict[str, Any]) -> list[str]:
            """The kinds above a span, from the top."""
            above = path_of(by_id[span["parent"]]) if span["parent"] else []
            return [*above, f"{span['kind']} {span['name'].removeprefix('sluiceway-')}"]

        (model,) = [span for span in spans if span["kind"] == "model"]
        assert path_of(model) == [
            "gateway ask",
            "function ServeSocket",
            "queue StreamAnswer",
            "function StreamAnswer",
            "model ConverseStream",
        ]
        posts = [span for span in spans if span["name"] == "API Gateway PostToConnection"]
        assert {by_id[span["parent"]]["name"] for span in posts} == {functions["StreamAnswer"]}
        assert next(span for span in spans if span["kind"] == "gateway")["detail"]["connection"] == open_one["id"]
        assert "three rivers" not in json.dumps(spans)
