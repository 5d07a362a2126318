"""Data on its way through a state: paths, payload templates, results put into the input. Pure but for randomness.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.json_text import write_json
from localcloud.services.states.budget import MAX_CHARS, Budget
from localcloud.services.states.failures import (
    DATA_LIMIT,
    PARAMETER_PATH_FAILURE,
    RESULT_PATH_MISMATCH,
    RUNTIME,
    StateFailure,
)
from localcloud.services.states.intrinsics import call_intrinsic, is_intrinsic, parse_intrinsic
from localcloud.services.states.paths import MISSING, Indexes, Names, Scope, find, parse_path, parse_reference

__all__ = ["MAX_BYTES", "check_size", "fill", "put_result", "resolve", "select", "size_of", "write_json"]

MAX_BYTES: Final = 262_144  # of a state's input or output; step-functions/latest/dg/service-quotas.html
_SHOWN: Final = 1000


def size_of(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def check_size(value: Any, what: str) -> str:
    """The value as JSON, if it is within the limit. Raises StateFailure States.DataLimitExceeded."""
    text = write_json(value)
    if size_of(text) > MAX_BYTES:
        raise StateFailure(
            DATA_LIMIT, f"{what} with a size exceeding the maximum number of bytes service limit.", located=True
        )
    return text


def select(path: str | None, scope: Scope, *, default: str = "$") -> Any:
    """What InputPath or OutputPath (`default` where absent, null for `{}`) leads to. Raises StateFailure."""
    if path is None:
        return {}
    return resolve(path or default, scope)


def resolve(text: str, scope: Scope) -> Any:
    """What a path leads to, which must be there. Raises StateFailure States.Runtime."""
    found = find(parse_path(text), scope)
    if found is MISSING:
        message = f"Invalid path '{text}' : No results for path: {text}"
        raise StateFailure(RUNTIME, message, located=False)
    return found


def fill(template: Any, scope: Scope, rng: random.Random) -> Any:
    """A payload template filled: fields that end in `.$` are paths or intrinsic functions. Raises StateFailure."""
    return _fill(template, scope, rng, budget=Budget(MAX_CHARS))


def _fill(template: Any, scope: Scope, rng: random.Random, *, budget: Budget) -> Any:
    if isinstance(template, dict):
        filled: dict[str, Any] = {}
        for name, value in cast("dict[str, Any]", template).items():
            if name.endswith(".$"):
                filled[name[:-2]] = _fill_field(name, value, scope, rng=rng, budget=budget)
            else:
                filled[name] = _fill(value, scope, rng, budget=budget)
        return filled
    if isinstance(template, list):
        return [_fill(each, scope, rng, budget=budget) for each in cast("list[Any]", template)]
    return template


def _fill_field(name: str, text: str, scope: Scope, *, rng: random.Random, budget: Budget) -> Any:
    if is_intrinsic(text):
        return call_intrinsic(parse_intrinsic(text), scope, rng, budget=budget)
    found = find(parse_path(text), scope)
    if found is MISSING:
        shown = write_json(scope.value)[:_SHOWN]
        message = f"The JSONPath '{text}' specified for the field '{name}' could not be found in the input '{shown}'"
        raise StateFailure(PARAMETER_PATH_FAILURE, message, located=False)
    return budget.take(found)


def put_result(raw: Any, reference: str | None, result: Any) -> Any:
    """The raw input with the result where ResultPath says; null keeps the input. Raises StateFailure."""
    if reference is None:
        return raw
    steps = parse_reference(reference).steps
    return _put(raw, steps, result, told=(reference, raw)) if steps else result


def _put(value: Any, steps: tuple[Any, ...], result: Any, *, told: tuple[str, Any]) -> Any:
    if not steps:
        return result
    step, rest = steps[0], steps[1:]
    if isinstance(step, Names) and isinstance(value, Mapping):
        name, members = step.names[0], cast("Mapping[str, Any]", value)
        return {**members, name: _put(members.get(name, {}), rest, result, told=told)}
    if isinstance(step, Indexes) and isinstance(value, list):
        items, index = list(cast("list[Any]", value)), step.indexes[0]
        if -len(items) <= index < len(items):
            items[index] = _put(items[index], rest, result, told=told)
            return items
    reference, raw = told
    message = f"Unable to apply ReferencePath {reference} to input {write_json(raw)[:_SHOWN]}"
    raise StateFailure(RESULT_PATH_MISMATCH, message, located=False)
