"""Evaluates JSONata with jsonata-python, bounded as AWS bounds it.

Loads the library. A call takes as long as its expression does: who must not wait has it done elsewhere
(`query_process`). The bounds: 100 evaluations inside each other, values of 6,990,256 bytes, five seconds.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from localcloud.json_text import MAX_DEPTH as MAX_JSON_DEPTH
from localcloud.services.states import jsonata_library as library
from localcloud.services.states.jsonata_functions import BadArgument
from localcloud.services.states.jsonata_library import FrameLimit
from localcloud.services.states.jsonata_mends import Expression, bind_functions, to_query
from localcloud.services.states.queries import FailedQuery, Query, QueryFailed, used_names

__all__ = ["LIMIT_S", "BadExpression", "evaluate_all", "parse_expression"]

MAX_DEPTH: Final = 100  # evaluations inside each other, as on AWS
MAX_VALUE_BYTES: Final = 6_990_256  # of one value, a number counts as eight and a character as one, as on AWS
LIMIT_S: Final = 5.0
_EXACT: Final = 10**21  # whole numbers from here on stand with an exponent, as in JavaScript
_INSERT: Final = re.compile(r"\{\{\w+\}\}")
_MISTAKES: Final = (  # of the library, where it has no error of its own
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError,
    re.error,
)  # fmt: skip
_MEMORY: Final = "Expression evaluation memory limit exceeded"
_STACK: Final = (
    "Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive."
)
_TIME: Final = "Expression evaluation timeout: Check for infinite loop"


class BadExpression(ValueError):
    """The text is no JSONata; the message says why."""


class _Exceeded(Exception):
    """An evaluation ended without a value; the message says why."""


class _Unsupported(Exception):
    """The value is a function, or holds one."""


class _Bounds:
    """The bounds of one expression, held before and behind every evaluation in it."""

    def __init__(self) -> None:
        self._depth = 0
        self._ends_s = time.monotonic() + LIMIT_S

    def enter(self, _expression: Any, _input: Any, _environment: Any) -> None:
        """One evaluation begins."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Exceeded(f"{_STACK} Depth={self._depth} max={MAX_DEPTH}")
        if time.monotonic() > self._ends_s:
            raise _Exceeded(_TIME)

    def leave(self, _expression: Any, _input: Any, _environment: Any, result: Any) -> None:
        """It ended with a result."""
        self._depth -= 1
        size = _size(result)
        if size > MAX_VALUE_BYTES:
            raise _Exceeded(_MEMORY)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return 8 * len(cast("list[Any]", value)) if isinstance(value, list) else 0


@lru_cache(maxsize=512)
def parse_expression(text: str) -> Any:
    """The parsed expression, whose `ast` is the library's tree. Raises BadExpression."""
    try:
        with FrameLimit():
            return Expression(text)
    except library.error as error:
        raise BadExpression(_explain(error)) from error
    except RecursionError as error:
        raise BadExpression("The expression is nested too deeply") from error
    except Exception as error:  # what the library cannot even refuse is no expression
        raise BadExpression(f"Syntax error: {error}") from error


def evaluate_all(query: Query) -> list[Any]:
    """The values of all expressions. Raises QueryFailed for the first that gives none."""
    shared = bind_functions(used_names(query.texts), query.seed, query.now_ms)
    shared |= {name: to_query(value) for name, value in query.variables.items()}
    found: list[Any] = []
    for number, text in enumerate(query.texts):
        try:
            value = _evaluate(text, shared)
        except _Unsupported as error:
            raise QueryFailed(FailedQuery(number, "", unsupported=True)) from error
        except (BadExpression, BadArgument, _Exceeded) as error:
            raise QueryFailed(FailedQuery(number, str(error))) from error
        if value is None:
            raise QueryFailed(FailedQuery(number, "", undefined=True))
        found.append(None if value is library.NULL else value)
    return found


def _evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """The value of one expression, None where it is undefined, the library's null where it is null."""
    expression, bounds = parse_expression(text), _Bounds()
    given = {**variables, "__evaluate_entry": bounds.enter, "__evaluate_exit": bounds.leave}
    try:
        with FrameLimit(), contextlib.redirect_stdout(io.StringIO()):  # the library prints some of what it refuses
            return _to_json(expression.evaluate(None, given), _Meter())
    except library.error as error:
        raise _Exceeded(_explain(error)) from error
    except RecursionError as error:
        raise _Exceeded(_STACK) from error
    except MemoryError as error:
        raise _Exceeded(_MEMORY) from error
    except BadArgument:
        raise
    except _MISTAKES as error:
        raise _Exceeded(f"{type(error).__name__}: {error}") from error


def _explain(error: Any) -> str:
    """A library's error in the words of the reference implementation."""
    code = str(error.error)
    if code not in library.error_codes:  # some are raised by their sentence
        sentences = {str(words).replace("Object", "function"): each for each, words in library.error_codes.items()}
        code = sentences.get(code, "")
        if not code:
            return str(error)
    template = str(library.error_codes[code])
    if template.startswith("{{{"):
        return f"{code}: {error.current}"
    inserts = iter([error.current, error.expected, error.extra])
    return f"{code}: {_INSERT.sub(lambda _: _quote(next(inserts, None)), template.replace('Object', 'function'))}"


def _quote(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# ---------------------------------------------------------------------- values in and out


class _Meter:
    """How much one value holds, and how deep it is."""

    def __init__(self) -> None:
        self._left = MAX_VALUE_BYTES

    def spend(self, amount: int, depth: int) -> None:
        """Raises _Exceeded where there is too much."""
        self._left -= amount
        if self._left < 0 or depth > MAX_JSON_DEPTH:
            raise _Exceeded(_MEMORY)


def _to_json(value: Any, meter: _Meter, depth: int = 0) -> Any:
    """A value of the library's as JSON; at the top None and its null stay what they are."""
    meter.spend(len(value) if isinstance(value, str) else 8, depth)
    if value is library.NULL:
        return None if depth else library.NULL
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {name: _to_json(each, meter, depth + 1) for name, each in members if each is not None}
    if isinstance(value, list):
        return [_to_json(each, meter, depth + 1) for each in cast("list[Any]", value)]
    raise _Unsupported("unsupported")


def _number(number: float) -> float | str:
    """A number as JSON says it: one that is not finite is text, as on AWS."""
    if isinstance(number, float) and not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
    return float(number) if isinstance(number, int) and abs(number) >= _EXACT else number
