"""JSON as AWS's services read it: UTF-8, no NaN, no half characters, and not deeper than the stack. Pure."""

from __future__ import annotations

import json

__all__ = ["MalformedJson", "parse_json", "read_json"]


class MalformedJson(ValueError):
    """The text is no JSON that a service takes; the message says why and quotes nothing."""


def parse_json(body: bytes) -> object:
    """The value in `body`; it may hold escapes for half a surrogate pair. Raises MalformedJson."""
    try:
        value: object = json.loads(body.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedJson(f"Invalid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise MalformedJson("Nested too deeply") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"{error.msg}: line {error.lineno} column {error.colno} (char {error.pos})") from error
    except ValueError as error:
        raise MalformedJson(str(error)) from error
    return value


def read_json(body: bytes) -> object:
    """The value in `body`, all of whose text can be written as UTF-8. Raises MalformedJson."""
    value = parse_json(body)
    if b"\\ud" in body or b"\\uD" in body:  # pairs are fine, halves are not
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise MalformedJson("Half of a surrogate pair") from error
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
