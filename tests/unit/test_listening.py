"""Listeners end at any moment: every client sees it, and no socket is left, however far its connection had come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from aiohttp import web

from localcloud.compute.runtime_api import RuntimeApi
from localcloud.compute.runtime_server import RuntimeServer
from localcloud.http_server import serve_http
from localcloud.listening import HOST, Listener, open_listener

Serving = Callable[[], AbstractAsyncContextManager[int]]
TURNS = 8  # of the loop, at most, from a client's connect to a connection that waits for its request


class Silent(asyncio.Protocol):
    """A connection that says nothing."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.listener.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.leave(self)

    def drop(self) -> None:
        assert self.transport is not None
        self.transport.abort()


@asynccontextmanager
async def silence() -> AsyncGenerator[int]:
    """A Listener, as the WebSocket front has one."""
    listener = Listener()
    yield await listener.open(lambda: Silent(listener))
    listener.close()
    await listener.wait_closed()


@asynccontextmanager
async def runtime_api() -> AsyncGenerator[int]:
    """The listener of one environment."""
    server = RuntimeServer(RuntimeApi())
    yield int((await server.open()).rpartition(":")[2])
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def http() -> AsyncGenerator[int]:
    """What the AWS port, the gateway and the console listen with."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response()

    listener = open_listener()
    async with serve_http(web.Server(answer), listener, grace_s=1):
        yield listener.getsockname()[1]


@pytest.mark.parametrize("turns", range(TURNS))
@pytest.mark.parametrize("serving", [silence, runtime_api, http])
async def test_a_client_that_comes_as_the_listener_ends_is_let_go(serving: Serving, turns: int) -> None:
    """In every turn between the kernel's accept and ours: its connection is not left to the garbage."""
    with socket.socket() as client:
        client.settimeout(5)
        async with serving() as port:
            client.connect((HOST, port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_a_client_that_reads_on_gets_the_rest_of_its_answer() -> None:
    """What a handler wrote before the end is delivered after it, for as long as the grace lasts."""
    async with _answering(grace_s=5) as (answered, client):
        await answered.wait()
        received = bytearray()

        async def read() -> None:
            while chunk := await asyncio.get_running_loop().sock_recv(client, 65536):
                received.extend(chunk)

        reading = asyncio.get_running_loop().create_task(read())
    await reading
    assert received.count(b"x") == BODY_BYTES


async def test_a_client_that_does_not_read_is_cut() -> None:
    """It holds nobody up for longer than the grace."""
    loop = asyncio.get_running_loop()
    async with _answering(grace_s=0.05) as (answered, _):
        await answered.wait()
        began = loop.time()
    assert loop.time() - began < 4


BODY_BYTES = 50_000  # below the mark from which a handler would wait for its client


@asynccontextmanager
async def _answering(*, grace_s: float) -> AsyncGenerator[tuple[asyncio.Event, socket.socket]]:
    """A server whose answer is more than the sockets of the machine take at once, and its client."""
    answered = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.Response:
        answered.set()
        return web.Response(body=b"x" * BODY_BYTES)

    listener = open_listener()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # its connections have the same
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with serve_http(web.Server(answer), listener, grace_s=grace_s):
            client.connect(listener.getsockname())
            client.setblocking(False)
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            yield answered, client
