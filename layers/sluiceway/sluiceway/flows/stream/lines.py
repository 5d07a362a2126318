"""Ways to a reader: a WebSocket connection, or a queue that a streamed HTTP response is made of."""

from __future__ import annotations

import asyncio
from typing import Final

from sluiceway.codec.frames import encode_frame
from sluiceway.events.socket import Frame
from sluiceway.ports import Connections

__all__ = ["ConnectionLine", "QueueLine"]

MAX_WAITING: Final = 4  # frames that a slow HTTP client may leave lying; then the delivery waits and coalesces


class ConnectionLine:
    """Frames to one WebSocket connection."""

    def __init__(self, connections: Connections, connection_id: str) -> None:
        self._connections = connections
        self._connection_id = connection_id

    async def send(self, frame: Frame) -> None:
        """As `Line.send`."""
        await self._connections.post(self._connection_id, encode_frame(frame))


class QueueLine:
    """Frames for whoever iterates over it; sending waits while too many lie there. Ends with `end`."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(MAX_WAITING)

    async def send(self, frame: Frame) -> None:
        """As `Line.send`."""
        await self._frames.put(frame)

    async def end(self) -> None:
        """Nothing more comes."""
        await self._frames.put(None)

    def __aiter__(self) -> QueueLine:
        return self

    async def __anext__(self) -> Frame:
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame
