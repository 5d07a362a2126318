"""Where a field of a pattern is looked up, given the value of an event.

An anchor is something that a value must have for the field to accept it, and that can be looked up in a dictionary: the
value itself, its first characters, the upper bits of a number. A field has one anchor for each of its alternatives.
What an anchor lets through still has to be tested, so it may be coarse: of a long prefix only the beginning is used, of
a range of numbers the blocks of equal upper bits that cover it, at most five. So a value asks few dictionaries, however
many anchors they hold. Must not know events or rules.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple

from sluiceway.rules.patterns.fields import (
    AddressIn,
    Alternative,
    EqualFolded,
    Field,
    NumberIn,
    Prefix,
    Suffix,
    Wildcard,
)
from sluiceway.rules.patterns.values import order_of

__all__ = [
    "ADDRESS",
    "ANY",
    "EXACT",
    "FOLDED",
    "FOLDED_PREFIX",
    "FOLDED_SUFFIX",
    "NUMBER",
    "PREFIX",
    "SUFFIX",
    "Anchor",
    "anchors_of",
]

EXACT: Final = "exact"
ANY: Final = "any"
FOLDED: Final = "folded"
PREFIX: Final = "prefix"
SUFFIX: Final = "suffix"
FOLDED_PREFIX: Final = "folded prefix"
FOLDED_SUFFIX: Final = "folded suffix"
NUMBER: Final = "number"
ADDRESS: Final = ("", "", "", "", "address 4", "", "address 6")  # by version
_KEPT_BITS: Final = 4  # of a length, so that few lengths are in use: 1 to 16, then 18, 20 ... 32, 36 ...


class Anchor(NamedTuple):
    """`level`: of a text its length, of numbers and addresses how many bits are left out; 0 elsewhere.

    `weight`: how much more often values have this anchor than one text that is wholly known, very roughly.
    """

    kind: str
    level: int
    value: Hashable
    weight: float


_PRESENT: Final = Anchor(ANY, 0, None, 16.0)


def anchors_of(field: Field) -> tuple[Anchor, ...] | None:
    """The anchors of which a value that the field accepts has one; None where no value need be there at all."""
    if field.may_be_absent:
        return None
    # true, false and null are in many events
    anchors = {Anchor(EXACT, 0, key, 4.0 if isinstance(key, tuple) else 1.0): None for key in field.keys}
    for alternative in field.alternatives:
        anchors |= dict.fromkeys(_anchors(alternative))
    return (_PRESENT,) if _PRESENT in anchors else tuple(anchors)


def _anchors(alternative: Alternative) -> Iterator[Anchor]:
    match alternative:
        case EqualFolded(text):
            yield Anchor(FOLDED, 0, text, 1.0)
        case Prefix(text, folded):
            yield _beginning(text, FOLDED_PREFIX if folded else PREFIX)
        case Suffix(text, folded):
            yield _end(text, FOLDED_SUFFIX if folded else SUFFIX)
        case Wildcard((head, *_, tail)):
            yield _beginning(head, PREFIX) if len(head) >= len(tail) else _end(tail, SUFFIX)
        case NumberIn(low, high):
            yield from _blocks(order_of(low), order_of(high))
        case AddressIn((version, low, _, bits)):
            yield Anchor(ADDRESS[version], bits, low >> bits, 1.0 + bits / 16)
        case _:
            yield _PRESENT


def _length(text: str) -> int:
    spare = max(0, len(text).bit_length() - _KEPT_BITS)
    return len(text) >> spare << spare


def _beginning(text: str, kind: str) -> Anchor:
    length = _length(text)
    return Anchor(kind, length, text[:length], 1.0 + 4.0 / length) if length else _PRESENT


def _end(text: str, kind: str) -> Anchor:
    length = _length(text)
    return Anchor(kind, length, text[-length:], 1.0 + 4.0 / length) if length else _PRESENT


def _blocks(low: int, high: int) -> Iterator[Anchor]:
    bits = max(0, (high - low).bit_length() - 2)
    for block in range(low >> bits, (high >> bits) + 1):
        yield Anchor(NUMBER, bits, block, 1.0 + bits / 8)
