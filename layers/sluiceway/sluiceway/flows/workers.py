"""One piece of work for each of many things, so many at a time.

Must not know what the work is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

from sluiceway.cancellation import is_being_cancelled
from sluiceway.errors import Retryable

__all__ = ["do_each"]

AT_ONCE: Final = 32

T = TypeVar("T")


async def do_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int = AT_ONCE) -> None:
    """Await `work` for each item, `at_once` (1 or more) at a time, begun in the items' order.

    The first failure stops the others before their next item, and is raised as itself: Retryable where somebody
    cancelled a part of the work, which nobody may take for done. No task outlives the call.
    """
    waiting = iter(items)
    failures: list[Exception] = []
    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(_drain(waiting, work, failures))
    if failures:
        raise failures[0]


async def _drain(waiting: Iterator[T], work: Callable[[T], Awaitable[None]], failures: list[Exception]) -> None:
    """One worker; a failure is kept, to be raised as itself and not in a group."""
    for each in waiting:
        if failures:
            return
        try:
            await work(each)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            failures.append(Retryable("somebody cancelled a part of the work"))  # a task group would pass over it
        except Exception as error:  # noqa: BLE001 - see above
            failures.append(error)
