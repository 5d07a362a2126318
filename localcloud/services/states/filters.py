"""Filters of JSONPath: `(@.a == 'x' && (@.b > 1 || !@.c))`. Pure.

Operands are paths from the item (`@`) or the document (`$`), text in quotes, numbers, true, false and null. Values of
different kinds are never equal, and in no order.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["MISSING", "BadFilter", "Predicate", "parse_filter"]

Predicate: TypeAlias = Callable[[Any, Any], bool]
"""Takes an item and the document that it is in."""
_Operand: TypeAlias = Callable[[Any, Any], Any]
_Inner: TypeAlias = Callable[[str], Callable[[Any], Any]]

MAX_DEPTH: Final = 50  # of parentheses, ours
_SPACE: Final = re.compile(r"\s*")
_PATH: Final = re.compile(r"[@$](?:\.[\w-]+|\['[^'\]]*'\]|\[\"[^\"\]]*\"\]|\[-?\d{1,9}\])*")
_TEXT: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NUMBER: Final = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
_WORD: Final = re.compile(r"true|false|null")
_COMPARE: Final = re.compile(r"==|!=|<=|>=|<|>")
_WORDS: Final = {"true": True, "false": False, "null": None}
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Missing:
    """Nothing is at a path."""


MISSING: Final = Missing()


class BadFilter(ValueError):
    """The text is no filter that is served."""


def parse_filter(text: str, position: int, inner: _Inner) -> tuple[Predicate, int]:
    """The filter whose `(` is at `position`, and where it ends. `inner` reads a path. Raises BadFilter."""
    return _Parser(text, position, inner).parse()


class _Parser:
    def __init__(self, text: str, position: int, inner: _Inner) -> None:
        self._text = text
        self._at = position
        self._inner = inner
        self._depth = 0

    def parse(self) -> tuple[Predicate, int]:
        predicate = self._group()
        return predicate, self._at

    def _group(self) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadFilter(self._text)
        self._expect("(")
        predicate = self._any()
        self._expect(")")
        self._depth -= 1
        return predicate

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._takes("||"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda item, root: any(part(item, root) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._takes("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda item, root: all(part(item, root) for part in parts)

    def _one(self) -> Predicate:
        negations = 0
        while self._takes("!"):
            negations += 1
        predicate = self._plain()
        return predicate if negations % 2 == 0 else lambda item, root: not predicate(item, root)

    def _plain(self) -> Predicate:
        if self._peek("("):
            return self._group()
        left, is_path = self._operand()
        found = _COMPARE.match(self._text, self._skip())
        if found is None:
            if not is_path:
                raise BadFilter(self._text)
            return lambda item, root: not _is_missing(left(item, root))
        self._at = found.end()
        right, _ = self._operand()
        sign = found[0]
        return lambda item, root: _compare(sign, left(item, root), right(item, root))

    def _operand(self) -> tuple[_Operand, bool]:
        at = self._skip()
        if found := _PATH.match(self._text, at):
            self._at = found.end()
            find = self._inner(f"${found[0][1:]}")
            if found[0].startswith("@"):
                return (lambda item, _root: find(item)), True
            return (lambda _item, root: find(root)), True
        value = self._literal(at)
        return (lambda _item, _root: value), False

    def _literal(self, at: int) -> Any:
        if found := _TEXT.match(self._text, at):
            self._at = found.end()
            return re.sub(r"\\(.)", r"\1", found[1] if found[1] is not None else found[2])
        if found := _NUMBER.match(self._text, at):
            self._at = found.end()
            return float(found[0])
        if found := _WORD.match(self._text, at):
            self._at = found.end()
            return _WORDS[found[0]]
        raise BadFilter(self._text)

    def _skip(self) -> int:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found is not None else self._at
        return self._at

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._skip())

    def _takes(self, token: str) -> bool:
        if not self._peek(token):
            return False
        self._at += len(token)
        return True

    def _expect(self, token: str) -> None:
        if not self._takes(token):
            raise BadFilter(self._text)


def _is_missing(value: Any) -> bool:
    return value is MISSING


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign == "==":
        return _is_equal(left, right)
    if sign == "!=":
        return not _is_equal(left, right)
    return _kind(left) == _kind(right) and _kind(left) in {"text", "number"} and _ORDERS[sign](left, right)


def _is_equal(left: Any, right: Any) -> bool:
    return _kind(left) == _kind(right) and bool(left == right)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__
