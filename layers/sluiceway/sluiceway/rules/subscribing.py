"""What clients may subscribe to: topics, patterns and columns, each within its limits.

A pattern is judged on what its subscriber is shown (`subscriptions`). One that names a field outside of the columns
would say something about what is never shown, so it is refused here. Must not know connections, stores or streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, NoReturn, cast

from sluiceway.errors import Rejected
from sluiceway.rules.answers import parse_req
from sluiceway.rules.patterns.values import InexactNumber, read_number
from sluiceway.rules.selecting import (
    MAX_COLUMNS,
    MAX_PATTERN,
    compile_pattern,
    lies_below,
    read_columns,
    refuse_pattern,
    write_canonical,
)
from sluiceway.rules.subscriptions import Columns, Filter
from sluiceway.rules.topics import MAX_TOPIC

__all__ = ["MAX_COLUMNS", "MAX_PATTERN", "Subscribe", "Unsubscribe", "parse_subscribe", "parse_unsubscribe"]

MAX_MESSAGE: Final = 32_768  # characters: one frame of the client's, where the limits below leave room for all of them


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
    columns = read_columns(members["columns"]) if "columns" in members else ()
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


def _read_pattern(value: object, columns: Columns) -> str:
    if not isinstance(value, dict):
        raise refuse_pattern("must be a JSON object", "pattern")
    pattern = cast("dict[str, object]", value)
    for path in sorted({field.path for way in compile_pattern(pattern).ways for field in way.fields}):
        if columns and path not in columns and not lies_below(path, columns):
            raise refuse_pattern("it is none of the columns, and a pattern sees those alone", "pattern", path)
    text = write_canonical(pattern)
    if len(text) > MAX_PATTERN:
        raise refuse_pattern(f"has {MAX_PATTERN} characters at most", "pattern")
    return text


def _refuse(why: str, field: str | None = None) -> Rejected:
    return Rejected(why, reason="invalid-body", field=field)


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
