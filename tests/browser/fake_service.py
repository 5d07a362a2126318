"""A service for the page that does what a test says, one frame at a time.

One server speaks docs/streaming.md, docs/jobs.md and the console's API, and gives the page itself. Nothing here happens
by time: a test waits for what the page sends, and says what comes back.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from localcloud.console.files import read_file, security_headers
from tests.browser.fake_regions import FakeIssuer
from tests.browser.mesh import told_mesh

TOKEN = base64.urlsafe_b64encode(b'{"alg":"RS256"}').decode().rstrip("=") + ".eyJzdWIiOiJkZXZlbG9wZXIifQ.c2ln"
CALLER = "developer"
WAIT_S = 60  # at most, for what a page sends: a test that waits for nothing says so


@dataclass
class Reader:
    """One attachment of a connection to an answer."""

    socket: web.WebSocketResponse
    seq: int = 0


@dataclass
class Answer:
    """An answer in the making. The test is its model: `say`, `reset`, `final`, ..."""

    req: str
    question: dict[str, Any]
    text: str = ""
    starts: list[int] = field(default_factory=lambda: [0])
    end: tuple[str, dict[str, Any]] | None = None
    retracted: int | None = None
    readers: list[Reader] = field(default_factory=list)

    async def say(self, text: str) -> None:
        """More text, to everyone."""
        off = len(self.text)
        self.text += text
        await self._tell("delta", off, text)

    async def say_twice(self, text: str) -> None:
        """The same piece in two frames, as after a post whose answer was lost."""
        await self.say(text)
        await self._tell("delta", len(self.text) - len(text), text)

    def lose(self, text: str) -> None:
        """More text, whose frame gets lost on the way."""
        self.text += text
        for reader in self.readers:
            reader.seq += 1

    async def reset(self, off: int) -> None:
        """Another attempt goes on at `off`."""
        self.text = self.text[:off]
        self.starts.append(off)
        await self._tell("reset", off, {"reason": "continued"})

    async def retract(self, off: int) -> None:
        """A guardrail takes back what is beyond `off`."""
        self.text = self.text[:off]
        self.retracted = off
        await self._tell("retract", off, {"reason": "content-filtered"})

    async def say_late(self, text: str, *, off: int) -> None:
        """A worker that lost its place goes on with the attempt before this one."""
        for reader in self.readers:
            await self._post(reader, "delta", off, text, attempt=len(self.starts) - 1)

    async def ping(self) -> None:
        """A sign of life."""
        await self._tell("ping", len(self.text), None)

    async def final(self, stop_reason: str = "end_turn", tokens: int | None = None) -> None:
        """The end."""
        usage = {"input_tokens": 7, "output_tokens": tokens or max(1, len(self.text) // 4), "estimated": 0}
        self.end = ("final", {"stop_reason": stop_reason, "usage": usage})
        await self._tell(self.end[0], len(self.text), self.end[1])

    async def fail(self, kind: str, title: str, *, resumable: bool = False) -> None:
        """The end, with a problem; where `resumable`, a resume goes on."""
        data = {"type": f"/problems/{kind}", "title": title, "resumable": resumable}
        if not resumable:
            self.end = ("error", data)
        await self._tell("error", len(self.text), data)

    async def attach(self, socket: web.WebSocketResponse, off: int, attempt: int) -> None:
        """A reader comes, or comes back: it is told what it lacks."""
        reader = Reader(socket)
        self.readers = [other for other in self.readers if other.socket is not socket and not other.socket.closed]
        self.readers.append(reader)
        valid = min([off, len(self.text), *self.starts[max(attempt, 1) :]]) if attempt or len(self.starts) == 1 else 0
        if valid < off:
            await self._post(reader, "reset", valid, {"reason": "continued"})
        if valid < len(self.text):
            await self._post(reader, "delta", valid, self.text[valid:])
        if self.retracted is not None:
            await self._post(reader, "retract", self.retracted, {"reason": "content-filtered"})
        if self.end is not None:
            await self._post(reader, self.end[0], len(self.text), self.end[1])

    async def _tell(self, kind: str, off: int, data: Any) -> None:
        for reader in self.readers:
            await self._post(reader, kind, off, data)

    async def _post(self, reader: Reader, kind: str, off: int, data: Any, *, attempt: int | None = None) -> None:
        reader.seq += 1
        frame = {"v": 1, "req": self.req, "seq": reader.seq, "off": off, "try": attempt or len(self.starts)}
        with suppress(ConnectionError):
            await reader.socket.send_json(frame | {"t": kind, "d": data})


class FakeService:
    """What the page talks to. `open_gate` and `close_gate` decide whether connections are let in."""

    def __init__(self, *, local: bool = True) -> None:
        self.local = local
        self.configured = True
        self.has_socket = True
        self.answers: dict[str, Answer] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.traces: dict[str, list[dict[str, Any]]] = {}
        self.logs: list[dict[str, Any]] = []
        self.mesh = told_mesh()
        self.issuer = FakeIssuer()
        self.records: list[dict[str, Any]] = []
        self.bad_patterns: dict[str, str] = {}
        self.asked: list[tuple[str, Any]] = []
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.url = ""
        self._count = itertools.count(1)
        self._gate = asyncio.Event()
        self._gate.set()
        self._news = asyncio.Condition()
        self._feeds: list[web.StreamResponse] = []
        self.tails: list[web.StreamResponse] = []
        self._taken = 0

    # ---- what a test waits for

    async def until(self, holds: Callable[[], Any]) -> Any:
        """What `holds` gives, as soon as that is true. Raises TimeoutError where it is not to be."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(holds)
        return holds()

    async def next_message(self, action: str) -> dict[str, Any]:
        """The next message of this kind that no test has taken."""
        found = await self.until(lambda: next((at for at, each in self._untaken() if each["action"] == action), -1) + 1)
        self._taken = found
        return self.messages[found - 1]

    async def next_answer(self) -> Answer:
        """The answer to the next question."""
        message = await self.next_message("ask")
        return await self.until(lambda: self.answers.get(message["req"]))

    async def next_resume(self, answer: Answer) -> dict[str, Any]:
        """The next resume, once its reader is served."""
        message = await self.next_message("resume")
        await self.until(lambda: answer.readers)
        return message

    def _untaken(self) -> list[tuple[int, dict[str, Any]]]:
        return list(enumerate(self.messages))[self._taken :]

    # ---- what a test does

    def close_gate(self) -> None:
        """Let handshakes wait."""
        self._gate.clear()

    def open_gate(self) -> None:
        """Let them in."""
        self._gate.set()

    def cut(self) -> None:
        """Cut every connection, with no close frame."""
        for socket in list(self.sockets.values()):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()

    async def tell(self, kind: str, value: dict[str, Any]) -> None:
        """An event to everyone who reads them."""
        if kind == "span":
            spans = self.traces.setdefault(value["trace"], [])
            spans[:] = [span for span in spans if span["id"] != value["id"]] + [value]
        if kind == "log":
            self.logs.append(value)
        data = f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()
        for feed in self._feeds:
            with suppress(ConnectionError):
                await feed.write(data)

    async def tell_job(self, req: str, kind: str, data: dict[str, Any]) -> None:
        """A frame about a job, to the connections that are open."""
        for socket in self.sockets.values():
            await socket.send_json({"v": 1, "req": req, "seq": 1, "off": 0, "t": kind, "d": data})

    # ---- the server

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[FakeService]:
        """Serve on a free port while the context lasts."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/config.json", self._config),
                web.post("/api/token", self._token),
                web.get("/api/traces", self._list_traces),
                web.get("/api/traces/{trace}", self._trace),
                web.get("/api/logs", self._logs),
                web.get("/api/connections", self._connections),
                web.delete("/api/connections/{id}", self._cut_one),
                web.get("/api/events", self._events),
                web.get("/api/streams", self._streams),
                web.get("/api/records", self._records),
                web.get("/api/tail", self._tail),
                web.post("/api/{what:letters|replays|demo}{rest:.*}", self._do),
                web.delete("/api/{what:replays|demo}{rest:.*}", self._do),
                web.post("/v1/topics/{topic}/records", self._publish),
                *self.issuer.routes(),
                web.get("/socket", self._socket),
                web.post("/v1/jobs", self._post_job),
                web.get("/v1/jobs/{id}", self._get_job),
                web.get("/{path:.*}", self._file),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _file(self, request: web.Request) -> web.Response:
        found = read_file(request.path)
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        headers = security_headers({"socket": self._socket_url}) | {"Content-Type": content_type}
        return web.Response(body=body, headers=headers)

    @property
    def _socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/socket"

    async def _config(self, _: web.Request) -> web.Response:
        if not self.configured:
            raise web.HTTPNotFound
        endpoints = {"api": f"{self.url}/v1", "socketapi": self._socket_url, "aws": self.url}
        if not self.has_socket:
            del endpoints["socketapi"]
        functions = {
            "ServeSocket": "servesocket",
            "StreamAnswer": "streamanswer",
            "GenerateAnswer": "generateanswer",
        }
        return web.json_response(
            {"local": self.local, "region": "us-east-1", "model": "scripted", "endpoints": endpoints}
            | {"functions": functions, "outputs": {}}
        )

    async def _token(self, request: web.Request) -> web.Response:
        order = await request.json() if request.can_read_body else {}
        minutes, subject = order.get("minutes", 60), order.get("subject", CALLER)
        return web.json_response({"token": TOKEN, "expires_s": minutes * 60, "subject": subject})

    async def _list_traces(self, _: web.Request) -> web.Response:
        listed = [_summary(spans) for spans in self.traces.values()]
        return web.json_response({"traces": sorted(listed, key=lambda trace: -trace["start_ms"])})

    async def _trace(self, request: web.Request) -> web.Response:
        spans = self.traces.get(request.match_info["trace"])
        if spans is None:
            return web.json_response({"error": "There is no such trace."}, status=404)
        ordered = sorted(spans, key=lambda span: span["start_ms"])
        return web.json_response({"trace": request.match_info["trace"], "spans": ordered, "links": []})

    async def _logs(self, _: web.Request) -> web.Response:
        return web.json_response({"logs": self.logs})

    async def _connections(self, _: web.Request) -> web.Response:
        return web.json_response({"connections": list(self.facts.values())})

    async def _cut_one(self, request: web.Request) -> web.Response:
        socket = self.sockets.get(request.match_info["id"])
        transport = socket._req.transport if socket is not None and socket._req else None
        if transport is None:
            return web.json_response({"error": "This connection is not open."}, status=404)
        transport.abort()
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b": \n\n")
        self._feeds.append(response)
        await self._notify()
        try:
            await asyncio.Event().wait()
        finally:
            self._feeds.remove(response)
        return response

    async def _streams(self, _: web.Request) -> web.Response:
        return web.json_response(self.mesh)

    async def _records(self, request: web.Request) -> web.Response:
        problem = self.bad_patterns.get(request.query["pattern"])
        if problem is not None:
            return web.json_response({"error": problem}, status=400)
        return web.json_response({"records": []})

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b'event: state\ndata: {"state":"live","error":null}\n\n')
        for record in self.records:
            await response.write(f"event: record\ndata: {json.dumps(record)}\n\n".encode())
        self.asked.append(("tail", dict(request.query)))
        self.tails.append(response)
        await self._notify()
        try:
            await asyncio.Event().wait()
        finally:
            self.tails.remove(response)
            await self._notify()
        return response

    async def arrive(self, *records: dict[str, Any]) -> None:
        """Records arrive in the stream, in this order; a tail that is opened later has them too."""
        self.records += records
        for record in records:
            for tail in self.tails:
                await tail.write(f"event: record\ndata: {json.dumps(record)}\n\n".encode())

    async def _do(self, request: web.Request) -> web.Response:
        what = f"{request.method} {request.match_info['what']}{request.match_info['rest']}"
        self.asked.append((what, await request.json() if request.can_read_body else None))
        await self._notify()
        if request.method == "DELETE":
            return web.Response(status=204)
        letter = {"id": "m", "sent_ms": time.time() * 1000, "reason": "invalid-json", "detail": "no object"}
        letter |= {"shard": "shardId-000000000002", "first": "4968", "records": 1}
        answers = {"letters": {"queue": "q", "letters": [letter], "seen": 1}, "demo": {"running": True}}
        replay = told_mesh()["replays"][0] | {"id": "r2", "done": 0, "refused": 0, "reasons": [], "fraction": 0.0}
        return web.json_response({**answers, "replays": replay}[request.match_info["what"]])

    async def _publish(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((f"publish {request.match_info['topic']}", body))
        if body["records"][0]["key"] == "nobody":
            problem = {"type": "/problems/publishing-forbidden", "title": "The caller may not publish to this topic"}
            return web.json_response(problem, status=403)
        return web.json_response({"records": [{"shard": "shardId-000000000002", "seq": "4968"}]})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        await self._gate.wait()
        protocols = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        self.tokens += [each.removeprefix("bearer.") for each in protocols if each.startswith("bearer.")]
        if not self.tokens or self.tokens[-1] != TOKEN:
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(protocols=("sluiceway",), max_msg_size=128 * 1024)
        await socket.prepare(request)
        name = f"c{next(self._count)}="
        self.sockets[name] = socket
        self.facts[name] = _connection(name)
        await self.tell("connection", self.facts[name] | {"event": "opened"})
        await self._notify()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._hear(socket, json.loads(message.data))
        finally:
            del self.sockets[name]
            await self.tell("connection", self.facts.pop(name) | {"event": "closed"})
            await self._notify()
        return socket

    async def _hear(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        req, action = message["req"], message["action"]
        is_known = message.get("after") in {None, *self.answers}
        if action == "ask" and is_known:
            question = {name: value for name, value in message.items() if name not in {"action", "req"}}
            self.answers.setdefault(req, Answer(req, question))
        if action in {"ask", "resume"} and req in self.answers:
            await self.answers[req].attach(socket, message.get("off", 0), message.get("try", 0))
        elif action == "submit":
            await socket.send_json({"v": 1, "req": "", "seq": 1, "off": 0, "t": "ping", "d": {"state": "queued"}})
        elif action != "cancel":
            data = {"type": "/problems/no-such-answer", "title": "There is no such answer", "resumable": False}
            await socket.send_json({"v": 1, "req": req, "seq": 1, "off": 0, "try": 0, "t": "error", "d": data})
        self.messages.append(message)
        await self._notify()

    async def _post_job(self, request: web.Request) -> web.Response:
        body = await request.json()
        job_id = f"k.{CALLER}.{request.headers['idempotency-key']}"
        self.jobs.setdefault(job_id, {"job_id": job_id, "state": "queued", "prompt": body["prompt"]})
        await self._notify()
        return web.json_response({"job_id": job_id, "status_url": f"jobs/{job_id}"}, status=202)

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return web.json_response({"type": "/problems/not-found", "title": "There is no such job"}, status=404)
        return web.json_response(job)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


def _connection(name: str) -> dict[str, Any]:
    now_ms = time.time() * 1000
    return {"id": name, "api": "socketapi", "stage": "v1", "caller": CALLER, "connected_ms": now_ms} | {
        "last_active_ms": now_ms,
        "buffered_bytes": 0,
        "messages_in": 0,
        "messages_out": 0,
    }


def _summary(spans: list[dict[str, Any]]) -> dict[str, Any]:
    first = min(spans, key=lambda span: span["start_ms"])
    ends = [span["end_ms"] for span in spans]
    return {
        "trace": first["trace"],
        "name": first["name"],
        "kind": first["kind"],
        "start_ms": first["start_ms"],
        "duration_ms": None if None in ends else max(ends) - first["start_ms"],
        "status": "error" if any(span["status"] == "error" for span in spans) else "ok",
        "spans": len(spans),
    }
