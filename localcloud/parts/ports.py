"""The ports of a local cloud, five in a row, and who is told when one is taken."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from localcloud.listening import open_listener

__all__ = [
    "CONSOLE_OFFSET",
    "DNS_OFFSET",
    "HTTP_OFFSET",
    "WEBSOCKET_OFFSET",
    "PortTaken",
    "listen",
    "port_of",
    "taking",
]

HTTP_OFFSET: Final = 1  # AWS APIs on the port, HTTP endpoints on the next
WEBSOCKET_OFFSET: Final = 2
CONSOLE_OFFSET: Final = 3
DNS_OFFSET: Final = 4  # where that is free; else a free one


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
