"""Which cell a record belongs to, and what it adds there. Pure: a record gives the same answer whenever it comes.

A record that arrived in the stream more than the lateness after the end of its period, or long before its period, is
poison: both are judged by its arrival, never by the time of reading. Must not know streams, windows or tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple, cast

from sluiceway.errors import Rejected
from sluiceway.rules.rollups.cells import EXACT, read_number
from sluiceway.rules.rollups.definition import INTERVAL_MS, Dimension, RollupDefinition

__all__ = ["MAX_KEY_BYTES", "Reading", "RecordReader"]

MAX_KEY_BYTES: Final = 1024  # of the dimensions' values as JSON; a partition key of DynamoDB has up to 2,048
AHEAD_MS: Final = 300_000  # that a producer's clock may be fast
MAX_TIME_MS: Final = 253_402_300_800_000  # the end of the year 9999
_ABSENT: Final = object()


class Reading(NamedTuple):
    """A record's period of the finest interval (its start, epoch milliseconds), its dimensions as JSON, its metrics."""

    start_ms: int
    key: str
    values: tuple[Decimal | None, ...]


class RecordReader:
    """Reads the records of one definition; holds nothing of any of them."""

    def __init__(self, definition: RollupDefinition) -> None:
        self._step_ms = INTERVAL_MS[definition.finest]
        self._lateness_ms = definition.lateness_s * 1000
        self._time = (definition.time_field, definition.time_field.split("."))
        self._dimensions = [(each, each.field.split(".")) for each in definition.dimensions]
        self._metrics = [(each.field, each.field.split(".")) for each in definition.metrics]

    def read(self, data: bytes, arrived_ms: int) -> Reading:
        """What the record `data`, UTF-8 text of a JSON object, adds. `arrived_ms`: when the stream got it, epoch ms.

        A metric that is absent or null is None. Raises Rejected: `invalid-json`, `invalid-time`, `missing-dimension`,
        `invalid-dimension`, `key-too-long`, `invalid-metric`, `too-late`, `too-early`.
        """
        record = _parse(data)
        name, path = self._time
        start_ms = _read_time(_find(record, path), name) // self._step_ms * self._step_ms
        if arrived_ms >= start_ms + self._step_ms + self._lateness_ms:
            raise Rejected("it arrived after its period, and all lateness", reason="too-late", field=name)
        if start_ms > arrived_ms + AHEAD_MS:
            raise Rejected("it arrived long before its period", reason="too-early", field=name)
        key = json.dumps([_read_dimension(_find(record, path), of) for of, path in self._dimensions], separators=_TIGHT)
        if len(key) > MAX_KEY_BYTES:
            raise Rejected(f"the dimensions are longer than {MAX_KEY_BYTES} bytes", reason="key-too-long")
        values = [
            None if (value := _find(record, path)) is None or value is _ABSENT else read_number(value, name)
            for name, path in self._metrics
        ]
        return Reading(start_ms, key, tuple(values))


_TIGHT: Final = (",", ":")


def _parse(data: bytes) -> Mapping[str, object]:
    try:
        record: object = _decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Rejected("the record is not JSON in UTF-8", reason="invalid-json") from error
    if not isinstance(record, dict):
        raise Rejected("the record is not a JSON object", reason="invalid-json")
    return cast("Mapping[str, object]", record)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _read_decimal(text: str) -> Decimal:
    """The number that a JSON text says. Raises: ValueError for an exponent that no decimal has."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is beyond any decimal") from None


_decode: Final[Callable[[str], Any]] = json.JSONDecoder(
    parse_float=_read_decimal, parse_constant=_refuse_constant
).decode


def _find(value: object, path: list[str]) -> object:
    for name in path:
        if not isinstance(value, dict):
            return _ABSENT
        value = cast("dict[str, object]", value).get(name, _ABSENT)
    return value


def _read_time(value: object, member: str) -> int:
    """Epoch milliseconds."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TIME_MS:
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise Rejected(
        f"{member} is neither a time with its offset nor epoch milliseconds", reason="invalid-time", field=member
    )


def _read_dimension(value: object, dimension: Dimension) -> str | int:
    if value is _ABSENT or value is None:
        raise Rejected(f"{dimension.field} is not there", reason="missing-dimension", field=dimension.field)
    if dimension.width is not None:
        return _find_bucket(value, dimension.width, dimension.field)
    if isinstance(value, str | int):
        return value
    raise Rejected(
        f"{dimension.field} is no text, whole number, true or false", reason="invalid-dimension", field=dimension.field
    )


def _find_bucket(value: object, width: Decimal, member: str) -> str:
    """The multiple of `width` at or below the value, as decimal text without needless zeros."""
    try:
        number = read_number(value, member)
    except Rejected as error:
        raise Rejected(str(error), reason="invalid-dimension", field=member) from error
    times = EXACT.divide_int(number, width)
    bucket = EXACT.multiply(times, width)
    if bucket > number:
        bucket = EXACT.subtract(bucket, width)
    return format(bucket.normalize(EXACT), "f") if bucket else "0"
