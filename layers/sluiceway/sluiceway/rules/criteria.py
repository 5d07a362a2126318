"""Filter criteria of event source mappings: which records of a queue or stream reach the function.

    criteria = FilterCriteria("sqs", [{"Pattern": '{"body": {"total": [{"numeric": [">", 100]}]}}'}])
    criteria.keep({"messageId": "1", "body": '{"total": 120}'})

A record is kept when one of the filters matches it. Filters are event patterns over the record's metadata and its data,
decoded: `body` of SQS, `data` of Kinesis (taken out of `kinesis`, with the members beside it) and of MQ, `dynamodb`,
`key` and `value` of Kafka. A condition on data expects JSON (`"body": {...}`) or plain text (`"body": [...]`), and what
comes may be the other one: SQS and the streams drop such a record, Kafka and MQ judge it by the other conditions. JSON
is an object or an array here; a body that is a number, say, is text, since no condition can look into it.
Must not know queues, streams or what becomes of a dropped record.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html and the pages of the sources,
https://docs.aws.amazon.com/lambda/latest/api/API_Filter.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast, get_args

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.patterns import InvalidPattern, Limits
from sluiceway.rules.patterns.decoding import decode_json
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.paths import Found, Paths
from sluiceway.rules.patterns.syntax import read_ways
from sluiceway.rules.patterns.ways import Way

__all__ = ["MAX_FILTERS", "FilterCriteria", "Source"]

Source = Literal["sqs", "kinesis", "dynamodb", "kafka", "mq"]

MAX_FILTERS: Final = 5  # a quota that AWS raises to 10 on request
MAX_PATTERN: Final = 4096  # characters, API_Filter
_DATA_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "sqs": ("body",),
    "kinesis": ("data",),
    "dynamodb": ("dynamodb",),
    "kafka": ("key", "value"),
    "mq": ("data",),
}
_JSON_ONLY: Final = frozenset({"kinesis", "dynamodb"})  # plain conditions on data are refused
_LENIENT: Final = frozenset({"kafka", "mq"})  # data of the other format is judged by its metadata
_LIMITS: Final = Limits()


class _Data(NamedTuple):
    """A record's data. `is_json` is None for what is neither JSON nor text; null has either format."""

    value: object
    is_json: bool | None

    def is_like(self, condition: _Condition) -> bool:
        """Whether the condition can be held against it."""
        return self == _NULL or self.is_json == condition.is_json


_NULL: Final = _Data(None, is_json=True)


class _Condition(NamedTuple):
    """What a filter expects of a data key."""

    key: str
    is_json: bool


