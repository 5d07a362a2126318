"""Steps in the order of what they need, the slow ones beside the others. Pure of templates and services.

Steps that take no time are run one after another, in the order given: nothing is won by overlapping them, and a start
is the same every time. A step that waits for somebody else holds up only what needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from typing import cast

__all__ = ["run_in_order"]


async def run_in_order(
    needs: Mapping[str, Collection[str]], step: Callable[[str], Awaitable[None]], *, slow: Container[str]
) -> None:
    """Run `step` once for each name, after the names it needs (all of them keys of `needs`, and no circle).

    Raises the first error of a step; the steps under way are cancelled then.
    """
    failure: Exception | None = None
    try:
        await _run(dict(needs), step, slow)
    except ExceptionGroup as group:
        failure = _first(group)
    if failure is not None:
        raise failure  # out of the group, with its own cause


async def _run(
    pending: dict[str, Collection[str]], step: Callable[[str], Awaitable[None]], slow: Container[str]
) -> None:
    ended: set[str] = set()
    news = asyncio.Event()

    async def run(name: str) -> None:
        await step(name)
        ended.add(name)
        news.set()

    async with asyncio.TaskGroup() as group:
        while pending:
            name = next((each for each, others in pending.items() if ended.issuperset(others)), None)
            if name is None:
                await news.wait()
                news.clear()
                continue
            del pending[name]
            if name in slow:
                group.create_task(run(name))
            else:
                await run(name)


def _first(group: BaseException) -> Exception:
    while isinstance(group, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", group).exceptions[0]
    return cast("Exception", group)  # a group of Exceptions holds no other
