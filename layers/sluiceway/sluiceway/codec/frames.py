"""Frames on the wire: messages of a WebSocket, and server-sent events. See docs/streaming.md, docs/subscriptions.md.

Source of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sluiceway.events.socket import Frame, MarkFrame, RecordsFrame, ShownRecord

__all__ = [
    "decode_event_id",
    "encode_frame",
    "encode_mark",
    "encode_record",
    "encode_records",
    "encode_sse",
    "pack_records",
]

VERSION: Final = 1
RECORDS_VERSION: Final = 2  # 1 was a frame for each record, several of them lines of one message
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


def encode_record(record: ShownRecord) -> bytes:
    """One record, as it stands in a frame.

    Raises: ValueError, TypeError or RecursionError where the data cannot be written as JSON.
    """
    members: dict[str, str | int | Mapping[str, object]] = {"seq": record.sequence_number}
    if record.sub_sequence is not None:
        members["sub"] = record.sub_sequence
    members["d"] = record.data
    return _write(members).encode("utf-8", "backslashreplace")


def encode_records(frame: RecordsFrame) -> bytes:
    """One WebSocket message of records."""
    head = _write_head(frame, "records")
    return b'%s,"d":[%s]}' % (head[:-1], b",".join(frame.records))


def encode_mark(frame: MarkFrame) -> bytes:
    """One WebSocket message that tells a number and holds no record."""
    return b'%s,"d":[]}' % _write_head(frame, "mark")[:-1]


def _write_head(frame: RecordsFrame | MarkFrame, kind: str) -> bytes:
    members = {"v": RECORDS_VERSION, "topic": frame.topic, "shard": frame.shard, "epoch": frame.epoch}
    return _write({**members, "n": frame.number, "t": kind}).encode()


def pack_records(records: Iterable[bytes], most: int) -> Iterator[tuple[bytes, ...]]:
    """What goes into one frame each, in order: records of at most `most` bytes with their commas; a longer one alone.

    An empty one stands for a record that cannot be sent: it is alone, and the number of its frame is missed.
    """
    together: list[bytes] = []
    size = 0
    for record in records:
        if together and (not record or not together[-1] or size + len(record) > most):
            yield tuple(together)
            together, size = [], 0
        together.append(record)
        size += len(record) + 1
    if together:
        yield tuple(together)


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
