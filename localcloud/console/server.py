"""The console's server: the page, its API and its events, on loopback and for its own page alone.

Any page that a developer visits can send requests here, so only its own origin is answered: another Origin, a browser's
word that the request comes from elsewhere, and another host name are refused, whatever is asked. Command line tools
send none of these headers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from localcloud.console.api import Api, ApiError, Facts
from localcloud.console.events import COUNTERS_S, Counters, Events, Reader
from localcloud.console.files import read_file, security_headers
from localcloud.console.mesh.api import Mesh, open_mesh
from localcloud.console.records import ApiNames, describe_connection, describe_log
from localcloud.gateway.websocket.connection import Connection
from localcloud.gateway.websocket.exchange import Ending
from localcloud.http_log import SERVER_LOG
from localcloud.http_server import serve_http
from localcloud.services.logs.model import LogEvent
from localcloud.sites import is_from_elsewhere
from localcloud.traces.recorder import Span

__all__ = ["Console", "origin_of", "serve_console"]

GRACE_S: Final = 1.0  # for requests under way when the console stops
MAX_BODY_BYTES: Final = 16 * 1024
MAX_READERS: Final = 32  # of events, at a time
PING_S: Final = 15.0  # a comment so often, so that a reader who is gone is noticed
_EVENTS: Final = "/api/events"
_TAIL: Final = "/api/tail"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as routes see it; `tail` is what follows a route that ends in a slash."""

    query: Mapping[str, str]
    body: bytes
    tail: str


_Route: TypeAlias = Callable[[_Asked], Awaitable["dict[str, Any] | None"]]


