"""A pipe that a function writes its log into, read on the event loop, or at once when an invocation ends.

Two kinds: lines (stdout and stderr together), and the frames of the telemetry descriptor, with which the runtime client
keeps the lines of one message together. What was written before an answer is read before the answer is reported.
Source for frames: the runtime client's own description (awslambdaric, FramedTelemetryLogSink).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

__all__ = ["LogPipe", "split_frames", "split_lines"]

MAX_EVENT_BYTES: Final = 1_048_576  # CloudWatch Logs quota: 1 MB an event; a longer line is cut there
_READ_BYTES: Final = 65_536
_MAX_READS: Final = 64  # at once: a function that never stops writing must not stop the loop
_FRAME_HEAD: Final = 16  # type (4), length (4), microseconds (8), big-endian
_FRAME_MARK: Final = b"\xa5\x5a"

Split = Callable[[bytearray], list[bytes]]


class LogPipe:
    """One pipe. `write_fd` is for the child (close it here once the child has it); messages go to `on_message`."""

    def __init__(self, split: Split, on_message: Callable[[str], None]) -> None:
        self._split = split
        self._on_message = on_message
        self._buffer = bytearray()
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_fd, self.drain)
        self._open = True

    def drain(self) -> None:
        """Read all that is there now."""
        for _ in range(_MAX_READS):
            if not self._open or not self._read():
                return

    def flush(self) -> None:
        """Read all that is there, and take an unfinished line for a message."""
        self.drain()
        if self._buffer:
            self._on_message(self._buffer.decode(errors="replace"))
            self._buffer.clear()

    def _read(self) -> bool:
        try:
            data = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._buffer += data
        for message in self._split(self._buffer):
            self._on_message(message.decode(errors="replace"))
        return True

    def close_write(self) -> None:
        """Close our copy of the child's end."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Stop reading; an unfinished line is a message too."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
        self.close_write()
        self.flush()


def split_lines(buffer: bytearray) -> list[bytes]:
    """Take the whole lines from the front of `buffer`, without their ends."""
    *lines, rest = bytes(buffer).split(b"\n")
    while len(rest) > MAX_EVENT_BYTES:
        lines.append(rest[:MAX_EVENT_BYTES])
        rest = rest[MAX_EVENT_BYTES:]
    if lines:
        buffer[:] = rest
    return [line.removesuffix(b"\r") for line in lines]


def split_frames(buffer: bytearray) -> list[bytes]:
    """Take the whole frames from the front of `buffer`, larger ones in parts; what is none is a message as it is."""
    messages: list[bytes] = []
    while len(buffer) >= _FRAME_HEAD:
        if not buffer.startswith(_FRAME_MARK):
            messages.append(bytes(buffer))
            buffer.clear()
            break
        length = int.from_bytes(buffer[4:8], "big")
        if length > MAX_EVENT_BYTES:  # or whatever it claims would be gathered
            if len(buffer) < _FRAME_HEAD + MAX_EVENT_BYTES:
                break
            messages.append(bytes(buffer[_FRAME_HEAD : _FRAME_HEAD + MAX_EVENT_BYTES]))
            head = buffer[:4] + (length - MAX_EVENT_BYTES).to_bytes(4, "big") + buffer[8:_FRAME_HEAD]
            buffer[: _FRAME_HEAD + MAX_EVENT_BYTES] = head
            continue
        if len(buffer) < _FRAME_HEAD + length:
            break
        messages.append(bytes(buffer[_FRAME_HEAD : _FRAME_HEAD + length]).rstrip(b"\r\n"))
        del buffer[: _FRAME_HEAD + length]
    return messages
