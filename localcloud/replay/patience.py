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
LONGEST_ADVICE_S: Final = 300.0  # that somebody may ask to be waited for; nobody watches a command for a day


def backoff_s(failures: int, chance: float) -> float:
    """Seconds before the next attempt after so many failures (1 or more): doubling, between half and all of it."""
    return min(FIRST_S * 2.0 ** (failures - 1), LONGEST_S) * (0.5 + chance / 2)


async def keep_trying(attempt: Callable[[], Awaitable[T]], *, chance: Chance, tries: int = TRIES) -> T:
    """What `attempt` gives, tried again while it raises Retryable; what it asks for to wait is waited.

    Raises what the last attempt raised, and at once what is not Retryable, or asks for more than five minutes.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except Retryable as error:
            failures += 1
            if failures >= tries or (error.after_s or 0.0) > LONGEST_ADVICE_S:
                raise
            await asyncio.sleep(max(backoff_s(failures, chance.draw()), error.after_s or 0.0))
