"""The console of one cloud, imported and served when somebody first calls at its port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from localcloud.http_server import Servers
from localcloud.models.choose import kind_of
from localcloud.options import CloudOptions
from localcloud.parts.handlers import Parts
from localcloud.state import RunningState

if TYPE_CHECKING:
    from localcloud.console.api import Facts

__all__ = ["origin_of", "serve_console", "serve_when_called"]


def origin_of(listener: socket.socket) -> str:
    """The origin of a console that serves on `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


@asynccontextmanager
async def serve_console(
    options: CloudOptions, parts: Parts, state: RunningState, *, listener: socket.socket, among: Servers
) -> AsyncGenerator[None]:
    """Answer on `listener` while the context lasts."""

    def open_console() -> AbstractAsyncContextManager[None]:
        from localcloud.console import server  # noqa: PLC0415 - most clouds end before anybody looks

        return server.serve_console(_facts(options, parts, state), listener, among=among)

    async with serve_when_called(open_console, listener, group=parts.compute.group):
        yield


@asynccontextmanager
async def serve_when_called(
    open_server: Callable[[], AbstractAsyncContextManager[None]], listener: socket.socket, *, group: asyncio.TaskGroup
) -> AsyncGenerator[None]:
    """Open a server on `listener` when the first client connects; it serves until the end of the context.

    Clients wait in the listener's queue for as long as the opening takes.
    """
    loop = asyncio.get_running_loop()
    called: asyncio.Future[None] = loop.create_future()
    stop = asyncio.Event()

    def call() -> None:
        loop.remove_reader(listener.fileno())
        called.set_result(None)

    async def serve() -> None:
        await called
        async with open_server():
            await stop.wait()

    listener.listen()
    loop.add_reader(listener.fileno(), call)
    task = group.create_task(serve())
    try:
        yield
    finally:
        stop.set()
        if not called.done():
            loop.remove_reader(listener.fileno())
            called.cancel()
        await asyncio.wait([task])


def _facts(options: CloudOptions, parts: Parts, state: RunningState) -> Facts:
    from localcloud.console.api import Facts  # noqa: PLC0415 - as above

    services = parts.services
    return Facts(
        state=state,
        model=kind_of(options.model),
        folder=options.issuer_folder,
        clock=services.clock,
        recorder=services.recorder,
        logs=services.logs,
        sockets=parts.sockets,
        functions=parts.compute.functions.list,
        issuer_at=options.joins,
    )
