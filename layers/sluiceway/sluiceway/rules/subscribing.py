"""What clients may subscribe to: topics, patterns and columns, each within its limits.

A pattern is judged on what its subscriber is shown (`subscriptions`). One that names a field outside of the columns
would say something about what is never shown, so it is refused here. Must not know connections, stores or streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, cast

from sluiceway.errors import Rejected
from sluiceway.rules import patterns
from sluiceway.rules.answers import parse_req
from sluiceway.rules.patterns.values import InexactNumber, read_number
from sluiceway.rules.subscriptions import LIMITS, Columns, Filter
from sluiceway.rules.topics import MAX_TOPIC

__all__ = ["MAX_COLUMNS", "MAX_PATTERN", "Subscribe", "Unsubscribe", "parse_subscribe", "parse_unsubscribe"]

MAX_MESSAGE: Final = 32_768  # characters: one frame of the client's, where the limits below leave room for all of them
MAX_PATTERN: Final = 4_096  # characters of its canonical JSON, as of a filter of an event source mapping
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
MAX_NAMES: Final = 16  # of a path, of a column or in a pattern
MAX_COLUMNS: Final = 32
MAX_COLUMN: Final = 256  # characters


class Subscribe(NamedTuple):
    """A client that wants records of a topic from now on."""

    req: str
    topic: str
    wanted: Filter


class Unsubscribe(NamedTuple):
    """A client that wants no more."""

    req: str
    topic: str


def parse_subscribe(body: str, topics: Iterable[str]) -> Subscribe:
    """What a message subscribes to.

    Raises Rejected that names the field and its rule: `invalid-body`, `unknown-topic`, or `invalid-pattern`, whose
    field is the path in the pattern (`pattern.total`).
    """
    members = _read_message(body, {"action", "req", "topic", "pattern", "columns"})
    req, topic = parse_req(members.get("req")), _topic(members, topics)
    columns = _read_columns(members["columns"]) if "columns" in members else ()
    pattern = _read_pattern(members["pattern"], columns) if "pattern" in members else ""
    return Subscribe(req, topic, Filter(pattern, columns))


def parse_unsubscribe(body: str, topics: Iterable[str]) -> Unsubscribe:
    """What a message wants no more of. Raises Rejected (`invalid-body`, `unknown-topic`)."""
    members = _read_message(body, {"action", "req", "topic"})
    return Unsubscribe(parse_req(members.get("req")), _topic(members, topics))


def _read_message(body: str, allowed: set[str]) -> Mapping[str, object]:
    """The members of a message, which holds nothing of which a pattern's text and its decoded form differ."""
    if len(body) > MAX_MESSAGE:
        raise _refuse(f"a message about a subscription has {MAX_MESSAGE} characters at most")
    try:
        decoded: object = _MESSAGES.decode(body)
        json.dumps(decoded, ensure_ascii=False).encode()
    except _Ambiguous as fault:
        raise _refuse(str(fault)) from None
    except UnicodeEncodeError:
        raise _refuse("the message holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError):
        raise _refuse("the message is not JSON") from None
    if not isinstance(decoded, dict):
        raise _refuse("the message is not a JSON object")
    members = cast("dict[str, object]", decoded)
    if not members.keys() <= allowed:
        raise _refuse(f"the message has members other than {', '.join(sorted(allowed))}")
    return members


def _topic(members: Mapping[str, object], topics: Iterable[str]) -> str:
    topic = members.get("topic")
    if not isinstance(topic, str) or not 1 <= len(topic) <= MAX_TOPIC:
        raise _refuse(f"topic must be text of 1 to {MAX_TOPIC} characters", "topic")
    if topic not in topics:
        raise Rejected("there is no such topic", reason="unknown-topic", field="topic")
    return topic


def _read_columns(value: object) -> Columns:
    columns = cast("Sequence[object]", value) if isinstance(value, list) else ()
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise _refuse(f"columns must be an array of 1 to {MAX_COLUMNS} paths", "columns")
    paths: set[str] = set()
    for index, column in enumerate(columns):
        if not isinstance(column, str) or not 1 <= len(column) <= MAX_COLUMN or not _is_path(column):
            rule = f"must be a path of 1 to {MAX_NAMES} names joined with dots, {MAX_COLUMN} characters at most"
            raise _refuse(f"columns[{index}] {rule}", f"columns[{index}]")
        paths.add(column)
    return tuple(sorted(path for path in paths if not _lies_below(path, paths)))


def _is_path(column: str) -> bool:
    names = column.split(".")
    return len(names) <= MAX_NAMES and all(names)


def _lies_below(path: str, columns: Iterable[str]) -> bool:
    return any(path.startswith(f"{column}.") for column in columns)


def _read_pattern(value: object, columns: Columns) -> str:
    if not isinstance(value, dict):
        raise _refuse_pattern("must be a JSON object")
    pattern = cast("dict[str, object]", value)
    try:
        ways = patterns.compile(pattern, limits=LIMITS).ways
    except patterns.InvalidPattern as error:
        raise _refuse_pattern(error.rule, error.field or "") from None
    for path in sorted({field.path for way in ways for field in way.fields}):
        if path.count(".") >= MAX_NAMES:
            raise _refuse_pattern(f"a path has {MAX_NAMES} names at most", path)
        if columns and path not in columns and not _lies_below(path, columns):
            raise _refuse_pattern("it is none of the columns, and a pattern sees those alone", path)
    text = _canonical(pattern)
    if len(text) > MAX_PATTERN:
        raise _refuse_pattern(f"has {MAX_PATTERN} characters at most")
    return text


def _canonical(pattern: Mapping[str, object]) -> str:
    """The shortest text, names sorted; unless their order has a meaning, as where a path is written twice."""
    as_written, ordered = (
        json.dumps(pattern, ensure_ascii=False, separators=(",", ":"), sort_keys=sort) for sort in (False, True)
    )
    meant, meant_ordered = (
        {way.fields for way in patterns.compile(text, limits=LIMITS).ways} for text in (as_written, ordered)
    )
    return ordered if meant_ordered == meant else as_written


def _refuse(why: str, field: str | None = None) -> Rejected:
    return Rejected(why, reason="invalid-body", field=field)


def _refuse_pattern(rule: str, path: str = "") -> Rejected:
    field = f"pattern.{path}" if path else "pattern"
    return Rejected(f"{field}: {rule}", reason="invalid-pattern", field=field)


class _Ambiguous(ValueError):
    """What a text may say and a decoded message cannot."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Ambiguous("an object of the message has a name twice")
    return members


def _read_number(text: str) -> float:
    number = read_number(text)
    if isinstance(number, InexactNumber):
        raise _Ambiguous("the message has a number that no double holds")
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_MESSAGES: Final = json.JSONDecoder(
    parse_float=_read_number, parse_constant=_refuse_constant, object_pairs_hook=_unique
)