def origin_of(listener: socket.socket) -> str:
    """The origin of a console that serves on `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


@asynccontextmanager
async def serve_console(facts: Facts, listener: socket.socket) -> AsyncGenerator[None]:
    """Answer on `listener` while the context lasts; readers of events are let go at its end."""
    events = Events()
    async with open_mesh(facts, lambda name, told: events.tell(name, lambda: told)) as mesh:
        console = Console(facts, origin_of(listener), events=events, mesh=mesh)
        server = web.Server(console.answer, handler_cancellation=True, access_log=None, logger=SERVER_LOG)
        async with serve_http(server, listener, grace_s=GRACE_S):
            try:
                with console.listening():
                    yield
            finally:
                events.end()
                mesh.close()


class Console:
    """Answers requests. `origin` is its only one; `events` are what all pages read."""

    def __init__(self, facts: Facts, origin: str, *, events: Events, mesh: Mesh) -> None:
        self.events = events
        self._mesh = mesh
        self._streams = 0
        self._facts = facts
        self._origin = origin
        self._host = origin.partition("://")[2]
        self._api = Api(facts)
        self._names = ApiNames(facts.state.endpoints)
        called = {name: url for name, url in facts.state.endpoints.items() if name != "aws"}
        self._headers = security_headers(called)
        self._routes: dict[str, dict[str, _Route]] = {
            "/config.json": {"GET": self._config},
            "/api/token": {"POST": self._token},
            "/api/traces": {"GET": self._traces},
            "/api/traces/": {"GET": self._trace},
            "/api/logs": {"GET": self._logs},
            "/api/connections": {"GET": self._connections},
            "/api/connections/": {"DELETE": self._cut},
            **self._mesh_routes(),
        }

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear of spans, log lines and connections, and tell them to whoever reads the events."""
        facts = self._facts
        stops = [
            facts.recorder.listen(self._tell_span),
            facts.logs.listen(self._tell_log),
            facts.sockets.listen(self._tell_connection),
        ]
        try:
            yield
        finally:
            for stop in stops:
                stop()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            refusal = self._refuse(headers, request.method)
            if refusal is not None:
                return refusal
            return await self._serve(request)
        except ApiError as error:
            return self._say(error.status, {"error": str(error)})
        except Exception:  # noqa: BLE001 - the outermost edge: a defect becomes a logged 500
            _LOG.exception("console.failed path=%s", request.path)
            return self._say(500, {"error": "The console failed; the local cloud's log says why."})

    # ------------------------------------------------------------------ who may ask

    def _refuse(self, headers: Mapping[str, str], method: str) -> web.Response | None:
        site = headers.get("sec-fetch-site", "none")
        is_visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"  # a person follows a link
        if (
            is_from_elsewhere(headers)
            or headers.get("origin", self._origin) != self._origin
            or (site not in {"none", "same-origin"} and not is_visit)
        ):
            return self._say(403, {"error": "The console answers no other site's pages."})
        host = headers.get("host", "").lower()
        if host == self._host:
            return None
        if method == "GET" and host.partition(":")[0] == "localhost":  # the page's origin is the one that APIs let in
            return web.Response(status=302, headers={**self._headers, "Location": f"{self._origin}/"})
        return self._say(403, {"error": f"The console is at {self._origin}, and answers under that address only."})

    # ------------------------------------------------------------------ what is asked

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        method = "GET" if request.method == "HEAD" else request.method
        if path == _EVENTS and request.method == "GET":
            return await self._stream(request, self.events.read(), Counters(self._facts.sockets, self._names))
        if path == _TAIL and request.method == "GET":
            tail, pattern = await self._mesh.tail(dict(parse_qsl(query)))
            return await self._stream(request, tail.read(pattern))
        place, tail = path, ""
        if path not in self._routes:
            place, _, tail = path.rpartition("/")
            place += "/"
        routes = self._routes.get(place, {}) if place == path or tail else {}
        if not routes:
            return self._file(path, method)
        route = routes.get(method)
        if route is None:
            allowed = ", ".join(routes)
            return self._say(405, {"error": f"{path} takes {allowed}."}, {"Allow": allowed})
        body = await _read_body(request)
        found = await route(_Asked(dict(parse_qsl(query)), body, unquote(tail)))
        return self._say(204 if found is None else 200, found)

    async def _config(self, _: _Asked) -> dict[str, Any]:
        return self._api.config()

    async def _token(self, asked: _Asked) -> dict[str, Any]:
        return await asyncio.to_thread(self._api.token, asked.body)

    async def _traces(self, asked: _Asked) -> dict[str, Any]:
        return self._api.traces(asked.query)

    async def _trace(self, asked: _Asked) -> dict[str, Any]:
        return self._api.trace(asked.tail)

    async def _logs(self, asked: _Asked) -> dict[str, Any]:
        return self._api.logs(asked.query)

    async def _connections(self, _: _Asked) -> dict[str, Any]:
        return self._api.connections()

    async def _cut(self, asked: _Asked) -> None:
        self._api.cut(asked.tail)

    def _mesh_routes(self) -> dict[str, dict[str, _Route]]:
        mesh = self._mesh

        async def cancel(asked: _Asked) -> None:
            mesh.cancel(asked.tail)

        async def stop_demo(_: _Asked) -> None:
            mesh.stop_demo()

        return {
            "/api/streams": {"GET": lambda _: mesh.streams()},
            "/api/records": {"GET": lambda asked: mesh.records(asked.query)},
            "/api/letters/": {"POST": lambda asked: mesh.letters(asked.tail)},
            "/api/replays": {"POST": lambda asked: mesh.replay(asked.body)},
            "/api/replays/": {"DELETE": cancel},
            "/api/demo": {"POST": lambda asked: mesh.demo(asked.body), "DELETE": stop_demo},
        }

    def _file(self, path: str, method: str) -> web.Response:
        found = read_file(path)
        if found is None:
            return self._say(404, {"error": "There is nothing at this address of the console."})
        if method != "GET":
            return self._say(405, {"error": "The page's files are only read."}, {"Allow": "GET"})
        body, content_type = found
        return web.Response(body=body, headers={**self._headers, "Content-Type": content_type})

    def _say(self, status: int, body: dict[str, Any] | None, headers: Mapping[str, str] | None = None) -> web.Response:
        if body is None:
            return web.Response(status=status, headers=self._headers)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        given = {**self._headers, "Content-Type": "application/json", **(headers or {})}
        return web.Response(status=status, body=text, headers=given)

    # ------------------------------------------------------------------ events

    async def _stream(
        self, request: web.BaseRequest, reading: AbstractContextManager[Reader], counters: Counters | None = None
    ) -> web.StreamResponse:
        if self._streams >= MAX_READERS:
            raise ApiError(f"{MAX_READERS} pages read the events already; close one.", status=429)
        response = web.StreamResponse(headers={**self._headers, "Content-Type": "text/event-stream; charset=utf-8"})
        self._streams += 1
        try:
            with reading as reader:
                await response.prepare(request)
                await self._feed(response, reader, counters)
        except ConnectionError:
            _LOG.debug("console.reader_gone")
        finally:
            self._streams -= 1
        return response

    async def _feed(self, response: web.StreamResponse, reader: Reader, counters: Counters | None) -> None:
        loop = asyncio.get_running_loop()
        await response.write(b"retry: 1000\n\n")
        spoke = counted = loop.time()
        while not reader.is_over:
            found = await reader.take(COUNTERS_S)
            now = loop.time()
            if counters is not None and now - counted >= COUNTERS_S:
                found += counters.changed()
                counted = now
            if not found and now - spoke >= PING_S:
                found = b": ping\n\n"
            if found:
                await response.write(found)
                spoke = now

    def _tell_span(self, span: Span) -> None:
        self.events.tell("span", span.to_json)

    def _tell_log(self, event: LogEvent) -> None:
        self.events.tell("log", lambda: describe_log(event, self._facts.functions()))

    def _tell_connection(self, connection: Connection, ending: Ending | None) -> None:
        what = "opened" if ending is None else "closed"
        self.events.tell("connection", lambda: {"event": what, **describe_connection(connection, self._names)})


async def _read_body(request: web.BaseRequest) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise ApiError(f"The body is over {MAX_BODY_BYTES} bytes.", status=413)
        chunks.append(chunk)
    return b"".join(chunks)
