"""DynamoDB attribute values <-> Python, exactly.

Owns the type descriptors (S, N, B, BOOL, NULL, L, M, SS, NS, BS) and what may be written in them. Must not know tables,
expressions or requests. Numbers are exact both ways: an integer literal reads back as `int`, any other as `Decimal`; a
`float` is refused, because most decimal fractions have no exact one. Sizes are DynamoDB's to judge.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from sluiceway.errors import Rejected

if TYPE_CHECKING:
    from decimal import Decimal  # while a process runs: with the first value that may be one; it costs 1 ms

__all__ = [
    "Item",
    "Value",
    "WireItem",
    "decode_item",
    "decode_value",
    "encode_item",
    "encode_value",
    "read_integer",
    "read_integers",
    "read_mapping",
    "read_text",
]

Scalar: TypeAlias = "str | int | Decimal | bytes | bool | None"
ScalarSet: TypeAlias = "AbstractSet[str] | AbstractSet[int] | AbstractSet[Decimal] | AbstractSet[bytes]"
Value: TypeAlias = "Scalar | ScalarSet | AbstractSet[int | Decimal] | Sequence[Value] | Mapping[str, Value]"
"""What an attribute may hold. Reading gives str, int, Decimal, bytes, bool, None, set, list and dict."""
Item: TypeAlias = Mapping[str, Value]
WireItem: TypeAlias = dict[str, dict[str, object]]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
MAX_DIGITS: Final = 38
MIN_ADJUSTED: Final = -130
MAX_ADJUSTED: Final = 125
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (nested attribute depth)
MAX_DEPTH: Final = 32

_PLAIN_INT: Final = 10**MAX_DIGITS  # below it `str` of an int is the number as DynamoDB takes it
_MAX_INT: Final = 10 ** (MAX_ADJUSTED + 1)
_OUT_OF_RANGE: Final = (
    "number out of range: its magnitude is 0, or 1E-130 to 9.9999999999999999999999999999999999999E+125"
)


def encode_item(item: Item) -> WireItem:
    """`item` in wire form. Raises `Rejected` (reason `invalid-attribute`, `field` the attribute's name)."""
    return {_check_name(name): _encode_named(name, value) for name, value in item.items()}


def decode_item(item: Mapping[str, object]) -> dict[str, Value]:
    """The item in Python. Raises `Rejected` (reason `invalid-attribute`) on what is not an attribute value."""
    return {name: _decode(value) for name, value in item.items()}


def encode_value(value: Value) -> dict[str, object]:
    """One attribute value in wire form. Sets become lists in sorted order, so equal values give equal bytes.

    Raises `Rejected` (reason `invalid-attribute`): a float, a number past 38 digits or out of range, an empty or mixed
    set, a name that is no non-empty string, more than 32 levels, or a type that DynamoDB has no word for.
    """
    return _encode(value, 0)


def decode_value(value: object) -> Value:
    """One attribute value in Python. Raises `Rejected` (reason `invalid-attribute`)."""
    return _decode(value)


def _decode(value: Any) -> Value:
    attribute: dict[str, Any] = value
    if type(value) is not dict or len(attribute) != 1:
        raise _refuse("an attribute value is an object with exactly one type descriptor")
    ((kind, content),) = attribute.items()
    decode = _DECODERS.get(kind)
    if decode is None:
        raise _refuse(f"unknown type descriptor {kind!r}")
    try:
        return decode(content)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:  # the last: what is no Decimal
        raise _refuse(f"malformed {kind} attribute value") from error


def read_text(item: Item, name: str) -> str:
    """The string attribute `name`, "" where there is none."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def read_integer(item: Item, name: str) -> int:
    """The number attribute `name` without its fraction, 0 where there is none."""
    return _cut(item.get(name)) or 0


def read_integers(item: Item, name: str) -> tuple[int, ...]:
    """The numbers in the list attribute `name`, each without its fraction; () where there is none."""
    value = item.get(name)
    cut = [_cut(each) for each in value] if isinstance(value, list) else []
    return tuple(number for number in cut if number is not None)


def read_mapping(item: Item, name: str) -> Mapping[str, Value] | None:
    """The map attribute `name`, None where there is none."""
    value = item.get(name)
    return value if isinstance(value, Mapping) else None


def _cut(value: Value) -> int | None:
    """A number without its fraction, None for what is none."""
    if isinstance(value, int):
        return int(value)
    if value is None or isinstance(value, str):
        return None
    from decimal import Decimal  # noqa: PLC0415 - see above

    return int(value) if isinstance(value, Decimal) else None


def _encode_named(name: str, value: Value) -> dict[str, object]:
    try:
        return _encode(value, 0)
    except Rejected as error:
        raise Rejected(f"attribute {name!r}: {error}", reason=error.reason, field=name) from error


def _encode(value: object, depth: int) -> dict[str, object]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": _whole_number(value)}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bytes | bytearray):
        return {"B": base64.b64encode(value).decode("ascii")}
    return _encode_rest(value, depth + 1)


def _encode_rest(value: object, depth: int) -> dict[str, object]:
    from decimal import Decimal  # noqa: PLC0415 - see above

    if isinstance(value, Decimal):
        return {"N": _exact_number(value)}
    if depth > MAX_DEPTH:
        raise _refuse(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        return {"M": {_check_name(name): _encode(inner, depth) for name, inner in entries.items()}}
    if isinstance(value, list | tuple):
        return {"L": [_encode(inner, depth) for inner in cast("Iterable[object]", value)]}
    if isinstance(value, AbstractSet):
        return _encode_set(cast("AbstractSet[object]", value))
    if isinstance(value, float):
        raise _refuse("a float is not exact: use Decimal, int or str")
    raise _refuse(f"DynamoDB has no type for {type(value).__name__}")


def _encode_set(members: AbstractSet[object]) -> dict[str, object]:
    from decimal import Decimal  # noqa: PLC0415 - see above

    if not members:
        raise _refuse("a set may not be empty")
    if all(isinstance(member, str) for member in members):
        return {"SS": sorted(cast("AbstractSet[str]", members))}
    if all(isinstance(member, int | Decimal) and not isinstance(member, bool) for member in members):
        numbers = sorted(cast("AbstractSet[Decimal]", members))
        return {"NS": [_whole_number(each) if isinstance(each, int) else _exact_number(each) for each in numbers]}
    if all(isinstance(member, bytes) for member in members):
        blobs = sorted(cast("AbstractSet[bytes]", members))
        return {"BS": [base64.b64encode(blob).decode("ascii") for blob in blobs]}
    raise _refuse("a set holds only str, only numbers (int, Decimal) or only bytes")


def _whole_number(value: int) -> str:
    if -_PLAIN_INT < value < _PLAIN_INT:
        return str(value)
    if not -_MAX_INT < value < _MAX_INT:
        raise _refuse(_OUT_OF_RANGE)
    from decimal import Decimal  # noqa: PLC0415 - see above

    return _exact_number(Decimal(value))


def _exact_number(value: Decimal) -> str:
    from decimal import Context, Inexact, InvalidOperation  # noqa: PLC0415 - see above

    try:  # this drops trailing zeros only: anything else would be Inexact
        exact = value.normalize(Context(prec=MAX_DIGITS, traps=[Inexact, InvalidOperation]))
    except Inexact as error:
        raise _refuse(f"a number has at most {MAX_DIGITS} significant digits") from error
    except InvalidOperation as error:
        raise _refuse("NaN is not a number DynamoDB has") from error
    if not exact.is_finite():
        raise _refuse("Infinity and NaN are not numbers DynamoDB has")
    if exact.is_zero():
        return "0"
    if not MIN_ADJUSTED <= exact.adjusted() <= MAX_ADJUSTED:
        raise _refuse(_OUT_OF_RANGE)
    return str(exact)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise _refuse("attribute names are strings of at least one character")
    return name


def _decode_text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError
    return content


def _decode_number(content: Any) -> int | Decimal:
    text = _decode_text(content)
    if text.lstrip("-").isdecimal():
        return int(text)
    from decimal import Decimal  # noqa: PLC0415 - see above

    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return number


def _decode_binary(content: Any) -> bytes:
    try:
        return base64.b64decode(_decode_text(content), validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _decode_bool(content: Any) -> bool:
    if not isinstance(content, bool):
        raise TypeError
    return content


def _decode_list(content: Any) -> list[Value]:
    if not isinstance(content, list):
        raise TypeError
    return [_decode(inner) for inner in cast("list[object]", content)]


def _decode_map(content: Any) -> dict[str, Value]:
    return {name: _decode(inner) for name, inner in cast("dict[str, object]", content).items()}


def _refuse(why: str) -> Rejected:
    return Rejected(why, reason="invalid-attribute")


_DECODERS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "S": _decode_text,
    "N": _decode_number,
    "B": _decode_binary,
    "BOOL": _decode_bool,
    "NULL": lambda _content: None,
    "L": _decode_list,
    "M": _decode_map,
    "SS": lambda content: {_decode_text(member) for member in content},
    "NS": lambda content: {_decode_number(member) for member in content},
    "BS": lambda content: {_decode_binary(member) for member in content},
}
