"""Lines of states beside each other: the branches of a Parallel, the iterations of an inline Map.

The first that fails ends the others. Sources: https://docs.aws.amazon.com/step-functions/latest/dg/state-parallel.html,
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, cast

from localcloud.services.states.budget import MAX_CHARS, Budget
from localcloud.services.states.data import write_json
from localcloud.services.states.definition import State
from localcloud.services.states.failures import RUNTIME, StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.history import HistoryFull
from localcloud.services.states.paths import Scope
from localcloud.services.states.query_data import query_type_failure
from localcloud.services.states.reading import read_arguments, read_items, select_item
from localcloud.services.states.run import walk
from localcloud.services.states.steps import read_number

__all__ = ["beside", "run_map", "run_parallel"]

MAX_INLINE: Final = 40  # "up to 40 concurrent iterations" of a Map of INLINE mode


async def beside(works: Iterable[Callable[[], Awaitable[None]]], most: int) -> None:
    """Do all, `most` at a time in their order. Raises the first StateFailure, after the others have ended."""
    waiting = iter(works)
    has_failed = False

    async def work_off() -> None:
        nonlocal has_failed
        for work in waiting:
            if has_failed:  # who is at the end of its work when another fails is not ended before it looks for more
                return
            try:
                await work()
            except (StateFailure, HistoryFull):
                has_failed = True
                raise

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(most):
                group.create_task(work_off())
    except* (StateFailure, HistoryFull) as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def run_parallel(state: State, scope: Scope, lane: Lane) -> list[Any]:
    """What each branch gives, in their order. Raises StateFailure."""
    value = await read_arguments(state, scope, lane)
    started = lane.previous if lane.mark.inner else lane.add("ParallelStateStarted")
    results: list[Any] = [None] * len(state.inner)

    async def work(number: int) -> None:
        inner = lane.inside(number, previous=started)
        if not inner.mark.is_done:
            inner.mark.finish(await walk(state.inner[number], value, inner))
            lane.previous = inner.previous
        results[number] = inner.mark.result

    try:
        await beside((_bind(work, number) for number in range(len(results))), len(results))
    except StateFailure:
        lane.add("ParallelStateFailed")
        raise
    lane.add("ParallelStateSucceeded")
    return results


def _bind(work: Callable[[int], Awaitable[None]], number: int) -> Callable[[], Awaitable[None]]:
    return lambda: work(number)


async def run_map(state: State, scope: Scope, lane: Lane) -> list[Any]:
    """What each iteration gives, in the order of the items. Raises StateFailure."""
    mark = lane.mark
    listed = mark.items = await _list_items(state, scope, lane) if mark.items is None else mark.items
    most = await read_number(state, "MaxConcurrency", scope, lane=lane) or MAX_INLINE
    started = lane.previous if mark.inner else lane.add("MapStateStarted", length=len(listed))
    results: list[Any] = [None] * len(listed)
    budget = Budget(MAX_CHARS)

    async def work(index: int) -> None:
        inner = lane.inside(index, previous=started, item={"Index": index, "Value": listed[index]})
        if not inner.mark.is_done:
            inner.mark.finish(await _iterate(state, scope, inner))
            budget.spend(len(inner.output[1]))
            lane.previous = inner.previous
        results[index] = inner.mark.result

    try:
        await beside((_bind(work, index) for index in range(len(listed))), min(most, MAX_INLINE, len(listed)))
    except StateFailure:
        lane.add("MapStateFailed")
        raise
    lane.add("MapStateSucceeded")
    return results


async def _list_items(state: State, scope: Scope, lane: Lane) -> list[Any]:
    items = await read_items(state, scope, lane)
    if isinstance(items, list):
        return cast("list[Any]", items)
    if state.jsonata:
        raise query_type_failure(state.fields.get("Items"), "Items", items, wanted="array")
    message = f'Reference path "{state.fields.get("ItemsPath", "$")}" must point to array. Current value is: '
    raise StateFailure(RUNTIME, f"{message}{write_json(items)[:1000]}", located=False)


async def _iterate(state: State, scope: Scope, lane: Lane) -> Any:
    """What the processor makes of the lane's item; a redrive goes on where it was."""
    item: Mapping[str, Any] = lane.item or {}
    told = {"name": state.name, "index": item["Index"]}
    is_redriven = bool(lane.mark.state)
    await lane.run.world.pacer.pause()  # making an input may be as much work as a state
    value = None if is_redriven else await select_item(state, scope, item, lane=lane)
    if not is_redriven:
        lane.add("MapIterationStarted", **told)
    try:
        result = await walk(state.inner[0], value, lane)
    except StateFailure:
        lane.add("MapIterationFailed", **told)
        raise
    except asyncio.CancelledError:
        lane.add("MapIterationAborted", **told)
        raise
    lane.add("MapIterationSucceeded", **told)
    return result
