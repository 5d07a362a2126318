"""A streamed response between the runtime that writes it and the one caller who reads it: a bounded buffer, a pace.

Knows no HTTP and no process. Who writes asks `is_full` and stops until `on_drained`; who has no reader any more is read
on and thrown away, since Lambda neither stops nor interrupts a function whose caller has gone.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

__all__ = ["MAX_STREAM_BYTES", "Pace", "ResponseStream"]

MAX_STREAM_BYTES: Final = 200 * 1024 * 1024  # config-rs-invoke-furls: the maximum response payload size is 200 MB
BURST_BYTES: Final = 6 * 1024 * 1024  # configuration-response-streaming: the first 6 MB are uncapped
RATE_BYTES_S: Final = 2 * 1024 * 1024  # configuration-response-streaming: then 2 MBps
BUFFER_BYTES: Final = 64 * 1024  # what may wait here before the runtime is made to wait; Lambda does not say


class Pace:
    """A bandwidth cap: `burst_bytes` at once, then `rate` bytes a second."""

    def __init__(self, burst_bytes: int, rate: int) -> None:
        self._left = burst_bytes
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size_bytes: int) -> None:
        """Wait until what passed before has had its time; so two paces in a row are as fast as the slower one."""
        loop = asyncio.get_running_loop()
        if self._free_at > loop.time():
            await asyncio.sleep(self._free_at - loop.time())
        over = max(0, size_bytes - self._left)
        self._left = max(0, self._left - size_bytes)
        self._free_at = loop.time() + over / self._rate


class ResponseStream:
    """One response. Written by `feed` and `end`, read once by `chunks`, or given up by `abandon`; one event loop."""

    def __init__(self, content_type: str, *, limit_bytes: int = MAX_STREAM_BYTES) -> None:
        self.content_type = content_type
        self.on_drained: Callable[[], None] | None = None
        self._limit = limit_bytes
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._abandoned = False
        self._news = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the writer should stop until `on_drained`."""
        return self._waiting_bytes >= BUFFER_BYTES and not self._abandoned

    @property
    def is_oversized(self) -> bool:
        """Whether more was written than may be: what was over is not passed on."""
        return self._size > self._limit

    def feed(self, data: bytes) -> None:
        """The runtime wrote more."""
        allowed = data[: max(0, self._limit - self._size)]
        self._size += len(data)
        if allowed and not self._abandoned:
            self._waiting.append(allowed)
            self._waiting_bytes += len(allowed)
            self._news.set()

    def end(self) -> None:
        """Nothing more comes, for whatever reason; the invocation's outcome tells which. Safe to repeat."""
        self._ended = True
        self._news.set()

    def abandon(self) -> None:
        """Nobody reads (any more): throw away what is here and what comes. Safe to repeat."""
        self._abandoned = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._news.set()
        self._drained()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """What was written, as it comes, at Lambda's pace; ends with the response."""
        pace = Pace(BURST_BYTES, RATE_BYTES_S)
        while not self._abandoned:
            if self._waiting:
                await pace.take(len(self._waiting[0]))
                if self._waiting:  # nobody gave it up meanwhile
                    yield self._pop()
            elif self._ended:
                return
            else:
                self._news.clear()
                await self._news.wait()

    def _pop(self) -> bytes:
        chunk = self._waiting.popleft()
        self._waiting_bytes -= len(chunk)
        if not self.is_full:
            self._drained()
        return chunk

    def _drained(self) -> None:
        if self.on_drained is not None:
            self.on_drained()
