"""What event source mappings share, whatever they take from, and with pipes, which are mappings of another kind.

Owns the words of LastProcessingResult, the ports of what polls and of its filters, and the size of an event. Knows no
source.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, with-kinesis.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

__all__ = [
    "CALL_FAILED",
    "INTERNAL_ERROR",
    "MAX_EVENT_BYTES",
    "NOTHING_YET",
    "Criteria",
    "Poller",
    "end_polling",
    "is_kept",
]

log = logging.getLogger(__name__)

NOTHING_YET: Final = "No records processed"  # with-kinesis: LastProcessingResult of a new mapping
CALL_FAILED: Final = "PROBLEM: Function call failed"  # with-kinesis, the same
INTERNAL_ERROR: Final = "PROBLEM: Lambda internal error"
MAX_EVENT_BYTES: Final = 6 * 1024 * 1024 - 1024  # the 6 MB of a synchronous invocation, less the event's own frame


class Criteria(Protocol):
    """Which records reach the function (`sluiceway.rules.criteria.FilterCriteria` is one)."""

    def keep(self, record: Mapping[str, object]) -> bool:
        """Whether an entry of `Records` is kept."""
        ...


def is_kept(criteria: Criteria | None, record: Mapping[str, object], *, record_id: str) -> bool:
    """Whether a record reaches the function. One that a filter breaks over does not, and the log says which."""
    if criteria is None:
        return True
    try:
        return criteria.keep(record)
    except Exception:
        log.exception("mapping.filter_failed", extra={"record": record_id})
        return False


class Poller(Protocol):
    """What takes from a source and invokes; `run()` until stopped or cancelled, or until the source is gone."""

    @property
    def last_result(self) -> str:
        """The API's LastProcessingResult."""
        ...

    async def run(self) -> None:
        """Poll."""
        ...

    async def stop(self) -> None:
        """Begin no further invocation, and come back when the running ones have ended and what they did is noted."""
        ...


async def end_polling(task: asyncio.Task[None] | None) -> None:
    """Cancel what runs a poller, and come back when it has ended; None is nothing."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
