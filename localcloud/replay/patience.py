"""Trying again what another attempt may help, with a growing wait, a bounded number of times."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sluiceway.errors import Retryable
from sluiceway.ports import Chance

__all__ = ["TRIES", "backoff_s", "keep_trying"]

T = TypeVar("T")

TRIES: Final = 6  # about half a minute
FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0


def backoff_s(failures: int, chance: float) -> float:
    """Seconds before the next attempt after so many failures (1 or more): doubling, between half and all of it."""
    return min(FIRST_S * 2.0 ** (failures - 1), LONGEST_S) * (0.5 + chance / 2)


async def keep_trying(attempt: Callable[[], Awaitable[T]], *, chance: Chance, tries: int = TRIES) -> T:
    """What `attempt` gives, tried again while it raises Retryable; what it asks for to wait is waited.

    Raises what the last attempt raised, and what is not Retryable at once.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except Retryable as error:
            failures += 1
            if failures >= tries:
                raise
            await asyncio.sleep(max(backoff_s(failures, chance.draw()), error.after_s or 0.0))
