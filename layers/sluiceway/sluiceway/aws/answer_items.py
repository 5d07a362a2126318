"""Items of streamed answers and of connections: keys, attributes, and a text put together from its pieces.

An answer is a head item `<req>`, its question `<req>#q#<sha256>`, and pieces of text
`<req>#t#<created_ms>#<attempt>#<from>#<to>`. No req holds a `#`, so no answer reaches into another. What a piece says
never changes: one attempt has one worker, and an answer that is made anew under an expired one's key was created later.
Pure; which condition a write has is `aws/answers.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from sluiceway.aws.attributes import (
    Value,
    decode_item,
    encode_item,
    read_integer,
    read_integers,
    read_mapping,
    read_text,
)
from sluiceway.errors import Rejected
from sluiceway.ports import AnswerRecord, Connection, Reader

__all__ = [
    "Piece",
    "assemble",
    "check_write",
    "cut_pieces",
    "head_key",
    "is_gone",
    "piece_prefix",
    "question_key",
    "read_connection",
    "read_piece",
    "read_record",
    "worker_attributes",
    "write_connection",
    "write_head",
    "write_piece",
    "write_reader",
]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (an item has 400 KB at most)
MAX_PIECE: Final = 65_536  # characters: 256 KB at the most


class Piece(NamedTuple):
    """Text of one attempt, from offset `off` on."""

    attempt: int
    off: int
    text: str


def head_key(caller: str, req: str) -> dict[str, Value]:
    """The key of the answer's record. Raises Rejected (`invalid-req`) for what would be the key of something else."""
    if not req or "#" in req:
        raise Rejected("no answer can have this req", reason="invalid-req", field="req")
    return {"caller": caller, "item": req}


def question_key(record: AnswerRecord) -> dict[str, Value]:
    """The key of the record's question."""
    return {"caller": record.caller, "item": f"{record.req}#q#{record.request_sha256}"}


def piece_prefix(record: AnswerRecord) -> str:
    """How the sort keys of the record's pieces begin; they follow in the order of attempt and offset."""
    return f"{record.req}#t#{record.created_ms:015d}#"


def check_write(record: AnswerRecord, *, seen: AnswerRecord, text: str) -> None:
    """Raises ValueError for a write that no worker may ask for: a fault of the caller's code.

    Another attempt begins where it goes on, and brings no text; text has the length that `off` grows by.
    """
    same = (record.caller, record.req, record.created_ms) == (seen.caller, seen.req, seen.created_ms)
    if not same or len(record.starts) != record.attempt or record.starts[: seen.attempt] != seen.starts:
        raise ValueError("a write belongs to the answer that was seen, with a start for each attempt")
    if record.attempt != seen.attempt and not 0 <= record.off == record.starts[-1] <= seen.off:
        raise ValueError("another attempt begins where it goes on")
    if len(text) != max(0, record.off - seen.off):
        raise ValueError("text and offsets do not fit")


def is_gone(expires_s: int, now_ms: int) -> bool:
    """Whether what expires then has expired by now."""
    return expires_s * 1000 <= now_ms


def cut_pieces(record: AnswerRecord, off: int, text: str) -> list[Piece]:
    """`text`, which the record's attempt said from `off` on, in pieces that fit an item."""
    return [Piece(record.attempt, off + at, text[at : at + MAX_PIECE]) for at in range(0, len(text), MAX_PIECE)]


def write_piece(record: AnswerRecord, piece: Piece) -> dict[str, Value]:
    """The item of a piece. Both ends are in its key, so a longer second try never replaces a shorter first."""
    ends = f"{piece.off:09d}#{piece.off + len(piece.text):09d}"
    return {
        "caller": record.caller,
        "item": f"{piece_prefix(record)}{piece.attempt:06d}#{ends}",
        "text": piece.text,
        "expires_s": record.expires_s,
    }


def read_piece(item: Mapping[str, Value]) -> Piece:
    """The piece in an item."""
    _, attempt, off, _ = read_text(item, "item").rsplit("#", 3)
    return Piece(int(attempt), int(off), read_text(item, "text"))


