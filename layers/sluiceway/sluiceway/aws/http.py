"""HTTP/1.1 connections on asyncio: one request at a time each, kept alive in a bounded pool for each origin.

Owns sockets, TLS and time limits. It knows nothing of AWS. A connection goes back to its pool only after a whole reply:
an exchange that is cancelled, late or broken closes its connection, so no call can ever read another call's answer.
Times are on the event loop's clock, in seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, cast

from sluiceway.aws.http1 import Head, ProtocolViolationError, ReplyParser

__all__ = ["Exchange", "Failure", "Origin", "Pool", "TransportError"]

MAX_CONNECTIONS: Final = 64  # for one origin; botocore keeps 10 for its threads, an event loop drives more
MAX_IDLE_S: Final = 60.0  # then the peer has most likely closed it; a NAT gateway forgets it after 350 s
WARY_AFTER_S: Final = 1.0  # a connection idle for longer is checked for an end that the loop has not read yet
READ_BYTES: Final = 64 * 1024  # lent to the loop for each connection
CONNECT_TIMEOUT_S: Final = 10.0  # botocore waits 60 s; in one Region a connection takes milliseconds or never comes

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


class Origin(NamedTuple):
    """Where connections go: `tls`, host (IPv6 without brackets) and port."""

    tls: bool
    host: str
    port: int


class Exchange(NamedTuple):
    """One request: its bytes, whether it is a HEAD, the longest silence and the time it must be over."""

    request: bytes
    bodiless: bool
    read_timeout_s: float
    give_up_at: float


class Connection(asyncio.BufferedProtocol):
    """One connection. `idle_since` is when its last exchange ended.

    It lends the loop a buffer to read into: without one, asyncio allocates 256 KiB for every read, which costs more
    than the signature of the request (docs/adr/0002-own-wire-client.md).
    """

    __slots__ = (
        "_buffer",
        "_exchange",
        "_heard_at",
        "_loop",
        "_parser",
        "_timer",
        "_transport",
        "_waiter",
        "closed",
        "idle_since",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
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

    async def run(self, exchange: Exchange) -> tuple[Head, bytes]:
        """Send the request and wait for the whole reply. Raises TransportError; cancelled or failed, it is closed."""
        parser = self._parser = ReplyParser(bodiless=exchange.bodiless)
        self._exchange = exchange
        waiter = self._waiter = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._watch()
        try:
            if self._transport is None or self.closed:
                raise self._broken(None)
            self._transport.write(exchange.request)
            await waiter
        finally:
            self._waiter = self._parser = self._exchange = None
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even where a cancellation came in the same turn
            if not (parser.complete and parser.keep_alive):
                self.close()
        head = parser.head
        if head is None:
            raise TransportError("violation", "no head")
        self.used = True
        self.idle_since = self._heard_at
        return head, parser.take_body()

    def close(self) -> None:
        """Close at once; nothing more is sent or read."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by the loop)."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's signature
        """Lend the buffer to read into (called by the loop)."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read (called by the loop)."""
        parser = self._parser
        if parser is None:
            self.close()  # nobody asked for anything
            return
        self._heard_at = self._loop.time()
        try:
            parser.feed(bytes(self._buffer[:nbytes]))
        except ProtocolViolationError as violation:
            self._settle(TransportError("violation", str(violation)))
            return
        if parser.complete:
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
        parser = self._parser
        if parser is None or self._waiter is None or self._waiter.done():
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
        if exchange is None:
            return
        now = self._loop.time()
        if now < self._due(exchange):
            self._watch()
        elif now >= exchange.give_up_at:
            self._settle(TransportError("deadline", "the deadline came before the reply"))
        else:
            self._settle(TransportError("timeout", f"silence for {exchange.read_timeout_s} s"))


class Pool:
    """The connections to one origin. `tls` makes the TLS context when the first connection needs it."""

    def __init__(
        self, origin: Origin, *, tls: Callable[[], ssl.SSLContext], max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._max = max_connections
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting = 0
        self._queue: deque[asyncio.Future[Connection | None]] = deque()

    async def exchange(self, exchange: Exchange) -> tuple[Head, bytes]:
        """Run one exchange on a connection of this pool. Raises TransportError.

        A kept-alive connection that proves stale is replaced at once. The SDKs do the same for every operation, as a
        retry of a connection error; here it takes no attempt and no pause.
        """
        while True:
            if _now() >= exchange.give_up_at:
                raise TransportError("deadline", "the deadline came before the request was sent")
            connection = self._take_idle() or await self._obtain(exchange)
            try:
                if connection.used and _now() - connection.idle_since > WARY_AFTER_S:
                    await _let_loop_read()
                return await connection.run(exchange)
            except TransportError as error:
                if error.failure != "stale":
                    raise
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _take_idle(self) -> Connection | None:
        """The connection used last, if it may still serve; those that may not are dropped."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and _now() - connection.idle_since <= MAX_IDLE_S:
                return connection
            connection.close()
            self._open.discard(connection)
        return None

    async def _obtain(self, exchange: Exchange) -> Connection:
        """A connection made now, or one that comes free, first come first served."""
        if len(self._open) + self._connecting < self._max:
            self._connecting += 1
        else:
            handed = await self._queue_up(exchange)
            if handed is not None:
                return handed
        made = False
        try:
            connection = await self._connect(exchange)
            self._open.add(connection)
            made = True
        finally:
            self._connecting -= 1
            if not made:
                self._offer_place()
        return connection

    async def _queue_up(self, exchange: Exchange) -> Connection | None:
        """Wait for a connection that another call hands over, or (None) for the place to make one."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        taken = False
        try:
            async with asyncio.timeout_at(None if exchange.give_up_at == float("inf") else exchange.give_up_at):
                handed = await turn
            taken = True
        except TimeoutError:
            raise TransportError("deadline", "the deadline came before a connection was free") from None
        finally:
            if not taken:
                self._leave_queue(turn)
        return handed

    def _leave_queue(self, turn: asyncio.Future[Connection | None]) -> None:
        """Pass on what was handed to a call that was cancelled in the same moment."""
        if turn in self._queue:
            self._queue.remove(turn)
        if not turn.done() or turn.cancelled():
            return
        handed = turn.result()
        if handed is not None:
            self._give_back(handed)
        else:
            self._connecting -= 1
            self._offer_place()

    async def _connect(self, exchange: Exchange) -> Connection:
        loop = asyncio.get_running_loop()
        limit = loop.time() + CONNECT_TIMEOUT_S
        origin = self._origin
        context = self._tls() if origin.tls else None
        try:
            async with asyncio.timeout_at(min(limit, exchange.give_up_at)):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop), origin.host, origin.port, ssl=context
                )
        except ssl.SSLCertVerificationError as error:
            raise TransportError("certificate", str(error)) from error
        except TimeoutError as error:
            failure = "deadline" if exchange.give_up_at <= limit else "timeout"
            raise TransportError(failure, f"no connection to {origin.host}:{origin.port} in time") from error
        except OSError as error:
            raise TransportError("connect", str(error)) from error
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            self._open.discard(connection)
            self._offer_place()
        elif not self._hand_over(connection):
            self._idle.append(connection)

    def _offer_place(self) -> None:
        if len(self._open) + self._connecting < self._max and self._hand_over(None):
            self._connecting += 1

    def _hand_over(self, connection: Connection | None) -> bool:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _let_loop_read() -> None:
    """Two turns of the event loop: one reads what the sockets hold, the next tells the protocols."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
