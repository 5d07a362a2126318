"""The list of a field, as it stands in a pattern, becomes a Field; what is wrong with it, an InvalidPattern.

The rules are those of Event Ruler's compiler. An exact string that is an IP address means the address, however it is
written; `exactly` means the text. Must not know where in a pattern the list stands, but for its path.
Source: https://github.com/aws/event-ruler and facts of its release 2.0.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from sluiceway.rules.patterns.addresses import Block, parse_address, parse_block
from sluiceway.rules.patterns.decoding import Members, members_of
from sluiceway.rules.patterns.fields import (
    AddressIn,
    Alternative,
    EqualFolded,
    Field,
    NoneOf,
    NumberIn,
    OtherThan,
    Prefix,
    Present,
    Suffix,
    Wildcard,
)
from sluiceway.rules.patterns.limits import InvalidPattern, Limits
from sluiceway.rules.patterns.values import NULL, Key, fold, key_of
from sluiceway.rules.patterns.wildcards import measure_complexity, split_wildcard

__all__ = ["read_field"]


def read_field(path: str, values: Sequence[object], limits: Limits) -> Field:
    """The field at `path` with its list. Raises: InvalidPattern."""
    if values and all(isinstance(value, str) and parse_address(value) is None for value in values):
        return Field(path, frozenset(cast("Sequence[str]", values)), (), may_be_absent=False)  # what most lists are
    reader = _Reader(path, limits)
    for value in values:
        reader.read(value)
    return reader.finish()


class _Reader:
    """Gathers the alternatives of one list."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.keys = set[Key]()
        self.alternatives: dict[Alternative, None] = {}
        self.may_be_absent = False

    def refuse(self, message: str, reason: str) -> InvalidPattern:
        return InvalidPattern(message, reason=reason, path=self.path)

    def finish(self) -> Field:
        if not self.keys and not self.alternatives and not self.may_be_absent:
            raise self.refuse("an empty array matches nothing and is not allowed", "empty-array")
        limit = self.limits.wildcard_complexity
        wildcards = [each.pieces for each in self.alternatives if isinstance(each, Wildcard)]
        if wildcards and measure_complexity(wildcards, limit=limit) > limit:
            raise self.refuse(f"its wildcards are more complex than {limit}", "wildcard-complexity")
        return Field(self.path, frozenset(self.keys), tuple(self.alternatives), may_be_absent=self.may_be_absent)

    def read(self, value: object) -> None:
        """One element of the list."""
        if isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, list | tuple):
            raise self.refuse("a value is text, a number, true, false, null or an operator, not an array", "value")
        elif (members := members_of(value)) is not None:
            self._read_operator(members)
        else:
            self.keys.add(self._key(value))

    def _key(self, value: object) -> Key:
        try:
            key = key_of(value)
        except TypeError as error:
            raise self.refuse(str(error), "value") from None
        if key in _NO_JSON:
            raise self.refuse(f"{value} is no JSON number", "value")
        return key

    def _add_text(self, text: str) -> None:
        address = parse_address(text)
        if address is None:
            self.keys.add(text)
        else:
            self._add(AddressIn(Block(address.version, address.number, address.number, 0)))

    def _add(self, alternative: Alternative) -> None:
        self.alternatives[alternative] = None

    def _read_operator(self, members: Members) -> None:
        name, operand = self._only(members)
        read = _READERS.get(name)
        if read is None:
            raise self.refuse(f"{name!r} is no operator", "unknown-operator")
        self._allow(name)
        read(self, operand)

    def _only(self, members: Members) -> tuple[str, object]:
        if len(members) != 1:
            raise self.refuse("an operator is an object with one member", "operator")
        return members[0]

    def _allow(self, name: str) -> None:
        if name not in self.limits.operators:
            raise self.refuse(f"{name!r} is not served here", "operator-not-served")

    def _text(self, operand: object, name: str) -> str:
        if not isinstance(operand, str):
            raise self.refuse(f"{name} takes text", "operand")
        return operand

    def read_exactly(self, operand: object) -> None:
        self.keys.add(self._text(operand, "exactly"))

    def read_prefix(self, operand: object) -> None:
        self._add(Prefix(*self._affix(operand, "prefix")))

    def read_suffix(self, operand: object) -> None:
        self._add(Suffix(*self._affix(operand, "suffix")))

    def _affix(self, operand: object, name: str) -> tuple[str, bool]:
        members = members_of(operand)
        if members is None:
            return self._text(operand, name), False
        inner, text = self._only(members)
        if inner != "equals-ignore-case":
            raise self.refuse(f"{name} takes text or equals-ignore-case, not {inner!r}", "operand")
        self._allow(f"{name} equals-ignore-case")
        return fold(self._text(text, f"{name} equals-ignore-case")), True

    def read_folded(self, operand: object) -> None:
        self._add(EqualFolded(fold(self._text(operand, "equals-ignore-case"))))

    def read_wildcard(self, operand: object) -> None:
        pieces = self._pieces(operand, "wildcard")
        if len(pieces) == 1:
            self.keys.add(pieces[0])
        else:
            self._add(Wildcard(pieces))

    def _pieces(self, operand: object, name: str) -> tuple[str, ...]:
        pieces = split_wildcard(self._text(operand, name))
        if isinstance(pieces, str):
            raise self.refuse(f"{name}: {pieces}", "wildcard")
        return pieces

    def read_exists(self, operand: object) -> None:
        if operand is True:
            self._add(OtherThan(_EMPTY) if self.limits.exists_means_filled else Present())
        elif operand is False:
            self.may_be_absent = True
        else:
            raise self.refuse("exists takes true or false", "operand")

    def read_cidr(self, operand: object) -> None:
        block = parse_block(self._text(operand, "cidr"))
        if isinstance(block, str):
            raise self.refuse(block, "cidr")
        self._add(AddressIn(block))

    def read_numeric(self, operand: object) -> None:
        parts = cast("Sequence[object]", operand) if isinstance(operand, list | tuple) else ()
        if len(parts) not in {2, 4} or not all(isinstance(sign, str) for sign in parts[::2]):
            raise self.refuse("numeric takes an array of a comparison and a number, once or twice", "numeric")
        signs = cast("Sequence[str]", parts[::2])
        numbers = [self._number(number, "numeric") for number in parts[1::2]]
        if len(parts) == 2:
            self._read_bound(signs[0], numbers[0])
            return
        if signs[0] not in _LOWER or signs[1] not in _UPPER:
            raise self.refuse("a range is > or >= a number, then < or <= a number", "numeric")
        if numbers[0] >= numbers[1]:
            raise self.refuse("the lower bound must be less than the upper one", "numeric")
        self._add(NumberIn(_LOWER[signs[0]](numbers[0]), _UPPER[signs[1]](numbers[1])))

    def _read_bound(self, sign: str, number: float) -> None:
        if sign == "=":
            self.keys.add(number)
        elif sign in _LOWER:
            self._add(NumberIn(_LOWER[sign](number), math.inf))
        elif sign in _UPPER:
            self._add(NumberIn(-math.inf, _UPPER[sign](number)))
        else:
            raise self.refuse("the comparisons of numeric are =, <, <=, > and >=", "numeric")

    def _number(self, value: object, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(f"{name} compares numbers", "operand")
        number = self._key(value)
        if not isinstance(number, float):
            raise self.refuse(f"{name} takes numbers that a double holds exactly", "inexact-number")
        if abs(number) > self.limits.largest_number:
            raise self.refuse(f"{name} takes numbers up to {self.limits.largest_number:g}", "large-number")
        return number

    def read_anything_but(self, operand: object) -> None:
        members = members_of(operand)
        if members is not None:
            self._read_none_of(*self._only(members))
            return
        values = cast("Sequence[object]", operand) if isinstance(operand, list | tuple) else [operand]
        if all(isinstance(value, str) for value in values) and values:
            self._add(OtherThan(frozenset(cast("Sequence[str]", values))))
        elif any(isinstance(value, str) for value in values) or not values:
            raise self.refuse("anything-but takes texts or numbers, not both and not none", "operand")
        else:
            self._add(OtherThan(frozenset(self._number(value, "anything-but") for value in values)))

    def _read_none_of(self, name: str, operand: object) -> None:
        full = f"anything-but {name}"
        make = _EXCLUDED.get(name)
        if make is None:
            raise self.refuse(f"anything-but takes no {name!r}", "operand")
        self._allow(full)
        values = cast("Sequence[object]", operand) if isinstance(operand, list | tuple) else [operand]
        if not values:
            raise self.refuse(f"{full} takes text or a list of texts, not none", "operand")
        texts = [self._text(value, full) for value in values]
        if name in {"prefix", "suffix"} and "" in texts:
            raise self.refuse(f"{full} takes no empty text", "operand")
        self._add(NoneOf(tuple(make(self, text) for text in texts)))

    def excluded_wildcard(self, text: str) -> Wildcard:
        return Wildcard(self._pieces(text, "anything-but wildcard"))


_EMPTY: Final[frozenset[Key]] = frozenset({NULL, ""})
_NO_JSON: Final = frozenset({("nan",), ("inf",), ("-inf",)})
_LOWER: Final[Mapping[str, Callable[[float], float]]] = {
    ">": lambda number: math.nextafter(number, math.inf),
    ">=": lambda number: number,
}
_UPPER: Final[Mapping[str, Callable[[float], float]]] = {
    "<": lambda number: math.nextafter(number, -math.inf),
    "<=": lambda number: number,
}
_READERS: Final[Mapping[str, Callable[[_Reader, object], None]]] = {
    "anything-but": _Reader.read_anything_but,
    "cidr": _Reader.read_cidr,
    "equals-ignore-case": _Reader.read_folded,
    "exactly": _Reader.read_exactly,
    "exists": _Reader.read_exists,
    "numeric": _Reader.read_numeric,
    "prefix": _Reader.read_prefix,
    "suffix": _Reader.read_suffix,
    "wildcard": _Reader.read_wildcard,
}
_EXCLUDED: Final[Mapping[str, Callable[[_Reader, str], Prefix | Suffix | EqualFolded | Wildcard]]] = {
    "equals-ignore-case": lambda _reader, text: EqualFolded(fold(text)),
    "prefix": lambda _reader, text: Prefix(text),
    "suffix": lambda _reader, text: Suffix(text),
    "wildcard": _Reader.excluded_wildcard,
}
