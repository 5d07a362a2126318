"""What is to be rolled up: a job's definition, read once from its JSON.

Owns which dimensions, metrics and times a job may have. The words are those of OpenSearch's rollup jobs where the two
have the same thing. Must not know records nor how anything is stored. Source:
https://docs.opensearch.org/latest/im-plugin/index-rollups/rollup-api/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, cast

from sluiceway.errors import Misconfigured

__all__ = [
    "INTERVAL_MS",
    "Dimension",
    "Interval",
    "Metric",
    "RollupDefinition",
    "Wanted",
    "read_definition",
]

Interval = Literal["minute", "hour", "day"]
Wanted = Literal["avg", "min", "max", "sum", "value_count"]

INTERVAL_MS: Final[Mapping[Interval, int]] = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_FIXED: Final[Mapping[str, Interval]] = {"1m": "minute", "1h": "hour", "1d": "day"}
_WANTED: Final[Sequence[Wanted]] = ("avg", "min", "max", "sum", "value_count")

MAX_DIMENSIONS: Final = 10  # of a job, beside the date
MAX_METRICS: Final = 50  # fields of a job: a row with all of them stays far below DynamoDB's 400 KB
MAX_FIELD: Final = 128  # characters of a field's name
MAX_PAGE: Final = 10_000  # records: OpenSearch's largest page_size
MAX_LATENESS_S: Final = 7 * 86_400
MAX_RETENTION_S: Final = 10 * 366 * 86_400
# A stream keeps records for 24 hours to 365 days; longer than it nothing of a period can still come.
# Source: https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html
MIN_STREAM_S: Final = 86_400
MAX_STREAM_S: Final = 365 * 86_400
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Dimension:
    """A field by which records are told apart.

    `width` None: by each of its values (terms: strings, whole numbers, true and false). A number above 0: by the
    multiple of `width` at or below the value (a histogram of numbers).
    """

    field: str
    width: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A numeric field, and what is answered of it."""

    field: str
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class RollupDefinition:
    """One job. Seconds everywhere; `retention_s` of the rows of each interval, the finest first.

    `time_field` has the time of a record: ISO 8601 with an offset, or epoch milliseconds. A record counts up to
    `lateness_s` after the end of its period of the finest interval. `raw_retention_s` is how long raw records are kept
    at least, `stream_retention_s` how long the stream has them, so that none can come once they are deleted.
    `page_size` raw records are read at a time.
    """

    rollup_id: str
    topic: str
    time_field: str
    dimensions: tuple[Dimension, ...]
    metrics: tuple[Metric, ...]
    retention_s: Mapping[Interval, int]
    lateness_s: int = 3600
    raw_retention_s: int = 2 * 86_400
    stream_retention_s: int = MIN_STREAM_S
    page_size: int = 1000
    continuous: bool = True

    @property
    def finest(self) -> Interval:
        """The interval that the others are made of."""
        return next(iter(self.retention_s))

    @property
    def coarsest(self) -> Interval:
        """The interval that is verified as one: an hour or a day, an hour where there are minutes alone."""
        return "day" if "day" in self.retention_s else "hour"


def read_definition(declared: Mapping[str, object], what: str) -> RollupDefinition:
    """The definition, of the setting `what`.

    Raises Misconfigured that names the setting and the member for what is missing, unknown, of another kind, or out of
    its range; and where raw records would be deleted while the stream may still bring some of the same period.
    """
    reader = _Reader(declared, what)
    reader.refuse_others(
        "rollup_id topic dimensions metrics retention_s lateness_s raw_retention_s stream_retention_s page_size "
        "continuous"
    )
    time_field, intervals, dimensions = _read_dimensions(reader)
    metrics = tuple(_read_metric(each) for each in reader.entries("metrics", minimum=0, maximum=MAX_METRICS))
    kept = reader.inner("retention_s")
    kept.refuse_others(" ".join(intervals))
    lateness_s = reader.number("lateness_s", 0, MAX_LATENESS_S, default=3600)
    found = RollupDefinition(
        rollup_id=reader.name("rollup_id"),
        topic=reader.name("topic"),
        time_field=time_field,
        dimensions=dimensions,
        metrics=metrics,
        retention_s={each: kept.number(each, 3600, MAX_RETENTION_S) for each in intervals},
        lateness_s=lateness_s,
        raw_retention_s=reader.number("raw_retention_s", 3600, MAX_RETENTION_S, default=2 * 86_400),
        stream_retention_s=reader.number("stream_retention_s", MIN_STREAM_S, MAX_STREAM_S, default=MIN_STREAM_S),
        page_size=reader.number("page_size", 1, MAX_PAGE, default=1000),
        continuous=reader.flag("continuous", default=True),
    )
    names = [each.field for each in metrics]
    if len(set(names)) != len(names):
        raise reader.fault("metrics", "one entry a field")
    _check_times(found, reader)
    return found


