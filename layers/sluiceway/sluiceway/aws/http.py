"""Connections to HTTP/1.1 origins: kept alive in a bounded pool for each.

Owns who gets which connection. It knows nothing of AWS. A connection goes back to its pool only after a whole reply: an
exchange that is cancelled, late or broken closes its connection, so no call can ever read another call's answer.
Times are on the event loop's clock, in seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from sluiceway.aws.connection import Connection, Exchange, TransportError
from sluiceway.aws.http1 import Head
from sluiceway.aws.tls import Seal

__all__ = ["Origin", "Pool", "Reading"]

MAX_CONNECTIONS: Final = 64  # for one origin; botocore keeps 10 for its threads, an event loop drives more
MAX_IDLE_S: Final = 60.0  # then the peer has most likely closed it; a NAT gateway forgets it after 350 s
CONNECT_TIMEOUT_S: Final = 10.0  # botocore waits 60 s; in one Region a connection takes milliseconds or never comes


class Origin(NamedTuple):
    """Where connections go: `tls`, host (IPv6 without brackets) and port."""

    tls: bool
    host: str
    port: int


class Reading:
    """A reply whose body still arrives. Close it: unless it was read to its end, that closes its connection at once."""

    __slots__ = ("_connection", "_take_back", "head")

    def __init__(self, head: Head, connection: Connection, take_back: Callable[[Connection], None]) -> None:
        self.head = head
        self._connection: Connection | None = connection
        self._take_back = take_back

    async def read(self) -> bytes:
        """The next bytes of the body as soon as there are any; b"" at its end. Raises TransportError."""
        return b"" if self._connection is None else await self._connection.read()

    async def read_to_end(self) -> bytes:
        """All that is left of the body; then it is closed. Raises TransportError."""
        pieces: list[bytes] = []
        try:
            while piece := await self.read():
                pieces.append(piece)
        finally:
            self.close()
        return b"".join(pieces)

    def close(self) -> None:
        """Read no more. May be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end()
            self._take_back(connection)


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
        self._lent: set[Connection] = set()  # to readings, which last long: they leave their place to others
        self._connecting = 0
        self._queue: deque[asyncio.Future[Connection | None]] = deque()

    async def exchange(self, exchange: Exchange) -> tuple[Head, bytes]:
        """Run one exchange on a connection of this pool. Raises TransportError.

        A kept-alive connection that proves stale is replaced at once. The SDKs do the same for every operation, as a
        retry of a connection error; here it takes no attempt and no pause.
        """
        while True:
            connection = self._take_idle(exchange) or await self._obtain(exchange)
            try:
                return await connection.run(exchange)
            except TransportError as error:
                if error.failure != "stale":
                    raise
            finally:
                self._give_back(connection)

    async def begin(self, exchange: Exchange, *, idle_s: float) -> Reading:
        """Run one exchange up to the head of its reply; the body is read as it arrives, and must be closed.

        `idle_s`: the longest wait for a piece of the body, in seconds. Readings are not bounded: the connection of one
        leaves its place in the pool to short exchanges. Raises TransportError.
        """
        while True:
            connection = self._take_idle(exchange) or await self._obtain(exchange)
            head = None
            try:
                head = await connection.begin(exchange, idle_s=idle_s)
            except TransportError as error:
                if error.failure != "stale":
                    raise
            finally:
                if head is None:
                    self._give_back(connection)
            if head is not None:
                self._open.discard(connection)
                self._lent.add(connection)
                self._offer_place()
                return Reading(head, connection, self._take_back)

    def close(self) -> None:
        """Close every connection."""
        for connection in [*self._open, *self._lent]:
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _take_idle(self, exchange: Exchange) -> Connection | None:
        """The connection used last, if it may still serve; those that may not are dropped. Raises TransportError."""
        now = asyncio.get_running_loop().time()
        if now >= exchange.give_up_at:
            raise TransportError("deadline", "the deadline came before the request was sent")
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and now - connection.idle_since <= MAX_IDLE_S:
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
        seal = Seal(self._tls(), origin.host) if origin.tls else None
        try:
            async with asyncio.timeout_at(min(limit, exchange.give_up_at)):
                _, connection = await loop.create_connection(lambda: Connection(loop, seal), origin.host, origin.port)
                await connection.secure()
        except ssl.SSLCertVerificationError as error:
            raise TransportError("certificate", str(error)) from error
        except TimeoutError as error:
            failure = "deadline" if exchange.give_up_at <= limit else "timeout"
            raise TransportError(failure, f"no connection to {origin.host}:{origin.port} in time") from error
        except OSError as error:
            raise TransportError("connect", str(error)) from error
        return connection

    def _take_back(self, connection: Connection) -> None:
        """A reading is over: its connection serves again if its reply was whole and there is a place for it."""
        self._lent.discard(connection)
        if not connection.closed and len(self._open) + self._connecting < self._max:
            self._open.add(connection)
            self._give_back(connection)
        else:
            connection.close()

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
