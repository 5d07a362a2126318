"""DynamoDB's number type: exact decimals of at most 38 digits, within a range.

Owns parsing, range checks, arithmetic and the canonical text; never touches floats.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

from localcloud.services.dynamodb.errors import validation

__all__ = ["add_numbers", "format_number", "number_size", "parse_number", "subtract_numbers"]

MAX_DIGITS: Final = 38
MAX_EXPONENT: Final = 125  # 9.99..E+125 is the largest magnitude
MIN_EXPONENT: Final = -130  # 1E-130 is the smallest
_EXACT: Final = Context(prec=600, Emax=100_000, Emin=-100_000)  # 125 + 130 + 38 digits fit: sums are exact
_NUMERAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?\Z")


def parse_number(text: str) -> Decimal:
    """`text` as an exact decimal. Raises DynamoError where it is no number or outside 38 digits and the range."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return Decimal(text)
    if not text:
        raise validation("The parameter cannot be converted to a numeric value")
    if _NUMERAL.match(text) is None:
        raise validation(f"The parameter cannot be converted to a numeric value: {text}")
    return _checked(Decimal(text))  # the constructor is exact in any context


def add_numbers(left: Decimal, right: Decimal) -> Decimal:
    """The exact sum. Raises DynamoError where it no longer fits."""
    return _checked(_EXACT.add(left, right))


def subtract_numbers(left: Decimal, right: Decimal) -> Decimal:
    """The exact difference. Raises DynamoError where it no longer fits."""
    return _checked(_EXACT.subtract(left, right))


def format_number(number: Decimal) -> str:
    """The canonical text: no exponent, no leading or trailing zeros, no negative zero."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number_size(number: Decimal) -> int:
    """Bytes that AWS counts: one for two significant digits, one more, one more where negative.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    if not number:
        return 1
    digits = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    return (digits + 1) // 2 + 1 + (number < 0)


def _checked(number: Decimal) -> Decimal:
    if not number:
        return Decimal(0)
    exponent = number.adjusted()
    if exponent > MAX_EXPONENT:
        raise validation("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if exponent < MIN_EXPONENT:
        raise validation("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    digits = number.as_tuple().digits
    if len(digits) > MAX_DIGITS and len("".join(map(str, digits)).strip("0")) > MAX_DIGITS:
        raise validation("Attempting to store more than 38 significant digits in a Number")
    return number
