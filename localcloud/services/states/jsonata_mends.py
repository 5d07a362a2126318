"""Where jsonata-python is not what the reference implementation is, and the functions that are ours.

What is left different is told in docs/fidelity/step-functions.md; `tests/unit/jsonata_cases.json` has the reference's
answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, cast

from localcloud.services.states import jsonata_library as library
from localcloud.services.states.jsonata_functions import SIGNATURES, make_functions
from localcloud.services.states.jsonata_text import show_value

__all__ = ["Expression", "bind_functions", "to_query"]

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[Ee][-+]?[0-9]+)?")
_RADIX: Final = re.compile(r"0[xX][0-9A-Fa-f]+|0[oO][0-7]+|0[bB][01]+")
_FRACTION: Final = re.compile(r"\.([0-9#]*)")
_LATER: Final = ("?:", "??")  # operators that came after JSONata 2.0.6, which is Step Functions' version
_ALL: Final[Mapping[str, str]] = {
    **SIGNATURES,
    "millis": "<:n>",
    "now": "<s?s?:s>",
    "count": "<x:n>",
    "formatNumber": "<n-so?:s>",
    "number": "<(nsb)-:n>",
    "power": "<n-n:n>",
    "sort": "<af?:a>",
    "string": "<x-b?:s>",
    "toMillis": "<s-s?:n>",
}


def _compile(pattern: str, flags: Any) -> re.Pattern[str]:
    """JavaScript's regular expression as Python's: the names of groups, and `$`, which is the very end."""
    pieces: list[str] = []
    in_class = False
    for piece in re.findall(r"\\.|\(\?<(?![=!])|.", pattern, re.DOTALL):
        if piece == "(?<" and not in_class:
            pieces.append("(?P<")
        elif piece == "$" and not in_class and not flags.multiline:
            pieces.append(r"\Z")
        else:
            in_class = piece == "[" or (in_class and piece != "]")
            pieces.append(piece)
    return re.compile(
        "".join(pieces), (re.IGNORECASE if flags.case_insensitive else 0) | (re.MULTILINE if flags.multiline else 0)
    )


class Expression(library.Jsonata):
    """A parsed expression. Raises the library's errors, and whatever else it trips over."""

    def __init__(self, text: str) -> None:
        parser = library.Jsonata.get_parser()
        for operator in _LATER:
            parser.symbol_table.pop(operator, None)
        super().__init__(text, _compile)  # pyright: ignore[reportUnknownMemberType]
        self.set_output_convert_nulls(False)
        self.set_validate_input(False)

    def evaluate_numeric_expression(self, lhs: Any, rhs: Any, op: str) -> Any:
        """Arithmetic in doubles: remainders keep their fraction, what is divided by nothing is not finite."""
        for code, side in (("T2001", lhs), ("T2002", rhs)):
            if side is not None and not library.values.is_numeric(side):
                raise library.error(code, -1, op, side)
        if lhs is None or rhs is None:
            return None
        return _whole(_calculate(_double(lhs), _double(rhs), op))

    def evaluate_string_concat(self, lhs: Any, rhs: Any) -> str:
        """Both sides as text; undefined is none."""
        return (show_value(lhs, None) or "") + (show_value(rhs, None) or "")


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _calculate(lhs: float, rhs: float, op: str) -> float:
    if op == "+":
        return lhs + rhs
    if op == "-":
        return lhs - rhs
    if op == "*":
        return lhs * rhs
    if rhs == 0.0:
        return math.nan if op == "%" or lhs == 0.0 else math.copysign(math.inf, lhs) * math.copysign(1.0, rhs)
    return lhs / rhs if op == "/" else math.fmod(lhs, rhs)


def _whole(number: float) -> float:
    """A whole number as an integer, as the library wants it."""
    return int(number) if math.isfinite(number) and number == int(number) else number


# ---------------------------------------------------------------------- functions


