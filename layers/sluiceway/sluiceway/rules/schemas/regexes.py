"""How long a pattern of a schema may take on a text that somebody hostile wrote.

Python's regular expressions go back and try again: nested repeats take time that doubles with each character, two
repeats side by side take the square of the length. Schemas are our own, but slips are made: so a pattern whose time is
not bounded is refused before it meets a record. The rule is on the safe side; some patterns that are quick are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Any, Final, cast

__all__ = ["find_slowness"]

MAX_TEXT: Final = 1024 * 1024  # characters of a record, where the schema bounds them no further
MAX_STEPS: Final = 256  # ours, for each character of a text: with a request of 4 MiB, some seconds at the very worst

_parser: Final[Any] = getattr(re, "_parser")  # noqa: B009 - the one that re.compile uses; has no public name
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})


_WITHIN: Final = {"ASSERT": 1, "ASSERT_NOT": 1, "ATOMIC_GROUP": None, "SUBPATTERN": 3}


class _TooSlow(ValueError):
    """Why nobody can bound the time."""


def find_slowness(pattern: str, *, max_length: int | None = None) -> str:
    """Why `pattern` is not taken, "" where it is: it is no pattern, or its time on such a text has no bound.

    `max_length`: characters of the texts that it is held against, None where nothing bounds them.
    """
    length = MAX_TEXT if max_length is None else max(1, min(max_length, MAX_TEXT))
    try:
        tree = _parser.parse(pattern)
        factors = list(_walk(tree, length))
    except re.error as error:
        return f"is no pattern: {error.msg}"
    except OverflowError:
        return "is no pattern: a repeat has too large a number"
    except RecursionError:
        return "is nested too deeply"
    except _TooSlow as error:
        return str(error)
    if not pattern.startswith("^"):
        factors.append(length)  # it is tried from every character on
    if prod(factors) <= MAX_STEPS * length:
        return ""
    return "may go through a text many times: give maxLength, begin it with ^, or use fewer repeats"


def _walk(tree: Any, length: int) -> Iterator[int]:
    """In how many ways each part can be tried."""
    for opcode, argument in cast("list[tuple[Any, Any]]", list(tree)):
        name = str(opcode)
        if name in _REPEATS:
            yield from _repeat(argument, length)
        elif name in _WITHIN:
            yield from _walk(argument if _WITHIN[name] is None else argument[_WITHIN[name]], length)
        elif name == "BRANCH":
            yield len(argument[1])
            for branch in argument[1]:
                yield from _walk(branch, length)
        elif name.startswith("GROUPREF"):
            raise _TooSlow("refers back to a group, whose time nobody can bound")


def _repeat(argument: Any, length: int) -> Iterator[int]:
    low, high, body = int(argument[0]), int(argument[1]), argument[2]
    if high > 1 and not _is_rigid(body):
        raise _TooSlow("repeats what has repeats or alternatives in it, whose time nobody can bound")
    if high <= 1:
        yield from _walk(body, length)
    if high != low:
        yield min(high, length) - low + 1 if high > low else 1


def _is_rigid(tree: Any) -> bool:
    """Whether it matches in one way only: characters one after another."""
    for opcode, argument in cast("list[tuple[Any, Any]]", list(tree)):
        name = str(opcode)
        if name == "SUBPATTERN":
            if not _is_rigid(argument[3]):
                return False
        elif name not in {"LITERAL", "NOT_LITERAL", "IN", "ANY", "AT"}:
            return False
    return True
