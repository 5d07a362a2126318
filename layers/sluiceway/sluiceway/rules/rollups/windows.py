"""What travels from one invocation of a tumbling window to the next: sums, and which records are in them.

Theory. What a shard adds to the table is cut into contributions, each all records of the shard after one mark and up to
another. A contribution's sums are decided by its two marks alone, whoever adds them up and however often the records
were delivered on the way; so adding it again can be told from adding the next, row by row, by the mark at its end. A
mark is a record's sequence number, as text that sorts like the number. Pure; must not know events nor tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast
from zlib import crc32

from sluiceway.errors import Rejected
from sluiceway.rules.rollups.cells import EXACT, Cell, Measure, Place
from sluiceway.rules.rollups.definition import RollupDefinition
from sluiceway.rules.rollups.records import MAX_KEY_BYTES, Reading

__all__ = ["Gathered", "mark_of"]

VERSION: Final = 1
# Lambda ends a window early beyond 1 MB of state: what comes near it is put into the table before.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
MAX_STATE_BYTES: Final = 700_000
MAX_CELLS: Final = 4_000  # so that putting them into the table fits an invocation
CELL_BYTES: Final = 2 * MAX_KEY_BYTES + 64  # a key's quotes are escaped
METRIC_BYTES: Final = 256  # a metric is never longer: a count and three texts of at most 80 characters
MARK_DIGITS: Final = 3  # of the length before the digits: a sequence number has up to 129


def mark_of(sequence_number: str) -> str:
    """The mark of a sequence number (decimal digits): marks compare as text the way their numbers do."""
    digits = sequence_number.lstrip("0") or "0"
    return f"{len(digits):0{MARK_DIGITS}d}{digits}"


class _Metric:
    """A metric while it grows."""

    __slots__ = ("high", "low", "total", "values")

    def __init__(self, values: int, total: Decimal, low: Decimal, high: Decimal) -> None:  # noqa: PLR0917 - a Measure's
        self.values = values
        self.total = total
        self.low = low
        self.high = high

    def add(self, value: Decimal) -> None:
        self.values += 1
        self.total = EXACT.add(self.total, value)
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value

    def write(self) -> list[object]:
        return [self.values, str(self.total), str(self.low), str(self.high)]


class _Sums:
    """A cell while it grows."""

    __slots__ = ("metrics", "records")

    def __init__(self, records: int, metrics: list[_Metric | None]) -> None:
        self.records = records
        self.metrics = metrics

    def freeze(self) -> Cell:
        known = (each and Measure(each.values, each.total, each.low, each.high) for each in self.metrics)
        return Cell(self.records, tuple(known))


class Gathered:
    """The sums of the records of one shard after `after` and up to `last`; the marks are "" for before any record.

    Lives as long as an invocation; what it writes lives until the next one of the window.
    """

    def __init__(self, definition: RollupDefinition, after: str = "") -> None:
        self.after = after
        self.last = ""
        self._definition = definition
        self._sums: dict[tuple[int, str], _Sums] = {}

    def __len__(self) -> int:
        """How many cells of the finest interval there are."""
        return len(self._sums)

    def add(self, reading: Reading) -> None:
        """Add a record. Its mark is not looked at: `pass_over` says how far the records go."""
        place = reading.start_ms, reading.key
        sums = self._sums.get(place)
        if sums is None:
            sums = self._sums[place] = _Sums(0, [None] * len(reading.values))
        sums.records += 1
        metrics = sums.metrics
        for at, value in enumerate(reading.values):
            if value is not None:
                known = metrics[at]
                if known is None:
                    metrics[at] = _Metric(1, value, value, value)
                else:
                    known.add(value)

    def pass_over(self, mark: str) -> None:
        """Everything up to `mark` is in the sums, or was found to have no place in them."""
        self.last = mark

    def cells(self) -> dict[Place, Cell]:
        """The cells of the finest interval."""
        interval = self._definition.finest
        return {Place(interval, start_ms, key): sums.freeze() for (start_ms, key), sums in self._sums.items()}

    def write(self) -> dict[str, object]:
        """The state, made of JSON types; {} where no record was passed over."""
        if not self.last:
            return {}
        cells = [
            [start_ms, key, sums.records, *(each and each.write() for each in sums.metrics)]
            for (start_ms, key), sums in self._sums.items()
        ]
        return {
            "v": VERSION,
            "of": _fingerprint(self._definition),
            "after": self.after,
            "last": self.last,
            "cells": cells,
        }

    def is_full(self) -> bool:
        """Whether it is to be put into the table now."""
        if len(self._sums) > MAX_CELLS:
            return True
        if len(self._sums) * (CELL_BYTES + METRIC_BYTES * len(self._definition.metrics)) < MAX_STATE_BYTES:
            return False  # most states are small: they need not be written twice
        return len(json.dumps(self.write())) > MAX_STATE_BYTES

    @classmethod
    def read(cls, state: Mapping[str, object], definition: RollupDefinition) -> Gathered | None:
        """What `write` wrote; a new one for {}; None for the state of another definition, or of another version.

        Raises Rejected (`malformed-event`) for what `write` never writes.
        """
        found = cls(definition)
        if not state:
            return found
        if state.get("v") != VERSION or state.get("of") != _fingerprint(definition):
            return None
        try:
            found.after, found.last = _read_mark(state["after"]), _read_mark(state["last"])
            for cell in cast("Any", state["cells"]):
                start_ms, key, records, *metrics = cell
                found._sums[int(start_ms), str(key)] = _Sums(int(records), _read_metrics(metrics, definition))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise Rejected("the event's state is none of a rollup", reason="malformed-event", field="state") from error
        return found


def _read_metrics(written: Sequence[Any], definition: RollupDefinition) -> list[_Metric | None]:
    if len(written) != len(definition.metrics):
        raise ValueError("metrics")
    return [None if each is None else _read_metric(*each) for each in written]


def _read_metric(values: Any, total: Any, low: Any, high: Any) -> _Metric:  # noqa: PLR0917 - as they are written
    return _Metric(int(values), Decimal(total), Decimal(low), Decimal(high))


def _read_mark(value: object) -> str:
    if not isinstance(value, str) or (value and not value.isdecimal()):
        raise TypeError
    return value


def _fingerprint(definition: RollupDefinition) -> str:
    """What must be the same for sums to be merged."""
    told = (
        definition.rollup_id,
        definition.finest,
        definition.time_field,
        [(each.field, str(each.width)) for each in definition.dimensions],
        [each.field for each in definition.metrics],
    )
    return f"{crc32(repr(told).encode()):08x}"