def _check_times(found: RollupDefinition, reader: _Reader) -> None:
    """What is deleted must be what nothing can change any more."""
    if found.raw_retention_s < found.stream_retention_s + found.lateness_s:
        raise reader.fault("raw_retention_s", "as long as the stream keeps records and lateness_s together")
    if min(found.retention_s.values()) < found.raw_retention_s:
        raise reader.fault("retention_s", "as long as raw_retention_s: rows are compared with raw records until then")


def _read_dimensions(reader: _Reader) -> tuple[str, tuple[Interval, ...], tuple[Dimension, ...]]:
    """The date's field, its intervals from the finest on, and the other dimensions."""
    entries = reader.entries("dimensions", minimum=1, maximum=MAX_DIMENSIONS + 1)
    dates = [each for each in entries if each.has("date_histogram")]
    if len(dates) != 1:
        raise reader.fault("dimensions", "a list with one date_histogram")
    dates[0].refuse_others("date_histogram")
    date = dates[0].inner("date_histogram")
    date.refuse_others("source_field fixed_intervals timezone")
    if date.declared.get("timezone", "UTC") != "UTC":
        raise date.fault("timezone", "UTC: days of other zones are not served")
    words = date.words("fixed_intervals", tuple(_FIXED))
    intervals: tuple[Interval, ...] = tuple(interval for word, interval in _FIXED.items() if word in words)
    others = tuple(_read_dimension(each) for each in entries if each is not dates[0])
    return date.field("source_field"), intervals, others


def _read_dimension(entry: _Reader) -> Dimension:
    if entry.has("terms"):
        entry.refuse_others("terms")
        terms = entry.inner("terms")
        terms.refuse_others("source_field")
        return Dimension(terms.field("source_field"))
    entry.refuse_others("histogram")
    histogram = entry.inner("histogram")
    histogram.refuse_others("source_field interval")
    return Dimension(histogram.field("source_field"), histogram.width("interval"))


def _read_metric(entry: _Reader) -> Metric:
    entry.refuse_others("source_field metrics")
    words = entry.words("metrics", _WANTED)
    return Metric(entry.field("source_field"), tuple(each for each in _WANTED if each in words))


class _Reader:
    """Members of one object of the setting."""

    def __init__(self, declared: Mapping[str, object], what: str, path: str = "") -> None:
        self.declared = declared
        self._what = what
        self._path = path

    def has(self, name: str) -> bool:
        return name in self.declared

    def fault(self, member: str, expected: str) -> Misconfigured:
        return Misconfigured(f"{self._what}: {self._path}{member} is not {expected}", what=self._what)

    def refuse_others(self, known: str) -> None:
        for name in self.declared:
            if name not in known.split():
                raise self.fault(name, f"a member that is served here, which are {known}")

    def inner(self, member: str) -> _Reader:
        value = self.declared.get(member)
        if not isinstance(value, Mapping):
            raise self.fault(member, "an object")
        return _Reader(cast("Mapping[str, object]", value), self._what, f"{self._path}{member}.")

    def entries(self, member: str, *, minimum: int, maximum: int) -> list[_Reader]:
        value = self.declared.get(member)
        if not isinstance(value, list) or not minimum <= len(cast("list[object]", value)) <= maximum:
            raise self.fault(member, f"a list of {minimum} to {maximum} objects")
        found = list[_Reader]()
        for index, each in enumerate(cast("list[object]", value)):
            if not isinstance(each, Mapping):
                raise self.fault(f"{member}[{index}]", "an object")
            inner = cast("Mapping[str, object]", each)
            found.append(_Reader(inner, self._what, f"{self._path}{member}[{index}]."))
        return found

    def words(self, member: str, allowed: Sequence[str]) -> list[str]:
        value = self.declared.get(member)
        words = cast("list[object]", value) if isinstance(value, list) else []
        if not words or any(each not in allowed for each in words) or len(set(map(str, words))) != len(words):
            raise self.fault(member, f"a list of some of {', '.join(allowed)}")
        return [str(each) for each in words]

    def field(self, member: str) -> str:
        value = self.declared.get(member)
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_FIELD or "" in value.split("."):
            raise self.fault(member, f"a field's name of 1 to {MAX_FIELD} characters, its path with dots")
        return value

    def name(self, member: str) -> str:
        value = self.declared.get(member)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self.fault(member, "1 to 128 of A-Z, a-z, 0-9, dot, underscore and hyphen")
        return value

    def flag(self, member: str, *, default: bool) -> bool:
        value = self.declared.get(member, default)
        if not isinstance(value, bool):
            raise self.fault(member, "true or false")
        return value

    def number(self, member: str, minimum: int, maximum: int, *, default: int | None = None) -> int:
        value = self.declared.get(member, default)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.fault(member, f"a whole number from {minimum} to {maximum}")
        return value

    def width(self, member: str) -> Decimal:
        """A number above 0; text keeps a fraction exact, since settings are read with floats."""
        value = self.declared.get(member)
        try:
            width = Decimal(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else Decimal(0)
        except InvalidOperation:
            width = Decimal(0)
        if not (width.is_finite() and 0 < width < 10**15 and cast("int", width.as_tuple().exponent) >= -15):
            raise self.fault(member, "a whole number, or a decimal one as text, above 0 and below 10^15")
        return width
