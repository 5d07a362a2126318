"""Data on its way through a state in JSONata: the expressions in a field, and what they may look at.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.states.choice import read_timestamp
from localcloud.services.states.data import write_json
from localcloud.services.states.failures import QUERY_FAILED, StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.queries import (
    FailedQuery,
    Query,
    QueryFailed,
    expression_of,
    expressions_in,
    put_values,
    used_names,
)

__all__ = [
    "FLAG",
    "STRING",
    "Wanted",
    "evaluate",
    "evaluate_bounded",
    "evaluate_date",
    "evaluate_number",
    "evaluate_wanted",
    "query_type_failure",
]

_SEED_BITS: Final = 53
_SHOWN: Final = 1000
_NAMES: Final[Mapping[type, str]] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "number",
    list: "array",
    str: "string",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The type that a field must have, by JSONata's name of it."""

    name: str
    types: tuple[type, ...]


FLAG: Final = Wanted("boolean", (bool,))
_NUMBER: Final = Wanted("number", (int, float))
STRING: Final = Wanted("string", (str,))


async def evaluate(value: Any, place: str, scope: Scope, *, lane: Lane, **extra: Any) -> Any:
    """A field with its expressions evaluated. `scope`: the state's input, the context object and variables.

    `extra` are further members of `$states`: result, errorOutput. Raises StateFailure States.QueryEvaluationError.
    """
    found = list(expressions_in(value, place))
    if not found:
        return value
    texts = [text for _, text in found]
    names = used_names(texts)
    variables = {name: each for name, each in scope.variables.items() if name in names}
    if "states" in names:
        variables["states"] = {"input": scope.value, "context": scope.context, **extra}
    world = lane.run.world
    query = Query(texts, variables, world.rng.getrandbits(_SEED_BITS), int(world.clock.time() * 1000))
    try:
        values = await world.evaluator.evaluate(query)
    except QueryFailed as error:
        where, text = found[error.failed.number]
        raise _fail(text, where, _explain(error.failed)) from error
    return put_values(value, iter(values))


async def evaluate_wanted(value: Any, place: str, scope: Scope, *, lane: Lane, wanted: Wanted) -> Any:
    """A field that is one value of a type. Raises StateFailure States.QueryEvaluationError."""
    found = await evaluate(value, place, scope, lane=lane)
    is_flag = isinstance(found, bool)
    if isinstance(found, wanted.types) and (not is_flag or bool in wanted.types):
        return found
    raise query_type_failure(value, place, found, wanted=wanted.name)


def query_type_failure(value: Any, place: str, found: Any, *, wanted: str) -> StateFailure:
    """A field whose expression gave a value of another type than the one wanted, by JSONata's names."""
    actual = next((name for each, name in _NAMES.items() if isinstance(found, each)), "null")
    message = f"returned an unexpected result type. Expected '{wanted}', but was '{actual}' for value: "
    return _fail(expression_of(value) or "", place, f"{message}{write_json(found)[:_SHOWN]}")


async def evaluate_number(
    fields: Mapping[str, Any], name: str, scope: Scope, *, lane: Lane, bounds: tuple[int, int]
) -> int | None:
    """A field that is a whole number within bounds, None where it is absent; a fraction is cut off.

    Raises StateFailure States.QueryEvaluationError.
    """
    if name not in fields:
        return None
    return int(await evaluate_bounded(fields[name], name, scope, lane=lane, bounds=bounds))


async def evaluate_bounded(value: Any, place: str, scope: Scope, *, lane: Lane, bounds: tuple[int, int]) -> float:
    """A field that is a number within bounds. Raises StateFailure States.QueryEvaluationError."""
    found = await evaluate_wanted(value, place, scope, lane=lane, wanted=_NUMBER)
    low, high = bounds
    if not low <= found <= high:
        text = expression_of(value) or ""
        raise _fail(text, place, f"returned a value that is not between {low} and {high}: {write_json(found)}")
    return found


async def evaluate_date(value: Any, place: str, scope: Scope, *, lane: Lane) -> float:
    """A field that is a timestamp, in epoch seconds. Raises StateFailure States.QueryEvaluationError."""
    found = await evaluate_wanted(value, place, scope, lane=lane, wanted=STRING)
    moment = read_timestamp(found)
    if moment is None:
        raise _fail(
            expression_of(value) or "", place, f"returned no timestamp of ISO 8601: {write_json(found)[:_SHOWN]}"
        )
    return moment


def _explain(failed: FailedQuery) -> str:
    if failed.undefined:
        return "returned nothing (undefined)."
    if failed.unsupported:
        return "returned an unsupported result type."
    return f"threw an error during evaluation. {failed.reason}"


def _fail(text: str, place: str, what: str) -> StateFailure:
    message = f"The JSONata expression '{text[:_SHOWN]}' specified for the field '{place}' {what}"
    return StateFailure(QUERY_FAILED, message, located=False, place=place)
