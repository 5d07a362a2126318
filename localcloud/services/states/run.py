"""The walk through a machine: one state after the other, with retries, catchers, data flow and events.

Owns the order in which a state's fields act; what states do is `steps`. Everything waits on the event loop.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.states.data import check_size, fill, put_result, select
from localcloud.services.states.definition import Catcher, Machine, Retrier, State
from localcloud.services.states.failures import RUNTIME, StateFailure, is_taken
from localcloud.services.states.flow import Lane, show_time
from localcloud.services.states.paths import Scope
from localcloud.services.states.steps import Done, act

__all__ = ["Tried", "try_once", "walk"]

_ABORTABLE: Final = frozenset({"Map", "Parallel", "Task", "Wait"})
_WITH_RESULT: Final = frozenset({"Map", "Parallel", "Task"})


@dataclass(slots=True)
class _Visit:
    """One stay in a state: what came in, when, and how often it was tried."""

    state: State
    raw: Any
    entered: int
    entered_s: float
    tries: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def retries(self) -> int:
        return sum(self.tries.values())


async def walk(machine: Machine, value: Any, lane: Lane) -> Any:
    """What a machine makes of its input. Raises StateFailure, HistoryFull."""
    name = machine.start
    while True:
        await lane.run.world.pacer.take_turn(lane.run.region, lane.run.revision.kind)
        name, value = await _visit(machine.states[name], value, lane)
        if not name:
            return value


@dataclass(frozen=True, slots=True)
class Tried:
    """What one try of a state gave. `status` as TestState has it; `next` "" where the machine would end."""

    status: str
    next: str
    output: Any
    failure: StateFailure | None = None


async def try_once(state: State, value: Any, lane: Lane) -> Tried:
    """Try a state once, and say whether it would be retried or caught."""
    visit = _Visit(state, value, lane.previous, lane.run.world.clock.time())
    try:
        following, output = await _try(visit, lane)
    except StateFailure as failure:
        told = _locate(failure, visit)
        if _find_retrier(visit, told.error) is not None:
            return Tried("RETRIABLE", "", None, told)
        if _find_catcher(state, told.error) is None:
            return Tried("FAILED", "", None, told)
        following, output = _catch(visit, told, lane)
        return Tried("CAUGHT_ERROR", following, output, told)
    return Tried("SUCCEEDED", following, output)


async def _visit(state: State, raw: Any, lane: Lane) -> tuple[str, Any]:
    """The next state's name, "" at the end, and the output."""
    shown = check_size(raw, f"The state/task '{state.name}' received an input")
    lane.run.world.pacer.spend(len(shown), calls=int(state.kind == "Task"))
    entered = lane.add(f"{state.kind}StateEntered", name=state.name, input=shown, inputDetails={"truncated": False})
    visit = _Visit(state, raw, entered, lane.run.world.clock.time())
    while True:
        try:
            return await _try(visit, lane)
        except StateFailure as failure:
            told = _locate(failure, visit)
            retrier = _find_retrier(visit, told.error)
            if retrier is None:
                return _catch(visit, told, lane)
            wait_s = _wait_of(retrier, visit.tries[state.retriers.index(retrier)], lane)
            await _sleep(wait_s, visit, lane)
        except asyncio.CancelledError:
            _abort(state, lane)
            raise


async def _sleep(wait_s: float, visit: _Visit, lane: Lane) -> None:
    try:
        await asyncio.sleep(wait_s)
    except asyncio.CancelledError:
        _abort(visit.state, lane)
        raise


def _abort(state: State, lane: Lane) -> None:
    """A state that ends because its execution's other lines have failed."""
    if state.kind in _ABORTABLE:
        lane.add(f"{state.kind}StateAborted")


