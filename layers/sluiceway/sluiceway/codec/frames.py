"""Frames on the wire: messages of a WebSocket, and server-sent events. See docs/streaming.md, docs/subscriptions.md.

Source of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sluiceway.events.socket import Frame, RecordFrame

__all__ = ["decode_event_id", "encode_frame", "encode_record", "encode_sse", "join_records"]

VERSION: Final = 1
PING: Final = b": ping\n\n"
MAX_ATTEMPT_DIGITS: Final = 6
MAX_OFFSET_DIGITS: Final = 9

_write: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode_frame(frame: Frame) -> bytes:
    """One WebSocket message. Raises: ValueError or TypeError where the data is no JSON."""
    members: dict[str, str | int | Mapping[str, object] | None]
    members = {"v": VERSION, "req": frame.req, "seq": frame.seq, "off": frame.off}
    if frame.attempt:
        members["try"] = frame.attempt
    members["t"] = frame.kind
    members["d"] = frame.data
    # Half a surrogate pair stands in a JSON string only, where the handler writes its escape.
    return _write(members).encode("utf-8", "backslashreplace")


def encode_record(frame: RecordFrame) -> bytes:
    """One line: a frame of a record, without its end.

    Raises: ValueError, TypeError or RecursionError where the data cannot be written as JSON.
    """
    members: dict[str, str | int | Mapping[str, object]]
    members = {"v": VERSION, "topic": frame.topic, "shard": frame.shard, "seq": frame.sequence_number}
    if frame.sub_sequence is not None:
        members["sub"] = frame.sub_sequence
    members["t"] = "record"
    members["d"] = frame.data
    return _write(members).encode("utf-8", "backslashreplace")


def join_records(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """WebSocket messages of at most `most` bytes, each of one line or several; a line that is longer goes alone."""
    together: list[bytes] = []
    size = 0
    for line in lines:
        if together and size + len(line) > most:
            yield b"\n".join(together)
            together, size = [], 0
        together.append(line)
        size += len(line) + 1
    if together:
        yield b"\n".join(together)


def encode_sse(frame: Frame) -> bytes:
    """One server-sent event, whose id says how far a reader is after it; a ping is a comment.

    A frame of no attempt has no id, so that a reader keeps the last one it saw. Raises as `encode_frame`.
    """
    if frame.kind == "ping":
        return PING
    grown = len(frame.data) if frame.kind == "delta" and isinstance(frame.data, str) else 0
    event_id = f"id: {frame.attempt}.{frame.off + grown}\n" if frame.attempt else ""
    # JSON holds no raw line end, so the data is one line.
    return b"%sevent: %s\ndata: %s\n\n" % (event_id.encode(), frame.kind.encode(), encode_frame(frame))


def decode_event_id(text: str) -> tuple[int, int] | None:
    """Attempt and offset of a `Last-Event-ID`; None where it is not one of ours."""
    attempt, dot, off = text.partition(".")
    if not (dot and _is_number(attempt, MAX_ATTEMPT_DIGITS) and _is_number(off, MAX_OFFSET_DIGITS)):
        return None
    return int(attempt), int(off)


def _is_number(text: str, most: int) -> bool:
    return len(text) <= most and text.isascii() and text.isdigit()
