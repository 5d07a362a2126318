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
from localcloud.services.states.query_data import evaluate
from localcloud.services.states.steps import act

__all__ = ["Tried", "try_once", "walk"]

MAX_PLACE: Final = 256  # characters of an event's location
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
    mark, name = lane.mark, machine.start
    is_redriven = bool(mark.state)
    if is_redriven:
        name, value = lane.restore()
    while True:
        await lane.run.world.pacer.take_turn(lane.run.region, lane.run.revision.kind)
        if not is_redriven:
            mark.enter(name, value, lane.own)
        is_redriven = False
        name, value = await _visit(machine.states[name], value, lane)
        if not name:
            return value


@dataclass(frozen=True, slots=True)
class Tried:
    """What one try of a state gave. `status` as TestState has it; `next` "" where the machine would end.

    `handler`: which retrier or catcher would take the error, and when the retrier would try again.
    """

    status: str
    next: str
    output: Any
    failure: StateFailure | None = None
    handler: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def try_once(state: State, value: Any, lane: Lane, *, retries: int = 0) -> Tried:
    """Try a state once, and say whether it would be retried or caught, after so many retries for its error."""
    visit = _Visit(state, value, lane.previous, lane.run.world.clock.time())
    try:
        following, output = await _try(visit, lane)
    except StateFailure as failure:
        told = _tell(failure, visit, lane)
        visit.tries = dict.fromkeys(range(len(state.retriers)), retries)
        retrier = _find_retrier(visit, told.error)
        if retrier is not None:
            wait_s = _wait_of(retrier, retries + 1, lane)
            handler = {"retryIndex": state.retriers.index(retrier), "retryBackoffIntervalSeconds": int(wait_s)}
            return Tried("RETRIABLE", "", None, told, handler)
        catcher = _find_catcher(state, told.error)
        if catcher is None:
            return Tried("FAILED", "", None, told)
        following, output = await _catch(visit, told, lane)
        return Tried("CAUGHT_ERROR", following, output, told, {"catchIndex": state.catchers.index(catcher)})
    return Tried("SUCCEEDED", following, output)


async def _visit(state: State, raw: Any, lane: Lane) -> tuple[str, Any]:
    """The next state's name, "" at the end, and the output."""
    given, shown = lane.output
    if raw is not given or not shown:
        shown = check_size(raw, f"The state/task '{state.name}' received an input")
    lane.run.world.pacer.spend(len(shown), calls=int(state.kind == "Task"))
    entered = lane.mark.entered
    if not entered or state.kind == "Fail":
        told = {"name": state.name, "input": shown, "inputDetails": {"truncated": False}}
        entered = lane.mark.entered = lane.add(f"{state.kind}StateEntered", **told)
    visit = _Visit(state, raw, entered, lane.run.world.clock.time())
    while True:
        try:
            return await _try(visit, lane)
        except StateFailure as failure:
            told = _tell(failure, visit, lane)
            retrier = _find_retrier(visit, told.error)
            if retrier is None:
                return await _catch(visit, told, lane)
            lane.mark.forget()
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
    return await (_try_query if visit.state.jsonata else _try_path)(visit, lane)


async def _try_query(visit: _Visit, lane: Lane) -> tuple[str, Any]:
    state, variables = visit.state, lane.variables
    scope = Scope(visit.raw, _context(visit, lane), variables)
    done = await act(state, scope, lane)
    lane.run.note("result", done.result)
    extra = {"result": done.result} if state.kind in _WITH_RESULT else {}
    place, fields = done.rule or ("", state.fields)
    made: dict[str, Any] = await evaluate(fields.get("Assign", {}), _join(place, "Assign"), scope, lane=lane, **extra)
    output = done.result
    if "Output" in fields:
        output = await evaluate(fields["Output"], _join(place, "Output"), scope, lane=lane, **extra)
    _leave(visit, lane, output=output, made=made)
    return done.next if done.next is not None else state.next, output


def _join(place: str, field: str) -> str:
    return f"{place}/{field}" if place else field


