"""References and expressions: `$a.b("c")[0]`, `$x + 1 == 2 && !$y`.

Owns the grammar inside directives and after a `$`; knows nothing of directives or evaluation. As in Velocity 1.7,
arguments of methods, elements of lists and values of maps are single values: an operator there is an error, `-1` after
a value is a number and not a subtraction, and a name may contain `-`.
Source: https://velocity.apache.org/engine/1.7/vtl-reference.html
"""

from __future__ import annotations

import re
from typing import Final

from localcloud.gateway.vtl.cursor import Cursor
from localcloud.gateway.vtl.nodes import (
    Binary,
    Call,
    Expression,
    Index,
    Interpolated,
    ListOf,
    Literal,
    MapOf,
    Not,
    Property,
    RangeOf,
    Reference,
    Step,
)

__all__ = ["parse_expression", "parse_reference"]

_START: Final = re.compile(r"\$(!?)(\{?)([A-Za-z_][A-Za-z0-9_-]*)")
_DOTTED: Final = re.compile(r"\.([A-Za-z][A-Za-z0-9_-]*)")
_FLOAT: Final = re.compile(
    r"-?(?:[0-9]+\.(?!\.)[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
)
_INTEGER: Final = re.compile(r"-?[0-9]+")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE: Final = re.compile(r"'([^']*)'")
_WORD: Final = re.compile(r"(true|false)(?![A-Za-z0-9_-])")
_NOT: Final = re.compile(r"!(?!=)|not(?![A-Za-z0-9_-])")
_UNICODE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")

_WORDS: Final = {"and": "&&", "or": "||", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_LEVELS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"\|\||or(?![A-Za-z0-9_-])",
        r"&&|and(?![A-Za-z0-9_-])",
        r"==|!=|(?:eq|ne)(?![A-Za-z0-9_-])",
        r"<=|>=|<|>|(?:lt|gt|le|ge)(?![A-Za-z0-9_-])",
        r"\+|-(?![0-9.])",
        r"[*/%]",
    )
)  # loosest first


def parse_expression(cursor: Cursor, level: int = 0) -> Expression:
    """An expression with operators. Raises VtlError."""
    if level == len(_LEVELS):
        return _parse_unary(cursor)
    left = parse_expression(cursor, level + 1)
    while True:
        cursor.skip_space()
        line = cursor.line
        found = cursor.match(_LEVELS[level])
        if found is None:
            return left
        operator = _WORDS.get(found[0], found[0])
        left = Binary(operator=operator, left=left, right=parse_expression(cursor, level + 1), line=line)


def _parse_unary(cursor: Cursor) -> Expression:
    cursor.skip_space()
    cursor.deeper()
    if cursor.match(_NOT):
        result: Expression = Not(_parse_unary(cursor))
    elif cursor.take("("):
        result = parse_expression(cursor)
        cursor.expect(")")
    else:
        result = _parse_value(cursor)
    cursor.depth -= 1
    return result


def _parse_value(cursor: Cursor) -> Expression:
    cursor.skip_space()
    if cursor.looks_at("$"):
        reference = parse_reference(cursor)
        if reference is None:
            raise cursor.error("expected a name after '$'")
        return reference
    if cursor.looks_at("["):
        return _parse_list(cursor)
    if cursor.looks_at("{"):
        return _parse_map(cursor)
    return _parse_literal(cursor)


def _parse_literal(cursor: Cursor) -> Expression:
    for pattern, kind in ((_FLOAT, float), (_INTEGER, int)):
        if number := cursor.match(pattern):
            return Literal(kind(number[0]))
    if word := cursor.match(_WORD):
        return Literal(word[0] == "true")
    if single := cursor.match(_SINGLE):
        return Literal(_unescape(single[1]))
    if cursor.looks_at('"'):
        return _parse_double_quoted(cursor)
    if cursor.ended:
        raise cursor.error("the expression ends too early")
    found = cursor.text[cursor.position : cursor.position + 12].split("\n", maxsplit=1)[0]
    raise cursor.error(f"expected a value, found {found!r}")


def _parse_double_quoted(cursor: Cursor) -> Expression:
    start = cursor.position
    found = cursor.match(_DOUBLE)
    if found is None:
        raise cursor.error("a string is not closed")
    text = _unescape(found[1])
    if "$" not in text and "#" not in text:
        return Literal(text)
    end, cursor.position = cursor.position, start
    block = cursor.parse_nested(text)
    cursor.position = end
    return Interpolated(block)


def _unescape(text: str) -> str:
    return _UNICODE.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text


def _parse_list(cursor: Cursor) -> Expression:
    line = cursor.line
    cursor.expect("[")
    cursor.deeper()
    cursor.skip_space()
    if cursor.take("]"):
        cursor.depth -= 1
        return ListOf(())
    items = [_parse_value(cursor)]
    cursor.skip_space()
    if cursor.take(".."):
        last = _parse_value(cursor)
        cursor.expect("]")
        cursor.depth -= 1
        return RangeOf(items[0], last, line)
    while cursor.take(","):
        items.append(_parse_value(cursor))
        cursor.skip_space()
    cursor.expect("]")
    cursor.depth -= 1
    return ListOf(tuple(items))


def _parse_map(cursor: Cursor) -> Expression:
    cursor.expect("{")
    cursor.deeper()
    entries: list[tuple[Expression, Expression]] = []
    cursor.skip_space()
    while not cursor.take("}"):
        if entries:
            cursor.expect(",")
        key = _parse_value(cursor)
        cursor.expect(":")
        entries.append((key, _parse_value(cursor)))
        cursor.skip_space()
    cursor.depth -= 1
    return MapOf(tuple(entries))


def parse_reference(cursor: Cursor) -> Reference | None:
    """The reference at a `$`; None, and nothing moved, where the `$` is only a dollar. Raises VtlError."""
    start, line = cursor.position, cursor.line
    opening = cursor.match(_START)
    if opening is None:
        return None
    cursor.deeper()
    steps: list[Step] = []
    while (step := _parse_step(cursor)) is not None:
        steps.append(step)
    if opening[2] and not cursor.take("}"):
        raise cursor.error(f"'{cursor.text[start : cursor.position]}' is not closed by '}}'")
    cursor.depth -= 1
    source = cursor.text[start : cursor.position]
    return Reference(name=opening[3], steps=tuple(steps), quiet=bool(opening[1]), source=source, line=line)


def _parse_step(cursor: Cursor) -> Step | None:
    if cursor.looks_at("["):
        return _parse_index(cursor)
    name = cursor.match(_DOTTED)
    if name is None:
        return None
    return Call(name[1], _parse_arguments(cursor)) if cursor.take("(") else Property(name[1])


def _parse_index(cursor: Cursor) -> Index | None:
    """An index; text such as `$x[` that cannot be one stays text, as Velocity's look-ahead leaves it."""
    start = cursor.position
    cursor.take("[")
    cursor.skip_space()
    if cursor.ended or cursor.text[cursor.position] not in "\"'$-0123456789tf":
        cursor.position = start
        return None
    key = _parse_value(cursor)
    cursor.expect("]")
    return Index(key)


def _parse_arguments(cursor: Cursor) -> tuple[Expression, ...]:
    cursor.skip_space()
    if cursor.take(")"):
        return ()
    arguments = [_parse_value(cursor)]
    cursor.skip_space()
    while cursor.take(","):
        arguments.append(_parse_value(cursor))
        cursor.skip_space()
    cursor.expect(")")
    return tuple(arguments)
