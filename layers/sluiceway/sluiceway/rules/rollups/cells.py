"""Sums that merge: what is kept of the records of one period and one set of dimensions.

Sums are exact. A value is the decimal number that its text says (24.1 is 24.1, not the nearest binary fraction), at
most 38 digits of it and below 10^30, and adding is done with more digits than any sum can have. So merging is
associative and commutative to the last digit, and it does not matter in which order shards, windows and late records
come together. An average is derived from sum and number when it is asked for, never merged. Pure; must not know records
or tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final, NamedTuple

from sluiceway.errors import Rejected
from sluiceway.rules.rollups.definition import INTERVAL_MS, Interval, RollupDefinition

__all__ = ["EXACT", "Cell", "Measure", "Place", "coarsen", "merge", "merge_cells", "read_number", "summarise"]

MAX_DIGITS: Final = 38  # as many as a number of DynamoDB has
MAX_EXPONENT: Final = 30  # a value is below 10^30
MIN_EXPONENT: Final = -40  # the place of its last digit: a double near 10^-23 in full
# 10^18 values below 10^30 have 49 places before the point and 40 behind it
EXACT: Final = Context(prec=120, Emax=400, Emin=-400, traps=[Inexact, InvalidOperation, Overflow])


class Measure(NamedTuple):
    """Of a numeric field: how many records have it, their sum, the smallest and the largest value."""

    values: int
    total: Decimal
    low: Decimal
    high: Decimal


class Cell(NamedTuple):
    """Of a period and its dimensions: how many records, and each metric in the definition's order.

    A metric is None where none of the records has it.
    """

    records: int
    measures: tuple[Measure | None, ...]


class Place(NamedTuple):
    """Where a cell is: its interval, the period's start in epoch milliseconds, and the dimensions' values as JSON."""

    interval: Interval
    start_ms: int
    key: str


def merge(one: Cell, other: Cell) -> Cell:
    """Both together. Both are of one definition."""
    pairs = zip(one.measures, other.measures, strict=True)
    return Cell(one.records + other.records, tuple(_merge_measures(mine, theirs) for mine, theirs in pairs))


def merge_cells(cells: Iterable[tuple[Place, Cell]]) -> dict[Place, Cell]:
    """The cells by their places, those of one place merged."""
    found: dict[Place, Cell] = {}
    for place, cell in cells:
        known = found.get(place)
        found[place] = cell if known is None else merge(known, cell)
    return found


def coarsen(cells: Mapping[Place, Cell], intervals: Sequence[Interval]) -> dict[Place, Cell]:
    """The cells of each of `intervals`, all of them as coarse as those of `cells` or coarser."""
    return merge_cells(
        (place._replace(interval=interval, start_ms=place.start_ms - place.start_ms % INTERVAL_MS[interval]), cell)
        for interval in intervals
        for place, cell in cells.items()
    )


def summarise(cell: Cell, definition: RollupDefinition) -> dict[str, dict[str, int | Decimal]]:
    """What the definition wants of each field that has values, by field and metric.

    `avg` is sum by count to 28 digits; the others are exact.
    """
    answer: dict[str, dict[str, int | Decimal]] = {}
    for metric, measure in zip(definition.metrics, cell.measures, strict=True):
        if measure is not None:
            known: dict[str, int | Decimal] = {
                "avg": Context(prec=28).divide(measure.total, Decimal(measure.values)),
                "min": measure.low,
                "max": measure.high,
                "sum": measure.total,
                "value_count": measure.values,
            }
            answer[metric.field] = {name: known[name] for name in metric.wanted}
    return answer


def read_number(value: object, member: str) -> Decimal:
    """A value as the exact number that adds. Raises Rejected (`invalid-metric`) for what is none, or is too long."""
    number = Decimal(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else None
    if number is None or not number.is_finite():
        raise Rejected(f"{member} is no number", reason="invalid-metric", field=member)
    _, digits, exponent = number.as_tuple()
    if not number:
        return Decimal(0)
    if len(digits) > MAX_DIGITS or number.adjusted() >= MAX_EXPONENT or int(exponent) < MIN_EXPONENT:
        raise Rejected(
            f"{member} has more than {MAX_DIGITS} digits, or is 10^{MAX_EXPONENT} or more", reason="invalid-metric",
            field=member,
        )  # fmt: skip
    return number


def _merge_measures(one: Measure | None, other: Measure | None) -> Measure | None:
    if one is None or other is None:
        return one or other
    return Measure(
        one.values + other.values,
        EXACT.add(one.total, other.total),
        min(one.low, other.low),
        max(one.high, other.high),
    )
