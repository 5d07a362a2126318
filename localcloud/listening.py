"""Listening sockets, and their end without a connection left half made.

asyncio accepts in two turns of the loop: the socket in one, its transport in the next. `Server.close()` between the two
loses that socket: CPython fails in `Server._attach`, tells nobody, and the client hangs until the garbage is collected.
So here a listener accepts no more, lets the loop turn what was accepted into connections, and only then closes; and
whoever closes connections waits until they are lost. Knows no protocol.

Source: https://github.com/python/cpython/issues/109564
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["HOST", "Listener", "finish_accepting", "open_listener", "stop_accepting"]

HOST: Final = "127.0.0.1"


class Droppable(Protocol):
    """A connection that can be ended at once: its `connection_lost` runs in the next turn of the loop."""

    def drop(self) -> None:
        """End it. Safe to repeat."""
        ...


class Listener:
    """A loopback listener and its connections, from `open` until `wait_closed` returns.

    Each connection calls `enter` in `connection_made` and `leave` in `connection_lost`.
    """

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[Droppable] = set()
        self._closed = False
        self._left = asyncio.Event()

    async def open(
        self,
        make_connection: Callable[[], asyncio.Protocol],
        *,
        port: int = 0,
        listener: socket.socket | None = None,
    ) -> int:
        """Listen; 0 takes a free port, `listener` is one that there is. Gives the port. Raises OSError: it is taken."""
        loop = asyncio.get_running_loop()
        if listener is None:
            self._server = await loop.create_server(make_connection, HOST, port)
        else:
            self._server = await loop.create_server(make_connection, sock=listener)
        return int(self._server.sockets[0].getsockname()[1])

    def enter(self, connection: Droppable) -> None:
        """A connection is made; dropped at once where it was accepted just before the end."""
        self._connections.add(connection)
        if self._closed:
            connection.drop()

    def leave(self, connection: Droppable) -> None:
        """A connection is lost."""
        self._connections.discard(connection)
        self._left.set()

    def close(self) -> None:
        """Accept no more and drop every connection. Safe to repeat; `wait_closed` says when that is done."""
        self._closed = True
        server, self._server = self._server, None
        if server is not None:
            stop_accepting(*server.sockets)
            asyncio.get_running_loop().call_soon(server.close)
        for connection in tuple(self._connections):
            connection.drop()

    async def wait_closed(self) -> None:
        """After `close`: wait until no connection is left."""
        await finish_accepting()
        while self._connections:
            self._left.clear()
            await self._left.wait()


def open_listener(host: str = HOST, port: int = 0) -> socket.socket:
    """A bound listener; port 0 takes a free one, which `getsockname()` tells.

    Raises OSError (EADDRINUSE) where the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class HasFileno(Protocol):
    """A socket, or asyncio's view of one."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


def stop_accepting(*listeners: HasFileno) -> None:
    """Take listeners of asyncio servers from the loop, without closing them; see `finish_accepting`."""
    loop = asyncio.get_running_loop()
    for listener in listeners:
        loop.remove_reader(listener.fileno())


async def finish_accepting() -> None:
    """After `stop_accepting`: wait until everything accepted before it has had its `connection_made`."""
    await asyncio.sleep(0)  # the transports are made
    await asyncio.sleep(0)  # and tell their protocols