class FilterCriteria:
    """The filters of one event source mapping. With no filters every record is kept."""

    __slots__ = ("_expected", "_paths", "_reduced", "_source", "_ways")

    def __init__(
        self,
        source: Source,
        filters: Sequence[Mapping[str, object]],
        *,
        max_filters: int = MAX_FILTERS,
        strict: bool = False,
    ) -> None:
        """`filters`: as in `FilterCriteria.Filters` of Lambda's API, each with its `Pattern` as JSON text.

        `strict`: filters may name the data only (of Kafka `value`), as Lambda's documentation has it now; without it
        metadata too, as Lambda takes it. Raises: InvalidPattern for what Lambda refuses, whose `field` begins with
        `Filters[n]`; Misconfigured for another `source`.
        """
        if source not in get_args(Source):
            raise Misconfigured(f"there are no filter criteria for {source!r}", what="source")
        if len(filters) > max_filters:
            raise InvalidPattern(
                f"there are more than {max_filters} filters", reason="too-many-filters", path="Filters"
            )
        self._source: str = source
        self._ways: list[tuple[Way, frozenset[_Condition]]] = []
        self._paths = Paths()
        self._reduced: dict[tuple[int, frozenset[_Condition]], Way] = {}
        for number, each in enumerate(filters):
            try:
                self._add(_pattern_of(each), strict=strict)
            except InvalidPattern as error:
                path = f"Filters[{number}].{error.field}" if error.field else f"Filters[{number}]"
                raise InvalidPattern(error.rule, reason=error.reason, path=path) from None
        self._expected = {condition.key for _, conditions in self._ways for condition in conditions}

    def keep(self, record: Mapping[str, object]) -> bool:
        """Whether `record`, one of the records of an event as Lambda delivers it, reaches the function.

        A record that patterns cannot decide (`ambiguous-event` of Pattern.matches) is not kept.
        """
        if not self._ways:
            return True
        data = {key: _read_data(self._source, key, record) for key in self._expected}
        view = _metadata(self._source, record)
        view.update((key, each.value) for key, each in data.items() if each is not None)
        found = self._paths.find(view)
        try:
            return any(self._matches(number, found, view=view, data=data) for number in range(len(self._ways)))
        except Rejected:
            return False

    def _add(self, pattern: str, *, strict: bool) -> None:
        keys = _DATA_KEYS[self._source]
        for way in read_ways(pattern, _LIMITS):
            conditions = set[_Condition]()
            for field in way.fields:
                condition = _condition_of(field, keys)
                if condition is not None:
                    conditions.add(condition)
                self._check(field, condition, strict=strict)
                self._paths.add(field.path)
            self._ways.append((way, frozenset(conditions)))

    def _check(self, field: Field, condition: _Condition | None, *, strict: bool) -> None:
        if condition is None:
            if strict:
                raise InvalidPattern("it is not in the data", reason="not-data", path=field.path)
        elif strict and self._source == "kafka" and condition.key == "key":
            raise InvalidPattern("of Kafka's records value can be filtered", reason="not-data", path=field.path)
        elif self._source in _JSON_ONLY and not condition.is_json:
            raise InvalidPattern("its conditions are an object", reason="plain-data", path=field.path)

    def _matches(
        self, number: int, found: Found, *, view: Mapping[str, object], data: Mapping[str, _Data | None]
    ) -> bool:
        way, conditions = self._ways[number]
        unlike = frozenset(
            condition for condition in conditions if (each := data[condition.key]) and not each.is_like(condition)
        )
        if unlike:
            if self._source not in _LENIENT:
                return False
            way = self._reduce(number, unlike)
        return way.holds(found, view)

    def _reduce(self, number: int, unlike: frozenset[_Condition]) -> Way:
        """The way without its conditions on data of the other format; without any, it holds."""
        reduced = self._reduced.get((number, unlike))
        if reduced is None:
            keys = _DATA_KEYS[self._source]
            fields = [field for field in self._ways[number][0].fields if _condition_of(field, keys) not in unlike]
            reduced = self._reduced[number, unlike] = Way(tuple(fields))
        return reduced


def _pattern_of(each: object) -> str:
    members: Mapping[str, object] = cast("Mapping[str, object]", each) if isinstance(each, Mapping) else {}
    pattern = members.get("Pattern")
    if not isinstance(pattern, str) or len(members) != 1:
        raise InvalidPattern("a filter is an object with a Pattern, which is text", reason="filter")
    if len(pattern) > MAX_PATTERN:
        raise InvalidPattern(f"it has more than {MAX_PATTERN} characters", reason="too-long")
    return pattern


def _condition_of(field: Field, keys: Sequence[str]) -> _Condition | None:
    """What `field` expects of the data; None where it asks about metadata."""
    for key in keys:
        if field.path == key or field.path.startswith(f"{key}."):
            return _Condition(key, is_json=field.path != key)
    return None


def _metadata(source: str, record: Mapping[str, object]) -> dict[str, object]:
    """The record without its data; of Kinesis with the members that lie beside the data."""
    view = {name: value for name, value in record.items() if name not in _DATA_KEYS[source]}
    if source == "kinesis" and isinstance(inner := view.pop("kinesis", None), Mapping):
        members = cast("Mapping[str, object]", inner)
        view.update((name, value) for name, value in members.items() if name != "data")
    return view


def _read_data(source: str, key: str, record: Mapping[str, object]) -> _Data | None:
    """The data of `record` under `key`, decoded; None where there is none."""
    holder: object = record.get("kinesis") if source == "kinesis" else record
    if not isinstance(holder, Mapping) or key not in holder:
        return None
    raw = cast("Mapping[str, object]", holder)[key]
    if raw is None or source == "dynamodb":
        return _Data(raw, is_json=True)
    if not isinstance(raw, str):
        return None
    if source == "sqs":
        return _read_text(raw)
    try:
        return _read_text(base64.b64decode(raw, validate=True).decode())
    except ValueError:
        return _Data(None, is_json=None)


def _read_text(text: str) -> _Data:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return _Data(decode_json(text), is_json=True)
        except ValueError:
            pass
    return _Data(text, is_json=False)
