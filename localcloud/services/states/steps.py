"""What each type of state does between its input and its result.

Knows neither retries nor where results go: that is `run`.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/workflow-states.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.states.choice import holds, read_timestamp
from localcloud.services.states.data import fill, resolve
from localcloud.services.states.definition import State
from localcloud.services.states.failures import NO_CHOICE_MATCHED, RUNTIME, StateFailure
from localcloud.services.states.fields import MAX_SECONDS
from localcloud.services.states.flow import Lane
from localcloud.services.states.intrinsics import call_intrinsic, is_intrinsic, parse_intrinsic
from localcloud.services.states.paths import Scope
from localcloud.services.states.query_data import FLAG, STRING, evaluate_date, evaluate_number, evaluate_wanted

__all__ = ["Done", "act", "read_number", "read_value", "wait_until"]

_WITH_RESULT: Final = frozenset({"Map", "Parallel", "Task"})
MAX_SLEEP_S: Final = 86_400.0  # of one sleep of the loop's; longer waits are made of these


@dataclass(frozen=True, slots=True)
class Done:
    """What a state gave. `next`, `assign`: what a Choice's rule says in place of the state's own.

    `rule`: the place of that rule in a state in JSONata, `Choices[1]`, and its fields.
    """

    result: Any
    next: str | None = None
    assign: Mapping[str, Any] | None = None
    rule: tuple[str, Mapping[str, Any]] | None = None


async def act(state: State, scope: Scope, lane: Lane) -> Done:
    """Do what a state does, once. Raises StateFailure."""
    if lane.run.mock is not None and state.kind in _WITH_RESULT:
        return Done(await lane.run.mock.give(state, scope, lane))
    return await (_QUERY_ACTS if state.jsonata else _ACTS)[state.kind](state, scope, lane)


def read_value(text: str, scope: Scope, lane: Lane) -> Any:
    """What a field that is a path or an intrinsic function gives. Raises StateFailure."""
    if is_intrinsic(text):
        return call_intrinsic(parse_intrinsic(text), scope, lane.run.world.rng)
    return resolve(text, scope)


async def read_number(state: State, field: str, scope: Scope, *, lane: Lane) -> int | None:
    """A field that stands as a number, as an expression or, with `Path` behind its name, as a path; None if absent.

    Raises StateFailure where there is no whole number.
    """
    if state.jsonata:
        return await evaluate_number(state.fields, field, scope, lane=lane, bounds=(0, MAX_SECONDS))
    if f"{field}Path" not in state.fields:
        return state.fields.get(field)
    value = read_value(state.fields[f"{field}Path"], scope, lane)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or not _is_near(value):
        message = f"The {field}Path parameter does not reference an integer value between 0 and {MAX_SECONDS}"
        raise StateFailure(RUNTIME, message, located=False)
    return int(value)


def _is_near(value: float) -> bool:
    return 0 <= value <= MAX_SECONDS


async def _pass(state: State, scope: Scope, lane: Lane) -> Done:
    value = scope.value
    if "Parameters" in state.fields:
        value = fill(state.fields["Parameters"], scope, lane.run.world.rng)
    lane.run.note("afterParameters", value)
    return Done(state.fields.get("Result", value))


async def _succeed(_state: State, scope: Scope, _lane: Lane) -> Done:
    return Done(scope.value)


async def _fail(state: State, scope: Scope, lane: Lane) -> Done:
    told = {
        name: read_value(state.fields[f"{name}Path"], scope, lane)
        if f"{name}Path" in state.fields
        else state.fields.get(name, "")
        for name in ("Error", "Cause")
    }
    for name, value in told.items():
        if not isinstance(value, str):
            raise StateFailure(RUNTIME, f"The {name}Path parameter does not reference a string value", located=False)
    raise StateFailure(told["Error"], told["Cause"])


async def _choose(state: State, scope: Scope, _lane: Lane) -> Done:
    for rule in state.fields["Choices"]:
        if holds(rule, scope):
            return Done(scope.value, rule["Next"], rule.get("Assign", {}))
    if "Default" not in state.fields:
        raise _no_choice(state)
    return Done(scope.value, state.fields["Default"])


def _no_choice(state: State) -> StateFailure:
    message = f"Failed to transition out of the state '{state.name}'. The state has no matching choice."
    return StateFailure(NO_CHOICE_MATCHED, message, located=False)


async def _wait(state: State, scope: Scope, lane: Lane) -> Done:
    clock = lane.run.world.clock
    if "Seconds" in state.fields or "SecondsPath" in state.fields:
        until_s = clock.time() + (await read_number(state, "Seconds", scope, lane=lane) or 0)
    else:
        field = "TimestampPath" if "TimestampPath" in state.fields else "Timestamp"
        value = state.fields[field] if field == "Timestamp" else read_value(state.fields[field], scope, lane)
        moment = read_timestamp(value)
        if moment is None:
            message = "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time value"
            raise StateFailure(RUNTIME, message, located=False)
        until_s = moment
    await wait_until(until_s, lane)
    return Done(scope.value)


async def wait_until(until_s: float, lane: Lane) -> None:
    """Wait for a date."""
    clock = lane.run.world.clock
    left_s = until_s - clock.time()
    while left_s > 0:
        await asyncio.sleep(min(left_s, MAX_SLEEP_S))
        left_s = until_s - clock.time()


async def _query_pass(_state: State, scope: Scope, _lane: Lane) -> Done:
    return Done(scope.value)


async def _query_fail(state: State, scope: Scope, lane: Lane) -> Done:
    told = {
        name: await evaluate_wanted(state.fields.get(name, ""), name, scope, lane=lane, wanted=STRING)
        for name in ("Error", "Cause")
    }
    raise StateFailure(told["Error"], told["Cause"])


async def _query_choose(state: State, scope: Scope, lane: Lane) -> Done:
    for number, rule in enumerate(state.fields["Choices"]):
        place = f"Choices[{number}]"
        if await evaluate_wanted(rule["Condition"], f"{place}/Condition", scope, lane=lane, wanted=FLAG):
            return Done(scope.value, rule["Next"], rule=(place, rule))
    if "Default" not in state.fields:
        raise _no_choice(state)
    return Done(scope.value, state.fields["Default"])


async def _query_wait(state: State, scope: Scope, lane: Lane) -> Done:
    now_s = lane.run.world.clock.time()
    if "Seconds" in state.fields:
        seconds = await evaluate_number(state.fields, "Seconds", scope, lane=lane, bounds=(0, MAX_SECONDS))
        await wait_until(now_s + (seconds or 0), lane)
    else:
        await wait_until(await evaluate_date(state.fields["Timestamp"], "Timestamp", scope, lane=lane), lane)
    return Done(scope.value)


async def _task(state: State, scope: Scope, lane: Lane) -> Done:
    from localcloud.services.states.tasks import run_task  # noqa: PLC0415 - a cycle: tasks read fields as steps do

    return Done(await run_task(state, scope, lane))


async def _parallel(state: State, scope: Scope, lane: Lane) -> Done:
    from localcloud.services.states.branches import run_parallel  # noqa: PLC0415 - branches are walks of their own

    return Done(await run_parallel(state, scope, lane))


async def _map(state: State, scope: Scope, lane: Lane) -> Done:
    from localcloud.services.states.branches import run_map  # noqa: PLC0415 - as above

    if state.distributed:
        return Done(await lane.run.world.maps.run_map(state, scope, lane=lane))
    return Done(await run_map(state, scope, lane))


_ACTS: Final[Mapping[str, Callable[[State, Scope, Lane], Awaitable[Done]]]] = {
    "Choice": _choose,
    "Fail": _fail,
    "Map": _map,
    "Parallel": _parallel,
    "Pass": _pass,
    "Succeed": _succeed,
    "Task": _task,
    "Wait": _wait,
}

_QUERY_ACTS: Final[Mapping[str, Callable[[State, Scope, Lane], Awaitable[Done]]]] = {
    **_ACTS,
    "Choice": _query_choose,
    "Fail": _query_fail,
    "Pass": _query_pass,
    "Wait": _query_wait,
}