def _leave(visit: _Visit, lane: Lane, *, output: Any, made: Mapping[str, Any]) -> None:
    """The state is done: its output is held against the limit, its variables are set, its end is told."""
    state = visit.state
    shown = check_size(output, f"The state/task '{state.name}' returned a result")
    lane.output = (output, shown)
    lane.run.world.pacer.spend(len(shown))
    lane.put(made)
    lane.add(
        f"{state.kind}StateExited",
        name=state.name,
        output=shown,
        outputDetails={"truncated": False},
        assignedVariables={name: check_size(value, name) for name, value in made.items()} or None,
        assignedVariablesDetails={"truncated": False} if made else None,
    )


async def _try_path(visit: _Visit, lane: Lane) -> tuple[str, Any]:
    state, fields = visit.state, visit.state.fields
    context = _context(visit, lane)
    taken = select(state.path("InputPath"), Scope(visit.raw, context, lane.variables))
    scope = Scope(taken, context, lane.variables)
    lane.run.note("afterInputPath", taken)
    done = await act(state, scope, lane)
    result = done.result
    lane.run.note("result", result)
    variables = lane.variables
    if "ResultSelector" in fields:
        result = fill(fields["ResultSelector"], Scope(result, context, variables), lane.run.world.rng)
    lane.run.note("afterResultSelector", result)
    assigned = Scope(result if state.kind in _WITH_RESULT else taken, context, variables)
    if state.kind == "Pass":
        assigned = Scope(result, context, variables)
    output = _place(state, visit.raw, result)
    lane.run.note("afterResultPath", output)
    output = select(state.path("OutputPath"), Scope(output, context, variables)) if state.kind != "Fail" else output
    template = done.assign if done.assign is not None else fields.get("Assign", {})
    made: dict[str, Any] = fill(template, assigned, lane.run.world.rng) if template else {}
    _leave(visit, lane, output=output, made=made)
    return done.next if done.next is not None else state.next, output


def _place(state: State, raw: Any, result: Any) -> Any:
    if state.kind in _WITH_RESULT or state.kind == "Pass":
        return put_result(raw, state.path("ResultPath"), result)
    return result


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
    return context | dict(lane.run.told_context)


def _tell(failure: StateFailure, visit: _Visit, lane: Lane) -> StateFailure:
    """The failure with its state; the history is told of an expression that failed."""
    told = _locate(failure, visit)
    if failure.place:
        details = {"error": told.error, "cause": told.cause, "location": failure.place[:MAX_PLACE]}
        lane.add("EvaluationFailed", **details, state=visit.state.name)
    return told


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


async def _catch(visit: _Visit, failure: StateFailure, lane: Lane) -> tuple[str, Any]:
    catcher = _find_catcher(visit.state, failure.error)
    if catcher is None:
        raise failure
    told = {"Error": failure.error, "Cause": failure.cause}
    try:
        output, made = await _make_caught(visit, catcher, told, lane=lane)
        _leave(visit, lane, output=output, made=made)
    except StateFailure as mistake:
        raise _tell(mistake, visit, lane) from failure
    return catcher.next, output


async def _make_caught(visit: _Visit, catcher: Catcher, told: dict[str, str], *, lane: Lane) -> tuple[Any, Any]:
    """The output of a state whose failure is caught, and the variables that are set."""
    context, fields = _context(visit, lane), catcher.fields
    if not visit.state.jsonata:
        scope = Scope(told, context, lane.variables)
        made: dict[str, Any] = fill(catcher.assign, scope, lane.run.world.rng) if catcher.assign else {}
        return put_result(visit.raw, catcher.reference, told), made
    scope, place = Scope(visit.raw, context, lane.variables), f"Catch[{visit.state.catchers.index(catcher)}]"
    made = await evaluate(fields.get("Assign", {}), f"{place}/Assign", scope, lane=lane, errorOutput=told)
    if "Output" not in fields:
        return told, made
    return await evaluate(fields["Output"], f"{place}/Output", scope, lane=lane, errorOutput=told), made


def _find_catcher(state: State, error: str) -> Catcher | None:
    if error == RUNTIME:
        return None
    return next((each for each in state.catchers if is_taken(error, each.errors)), None)
