"""JSON in and out again without a loss: numbers keep their digits, as they do on their way through EventBridge.

Pure. What is written is compact, and escapes only what must be escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn, cast

from localcloud.json_text import MalformedJson, check_depth

__all__ = ["Numeral", "decode", "encode"]


class Numeral:
    """A JSON number by its digits."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numeral) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


def decode(text: str) -> object:
    """The value in `text`; every number in it is a Numeral. Raises MalformedJson, also where it is too deep."""
    try:
        value: object = _DECODER.decode(text)
        check_depth(text, value)
        if "\\ud" in text or "\\uD" in text:  # pairs are fine, halves are not
            json.dumps(value, ensure_ascii=False, default=repr).encode()
    except UnicodeEncodeError as error:
        raise MalformedJson("Half of a surrogate pair") from error
    except RecursionError as error:
        raise MalformedJson("Nested too deeply") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"{error.msg}; line: {error.lineno}, column: {error.colno}") from error
    return value


def encode(value: object) -> str:
    """Compact JSON of a decoded value."""
    return "".join(_write(value))


def _write(value: object) -> Iterator[str]:
    if isinstance(value, Numeral):
        yield value.text
    elif isinstance(value, dict):
        yield from _write_object(cast("dict[str, object]", value))
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(cast("list[object]", value)):
            yield "," if index else ""
            yield from _write(item)
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)


def _write_object(members: Mapping[str, object]) -> Iterator[str]:
    yield "{"
    for index, (name, member) in enumerate(members.items()):
        yield "," if index else ""
        yield f"{json.dumps(name, ensure_ascii=False)}:"
        yield from _write(member)
    yield "}"


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError("NaN and Infinity are not JSON", name, 0)


_DECODER: Final = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral, parse_constant=_refuse_constant)
