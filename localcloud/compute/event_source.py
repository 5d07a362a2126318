"""What event source mappings share, whatever they take from: queues and streams.

Owns the words of LastProcessingResult, the port of a mapping's filters and the size of an event. Knows no source.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, with-kinesis.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["CALL_FAILED", "INTERNAL_ERROR", "MAX_EVENT_BYTES", "NOTHING_YET", "Criteria"]

NOTHING_YET: Final = "No records processed"  # with-kinesis: LastProcessingResult of a new mapping
CALL_FAILED: Final = "PROBLEM: Function call failed"  # with-kinesis, the same
INTERNAL_ERROR: Final = "PROBLEM: Lambda internal error"
MAX_EVENT_BYTES: Final = 6 * 1024 * 1024 - 1024  # the 6 MB of a synchronous invocation, less the event's own frame


class Criteria(Protocol):
    """Which records reach the function (`sluiceway.rules.criteria.FilterCriteria` is one)."""

    def keep(self, record: Mapping[str, object]) -> bool:
        """Whether an entry of `Records` is kept."""
        ...