async def _try(visit: _Visit, lane: Lane) -> tuple[str, Any]:
    state, fields = visit.state, visit.state.fields
    context = _context(visit, lane)
    taken = select(state.path("InputPath"), Scope(visit.raw, context, lane.variables))
    scope = Scope(taken, context, lane.variables)
    done = await act(state, scope, lane)
    result = done.result
    variables = lane.variables
    if "ResultSelector" in fields:
        result = fill(fields["ResultSelector"], Scope(result, context, variables), lane.run.world.rng)
    assigned = Scope(result if state.kind in _WITH_RESULT else taken, context, variables)
    if state.kind == "Pass":
        assigned = Scope(result, context, variables)
    output = _place(state, visit.raw, result)
    output = select(state.path("OutputPath"), Scope(output, context, variables)) if state.kind != "Fail" else output
    shown = check_size(output, f"The state/task '{state.name}' returned a result")
    lane.output_chars = len(shown)
    lane.run.world.pacer.spend(len(shown))
    lane.assign(done.assign if done.assign is not None else fields.get("Assign", {}), assigned)
    lane.add(
        f"{state.kind}StateExited",
        name=state.name,
        output=shown,
        outputDetails={"truncated": False},
        assignedVariables=_shown_variables(done, fields, lane),
    )
    return done.next if done.next is not None else state.next, output


def _place(state: State, raw: Any, result: Any) -> Any:
    if state.kind in _WITH_RESULT or state.kind == "Pass":
        return put_result(raw, state.path("ResultPath"), result)
    return result


def _shown_variables(done: Done, fields: Mapping[str, Any], lane: Lane) -> dict[str, str] | None:
    template = done.assign if done.assign is not None else fields.get("Assign", {})
    names = [name.removesuffix(".$") for name in template]
    return {name: check_size(lane.own[name], name) for name in names} or None


def _context(visit: _Visit, lane: Lane) -> dict[str, Any]:
    context: dict[str, Any] = {
        **lane.run.facts,
        "State": {
            "Name": visit.state.name,
            "EnteredTime": show_time(visit.entered_s),
            "RetryCount": visit.retries,
        },
    }
    if lane.item is not None:
        context["Map"] = {"Item": lane.item}
    return context


def _locate(failure: StateFailure, visit: _Visit) -> StateFailure:
    if failure.located:
        return failure
    where = f"An error occurred while executing the state '{visit.state.name}' (entered at the event id #"
    return StateFailure(failure.error, f"{where}{visit.entered}). {failure.cause}")


def _find_retrier(visit: _Visit, error: str) -> Retrier | None:
    """The first retrier that takes the error decides: with no attempts left it does not retry."""
    for number, retrier in enumerate(visit.state.retriers):
        if is_taken(error, retrier.errors):
            if visit.tries.get(number, 0) >= retrier.attempts:
                return None
            visit.tries[number] = visit.tries.get(number, 0) + 1
            return retrier
    return None


def _wait_of(retrier: Retrier, attempt: int, lane: Lane) -> float:
    exponent = min(attempt - 1, 1000)
    try:
        wait_s = retrier.interval_s * retrier.backoff**exponent
    except OverflowError:
        wait_s = 1e9
    wait_s = min(wait_s, 1e9 if retrier.longest_s is None else retrier.longest_s)
    return lane.run.world.rng.uniform(0.0, wait_s) if retrier.jitters else wait_s


def _catch(visit: _Visit, failure: StateFailure, lane: Lane) -> tuple[str, Any]:
    catcher = _find_catcher(visit.state, failure.error)
    if catcher is None:
        raise failure
    told = {"Error": failure.error, "Cause": failure.cause}
    try:
        output = put_result(visit.raw, catcher.reference, told)
        lane.assign(catcher.assign, Scope(told, _context(visit, lane), lane.variables))
    except StateFailure as mistake:
        raise _locate(mistake, visit) from failure
    lane.add(
        f"{visit.state.kind}StateExited",
        name=visit.state.name,
        output=check_size(output, f"The state/task '{visit.state.name}' returned a result"),
        outputDetails={"truncated": False},
    )
    return catcher.next, output


def _find_catcher(state: State, error: str) -> Catcher | None:
    if error == RUNTIME:
        return None
    return next((each for each in state.catchers if is_taken(error, each.errors)), None)
