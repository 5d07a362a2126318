"""One client's connection to an Event API once it is open: bytes in, messages out, timers.

Knows frames and time; no sockets (a `Wire` has those), and no operations of the protocol (a `Session` has those).
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-websocket-protocol.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from localcloud.gateway.websocket import frames
from localcloud.gateway.websocket.connection import CLOSE_WAIT_S, GOING_AWAY, Wire
from localcloud.gateway.websocket.exchange import Ending
from localcloud.gateway.websocket.frames import Close, FrameError, FrameReader, Ping, Received, Text

__all__ = ["RealtimeConnection", "Session"]

KEEP_ALIVE_S: Final = 60.0  # the page above
LIFE_S: Final = 24 * 3600.0  # a connection lasts 24 hours at most, the page above
MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024  # ours: five events of 240 KB, and what JSON's escapes make of them
MAX_BUFFERED_BYTES: Final = 8 * 1024 * 1024  # ours: then a client that does not read is cut
_SLOW: Final = Ending(1008, "The client reads too slowly")
_CODE_OF_REFUSAL: Final = 1008  # RFC 6455 7.4.1: policy violation


class Session(Protocol):
    """Who is told what happens on a connection."""

    def received(self, text: str) -> None:
        """A whole message came."""
        ...

    def ended(self) -> None:
        """The connection is no more; told once."""
        ...


class RealtimeConnection:
    """An open connection, from `open` to its end. `refusal`: said at once, and then it is closed."""

    def __init__(self, *, refusal: Mapping[str, Any] | None = None) -> None:
        self._refusal = refusal
        self._session: Session | None = None
        self._reader = FrameReader(max_frame_bytes=MAX_MESSAGE_BYTES, max_message_bytes=MAX_MESSAGE_BYTES)
        self._wire: Wire | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._cut: asyncio.TimerHandle | None = None
        self.is_open = False

    def serve(self, session: Session) -> None:
        """Tell `session` of everything. Before `open`."""
        self._session = session

    def open(self, wire: Wire) -> None:
        """The handshake is answered: messages may come and go from now on."""
        loop = asyncio.get_running_loop()
        self._wire, self.is_open = wire, True
        if self._refusal is not None:
            self.send(self._refusal)
            self.close(Ending(_CODE_OF_REFUSAL, ""))
            return
        self._timers = [
            loop.call_later(KEEP_ALIVE_S, self._keep_alive),
            loop.call_later(LIFE_S, self.close, GOING_AWAY),
        ]

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, where the connection is still open."""
        if self._wire is None or not self.is_open:
            return
        data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if self._wire.buffered_bytes() + len(data) > MAX_BUFFERED_BYTES:
            self.close(_SLOW)
            self._wire.abort()
            return
        self._wire.write(frames.encode_text(data))

    def receive(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._wire is None or (not self.is_open and self._cut is None):
            return
        self._reader.feed(data)
        try:
            while (received := self._reader.next()) is not None:
                self._take(received, self._wire)
        except FrameError as error:
            if self.is_open:
                self.close(Ending(error.code, error.reason))
                self._wire.finish()
            else:
                self._wire.abort()

    def lost(self) -> None:
        """The socket is gone."""
        if self._cut is not None:
            self._cut.cancel()
        self._end()

    def close(self, ending: Ending) -> None:
        """Close from this side: a close frame, then the socket once the client has answered, or soon."""
        if not self.is_open or self._wire is None:
            return
        self._wire.write(frames.encode_close(ending.code, ending.reason))
        self._cut = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._wire.abort)
        self._end()

    def _take(self, received: Received, wire: Wire) -> None:
        if isinstance(received, Close):
            if self.is_open:
                wire.write(frames.encode_close(received.code, received.reason))
            wire.close()
            self._end()
        elif isinstance(received, Ping) and self.is_open:
            wire.write(frames.encode_pong(received.payload))
        elif isinstance(received, Text) and self.is_open and self._session is not None:
            self._session.received(received.text)

    def _keep_alive(self) -> None:
        self.send({"type": "ka"})
        self._timers[0] = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._keep_alive)

    def _end(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        for timer in self._timers:
            timer.cancel()
        if self._session is not None:
            self._session.ended()
