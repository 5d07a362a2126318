"""A server that is opened by its first client: the console is imported when somebody looks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from localcloud.listening import open_listener
from localcloud.parts.console import serve_when_called


class Echo:
    """A server that says hello, and how often it was opened and closed."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.told: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Answer while the context lasts."""
        self.told.append("opened")

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        async with await asyncio.start_server(greet, sock=self.listener):
            yield
        self.told.append("closed")


async def _call(listener: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    said = await reader.read()
    writer.close()
    return said


async def test_the_first_client_opens_it_and_is_answered() -> None:
    """Nothing is opened before; the second client finds it open; it is closed at the end."""
    listener = open_listener()
    echo = Echo(listener)
    async with asyncio.TaskGroup() as group:
        async with serve_when_called(echo.open, listener, group=group):
            await asyncio.sleep(0)
            assert echo.told == []
            assert await _call(listener) == b"hello"
            assert await _call(listener) == b"hello"
            assert echo.told == ["opened"]
        assert echo.told == ["opened", "closed"]


async def test_without_a_client_it_is_never_opened() -> None:
    """The end waits for nothing, and leaves no reader of the listener."""
    with open_listener() as listener:
        echo = Echo(listener)
        async with asyncio.TaskGroup() as group, serve_when_called(echo.open, listener, group=group):
            await asyncio.sleep(0)
        assert echo.told == []
        assert not asyncio.get_running_loop().remove_reader(listener.fileno())
