"""One way to serve HTTP with aiohttp on a listener of ours, and to stop so that no socket is left.

Knows no request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from localcloud.listening import finish_accepting, stop_accepting
from localcloud.patience import next_chunk

__all__ = ["Servers", "read_body", "serve_http"]

CUT_S: Final = 0.001  # for a request that is cut; aiohttp takes 0 as no end
_POLL_S: Final = 0.01


class Servers:
    """The servers of one cloud: what is under way in all of them can be cut at once, without its grace."""

    def __init__(self) -> None:
        self._serving: set[web.Server] = set()
        self._is_cut = False

    def enter(self, server: web.Server) -> None:
        """A server begins to answer."""
        self._serving.add(server)

    async def leave(self, server: web.Server) -> None:
        """It accepts no more."""
        self._serving.discard(server)
        if self._is_cut:
            await _cut(server)

    async def cut(self) -> None:
        """Cancel every request under way, and close every connection.

        Who calls after it is answered until the servers end, and then cut as well.
        """
        self._is_cut = True
        for server in tuple(self._serving):
            await _cut(server)


async def _cut(server: web.Server) -> None:
    """Not by `Server.shutdown`, which forgets connections that are made while it waits, and never ends them."""
    connections = server.connections
    transports = [each.transport for each in connections if each.transport is not None]
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(connection.shutdown(CUT_S))
    for transport in transports:
        transport.abort()


@asynccontextmanager
async def serve_http(
    server: web.Server,
    listener: socket.socket,
    *,
    grace_s: float,
    among: Servers | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[None]:
    """Answer on `listener` (see `open_listener`) while the context lasts; it is closed at the end, as is every client.

    By TLS with `tls`.

    At the end requests under way have `grace_s` to be answered, and clients as long to read their answers, unless they
    were cut with those `among` which the server is.
    """
    runner = web.ServerRunner(server, shutdown_timeout=grace_s)
    await runner.setup()
    among = among or Servers()
    among.enter(server)
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield
    finally:
        stop_accepting(listener)
        await finish_accepting()
        await among.leave(server)
        transports = [each.transport for each in server.connections if each.transport is not None]
        try:
            await runner.cleanup()
            await _flush(transports, grace_s)
        finally:
            for transport in transports:
                if transport.get_write_buffer_size():  # the others are closed; asyncio cannot abort one that is lost
                    transport.abort()
            await asyncio.sleep(0)  # for the `connection_lost` of each


async def read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """The whole body, None where it is over `limit` bytes: at once where its head says so.

    Raises HTTPRequestTimeout where it stops coming.
    """
    if (request.content_length or 0) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while chunk := await next_chunk(request):
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _flush(transports: list[asyncio.Transport], limit_s: float) -> None:
    """Wait until clients have taken what was written for them; who reads nothing is waited for no longer."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + limit_s
    while loop.time() < ends and any(each.get_write_buffer_size() for each in transports):  # noqa: ASYNC110 - no event
        await asyncio.sleep(_POLL_S)
