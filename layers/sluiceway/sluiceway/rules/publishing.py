"""What may be published: by whom, how many records, and what a record is. Each refusal names the field and its limit.

Must not know streams or HTTP. A record's `data` is a JSON object, since that is what subscriptions and filters read;
numbers are those of a double or whole, as JSON readers everywhere take them (RFC 8259 section 6).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, TypeAlias, cast

from sluiceway.errors import Misconfigured, Rejected

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_IDEMPOTENCY_KEY",
    "MAX_RECORDS",
    "Check",
    "NewRecord",
    "encode_data",
    "parse_idempotency_key",
    "parse_records",
    "read_publishers",
]

MAX_RECORDS: Final = 500  # one PutRecords call's
# Lambda takes 6 MB, and in its event the body is a JSON string, in which quotes are written as two characters
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_IDEMPOTENCY_KEY: Final = 128  # UTF-16 code units, as of a job's
EVERYBODY: Final = "*"

Data: TypeAlias = Mapping[str, object]
Check: TypeAlias = Callable[[str, Data], bytes]
"""What a topic does to `(topic, data)` on the way in: the bytes to put, framed or not. Raises Rejected, whose `field`
is a path within `data` ("" or None for all of it)."""


class NewRecord(NamedTuple):
    """One record as it was sent."""

    key: str
    data: Data


def encode_data(topic: str, data: Data) -> bytes:
    """The check of a topic without a schema: the data as compact JSON in UTF-8. Raises Rejected (`invalid-data`)."""
    del topic
    try:
        return _write_json(data).encode()
    except UnicodeEncodeError:
        raise Rejected("holds half of a surrogate pair, which is no character", reason="invalid-data") from None


def parse_records(body: bytes) -> list[NewRecord]:
    """The records of a request `{"records":[{"key":...,"data":{...}}, ...]}`, 1 to 500.

    Raises Rejected: `body-too-large`, or `invalid-body` with the field (`records[3].key`).
    """
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(f"the body has {MAX_BODY_BYTES} bytes at most", reason="body-too-large", field="body")
    try:
        decoded: object = _RECORDS.decode(body.decode())
    except _Ambiguous as fault:
        raise _refuse("body", str(fault)) from None
    except (ValueError, RecursionError):
        raise _refuse("body", "must be JSON in UTF-8") from None
    if not isinstance(decoded, dict):
        raise _refuse("body", "must be a JSON object")
    members = cast("Data", decoded)
    _refuse_others(members, {"records"}, "")
    records = cast("Sequence[object]", members["records"]) if isinstance(members.get("records"), list) else ()
    if not 1 <= len(records) <= MAX_RECORDS:
        raise _refuse("records", f"must be an array of 1 to {MAX_RECORDS} records")
    return [_read_record(record, f"records[{index}]") for index, record in enumerate(records)]


def parse_idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The Idempotency-Key header, None where there is none. Raises Rejected (`invalid-idempotency-key`)."""
    sent = headers.get("idempotency-key")
    if sent is None:
        return None
    if not 1 <= len(sent.encode("utf-16-le", "surrogatepass")) // 2 <= MAX_IDEMPOTENCY_KEY:
        raise Rejected(
            f"Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} characters",
            reason="invalid-idempotency-key",
            field="Idempotency-Key",
        )
    return sent


def read_publishers(
    declared: Mapping[str, object], topics: Iterable[str], what: str
) -> dict[str, frozenset[str] | None]:
    """Who may publish to each topic, of a setting that names `"*"` (every caller, None) or a list of callers.

    Raises Misconfigured that names the setting, `what`, for a topic without an entry, or an entry without a topic.
    """
    if set(declared) != set(topics):
        raise Misconfigured(f"{what} must name the publishers of every topic, and of no other", what=what)
    return {topic: _read_callers(callers, what) for topic, callers in declared.items()}


def _read_callers(callers: object, what: str) -> frozenset[str] | None:
    if callers == EVERYBODY:
        return None
    listed = cast("Sequence[object]", callers) if isinstance(callers, list) else [None]
    named = frozenset(caller for caller in listed if isinstance(caller, str) and caller)
    if len(named) != len(listed):
        raise Misconfigured(f'{what}: the publishers of a topic are "*" or a list of callers', what=what)
    return named


def _read_record(record: object, place: str) -> NewRecord:
    if not isinstance(record, dict):
        raise _refuse(place, "must be an object with key and data")
    members = cast("Data", record)
    _refuse_others(members, {"key", "data"}, f"{place}.")
    key, data = members.get("key"), members.get("data")
    if not isinstance(key, str):
        raise _refuse(f"{place}.key", "must be text of 1 to 256 characters")
    if not isinstance(data, dict):
        raise _refuse(f"{place}.data", "must be a JSON object")
    return NewRecord(key, cast("Data", data))


def _refuse_others(members: Data, allowed: set[str], place: str) -> None:
    others = sorted(set(members) - allowed)
    if others:
        raise _refuse(f"{place}{others[0][:64]}", f"there is no such member, only {' and '.join(sorted(allowed))}")


def _refuse(field: str, rule: str) -> Rejected:
    return Rejected(f"{field}: {rule}", reason="invalid-body", field=field)


class _Ambiguous(ValueError):
    """What a text may say and readers understand differently."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Ambiguous("an object has a name twice")
    return members


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Ambiguous("a number is beyond what a double holds")
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_RECORDS: Final = json.JSONDecoder(parse_float=_read_float, parse_constant=_refuse_constant, object_pairs_hook=_unique)
_write_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
