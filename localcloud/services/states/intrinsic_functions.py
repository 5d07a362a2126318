"""What each intrinsic function does: arguments in, a value out. Pure but for the randomness that it is given.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.uuids import new_uuid

__all__ = ["FUNCTIONS", "Refusal"]

MAX_RANGE: Final = 1000  # States.ArrayRange: "The newly generated array can't contain more than 1000 elements."
MAX_CHARS: Final = 10_000  # of Base64Encode, Base64Decode, Hash
_ALGORITHMS: Final = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}
_PLACES: Final = re.compile(r"\\(.)|\{\}", re.DOTALL)
_Arguments: TypeAlias = Sequence[Any]
_Function: TypeAlias = Callable[[_Arguments, random.Random], Any]


class Refusal(ValueError):
    """A function cannot do it with these arguments; the message says why."""


def _format(values: _Arguments, _rng: random.Random) -> str:
    template = _text(values[0], "States.Format")
    given = list(values[1:])
    places = sum(1 for found in _PLACES.finditer(template) if found[0] == "{}")
    if places != len(given):
        raise Refusal("The number of occurrences of {} does not match the number of arguments.")
    return _PLACES.sub(lambda found: _shown(given.pop(0)) if found[0] == "{}" else str(found[1]), template)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _string_to_json(values: _Arguments, _rng: random.Random) -> Any:
    text = _text(values[0], "States.StringToJson")
    try:
        return parse_json(text) if text else None
    except MalformedJson as error:
        raise Refusal("The argument is not a JSON string") from error


def _json_to_string(values: _Arguments, _rng: random.Random) -> str:
    return _json(values[0])


def _array(values: _Arguments, _rng: random.Random) -> list[Any]:
    return list(values)


def _partition(values: _Arguments, _rng: random.Random) -> list[Any]:
    items, size = _list(values[0], "States.ArrayPartition"), _whole(values[1], "States.ArrayPartition")
    if size < 1:
        raise Refusal("The chunk size must be a positive integer")
    return [items[start : start + size] for start in range(0, len(items), size)]


def _contains(values: _Arguments, _rng: random.Random) -> bool:
    return any(_same(each, values[1]) for each in _list(values[0], "States.ArrayContains"))


def _range(values: _Arguments, _rng: random.Random) -> list[int]:
    first, last, step = (_whole(value, "States.ArrayRange") for value in values)
    if step == 0:
        raise Refusal("The step must not be zero")
    count = (last - first) // step + 1
    if count > MAX_RANGE:
        raise Refusal(f"The array can't contain more than {MAX_RANGE} elements")
    return [first + step * number for number in range(max(count, 0))]


def _item(values: _Arguments, _rng: random.Random) -> Any:
    items, index = _list(values[0], "States.ArrayGetItem"), _whole(values[1], "States.ArrayGetItem")
    if not 0 <= index < len(items):
        raise Refusal("The index is outside the array")
    return items[index]


def _length(values: _Arguments, _rng: random.Random) -> int:
    return len(_list(values[0], "States.ArrayLength"))


def _unique(values: _Arguments, _rng: random.Random) -> list[Any]:
    found: dict[str, Any] = {}
    for each in _list(values[0], "States.ArrayUnique"):
        found.setdefault(json.dumps(each, sort_keys=True), each)
    return list(found.values())


def _encode(values: _Arguments, _rng: random.Random) -> str:
    return base64.b64encode(_bounded(values[0], "States.Base64Encode").encode()).decode()


def _decode(values: _Arguments, _rng: random.Random) -> str:
    text = _bounded(values[0], "States.Base64Decode")
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Refusal("The argument is not Base64 of a string") from error


def _hash(values: _Arguments, _rng: random.Random) -> str:
    algorithm = _text(values[1], "States.Hash")
    if algorithm not in _ALGORITHMS:
        raise Refusal(f"The algorithm must be one of {', '.join(_ALGORITHMS)}")
    text = values[0] if isinstance(values[0], str) else _json(values[0])
    return hashlib.new(_ALGORITHMS[algorithm], _bounded(text, "States.Hash").encode()).hexdigest()


def _merge(values: _Arguments, _rng: random.Random) -> dict[str, Any]:
    if values[2] is not False:
        raise Refusal("Deep merge is not supported: the third argument must be false")
    if not isinstance(values[0], dict) or not isinstance(values[1], dict):
        raise Refusal("The first two arguments must be objects")
    return {**cast("dict[str, Any]", values[0]), **cast("dict[str, Any]", values[1])}


def _random(values: _Arguments, rng: random.Random) -> int:
    first, last = _whole(values[0], "States.MathRandom"), _whole(values[1], "States.MathRandom")
    if first >= last:
        raise Refusal("The first number must be smaller than the second one")
    seeded = random.Random(_whole(values[2], "States.MathRandom")) if len(values) > 2 else rng  # noqa: S311
    return seeded.randrange(first, last)


def _add(values: _Arguments, _rng: random.Random) -> int | float:
    one, two = (_number(value) for value in values)
    if isinstance(one, int) and isinstance(two, int) and not -(2**31) <= one + two < 2**31:
        raise Refusal("The sum is outside the range from -2147483648 to 2147483647")
    try:
        total = one + two
    except OverflowError as error:
        raise Refusal("The sum is no number that can be written") from error
    if not math.isfinite(total):
        raise Refusal("The sum is no number that can be written")
    return total


def _split(values: _Arguments, _rng: random.Random) -> list[str]:
    text, marks = _text(values[0], "States.StringSplit"), _text(values[1], "States.StringSplit")
    if not marks:
        return [text]
    return [part for part in re.split(f"[{re.escape(marks)}]", text) if part]


def _uuid(_values: _Arguments, rng: random.Random) -> str:
    return new_uuid(rng)


FUNCTIONS: Final[Mapping[str, tuple[_Function, int, int | None]]] = {
    "States.Array": (_array, 0, None),
    "States.ArrayContains": (_contains, 2, 2),
    "States.ArrayGetItem": (_item, 2, 2),
    "States.ArrayLength": (_length, 1, 1),
    "States.ArrayPartition": (_partition, 2, 2),
    "States.ArrayRange": (_range, 3, 3),
    "States.ArrayUnique": (_unique, 1, 1),
    "States.Base64Decode": (_decode, 1, 1),
    "States.Base64Encode": (_encode, 1, 1),
    "States.Format": (_format, 1, None),
    "States.Hash": (_hash, 2, 2),
    "States.JsonMerge": (_merge, 3, 3),
    "States.JsonToString": (_json_to_string, 1, 1),
    "States.MathAdd": (_add, 2, 2),
    "States.MathRandom": (_random, 2, 3),
    "States.StringSplit": (_split, 2, 2),
    "States.StringToJson": (_string_to_json, 1, 1),
    "States.UUID": (_uuid, 0, 0),
}
"""Each function with the least and the most arguments that it takes, None for any number."""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _same(one: Any, two: Any) -> bool:
    return isinstance(one, bool) == isinstance(two, bool) and bool(one == two)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Refusal(f"Invalid arguments for {name}: a string is needed")
    return value


def _bounded(value: Any, name: str) -> str:
    text = _text(value, name)
    if len(text) > MAX_CHARS:
        raise Refusal(f"Invalid arguments for {name}: at most {MAX_CHARS} characters")
    return text


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Refusal(f"Invalid arguments for {name}: an array is needed")
    return cast("list[Any]", value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("Invalid arguments: a number is needed")
    return value


def _whole(value: Any, name: str) -> int:
    """A whole number; others are rounded to the nearest, as AWS does."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
        raise Refusal(f"Invalid arguments for {name}: an integer is needed")
    return value if isinstance(value, int) else round(value)
