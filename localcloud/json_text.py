"""JSON as AWS's services read it: UTF-8, no NaN, no half characters, and not deeper than the stack. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isinf
from typing import Any, Final, cast

__all__ = ["MAX_DEPTH", "MalformedJson", "check_depth", "parse_json", "read_json", "read_object", "write_json"]

MAX_DEPTH: Final = 200
"""Lists and objects inside each other. Of AWS's services only DynamoDB says where it stops (32); this is what every
reader of the values here can follow, whatever Python's own stack takes."""


class MalformedJson(ValueError):
    """The text is no JSON that a service takes; the message says why and quotes nothing."""


def parse_json(body: bytes | str) -> object:
    """The value in `body`; it may hold escapes for half a surrogate pair. Raises MalformedJson.

    A number that no double holds (`1e999`) is refused: it would be written as `Infinity`, which is no JSON.
    """
    try:
        text = body if isinstance(body, str) else body.decode()
        value: object = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
    except UnicodeDecodeError as error:
        raise MalformedJson(f"Invalid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise MalformedJson("Nested too deeply") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"{error.msg}: line {error.lineno} column {error.colno} (char {error.pos})") from error
    except ValueError as error:
        raise MalformedJson(str(error)) from error
    check_depth(text, value)
    return value


def check_depth(text: str, value: object) -> None:
    """Hold `value`, which `text` says, against MAX_DEPTH. Raises MalformedJson."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise MalformedJson("Nested too deeply")


def read_json(body: bytes) -> object:
    """The value in `body`, all of whose text can be written as UTF-8. Raises MalformedJson."""
    value = parse_json(body)
    if b"\\ud" in body or b"\\uD" in body:  # pairs are fine, halves are not
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise MalformedJson("Half of a surrogate pair") from error
    return value


def read_object(body: bytes) -> dict[str, Any]:
    """The object that a request's body is, read as by `read_json`; an empty body is an empty one.

    Raises MalformedJson, whose text is the sentence for the caller.
    """
    try:
        value = read_json(body or b"{}")
    except MalformedJson as error:
        raise MalformedJson("The request's body is not JSON.") from error
    if not isinstance(value, dict):
        raise MalformedJson("The request's body is not a JSON object.")
    return cast("dict[str, Any]", value)


def write_json(value: object) -> str:
    """Compact JSON that can be written as UTF-8: with escapes where text holds half a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for each in level for part in _parts(each) if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _read_float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("A number is out of range")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
