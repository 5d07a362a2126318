"""One client's connection once it is open: limits, timers, messages in and frames out.

Knows frames and time; no sockets (a `Wire` has those) and no routes (who made it is told of messages and of the end).
One event loop; everything here is synchronous, timers are the loop's.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from localcloud.clock import Clock
from localcloud.gateway.websocket import frames
from localcloud.gateway.websocket.exchange import Client, Ending
from localcloud.gateway.websocket.frames import Close, FrameError, FrameReader, Ping, Received, Text

__all__ = ["GONE", "BufferFull", "Connection", "Listener", "Wire"]

IDLE_S: Final = 600.0  # idle connection timeout, quotas page above
LIFE_S: Final = 7200.0  # connection duration, quotas page above
MAX_BUFFERED_BYTES: Final = 512 * 1024  # ours: AWS says only that a full buffer is a 429
CLOSE_WAIT_S: Final = 5.0  # ours: for the client's own close frame, before the socket is cut
GOING_AWAY: Final = Ending(1001, "Going away")
GONE: Final = Ending(1006, "")  # RFC 6455 7.4.1: ended without a close frame
_NO_CODE_REASON: Final = "Client-side close frame status not set"  # what $disconnect says of 1005


class Wire(Protocol):
    """The socket below a connection."""

    def write(self, data: bytes) -> None:
        """Send, or buffer; never blocks. Nothing happens once it is closed."""
        ...

    def buffered_bytes(self) -> int:
        """How much the client has not taken yet."""
        ...

    def finish(self) -> None:
        """Send what is buffered, then say that nothing follows; the client's bytes are still taken."""
        ...

    def close(self) -> None:
        """Send what is buffered, then close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Listener(Protocol):
    """Who is told what happens on a connection."""

    def opened(self, connection: Connection) -> None:
        """Messages may come and go from now on."""
        ...

    def received(self, connection: Connection, text: str) -> None:
        """A whole message came."""
        ...

    def ended(self, connection: Connection, ending: Ending) -> None:
        """The connection is no more; told once."""
        ...


class BufferFull(Exception):
    """The client takes messages more slowly than they are sent."""


class Connection:
    """An open connection, from `open` to its end. `client` says whose it is."""

    def __init__(self, client: Client, *, api_id: str, stage: str, listener: Listener, clock: Clock) -> None:
        self.client = client
        self.api_id = api_id
        self.stage = stage
        self._listener = listener
        self._clock = clock
        self._reader = FrameReader()
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._life: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._active_at = 0.0
        self.last_active_s = client.connected_at_s
        self.is_open = False
        self.messages_in = 0
        self.messages_out = 0
        self._is_deaf = False

    @property
    def id(self) -> str:
        """The connection's id."""
        return self.client.connection_id

    @property
    def buffered_bytes(self) -> int:
        """How much the client has not taken yet."""
        return self._wire.buffered_bytes() if self._wire is not None else 0

    def open(self, wire: Wire) -> None:
        """The handshake is answered: messages may come and go from now on."""
        loop = asyncio.get_running_loop()
        self._wire, self._loop, self.is_open = wire, loop, True
        self._touch(loop)
        self._idle = loop.call_at(self._active_at + IDLE_S, self._check_idle)
        self._life = loop.call_later(LIFE_S, self.close, GOING_AWAY)
        self._listener.opened(self)

    def post(self, data: bytes) -> None:
        """Send a text message. Raises BufferFull, ConnectionError where the connection has ended."""
        if self._wire is None or self._loop is None or not self.is_open:
            raise ConnectionResetError(self.id)
        if self._wire.buffered_bytes() + len(data) > MAX_BUFFERED_BYTES:
            raise BufferFull(self.id)
        self._touch(self._loop)
        self.messages_out += 1
        self._wire.write(frames.encode_text(data))

    def receive(self, data: bytes) -> None:
        """Bytes of the client."""
        if not self.is_open or self._loop is None or self._wire is None:
            self._receive_after_close(data)
            return
        self._touch(self._loop)
        self._reader.feed(data)
        try:
            while self.is_open and (received := self._reader.next()) is not None:
                self._take(received)
        except FrameError as error:
            self._is_deaf = True  # what follows cannot be told apart any more
            self.close(Ending(error.code, error.reason))
            self._wire.finish()

    def cut(self) -> None:
        """Cut the socket, as when the network goes: no close frame, and the client is told nothing."""
        if self._wire is not None:
            self._wire.abort()

    def lost(self) -> None:
        """The socket is gone."""
        if self._cut is not None:
            self._cut.cancel()
        self._end(GONE)

    def close(self, ending: Ending) -> None:
        """Close from this side: a close frame, then the socket once the client has answered or `CLOSE_WAIT_S` went."""
        if not self.is_open or self._wire is None or self._loop is None:
            return
        self._wire.write(frames.encode_close(ending.code, ending.reason))
        self._cut = self._loop.call_later(CLOSE_WAIT_S, self._wire.abort)
        self._end(ending)

    def _take(self, received: Received) -> None:
        if self._wire is None:
            return
        if isinstance(received, Text):
            self.messages_in += 1
            self._listener.received(self, received.text)
        elif isinstance(received, Ping):
            self._wire.write(frames.encode_pong(received.payload))
        elif isinstance(received, Close):
            self._wire.write(frames.encode_close(received.code, received.reason))
            self._wire.close()
            reason = _NO_CODE_REASON if received.code == frames.NO_STATUS else received.reason
            self._end(Ending(received.code, reason))

    def _receive_after_close(self, data: bytes) -> None:
        """After our close frame only the client's own matters."""
        if self._wire is None or self._cut is None or self._is_deaf:
            return
        self._reader.feed(data)
        try:
            while (received := self._reader.next()) is not None:
                if isinstance(received, Close):
                    self._wire.close()
                    return
        except FrameError:
            self._wire.abort()

    def _touch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._active_at = loop.time()
        self.last_active_s = self._clock.time()

    def _check_idle(self) -> None:
        if self._loop is None:
            return
        due = self._active_at + IDLE_S
        if self._loop.time() >= due:
            self.close(GOING_AWAY)
        else:
            self._idle = self._loop.call_at(due, self._check_idle)

    def _end(self, ending: Ending) -> None:
        if not self.is_open:
            return
        self.is_open = False
        for timer in (self._idle, self._life):
            if timer is not None:
                timer.cancel()
        self._listener.ended(self, ending)
