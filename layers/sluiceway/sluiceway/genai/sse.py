"""Server-sent events, read from bytes in pieces of any size. Pure.

Owns the format of `text/event-stream`; must not know what the data means, or where the bytes come from.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["EventReader", "OversizedEventError"]

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024  # a delta is some bytes; a peer that never ends a line must not fill memory
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?!$)")  # a return at the very end may be half of a pair


class OversizedEventError(Exception):
    """An event grows beyond MAX_EVENT_BYTES."""


class EventReader:
    """Gives the data of each event. Comments, event names and ids are passed over: nobody here needs them."""

    __slots__ = ("_buffer", "_data", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[str]:
        """The data of the events that `data` completes. Raises OversizedEventError."""
        *lines, self._buffer = _LINE_END.split(self._buffer + data)
        events = [event for line in lines if (event := self._take(line)) is not None]
        if self._size + len(self._buffer) > MAX_EVENT_BYTES:
            raise OversizedEventError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def _take(self, line: bytes) -> str | None:
        """One line; an empty one ends the event."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
                self._size += len(line)
            return None
        data, self._data, self._size = self._data, [], 0
        return "\n".join(data) if data else None
