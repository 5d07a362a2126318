"""Server-sent events: what is told, to each reader a bounded queue, and what a slow reader missed.

What happens is never held up by who reads: it is written into each queue at once, and the oldest is dropped from a full
one. Nothing is made into text while nobody reads. Knows no HTTP.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from localcloud.console.records import ApiNames, describe_connection
from localcloud.gateway.websocket.connection import Connection
from localcloud.gateway.websocket.gateway import WebSocketGateway

__all__ = ["COUNTERS_S", "MAX_BYTES", "MAX_EVENTS", "Counters", "Events", "Reader", "encode_event"]

MAX_EVENTS: Final = 1_000  # that wait for one reader
MAX_BYTES: Final = 4 * 1024 * 1024  # the same: log lines are long
COUNTERS_S: Final = 0.25


class Reader:
    """One reader's queue: encoded events, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._news = asyncio.Event()
        self.is_over = False

    def put(self, event: bytes) -> None:
        """One more event; the oldest make room."""
        self._waiting.append(event)
        self._bytes += len(event)
        while len(self._waiting) > MAX_EVENTS or (self._bytes > MAX_BYTES and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft())
            self._dropped += 1
        self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._news.set()

    async def take(self, within_s: float) -> bytes:
        """All that waits, after at most `within_s`; b"" where nothing came."""
        if not self._waiting and not self.is_over:
            self._news.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return b""
        found = b"".join(self._waiting)
        if self._dropped:
            found = encode_event("dropped", {"count": self._dropped}) + found
        self._waiting.clear()
        self._bytes = self._dropped = 0
        return found


class Events:
    """Everybody who reads now."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._is_over = False

    @property
    def readers(self) -> int:
        """How many read."""
        return len(self._readers)

    @contextmanager
    def read(self) -> Generator[Reader]:
        """A reader for the length of the block."""
        reader = Reader()
        if self._is_over:
            reader.end()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def tell(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        """Tell everybody; `make` is asked only where somebody reads."""
        if self._readers:
            event = encode_event(name, make())
            for reader in self._readers:
                reader.put(event)

    def end(self) -> None:
        """Let every reader go."""
        self._is_over = True
        for reader in self._readers:
            reader.end()


class Counters:
    """What changed on the open connections since one reader was last told."""

    def __init__(self, sockets: WebSocketGateway, names: ApiNames) -> None:
        self._sockets = sockets
        self._names = names
        self._told = self._count()

    def changed(self) -> bytes:
        """The events of connections whose messages or buffer changed."""
        now, told = self._count(), self._told
        self._told = now
        found: list[bytes] = []
        for connection, counts in now.items():
            if counts != told.get(connection, (0, 0, 0)):
                shown = describe_connection(connection, self._names)
                found.append(encode_event("connection", {"event": "counters", **shown}))
        return b"".join(found)

    def _count(self) -> dict[Connection, tuple[int, int, int]]:
        return {
            each: (each.messages_in, each.messages_out, each.buffered_bytes) for each in self._sockets.connections()
        }


def encode_event(name: str, data: dict[str, Any]) -> bytes:
    """One event. JSON has no line breaks, so one data line holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode(errors="replace")
