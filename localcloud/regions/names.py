"""Names at addresses of this machine: a listener for each name of an API, in front of whoever the name leads to now.

A client of DNS, as a browser is one: it keeps an answer for its TTL, opens a connection to what that says, and a
connection that is open stays where it is. So a change of the answer is followed after the TTL, by new connections
alone, and a Region that has gone dark is silent until the client gives up. Every request's Host header is the name,
but for those under another site's name, which the gateway refuses: a page there could have pointed it here.
Knows HTTP as far as where a request ends.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from localcloud.listening import HOST, finish_accepting, stop_accepting
from localcloud.services.route53.answers import Place, Resolver
from localcloud.services.route53.domains import WILDCARD
from localcloud.services.route53.zones import Zone
from localcloud.sites import is_from_elsewhere

__all__ = ["NameFront", "serve_api_names"]

MAX_HEAD_BYTES: Final = 64 * 1024  # of a request, or of the line before a chunk
CHUNK_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 512  # of a name; API Gateway has no such bound, descriptors have
GONE_S: Final = 5.0  # for answers to a client that sends no more; those that gave up on a dark Region fill no name
STUCK_S: Final = 60.0  # for a Region to take what is sent to it
_HOST: Final = re.compile(rb"\r\n[Hh][Oo][Ss][Tt]:([^\r\n]*)(?=\r\n)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,19})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_UPGRADE: Final = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*(?=\r\n)", re.IGNORECASE)  # all that is served
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_LOG: Final = logging.getLogger(__name__)


class MalformedRequest(Exception):
    """A request whose end cannot be told."""


class NameFront:
    """The listener of one name. `resolver` is asked as DNS is; lifetime: `open` to `close`."""

    def __init__(self, name: str, resolver: Resolver) -> None:
        self.name = name
        self.port = 0
        self._resolver = resolver
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: tuple[float, Place | None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    async def open(self, port: int = 0) -> None:
        """Listen; 0 takes a free port. Raises OSError where it is taken."""
        self._server = await asyncio.start_server(self._serve, HOST, port, limit=MAX_HEAD_BYTES)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        if self._server is None:
            return
        stop_accepting(*self._server.sockets)
        await finish_accepting()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def look_up(self) -> Place | None:
        """Where the name leads: what was said last while its TTL lasts, and then what is said now.

        That it leads nowhere is not kept: while Regions start, it soon will.
        """
        now = asyncio.get_running_loop().time()
        if self._kept is None or now >= self._kept[0]:
            answer = self._resolver.ask(self.name, "A")
            place = self._resolver.places.address_of(answer.target) if answer.target else None
            self._kept = (now + answer.records[-1].ttl if place is not None else now, place)
        return self._kept[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served in a task")
        self._tasks.add(task)
        try:
            if len(self._tasks) <= MAX_CONNECTIONS:
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            task.uncancel()  # the server's own callback would log it
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to one place, for as long as both ends want it."""
        place = self.look_up()
        if place is None:
            _LOG.warning("names.nowhere name=%s", self.name)
            return
        try:
            upstream, onward = await asyncio.open_connection(*place, limit=MAX_HEAD_BYTES)
        except OSError as error:
            _LOG.warning("names.refused name=%s error=%s", self.name, error)
            return
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._pass_requests(reader, onward))
                await _copy(upstream, writer)
                with suppress(OSError):
                    await writer.drain()
                    writer.write_eof()
                asking.cancel()
        finally:
            onward.transport.abort()

    async def _pass_requests(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        """Requests, one after another, each under the name; after one that upgrades, bytes as they come."""
        host = self.name.removesuffix(".").encode()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                onward.write(_with_host(head, host))
                await _drain(onward)
                if _UPGRADE.search(head):
                    await _copy(reader, onward)
                    break
                await _pass_body(head, reader, onward)
        except (MalformedRequest, asyncio.LimitOverrunError):
            onward.write(b"\r\n\r\n")  # what is there answers for it, and closes
        except (OSError, asyncio.IncompleteReadError):
            pass
        with suppress(OSError):
            onward.write_eof()
        await asyncio.sleep(GONE_S)
        onward.transport.abort()


@asynccontextmanager
async def serve_api_names(
    zones: Iterable[Zone],
    resolver: Resolver,
    *,
    known: Mapping[str, str] | None = None,
    before: Mapping[str, int] | None = None,
) -> AsyncGenerator[dict[str, str]]:
    """A front for each name that is an alias of an API here, for the length of the block. Gives URLs by name.

    `known` names have theirs. `before`: the ports that names had.
    """
    fronts = [NameFront(name, resolver) for name in _api_names(zones, resolver) if _bare(name) not in (known or {})]
    async with AsyncExitStack() as cleanup:
        for front in fronts:
            try:
                await front.open((before or {}).get(_bare(front.name), 0))
            except OSError:
                await front.open()  # somebody has taken it meanwhile
            cleanup.push_async_callback(front.close)
        yield {**{_bare(front.name): front.url for front in fronts}, **(known or {})}


def _api_names(zones: Iterable[Zone], resolver: Resolver) -> list[str]:
    """Names that lead, or could lead, to an API on this machine; wildcards are none."""
    found: set[str] = set()
    for zone in zones:
        for record in zone.records.values():
            if record.type != "A" or record.alias is None or record.name.startswith(WILDCARD):
                continue
            if resolver.places.address_of(_bare(record.alias.name)) is not None:
                found.add(record.name)
    return sorted(found)


def _bare(name: str) -> str:
    return name.removesuffix(".")


def _with_host(head: bytes, host: bytes) -> bytes:
    """The head under another Host header; the first line, and every other header, as they came."""
    if any(_is_foreign(found, host) for found in _HOST.findall(head)):
        return head
    line = b"\r\nHost: " + host
    bare = _HOST.sub(b"", head)
    first, rest = bare.split(b"\r\n", 1)
    return first + line + b"\r\n" + rest


def _is_foreign(found: bytes, host: bytes) -> bool:
    """Whether a Host header names another site."""
    name = found.strip(b" \t").lower().decode("latin-1")
    return name.partition(":")[0].rstrip(".") != host.decode().lower() and is_from_elsewhere({"host": name})


async def _pass_body(head: bytes, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
    """The body that follows `head`. Raises MalformedRequest."""
    if _CHUNKED.search(head):
        await _pass_chunks(reader, onward)
        return
    lengths = {int(found) for found in _LENGTH.findall(head)}
    if len(lengths) > 1:
        raise MalformedRequest
    await _pass_bytes(reader, onward, lengths.pop() if lengths else 0)


async def _pass_chunks(reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        found = _SIZE.fullmatch(line)
        if found is None:
            raise MalformedRequest
        size = int(found[1], 16)
        onward.write(line)
        if size == 0:
            break
        await _pass_bytes(reader, onward, size + 2)
    while line != b"\r\n":  # trailers
        line = await reader.readuntil(b"\r\n")
        onward.write(line)
        await _drain(onward)


async def _pass_bytes(reader: asyncio.StreamReader, onward: asyncio.StreamWriter, count: int) -> None:
    while count:
        piece = await reader.read(min(count, CHUNK_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(piece)
        onward.write(piece)
        await _drain(onward)


async def _drain(onward: asyncio.StreamWriter) -> None:
    """Wait until what was sent is taken. Raises OSError, also where a Region that is dark takes nothing for STUCK_S."""
    async with asyncio.timeout(STUCK_S):
        await onward.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes as they come, until no more do, or nobody takes them."""
    with suppress(OSError):
        while piece := await reader.read(CHUNK_BYTES):
            writer.write(piece)
            await writer.drain()
