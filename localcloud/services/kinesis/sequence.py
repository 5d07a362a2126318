"""Sequence numbers in AWS's look: 56 digits that say their shard and grow along a shard and its children. Pure.

Read in hexadecimal, from the front: a 2; nine digits of the second in which the shard began; the last digit of the
shard's number; sixteen of the record's place in the shard; two that are 00 for records; nine of the record's own
second; eight of the shard's number; a 2. A child begins in a later second than its parents, so its numbers come after
theirs. Source: what public numbers of AWS decode to; the guide promises the order alone:
https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = [
    "LAST_PLACE",
    "Sequence",
    "first_prefix",
    "first_sequence",
    "last_place_before",
    "make_sequence",
    "parse_sequence",
]

LAST_PLACE: Final = 0x7FFF_FFFF_FFFF_FFFF
MAX_SHARD: Final = 0x7FFF_FFFF
_VERSION: Final = 2
_AFTER: Final = 1 << 72  # the two digits that are 00 for a record: 01 is right behind it, before the next
_TEXT: Final = re.compile(r"0|[1-9]\d{0,128}")  # SequenceNumber of the API's model
_BITS: Final = 188
_SECONDS: Final = (1 << 36) - 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """What a number says: its shard's number and first second, its `place` in it, and its own second."""

    shard: int
    created_s: int
    place: int
    written_s: int


def first_sequence(shard: int, created_s: int) -> int:
    """The number that a shard begins with; its first record comes after it."""
    return make_sequence(first_prefix(shard, created_s), 0, created_s)


def first_prefix(shard: int, created_s: int) -> int:
    """What all numbers of a shard share."""
    return (
        (_VERSION << 184)
        | ((created_s & _SECONDS) << 148)
        | ((shard & 0xF) << 144)
        | ((shard & MAX_SHARD) << 4)
        | _VERSION
    )


def make_sequence(prefix: int, place: int, written_s: int, *, after: bool = False) -> int:
    """The number of `place` (0 to LAST_PLACE) in the shard of `prefix`.

    `after`: a number between that one and the next place's, later for a later second; a checkpoint without a record.
    """
    number = prefix | (place << 80) | ((written_s & _SECONDS) << 36)
    return number | _AFTER if after else number


def last_place_before(position: int) -> int:
    """The last place whose record a reader at `position` has behind it; 0 where there is none."""
    place = (position >> 80) & 0xFFFF_FFFF_FFFF_FFFF
    is_at_record = position & 0xF == _VERSION and not position & (0xFF << 72)
    return max(0, place - 1) if is_at_record else place


def parse_sequence(text: str) -> Sequence:
    """What `text` says. Raises ValueError where it is no sequence number."""
    if not _TEXT.fullmatch(text):
        raise ValueError(text)
    number = int(text)
    place, shard = (number >> 80) & 0xFFFF_FFFF_FFFF_FFFF, (number >> 4) & 0xFFFF_FFFF
    wrong = (
        number.bit_length() > _BITS
        or number >> 184 != _VERSION
        or number & 0xF != _VERSION
        or place > LAST_PLACE
        or shard > MAX_SHARD
        or (number >> 144) & 0xF != shard & 0xF
    )
    if wrong:
        raise ValueError(text)
    return Sequence(shard, (number >> 148) & _SECONDS, place, (number >> 36) & _SECONDS)
