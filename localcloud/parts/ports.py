"""The ports of a local cloud, five in a row, who is told when one is taken, and their sockets from reset to reset."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from localcloud.listening import open_listener

__all__ = [
    "CONSOLE_OFFSET",
    "DNS_OFFSET",
    "HTTP_OFFSET",
    "WEBSOCKET_OFFSET",
    "PortTaken",
    "Sockets",
    "listen",
    "port_of",
    "taking",
]

HTTP_OFFSET: Final = 1  # AWS APIs on the port, HTTP endpoints on the next
WEBSOCKET_OFFSET: Final = 2
CONSOLE_OFFSET: Final = 3
DNS_OFFSET: Final = 4  # where that is free; else a free one
_ANYWHERE: Final = -1  # among offsets: a port that is in no row


class PortTaken(Exception):
    """Somebody listens on a port already; `port` is that one."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port


def port_of(first: int, offset: int) -> int:
    """The port at `offset` from the first one; 0 where any free one will do."""
    return first and first + offset


@contextmanager
def taking(port: int) -> Generator[None]:
    """Raise PortTaken for an OSError inside."""
    try:
        yield
    except OSError as error:
        raise PortTaken(port) from error


def listen(port: int) -> socket.socket:
    """A bound listener on loopback; 0 takes a free port. Raises PortTaken."""
    with taking(port):
        return open_listener(port=port)


class Sockets:
    """The listening sockets of one local cloud, which outlive its resets; `close` ends them.

    Whoever calls while nobody serves waits in the socket's queue. `numbers`: ports whose sockets are made anew.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._held: dict[int, socket.socket] = {}
        self.numbers: dict[str, int] = {}

    def take(self, offset: int = 0) -> socket.socket:
        """A listener at `offset` from the first port, for the taker to close. Raises PortTaken the first time."""
        if offset not in self._held:
            self._held[offset] = listen(port_of(self.first, offset))
        return self._held[offset].dup()

    def take_anywhere(self) -> socket.socket:
        """A listener on a port that was free the first time, the same from then on, for the taker to close."""
        if _ANYWHERE not in self._held:
            self._held[_ANYWHERE] = listen(0)
        return self._held[_ANYWHERE].dup()

    def drop_waiting(self) -> None:
        """Close the connections of those who called while nobody served."""
        for held in self._held.values():
            with suppress(OSError):  # nobody waits, or it never listened
                while True:
                    held.accept()[0].close()

    def close(self) -> None:
        """End all of them."""
        for held in self._held.values():
            held.close()
        self._held.clear()
