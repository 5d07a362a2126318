"""The functions and operators of metric math, on numbers, time series and lists of series. Pure.

Operators and most functions work series by series and period by period; a period that one side lacks has no value, nor
has one whose value is no finite number. Aggregates over one series give a number, over several series a series.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

__all__ = ["BINARY", "COUNTS", "FUNCTIONS", "WORDS", "BadExpression", "Series", "Span", "Value", "as_list", "pair"]

Series: TypeAlias = dict[int, float]
Value: TypeAlias = "float | str | Series | list[Series]"


class BadExpression(Exception):
    """It cannot be read, or makes no sense."""


@dataclass(frozen=True, slots=True)
class Span:
    """The periods of a query: from `start_s` up to, not including, `end_s`, in epoch seconds."""

    start_s: int
    end_s: int
    period_s: int

    def starts(self) -> range:
        """Where each begins."""
        return range(self.start_s, self.end_s, self.period_s)


def as_list(value: Value) -> list[Series]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise BadExpression("a time series is needed, not a number or a word")


def _finite(series: Mapping[int, float | None]) -> Series:
    return {at_s: value for at_s, value in series.items() if value is not None and math.isfinite(value)}


def _each(value: Value, change: Callable[[float], float | None]) -> Value:
    """`change` of every number in a value."""
    if isinstance(value, list):
        return [_finite({at_s: change(each) for at_s, each in series.items()}) for series in value]
    if isinstance(value, dict):
        return _finite({at_s: change(each) for at_s, each in value.items()})
    if isinstance(value, str):
        raise BadExpression(f"{value} is no number")
    found = change(value)
    return math.nan if found is None else found


def pair(work: Callable[[float, float], float | None], left: Value, right: Value) -> Value:
    if isinstance(left, list) or isinstance(right, list):
        return _pair_lists(work, left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return _finite({at_s: work(value, right[at_s]) for at_s, value in left.items() if at_s in right})
    if isinstance(left, dict):
        number = _number(right)
        return _each(left, lambda value: work(value, number))
    number = _number(left)
    return _each(right, lambda value: work(number, value))


def _pair_lists(work: Callable[[float, float], float | None], left: Value, right: Value) -> Value:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            raise BadExpression("two lists of time series must be of the same length")
        pairs = zip(left, right, strict=True)
    else:
        lefts, rights = _repeat(left, right), _repeat(right, left)
        pairs = zip(lefts, rights, strict=True)
    return [series for one, other in pairs for series in as_list(pair(work, one, other))]


def _repeat(value: Value, other: Value) -> Sequence[Value]:
    return value if isinstance(value, list) else [value] * len(other if isinstance(other, list) else ())


def _number(value: Value) -> float:
    if isinstance(value, float):
        return value
    raise BadExpression("a number or a time series is needed")


def _round(work: Callable[[float], int], value: float) -> float | None:
    return float(work(value)) if math.isfinite(value) else None  # the mean of no values, or what no double holds


def _divide(one: float, other: float) -> float | None:
    return one / other if other else None


def _raise(one: float, other: float) -> float | None:
    try:
        found = one**other
    except (OverflowError, ZeroDivisionError):
        return None
    return found if isinstance(found, float) else None


BINARY: Final[Mapping[str, Callable[[float, float], float | None]]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": _divide,
    "^": _raise,
    "==": lambda one, other: float(one == other),
    "!=": lambda one, other: float(one != other),
    "<": lambda one, other: float(one < other),
    "<=": lambda one, other: float(one <= other),
    ">": lambda one, other: float(one > other),
    ">=": lambda one, other: float(one >= other),
    "AND": lambda one, other: float(bool(one) and bool(other)),
    "OR": lambda one, other: float(bool(one) or bool(other)),
}


def _aggregate(work: Callable[[list[float]], float], arguments: list[Value]) -> Value:
    """Over the periods of one series, or over several series period by period."""
    value = arguments[0]
    if isinstance(value, dict):
        return work(list(value.values())) if value else math.nan
    found: dict[int, list[float]] = {}
    for series in as_list(value):
        for at_s, each in series.items():
            found.setdefault(at_s, []).append(each)
    return _finite({at_s: work(each) for at_s, each in sorted(found.items())})


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _fill(arguments: list[Value], span: Span) -> Value:
    value, filling = arguments
    filled = [_fill_one(series, filling, span) for series in as_list(value)]
    return filled if isinstance(value, list) else filled[0]


def _fill_one(series: Series, filling: Value, span: Span) -> Series:
    if isinstance(filling, float):
        return _finite({at_s: series.get(at_s, filling) for at_s in span.starts()})
    if filling == "REPEAT":
        return _fill_on(series, span)
    if filling == "LINEAR":
        return _fill_between(series, span)
    if isinstance(filling, dict):
        return _finite({at_s: series.get(at_s, filling.get(at_s)) for at_s in span.starts()})
    raise BadExpression("FILL fills with a number, a time series, REPEAT or LINEAR")


def _fill_on(series: Series, span: Span) -> Series:
    last: float | None = None
    found: Series = {}
    for at_s in span.starts():
        if at_s in series:
            last = series[at_s]
        if last is not None:
            found[at_s] = last
    return found


def _fill_between(series: Series, span: Span) -> Series:
    found = dict(series)
    known = sorted(series)
    for before, after in pairwise(known):
        step = (series[after] - series[before]) / (after - before)
        for at_s in range(before + span.period_s, after, span.period_s):
            found[at_s] = series[before] + step * (at_s - before)
    return dict(sorted(found.items()))


def _if(arguments: list[Value], span: Span) -> Value:
    """Where the condition is a number, one of the two whole; else period by period."""
    condition, yes = arguments[0], arguments[1]
    no: Value = arguments[2] if len(arguments) > 2 else {}
    if isinstance(condition, float):
        return yes if condition else no
    if not isinstance(condition, dict):
        raise BadExpression("IF needs a number or one time series as its condition")
    found = {at_s: _at(yes if each else no, at_s) for at_s, each in condition.items() if at_s in span.starts()}
    return _finite(found)


def _at(value: Value, at_s: int) -> float | None:
    return value.get(at_s) if isinstance(value, dict) else _number(value)


def _change(arguments: list[Value], *, per_s: bool) -> Value:
    """From one value to the next, of a series or of each."""
    value = arguments[0]

    def of(series: Series) -> Series:
        known = sorted(series)
        pairs = pairwise(known)
        return {after: (series[after] - series[before]) / ((after - before) if per_s else 1) for before, after in pairs}

    return [of(series) for series in value] if isinstance(value, list) else of(as_list(value)[0])


def _running_sum(arguments: list[Value]) -> Value:
    def of(series: Series) -> Series:
        total = 0.0
        found: Series = {}
        for at_s in sorted(series):
            total += series[at_s]
            found[at_s] = total
        return found

    value = arguments[0]
    return [of(series) for series in value] if isinstance(value, list) else of(as_list(value)[0])


def _pick(arguments: list[Value], place: int) -> Value:
    if not isinstance(arguments[0], list):
        raise BadExpression("FIRST and LAST take a list of time series")
    return arguments[0][place] if arguments[0] else {}


_Function: TypeAlias = Callable[[list[Value], Span], Value]
FUNCTIONS: Final[Mapping[str, _Function]] = {
    "ABS": lambda given, _: _each(given[0], abs),
    "AVG": lambda given, _: _aggregate(_mean, given),
    "CEIL": lambda given, _: _each(given[0], lambda value: _round(math.ceil, value)),
    "DATAPOINT_COUNT": lambda given, _: _aggregate(lambda values: float(len(values)), given),
    "DIFF": lambda given, _: _change(given, per_s=False),
    "FILL": _fill,
    "FIRST": lambda given, _: _pick(given, 0),
    "FLOOR": lambda given, _: _each(given[0], lambda value: _round(math.floor, value)),
    "IF": _if,
    "LAST": lambda given, _: _pick(given, -1),
    "LOG": lambda given, _: _each(given[0], lambda value: math.log(value) if value > 0 else None),
    "LOG10": lambda given, _: _each(given[0], lambda value: math.log10(value) if value > 0 else None),
    "MAX": lambda given, _: _aggregate(max, given),
    "METRIC_COUNT": lambda given, _: float(len(as_list(given[0]))),
    "MIN": lambda given, _: _aggregate(min, given),
    "PERIOD": lambda _, span: float(span.period_s),
    "RATE": lambda given, _: _change(given, per_s=True),
    "RUNNING_SUM": lambda given, _: _running_sum(given),
    "SUM": lambda given, _: _aggregate(sum, given),
    "TIME_SERIES": lambda given, span: _finite(dict.fromkeys(span.starts(), _number(given[0]))),
}
COUNTS: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys(FUNCTIONS, (1, 1)), "FILL": (2, 2), "IF": (2, 3), "METRICS": (0, 1),
}  # fmt: skip
WORDS: Final = frozenset({"REPEAT", "LINEAR"})
