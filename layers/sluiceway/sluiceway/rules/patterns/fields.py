"""What one field of a pattern accepts: the alternatives of its list, and the test that they make together.

Everything here is made once, when a pattern is compiled, and is immutable and comparable: equal alternatives are the
same condition, which an index relies on. Must not know paths, patterns as JSON, or events; values come as keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluiceway.rules.patterns.addresses import Block, parse_address
from sluiceway.rules.patterns.values import Key, fold
from sluiceway.rules.patterns.wildcards import match_pieces

__all__ = [
    "AddressIn",
    "Alternative",
    "EqualFolded",
    "Field",
    "NoneOf",
    "NumberIn",
    "OtherThan",
    "Prefix",
    "Present",
    "Suffix",
    "Test",
    "Wildcard",
]

Test = Callable[[Key], bool]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Texts that begin with `text`; with `folded`, whatever their case (`text` is folded then)."""

    text: str
    folded: bool = False

    def make_test(self) -> Test:
        text = self.text
        if self.folded:
            return lambda key: isinstance(key, str) and fold(key[: len(text)]) == text
        return lambda key: isinstance(key, str) and key.startswith(text)


@dataclass(frozen=True, slots=True)
class Suffix:
    """Texts that end with `text`; with `folded`, whatever their case."""

    text: str
    folded: bool = False

    def make_test(self) -> Test:
        text = self.text
        if self.folded:
            start = -len(text)
            return lambda key: isinstance(key, str) and (not text or fold(key[start:]) == text)
        return lambda key: isinstance(key, str) and key.endswith(text)


@dataclass(frozen=True, slots=True)
class EqualFolded:
    """The text whose folded form is `text`."""

    text: str

    def make_test(self) -> Test:
        text = self.text
        return lambda key: isinstance(key, str) and len(key) == len(text) and fold(key) == text


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Texts of `pieces` with anything between them."""

    pieces: tuple[str, ...]

    def make_test(self) -> Test:
        pieces = self.pieces
        return lambda key: isinstance(key, str) and match_pieces(pieces, key)


@dataclass(frozen=True, slots=True)
class NumberIn:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float

    def make_test(self) -> Test:
        low, high = self.low, self.high
        return lambda key: isinstance(key, float) and low <= key <= high


@dataclass(frozen=True, slots=True)
class AddressIn:
    """Texts that are an address of the block."""

    block: Block

    def make_test(self) -> Test:
        version, low, high, _bits = self.block

        def test(key: Key) -> bool:
            address = parse_address(key) if isinstance(key, str) else None
            return address is not None and address.version == version and low <= address.number <= high

        return test


@dataclass(frozen=True, slots=True)
class OtherThan:
    """Any value that is none of `keys`."""

    keys: frozenset[Key]

    def make_test(self) -> Test:
        keys = self.keys
        return lambda key: key not in keys


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Any value that none of the alternatives takes."""

    alternatives: tuple[Prefix | Suffix | EqualFolded | Wildcard, ...]

    def make_test(self) -> Test:
        accepts = _any_of(frozenset(), self.alternatives)
        return lambda key: not accepts(key)


@dataclass(frozen=True, slots=True)
class Present:
    """Any value."""

    def make_test(self) -> Test:
        return lambda _key: True


Alternative = Prefix | Suffix | EqualFolded | Wildcard | NumberIn | AddressIn | OtherThan | NoneOf | Present


class Field:
    """One path of a pattern: its value is one of `keys`, or one of the alternatives takes it; or there is none.

    `may_be_absent`: the list has `{"exists": false}`. `accepts` tells whether a key will do; beside a look at `keys` it
    takes so many `tests`. Fields that accept the same are equal, if their alternatives are written in the same order.
    """

    __slots__ = ("_hash", "accepts", "alternatives", "keys", "may_be_absent", "path", "tests")

    def __init__(
        self, path: str, keys: frozenset[Key], alternatives: tuple[Alternative, ...], *, may_be_absent: bool
    ) -> None:
        self.path = path
        self.keys = keys
        self.alternatives = alternatives
        self.may_be_absent = may_be_absent
        self.accepts = _any_of(keys, alternatives)
        self.tests = sum(len(each.alternatives) if isinstance(each, NoneOf) else 1 for each in alternatives)
        self._hash = hash((path, keys, alternatives, may_be_absent))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Field)
            and (self.path, self.keys, self.alternatives, self.may_be_absent)
            == (other.path, other.keys, other.alternatives, other.may_be_absent)
        )

    def accepts_any(self, found: set[Key]) -> bool:
        """Whether one of the keys will do."""
        return not self.keys.isdisjoint(found) or (bool(self.alternatives) and any(map(self.accepts, found)))


def _any_of(keys: frozenset[Key], alternatives: tuple[Alternative, ...]) -> Test:
    if not alternatives:
        return keys.__contains__
    tests = [each.make_test() for each in alternatives]
    if not keys and len(tests) == 1:
        return tests[0]

    def accepts(key: Key) -> bool:
        if key in keys:
            return True
        for test in tests:  # noqa: SIM110 - a generator would cost more than most tests
            if test(key):
                return True
        return False

    return accepts
