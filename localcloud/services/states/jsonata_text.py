"""Values as text, as JavaScript writes them: `$string` and `&` of JSONata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

from localcloud.services.states import jsonata_library as library

__all__ = ["show_number", "show_value"]


def show_number(number: float) -> str:
    """A number as text, with at most 15 digits that count."""
    if isinstance(number, int) and abs(number) < 10**15:
        return str(number)
    if not math.isfinite(number):
        raise library.error("D3001", -1, number)
    return _javascript(float(f"{number:.15g}"))


def _javascript(number: float) -> str:
    shortest = Decimal(repr(number)).normalize()
    sign, digits, exponent = shortest.as_tuple()
    power = len(digits) + int(exponent)
    if number == 0 or -6 < power <= 21:
        return format(abs(shortest) if number == 0 else shortest, "f")
    text = "".join(str(digit) for digit in digits)
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{'+' if power > 0 else '-'}{abs(power - 1)}"


def show_value(value: Any, prettify: Any) -> str | None:
    """`$string`: text as it is, anything else as JSON, with functions as empty text."""
    if isinstance(value, library.values.JList) and value.outer_wrapper:
        value = value[0]
    if value is None or isinstance(value, str):
        return value
    if library.is_function(value):
        return ""
    return "".join(_write(value, "  " if prettify else "", "\n"))


def _write(value: Any, indent: str, line: str) -> Iterator[str]:
    """The pieces of a value's JSON; `line` begins a line of the value that it stands in."""
    if isinstance(value, dict):
        members = [(json_text(name), each) for name, each in cast("dict[str, Any]", value).items() if each is not None]
        yield from _write_items(members, "{}", indent, line=line)
    elif isinstance(value, list):
        yield from _write_items([("", each) for each in cast("list[Any]", value)], "[]", indent, line=line)
    elif value is library.NULL:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int | float):
        yield show_number(value)
    else:
        yield '""' if library.is_function(value) else json_text(str(value))


def _write_items(items: list[tuple[str, Any]], brackets: str, indent: str, *, line: str) -> Iterator[str]:
    inner = line + indent
    yield brackets[0]
    for number, (name, each) in enumerate(items):
        yield "," if number else ""
        yield inner if indent else ""
        yield f"{name}:{' ' if indent else ''}" if name else ""
        yield from _write(each, indent, inner)
    yield line if indent and items else ""
    yield brackets[1]


def json_text(text: str) -> str:
    """Text as JSON has it, with letters as they are."""
    return json.dumps(text, ensure_ascii=False)