def assemble(record: AnswerRecord, pieces: Iterable[Piece]) -> str:
    """The first `record.off` characters, each from the attempt that counts.

    Attempt i counts from its start up to where any later one went on. Raises Rejected (`text-gone`) where some are
    missing: pieces expire as the record did when they were written.
    """
    said: dict[int, list[Piece]] = {}
    for piece in sorted(pieces):
        said.setdefault(piece.attempt, []).append(piece)
    parts: list[str] = []
    end = record.off
    for attempt, start in reversed(list(enumerate(record.starts, 1))):
        if start < end:
            parts += reversed(_join(said.get(attempt, []), start, end))
            end = start
    if end > 0:
        raise _text_gone()
    return "".join(reversed(parts))


def _join(pieces: list[Piece], start: int, end: int) -> list[str]:
    """What one attempt said from `start` to `end`; its pieces may overlap, and then say the same."""
    parts: list[str] = []
    at = start
    for piece in pieces:
        if piece.off > at or at >= end:
            break
        part = piece.text[at - piece.off : end - piece.off]
        parts.append(part)
        at += len(part)
    if at < end:
        raise _text_gone()
    return parts


def _text_gone() -> Rejected:
    return Rejected("text of this answer is not stored any more", reason="text-gone")


def write_head(record: AnswerRecord) -> dict[str, Value]:
    """The head item of a new answer."""
    return {
        **head_key(record.caller, record.req),
        "request_sha256": record.request_sha256,
        "created_ms": record.created_ms,
        "cancel": record.cancel,
        "readers": {reader.connection_id: write_reader(reader) for reader in record.readers},
        **worker_attributes(record),
    }


def worker_attributes(record: AnswerRecord) -> dict[str, Value]:
    """What a worker writes, as it reads back."""
    return decode_item(
        encode_item(
            {
                "state": record.state,
                "updated_ms": record.updated_ms,
                "attempt": record.attempt,
                "starts": record.starts,
                "off": record.off,
                "lease_owner": record.lease_owner,
                "lease_until_ms": record.lease_until_ms,
                "stop_reason": record.stop_reason,
                "usage": record.usage,
                "problem": cast("Mapping[str, Value] | None", record.problem),
                "correlation_id": record.correlation_id,
                "expires_s": record.expires_s,
            }
        )
    )


def write_reader(reader: Reader) -> dict[str, Value]:
    """One entry of the head's `readers`, which are by connection id."""
    return {"generation": reader.generation, "off": reader.off, "attempt": reader.attempt}


def read_record(item: Mapping[str, Value]) -> AnswerRecord:
    """The record in a head item."""
    usage = read_mapping(item, "usage") or {}
    return AnswerRecord(
        caller=read_text(item, "caller"),
        req=read_text(item, "item"),
        state=read_text(item, "state"),
        request_sha256=read_text(item, "request_sha256"),
        created_ms=read_integer(item, "created_ms"),
        updated_ms=read_integer(item, "updated_ms"),
        attempt=read_integer(item, "attempt"),
        starts=read_integers(item, "starts"),
        off=read_integer(item, "off"),
        lease_owner=read_text(item, "lease_owner"),
        lease_until_ms=read_integer(item, "lease_until_ms"),
        cancel=item.get("cancel") is True,
        readers=_read_readers(item),
        stop_reason=read_text(item, "stop_reason"),
        usage={name: read_integer(usage, name) for name in usage},
        problem=read_mapping(item, "problem"),
        correlation_id=read_text(item, "correlation_id"),
        expires_s=read_integer(item, "expires_s"),
    )


def _read_readers(item: Mapping[str, Value]) -> tuple[Reader, ...]:
    found = read_mapping(item, "readers") or {}
    entries = [(name, read_mapping(found, name) or {}) for name in sorted(found)]
    return tuple(
        Reader(name, read_integer(entry, "generation"), read_integer(entry, "off"), read_integer(entry, "attempt"))
        for name, entry in entries
    )


def write_connection(connection: Connection) -> dict[str, Value]:
    """The item of a connection."""
    return {
        "connection_id": connection.connection_id,
        "caller": connection.caller,
        "connected_ms": connection.connected_ms,
        "generation": connection.generation,
        "expires_s": connection.expires_s,
    }


def read_connection(item: Mapping[str, Value]) -> Connection:
    """The connection in an item."""
    return Connection(
        connection_id=read_text(item, "connection_id"),
        caller=read_text(item, "caller"),
        connected_ms=read_integer(item, "connected_ms"),
        generation=read_integer(item, "generation"),
        expires_s=read_integer(item, "expires_s"),
    )
