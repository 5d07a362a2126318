"""A stream's record as the page shows it, and which records a pattern lets through. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any, Final, cast

from localcloud.console.refusals import ApiError
from localcloud.json_text import MalformedJson, read_json
from sluiceway.errors import Rejected
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.rules.patterns import InvalidPattern, Pattern
from sluiceway.rules.patterns import compile as compile_pattern

__all__ = ["MAX_PATTERN_CHARS", "MAX_SHOWN_BYTES", "describe_record", "is_wanted", "read_pattern"]

MAX_SHOWN_BYTES: Final = 16 * 1024  # of a record's data: it may have 10 MiB
MAX_PATTERN_CHARS: Final = 4_096


def describe_record(record: KinesisRecord) -> dict[str, Any]:
    """RECORD of the API's docstring."""
    kept = record.data[:MAX_SHOWN_BYTES]
    is_cut = len(kept) < len(record.data)
    data = None if is_cut else _read(kept)
    text = None if data is not None else _write(kept, is_cut=is_cut)
    return {
        "shard": record.shard_id,
        "sequence_number": record.sequence_number,
        "sub_sequence": record.sub_sequence,
        "key": record.partition_key,
        "arrived_ms": record.arrived_ms,
        "size_bytes": len(record.data),
        "data": data,
        "text": text,
        "base64": base64.b64encode(kept).decode() if data is None and text is None else None,
        "cut": is_cut,
        "fault": None if record.fault is None else record.fault.reason,
    }


def _read(data: bytes) -> dict[str, Any] | list[Any] | None:
    """The object or array that the data are, None for anything else."""
    if data[:1] not in {b"{", b"["}:
        return None
    try:
        found: Any = read_json(data)
    except MalformedJson:
        return None
    return cast("dict[str, Any] | list[Any]", found) if isinstance(found, dict | list) else None


def _write(data: bytes, *, is_cut: bool) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.start < len(data) - 4:  # no text; else its last character was cut in two
            return None
        return data[: error.start].decode()


def read_pattern(text: str) -> Pattern | None:
    """The event pattern, None for "". Raises ApiError."""
    if not text.strip():
        return None
    if len(text) > MAX_PATTERN_CHARS:
        raise ApiError(f"A pattern has {MAX_PATTERN_CHARS} characters at most.")
    try:
        json.loads(text)
        return compile_pattern(text)
    except RecursionError as error:
        raise ApiError("The pattern is nested too deep.") from error
    except InvalidPattern as error:
        raise ApiError(f"That is no event pattern: {error}.") from error
    except ValueError as error:
        raise ApiError(f"The pattern is not JSON: {error}.") from error


def is_wanted(pattern: Pattern | None, record: KinesisRecord) -> bool:
    """Whether the record is let through. A pattern lets JSON objects through only, as a mapping's filter does."""
    if pattern is None:
        return True
    if record.data[:1] != b"{":
        return False
    try:
        return pattern.matches(record.data)
    except (Rejected, ValueError, RecursionError):
        return False
