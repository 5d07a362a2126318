"""What a value in an event, or in a pattern, is compared as: its key.

A string is its own key. A number is the double that its text names, so 300, 300.0 and 3.0e2 are one number; a text that
names no double to the last digit (2^53+1, 1e400, twenty decimals) is no number but that text, and equals nothing else.
That, true, false and null are tuples of their text: Python holds True for 1, JSON does not. A double is named by the
shortest decimal that reads back as it; so 0.1 is a number though no binary fraction is a tenth.
Must not know patterns or events.
"""

from __future__ import annotations

import math
import struct
from typing import Final, Self

__all__ = ["FALSE", "NULL", "TRUE", "InexactNumber", "Key", "fold", "key_of", "order_of", "read_number"]

Key = str | float | tuple[str]

NULL: Final[Key] = ("null",)
TRUE: Final[Key] = ("true",)
FALSE: Final[Key] = ("false",)

_SAFE_INTEGER: Final = 2**53  # up to here every whole number is a double and its own shortest decimal
_SAFE_LENGTH: Final = 15  # any fifteen digits read back from a double
_TEXT_BITS: Final = 14_000  # Python writes no longer whole numbers as decimal text (4,300 digits)
_SIGN: Final = 1 << 63


class InexactNumber(float):
    """A number of a JSON text that no double holds: the nearest double, and the text."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        """`text`: a JSON number."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def read_number(text: str) -> float:
    """A JSON number as a double, or as an InexactNumber where none holds it."""
    number = float(text)
    if len(text) <= _SAFE_LENGTH and "e" not in text and "E" not in text:
        return number
    return number if _names(text, number) else InexactNumber(text)


def key_of(value: object) -> Key:
    """The key of a decoded JSON scalar. Raises: TypeError for what JSON does not have."""
    if isinstance(value, str):
        return value
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return _key_of_integer(value)
    if isinstance(value, InexactNumber):
        return (value.text,)
    if isinstance(value, float):
        return value if math.isfinite(value) else (repr(value),)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def fold(text: str) -> str:
    """`text` without its case, character by character, so that a prefix stays one: ß is not ss."""
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def order_of(number: float) -> int:
    """A whole number of 64 bits, in the order of the doubles: close doubles share their upper bits."""
    bits: int = struct.unpack(">q", struct.pack(">d", number + 0.0))[0]  # + 0.0: there is one zero
    return bits if bits >= 0 else -(bits + _SIGN)


def _fold_character(character: str) -> str:
    lower = character.lower()
    if len(lower) != 1:
        return character
    folded = lower.casefold()
    return folded if len(folded) == 1 else lower


def _key_of_integer(value: int) -> Key:
    if -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
        return float(value)
    if value.bit_length() > _TEXT_BITS:
        return (hex(value),)
    text = str(value)
    try:
        number = float(value)
    except OverflowError:
        return (text,)
    return number if _names(text, number) else (text,)


def _names(text: str, number: float) -> bool:
    """Whether the decimal `text` is the shortest one that reads as `number`, whatever its form."""
    if math.isinf(number):
        return False
    if number == 0:  # too small for any double, or zero: its digits tell
        return not any(digit in "123456789" for digit in text.lower().partition("e")[0])
    from decimal import Decimal  # noqa: PLC0415 - few numbers are this long

    return Decimal(text) == Decimal(repr(number))
