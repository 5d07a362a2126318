"""One HTTP/1.1 connection on asyncio, plain or sealed: one request at a time, its reply whole or piece by piece.

Owns a socket's bytes and the time limits of an exchange. It knows nothing of pools or AWS. Whatever is cancelled, late
or broken closes the connection, so that nobody can read another exchange's reply. Times are on the event loop's clock,
in seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Literal, NamedTuple, cast

from sluiceway.aws.http1 import Head, ProtocolViolationError, ReplyParser
from sluiceway.aws.tls import Seal

__all__ = ["Connection", "Exchange", "Failure", "TransportError"]

WARY_AFTER_S: Final = 1.0  # a connection idle for longer is checked for an end that the loop has not read yet
READ_BYTES: Final = 64 * 1024  # lent to the loop for each connection
MAX_AHEAD_BYTES: Final = 256 * 1024  # of a reply that nobody reads: then the socket fills, and the peer waits

Failure = Literal["connect", "stale", "reset", "timeout", "deadline", "violation", "certificate"]


class TransportError(Exception):
    """No whole reply came. `failure` says why.

    `connect`: no connection; `stale`: a kept-alive connection had ended before the reply began; `reset`: it ended
    later; `timeout`: silence for too long; `deadline`: the caller's time is over; `violation`: not HTTP/1.1;
    `certificate`: the peer is not who it must be.
    """

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure: Failure = failure


class Exchange(NamedTuple):
    """One request: its bytes, whether it is a HEAD, the longest silence and the time it must be over."""

    request: bytes
    bodiless: bool
    read_timeout_s: float
    give_up_at: float


class Connection(asyncio.BufferedProtocol):
    """One connection, under TLS where there is a `seal`. `idle_since` is when its last exchange ended.

    It lends the loop a buffer to read into: without one, asyncio allocates 256 KiB for every read, which costs more
    than the signature of the request (docs/adr/0002-own-wire-client.md).
    """

    __slots__ = (
        "_ahead",
        "_broke",
        "_buffer",
        "_exchange",
        "_heard_at",
        "_loop",
        "_parser",
        "_piecewise",
        "_seal",
        "_sealed",
        "_timer",
        "_transport",
        "_waiter",
        "closed",
        "idle_since",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, seal: Seal | None = None) -> None:
        self.closed = False
        self.used = False
        self.idle_since = 0.0
        self._loop = loop
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._parser: ReplyParser | None = None
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._piecewise = False  # `begin` was called: the reply is read as it arrives
        self._broke: TransportError | None = None  # what a piecewise reader hears once it has read what came before
        self._ahead = 0  # bytes that arrived since it last read
        self._seal = seal
        self._sealed: asyncio.Future[None] | None = None  # where TLS is wanted: done once hands are shaken

    async def secure(self) -> None:
        """Wait until requests may go out. Raises OSError (ssl.SSLError too); cancelled or failed, it is closed."""
        secured = False
        try:
            if self._sealed is not None:
                await self._sealed
            secured = True
        finally:
            if not secured:
                self.close()

    async def run(self, exchange: Exchange) -> tuple[Head, bytes]:
        """Send the request and wait for the whole reply. Raises TransportError; cancelled or failed, it is closed."""
        if self._is_doubtful():
            await _let_loop_read()
        parser = self._send(exchange)
        try:
            await self._wait(exchange)
        finally:
            self._finish(parser)
        if parser.head is None:
            raise TransportError("violation", "no head")
        return parser.head, parser.take_body()

    async def begin(self, exchange: Exchange, *, idle_s: float) -> Head:
        """Send the request and wait for the head of its reply; `read` gives the body, and `end` must be called.

        `idle_s`: the longest wait for the next piece of the body. Raises TransportError; cancelled or failed, the
        connection is closed.
        """
        if self._is_doubtful():
            await _let_loop_read()
        parser = self._send(exchange)
        self._piecewise, self._broke, self._ahead = True, None, 0
        begun = False
        try:
            while parser.head is None:
                await self._wait(exchange)
            begun = True
        finally:
            if not begun:
                self.end()
        self._exchange = exchange._replace(read_timeout_s=idle_s)
        return parser.head

    async def read(self) -> bytes:
        """The body's next bytes as soon as there are any; b"" is its end. Raises TransportError."""
        parser, exchange = self._parser, self._exchange
        if parser is None or exchange is None:
            return b""
        while True:
            data = parser.take_body()
            if self._transport is not None and self._ahead > MAX_AHEAD_BYTES and not self.closed:
                self._transport.resume_reading()
            self._ahead = 0
            if data or parser.complete:
                return data
            await self._wait(exchange)

    def end(self) -> None:
        """The reader of a piecewise reply reads no more: the connection is closed unless the reply was whole."""
        if self._parser is not None:
            if self._ahead > MAX_AHEAD_BYTES:
                self.close()
            self._finish(self._parser)
        self._piecewise = False

    def _is_doubtful(self) -> bool:
        """Whether it may have ended while nobody looked."""
        return self.used and self._loop.time() - self.idle_since > WARY_AFTER_S

    def _send(self, exchange: Exchange) -> ReplyParser:
        parser = self._parser = ReplyParser(bodiless=exchange.bodiless)
        if self._transport is None or self.closed:
            broken = self._broken(None)
            self._finish(parser)
            raise broken
        try:
            data = exchange.request if self._seal is None else self._seal.close_up(exchange.request)
        except ssl.SSLError as error:
            self.close()
            broken = self._broken(error)
            self._finish(parser)
            raise broken from error
        self._transport.write(data)
        return parser

    async def _wait(self, exchange: Exchange) -> None:
        """Until the reply has moved on. Raises TransportError."""
        if self._broke is not None:
            raise self._broke
        self._exchange = exchange
        waiter = self._waiter = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._watch()
        try:
            await waiter
        finally:
            self._waiter = None
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even where a cancellation came in the same turn

    def _finish(self, parser: ReplyParser) -> None:
        self._parser = self._exchange = None
        self.used = True
        self.idle_since = self._heard_at
        if not (parser.complete and parser.keep_alive):
            self.close()

    def close(self) -> None:
        """Close at once; nothing more is sent or read."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and begin TLS where it is wanted (called by the loop)."""
        self._transport = cast("asyncio.Transport", transport)
        if self._seal is not None:
            self._sealed = self._loop.create_future()
            self._open_up(self._seal, b"")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's signature
        """Lend the buffer to read into (called by the loop)."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read (called by the loop)."""
        if self._seal is None:
            self._take_in(bytes(self._buffer[:nbytes]))
            return
        data = self._open_up(self._seal, self._buffer[:nbytes])
        if data:
            self._take_in(data)
        if self._seal.ended:
            self._lose(None)
            self.close()

    def _open_up(self, seal: Seal, received: memoryview | bytes) -> bytes:
        """What the peer says under TLS; b"" while hands are shaken, or where it says nothing to us."""
        data = b""
        try:
            if self._sealed is None or self._sealed.done():
                data = seal.open_up(received)
            elif seal.shake_hands(received):
                self._sealed.set_result(None)
                data = seal.open_up(b"")
        except ssl.SSLError as error:
            self._lose(error)
        answer = seal.to_send()
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self.closed:
            self.close()
        return data

    def _take_in(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self.close()  # nobody asked for anything
            return
        self._heard_at = self._loop.time()
        try:
            parser.feed(data)
        except ProtocolViolationError as violation:
            self._settle(TransportError("violation", str(violation)))
            return
        if self._piecewise:
            self._settle(None)
            self._ahead += len(data)
            if self._ahead > MAX_AHEAD_BYTES and self._transport is not None:
                self._transport.pause_reading()
        elif parser.complete:
            self._settle(None)

    def eof_received(self) -> bool:
        """The peer will send no more (called by the loop); the transport closes itself."""
        self._lose(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone (called by the loop)."""
        self._lose(exc)
        self.close()

    def _lose(self, exc: Exception | None) -> None:
        self.closed = True
        if self._sealed is not None and not self._sealed.done():
            self._sealed.set_exception(exc or ConnectionResetError("the peer closed the connection in the handshake"))
            self._sealed.exception()  # seen, even where whoever connects has given up
        parser = self._parser
        if parser is None or parser.complete or self._broke is not None:
            return
        if exc is not None or not parser.started:
            self._settle(self._broken(exc))
            return
        try:
            parser.end()
        except ProtocolViolationError as cut:
            self._settle(TransportError("reset", str(cut)))
        else:
            self._settle(None)

    def _broken(self, exc: Exception | None) -> TransportError:
        detail = str(exc) if exc is not None else "the peer closed the connection before it answered"
        stale = self.used and (self._parser is None or not self._parser.started)
        return TransportError("stale" if stale else "reset", detail)

    def _settle(self, failure: TransportError | None) -> None:
        waiter = self._waiter
        if self._piecewise:
            self._broke = self._broke or failure
        if waiter is None or waiter.done():
            return
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)

    def _due(self, exchange: Exchange) -> float:
        return min(exchange.give_up_at, self._heard_at + exchange.read_timeout_s)

    def _watch(self) -> None:
        """See to it that a timer fires no later than the exchange is due.

        A timer outlives its exchange and serves the next one: setting one for each call costs more than signing.
        """
        exchange = self._exchange
        if exchange is None:
            return
        due = self._due(exchange)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        exchange = self._exchange
        if exchange is None or self._waiter is None:
            return  # a piecewise reader is busy with what it has read; its next wait sets a timer
        now = self._loop.time()
        if now < self._due(exchange):
            self._watch()
        elif now >= exchange.give_up_at:
            self._settle(TransportError("deadline", "the deadline came before the reply"))
        else:
            self._settle(TransportError("timeout", f"silence for {exchange.read_timeout_s} s"))


async def _let_loop_read() -> None:
    """Two turns of the event loop: one reads what the sockets hold, the next tells the protocols."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
