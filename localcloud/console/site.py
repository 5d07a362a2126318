"""A site on loopback for its own page alone: the page's files, JSON at routes, and streams of events.

Any page that a developer visits can send requests here, so only its own origin is answered: another Origin, a browser's
word that the request comes from elsewhere, and another host name are refused, whatever is asked. Command line tools
send none of these headers. Knows no route.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from localcloud.console.events import COUNTERS_S, Reader
from localcloud.console.files import read_file, security_headers
from localcloud.console.refusals import ApiError
from localcloud.http_log import SERVER_LOG
from localcloud.http_server import Servers, read_body, serve_http
from localcloud.sites import is_from_elsewhere

__all__ = ["Asked", "Route", "Routes", "Site", "Stream", "Streams", "origin_of", "serve_site"]

GRACE_S: Final = 1.0  # for requests under way when the console stops
MAX_BODY_BYTES: Final = 16 * 1024
MAX_READERS: Final = 32  # of events, at a time
PING_S: Final = 15.0  # a comment so often, so that a reader who is gone is noticed
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as routes see it; `tail` is what follows a route that ends in a slash."""

    query: Mapping[str, str]
    body: bytes
    tail: str


class Stream(NamedTuple):
    """What one reader of events is fed. `changed` gives more events, asked each COUNTERS_S; None for none."""

    reading: AbstractContextManager[Reader]
    changed: Callable[[], bytes] | None = None


Route: TypeAlias = Callable[[Asked], Awaitable["dict[str, Any] | None"]]
Routes: TypeAlias = Mapping[str, Mapping[str, Route]]
"""What answers, by path and then by method; a path that ends in a slash takes one segment more. None is a 204."""

Streams: TypeAlias = Mapping[str, Callable[[Mapping[str, str]], Awaitable[Stream]]]
"""What opens the events at a path, from the query."""


def origin_of(listener: socket.socket) -> str:
    """The origin of a console that serves on `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


@asynccontextmanager
async def serve_site(site: Site, listener: socket.socket, *, among: Servers | None = None) -> AsyncGenerator[None]:
    """Answer on `listener` while the context lasts."""
    server = web.Server(site.answer, handler_cancellation=True, access_log=None, logger=SERVER_LOG)
    async with serve_http(server, listener, grace_s=GRACE_S, among=among):
        yield


class Site:
    """Answers requests. `origin` is its only one; `called` are the addresses that its page may call beside it."""

    def __init__(self, origin: str, routes: Routes, streams: Streams, *, called: Mapping[str, str]) -> None:
        self._origin = origin
        self._host = origin.partition("://")[2]
        self._routes = routes
        self._streams = streams
        self._headers = security_headers(called)
        self._readers = 0

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

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        method = "GET" if request.method == "HEAD" else request.method
        if path in self._streams and request.method == "GET":
            return await self._stream(request, await self._streams[path](dict(parse_qsl(query))))
        place, tail = path, ""
        if path not in self._routes:
            place, _, tail = path.rpartition("/")
            place += "/"
        routes: Mapping[str, Route] = self._routes.get(place, {}) if place == path or tail else {}
        if not routes:
            return self._file(path, method)
        route = routes.get(method)
        if route is None:
            allowed = ", ".join(routes)
            return self._say(405, {"error": f"{path} takes {allowed}."}, {"Allow": allowed})
        body = await read_body(request, MAX_BODY_BYTES)
        if body is None:
            raise ApiError(f"The body is over {MAX_BODY_BYTES} bytes.", status=413)
        found = await route(Asked(dict(parse_qsl(query)), body, unquote(tail)))
        return self._say(204 if found is None else 200, found)

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

    async def _stream(self, request: web.BaseRequest, stream: Stream) -> web.StreamResponse:
        if self._readers >= MAX_READERS:
            raise ApiError(f"{MAX_READERS} pages read the events already; close one.", status=429)
        response = web.StreamResponse(headers={**self._headers, "Content-Type": "text/event-stream; charset=utf-8"})
        self._readers += 1
        try:
            with stream.reading as reader:
                await response.prepare(request)
                await _feed(response, reader, stream.changed)
        except ConnectionError:
            _LOG.debug("console.reader_gone")
        finally:
            self._readers -= 1
        return response


async def _feed(response: web.StreamResponse, reader: Reader, changed: Callable[[], bytes] | None) -> None:
    loop = asyncio.get_running_loop()
    await response.write(b"retry: 1000\n\n")
    spoke = counted = loop.time()
    while not reader.is_over:
        found = await reader.take(COUNTERS_S)
        now = loop.time()
        if changed is not None and now - counted >= COUNTERS_S:
            found += changed()
            counted = now
        if not found and now - spoke >= PING_S:
            found = b": ping\n\n"
        if found:
            await response.write(found)
            spoke = now
