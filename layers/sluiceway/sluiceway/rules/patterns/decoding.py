"""Patterns and events from JSON text, with the text of the numbers that no double holds.

A pattern keeps the order of its members and their repetitions, which have a meaning in it. An event is decoded as any
other JSON: of a name that an object has twice, the last member counts (Event Ruler tries both).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, cast

from sluiceway.errors import Rejected
from sluiceway.rules.patterns.limits import InvalidPattern
from sluiceway.rules.patterns.values import InexactNumber, read_number

__all__ = ["Members", "decode_json", "members_of", "read_event", "read_pattern"]

Members = Sequence[tuple[str, object]]
"""The members of a JSON object in their order, repeated names and all."""


class _Object:
    """A JSON object of a pattern's text."""

    __slots__ = ("members",)

    def __init__(self, members: Members) -> None:
        self.members = members


def members_of(value: object) -> Members | None:
    """The members of what is a JSON object, None for anything else."""
    if isinstance(value, _Object):
        return value.members
    return list(cast("Mapping[str, object]", value).items()) if isinstance(value, Mapping) else None


def read_pattern(pattern: str | bytes | Mapping[str, object]) -> Members:
    """The members of a pattern. Raises: InvalidPattern."""
    if isinstance(pattern, str | bytes):
        try:
            decoded = _decode(pattern, _PATTERNS)
        except RecursionError:
            raise InvalidPattern("it is nested too deeply", reason="too-deep") from None
        except ValueError:
            raise InvalidPattern("it is not JSON", reason="invalid-json") from None
    else:
        decoded = pattern
    members = members_of(decoded)
    if members is None:
        raise InvalidPattern("it is not a JSON object", reason="not-an-object")
    return members


def read_event(event: str | bytes | Mapping[str, object]) -> Mapping[str, object]:
    """The decoded event. Raises: Rejected (`malformed-event`) for what is no JSON object."""
    if event.__class__ is dict:  # what most are, and the other questions cost as much as a look into it
        return cast("dict[str, object]", event)
    if isinstance(event, str | bytes):
        try:
            decoded = _decode(event, _EVENTS)
        except (ValueError, RecursionError):
            raise Rejected("the event is not JSON", reason="malformed-event") from None
    else:
        decoded = cast("object", event)
    if not isinstance(decoded, Mapping):
        raise Rejected("the event is not a JSON object", reason="malformed-event")
    return cast("Mapping[str, object]", decoded)


def decode_json(text: str | bytes) -> object:
    """Any JSON, as events are decoded. Raises: ValueError."""
    try:
        return _decode(text, _EVENTS)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _decode(text: str | bytes, decoder: json.JSONDecoder) -> object:
    decoded = text.decode() if isinstance(text, bytes) else text
    try:
        return decoder.decode(decoded)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python reads no whole number of more than 4,300 digits; no double holds one either
        return json.JSONDecoder(
            parse_int=InexactNumber,
            parse_float=read_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=decoder.object_pairs_hook,
        ).decode(decoded)


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError("NaN and Infinity are not JSON", name, 0)


_EVENTS: Final = json.JSONDecoder(parse_float=read_number, parse_constant=_refuse_constant)
_PATTERNS: Final = json.JSONDecoder(parse_float=read_number, parse_constant=_refuse_constant, object_pairs_hook=_Object)