class _Function(library.Jsonata.JFunction):
    """A function of ours among the library's: arguments that are absent are None, and so is no value."""

    def __init__(self, name: str, signature: str, call: Callable[..., Any]) -> None:
        super().__init__(None, signature)  # pyright: ignore[reportUnknownMemberType]
        self.function_name = name
        self.signature.set_function_name(name)
        self._call = call
        self._count = call.__code__.co_argcount

    def call(self, input: Any, args: Any) -> Any:  # noqa: A002, ARG002 - the library's names
        """The value of a call."""
        return self._call(*[*args, *[None] * self._count][: self._count])

    def get_number_of_args(self) -> int:
        """How many arguments it takes at most."""
        return self._count


def bind_functions(names: Collection[str], seed: int, now_ms: int) -> dict[str, Any]:
    """The functions of these names that are not the library's own. `$eval` is none."""
    made = make_functions(seed)
    calls: dict[str, Callable[..., Any]] = {
        "count": _count,
        "formatNumber": _format_number,
        "number": _number,
        "power": _power,
        "sort": _sort,
        "string": show_value,
        "toMillis": _to_millis,
    }

    def parse(text: str | None) -> Any:
        return None if text is None else to_query(made["parse"](text))

    def count_up(start: float | None, end: float | None, step: float | None) -> Any:
        return library.values.create_sequence_from_iter(made["range"](start, end, step) or ())

    def tell_now(picture: str | None, zone: str | None) -> Any:
        return library.functions.datetime_from_millis(now_ms, picture, zone)

    ours = {**made, **calls, "parse": parse, "range": count_up, "millis": lambda: now_ms, "now": tell_now}
    bound = {name: _Function(name, _ALL[name], call) for name, call in ours.items() if name in names}
    return {**bound, "eval": None}


def _count(items: Any) -> int:
    if isinstance(items, list):
        return len(cast("list[Any]", items))
    return 0 if items is None else 1


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        raise library.error("T0410", -1, 1, "number")
    if _RADIX.fullmatch(value):
        return int(value, 0)
    number = float(value) if _NUMBER.fullmatch(value) else math.inf
    if not math.isfinite(number):
        raise library.error("D3030", -1, value)
    return _whole(number)


def _power(number: float | None, exponent: float) -> float | None:
    if number is None:
        return None
    try:
        result = math.pow(number, exponent)
    except (OverflowError, ValueError):
        raise library.error("D3061", -1, number, exponent) from None
    return _whole(result)


def _sort(items: Any, comparator: Any) -> Any:
    if comparator is None and isinstance(items, list):
        listed = cast("list[Any]", items)
        kinds = {"s" if isinstance(each, str) else "n" if library.values.is_numeric(each) else "" for each in listed}
        if len(kinds) > 1 or "" in kinds:
            raise library.error("D3070", -1)
    return library.functions.sort(items, comparator)


def _to_millis(text: str | None, picture: str | None) -> Any:
    try:
        return library.functions.datetime_to_millis(text, picture)
    except ValueError:
        raise library.error("D3110", -1, text) from None


def _format_number(number: float | None, picture: str | None, options: Any) -> Any:
    """Rounded to even by the digits that stand there, before the library rounds what the number is in binary."""
    if number is not None and picture and not options and "e" not in picture and math.isfinite(number):
        positive, _, negative = picture.partition(";")
        part = negative if number < 0 and negative else positive
        found = _FRACTION.search(part)
        places = (len(found[1]) if found else 0) + (2 if "%" in part else 3 if "‰" in part else 0)
        exact = Decimal(repr(number))
        if -int(exact.as_tuple().exponent) > places:
            number = _whole(float(exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)))
    return library.functions.format_number(number, picture, options)


def to_query(value: Any) -> Any:
    """A JSON value as the library has it: null is a thing of its own, None is undefined."""
    if value is None:
        return library.NULL
    if isinstance(value, dict):
        return {name: to_query(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [to_query(each) for each in cast("list[Any]", value)]
    return value
