"""The functions that Step Functions adds to JSONata, and those whose time and chance are given. Pure but for chance.

An argument that is absent or undefined is None. A whole number is wanted where a number with a fraction stands: it is
cut towards zero. Source: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.json_text import MalformedJson, parse_json
from localcloud.uuids import new_uuid

__all__ = ["MAX_RANGE", "SIGNATURES", "BadArgument", "make_functions"]

MAX_RANGE: Final = 360_145  # numbers that $range gives on AWS; one more is refused
_ALGORITHMS: Final[Mapping[str, str]] = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}
SIGNATURES: Final[Mapping[str, str]] = {
    "hash": "<s-s?:s>",
    "parse": "<s-:x>",
    "partition": "<an?:a>",
    "random": "<n?:n>",
    "range": "<n-n?n?:a>",
    "shuffle": "<a:a>",
    "uuid": "<:s>",
}


class BadArgument(ValueError):
    """A function cannot do anything with its arguments; the message says why."""


def make_functions(seed: int) -> dict[str, Callable[..., Any]]:
    """The functions by name; lists that they give are sequences where JSONata's own would be."""
    rng = random.Random(seed)  # noqa: S311 - chance that a seed decides

    def give_random(own_seed: float | None) -> float:
        return rng.random() if own_seed is None else random.Random(int(own_seed)).random()  # noqa: S311 - as above

    def shuffle(items: list[Any] | None) -> list[Any] | None:
        if items is None:
            return None
        mixed = list(items)
        rng.shuffle(mixed)
        return mixed

    return {
        "hash": _hash,
        "parse": _parse,
        "partition": _partition,
        "random": give_random,
        "range": _range,
        "shuffle": shuffle,
        "uuid": lambda: new_uuid(rng),
    }


def _hash(text: str | None, algorithm: str | None) -> str | None:
    if text is None or algorithm is None:
        return None
    if algorithm not in _ALGORITHMS:
        raise BadArgument(f"The algorithm of $hash must be one of {', '.join(_ALGORITHMS)}. Given {algorithm}")
    return hashlib.new(_ALGORITHMS[algorithm], text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def _parse(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return parse_json(text)
    except MalformedJson as error:
        raise BadArgument(f"The argument of $parse is no JSON: {error}") from error


def _partition(items: list[Any] | None, size: float | None) -> list[list[Any]] | None:
    if not items or size is None or int(size) <= 0:
        return None
    step = int(size)
    listed = list(items)
    return [listed[at : at + step] for at in range(0, len(listed), step)]


def _range(start: float | None, end: float | None, step: float | None) -> list[int] | None:
    if start is None or end is None or step is None or int(step) == 0:
        return None
    first, last, width = int(start), int(end), int(step)
    if (last - first) * width < 0:
        return None
    numbers = range(first, last + (1 if width > 0 else -1), width)
    if len(numbers) > MAX_RANGE:
        raise BadArgument("Expression evaluation memory limit exceeded")
    return list(numbers)
