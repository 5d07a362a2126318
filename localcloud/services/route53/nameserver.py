"""A name server on loopback, over UDP and TCP on one port: answers of the zones here, and no recursion.

Owns sockets and their bounds; knows no zone. What is no query gets no answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, cast

from localcloud.listening import HOST, Listener
from localcloud.services.route53.answers import Answer, Resolver
from localcloud.services.route53.dns import MalformedQuery, Query, read_query, write_answer

__all__ = ["answer_packet", "serve_names"]

MAX_TCP_BYTES: Final = 65_535  # RFC 1035, 4.2.2: two bytes of length
MAX_QUERY_BYTES: Final = 1024  # a question and an OPT record; what is longer is no query
MAX_CONNECTIONS: Final = 64
MAX_UNREAD_BYTES: Final = 262_144  # of answers that a client does not take
IDLE_S: Final = 10.0  # RFC 7766, 6.2.3: some seconds
_TRIES: Final = 20  # to find a port that is free for both


@asynccontextmanager
async def serve_names(resolver: Resolver, port: int = 0) -> AsyncGenerator[int]:
    """Answer while the context lasts. Gives the port: `port`, or a free one where that is taken, or 0."""
    loop = asyncio.get_running_loop()
    udp = _bind(port)
    listener = Listener()
    opened: set[_Connection] = set()

    def connect() -> asyncio.Protocol:
        return _Connection(resolver, listener, opened)

    for number in range(_TRIES):
        try:
            await listener.open(connect, port=udp.getsockname()[1])
            break
        except OSError:
            udp.close()
            if number == _TRIES - 1:
                raise
            udp = _bind(0)
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(resolver), sock=udp)
    try:
        yield int(udp.getsockname()[1])
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()


def answer_packet(resolver: Resolver, packet: bytes, *, over_tcp: bool) -> bytes | None:
    """The answer to a packet, None where it is no query."""
    if len(packet) > MAX_QUERY_BYTES:
        return None
    try:
        query = read_query(packet)
    except MalformedQuery:
        return None
    return write_answer(query, _answer(resolver, query), limit=MAX_TCP_BYTES if over_tcp else query.size)


def _answer(resolver: Resolver, query: Query) -> Answer:
    if query.opcode:
        return Answer("NOTIMP")
    if not query.is_internet:
        return Answer("REFUSED")
    return resolver.ask(query.name, query.type)


def _bind(port: int) -> socket.socket:
    """A UDP socket on `port`, or on a free one."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        opened.bind((HOST, port))
    except OSError:
        opened.bind((HOST, 0))
    return opened


class _Datagrams(asyncio.DatagramProtocol):
    """Queries over UDP: an answer to each, at once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = answer_packet(self._resolver, data, over_tcp=False)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


class _Connection(asyncio.Protocol):
    """Queries over TCP, each after two bytes of its length; ended where one is none, or where none comes."""

    def __init__(self, resolver: Resolver, listener: Listener, opened: set[_Connection]) -> None:
        self._resolver = resolver
        self._listener = listener
        self._open = opened
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.enter(self)
        self._open.add(self)
        if len(self._open) > MAX_CONNECTIONS:
            self.drop()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if self._timer is not None:
            self._timer.cancel()
        self._open.discard(self)
        self._listener.leave(self)

    def drop(self) -> None:
        """End it. Safe to repeat."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._wait()
        self._received += data
        while len(self._received) >= 2:
            length = int.from_bytes(self._received[:2])
            if length > MAX_QUERY_BYTES:
                self.drop()
                return
            if len(self._received) < 2 + length:
                return
            packet = bytes(self._received[2 : 2 + length])
            del self._received[: 2 + length]
            self._answer(packet)

    def _answer(self, packet: bytes) -> None:
        answer = answer_packet(self._resolver, packet, over_tcp=True)
        if answer is None or self._transport is None or self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.drop()
            return
        self._transport.write(len(answer).to_bytes(2) + answer)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.drop)
