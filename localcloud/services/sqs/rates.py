"""How often a second a FIFO queue lets one of its actions be called: 300 times, a batch of ten counting once.

A queue with FifoThroughputLimit=perMessageGroupId lets each message group be sent to 300 times a second instead; how
many transactions the whole queue takes then (2,400 to 70,000, by Region) is beyond a local cloud and not limited.
Counts what comes by the API: event source mappings have their own ways to be slow.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/troubleshooting-fifo-throttling-issues.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from localcloud.services.sqs.errors import SqsError

__all__ = ["Rates"]

PER_SECOND: Final = 300  # quotas-messages: transactions of each action
_STEP_S: Final = 1 / PER_SECOND
_BURST_S: Final = 1.0  # a second's worth may come at once
_EPSILON: Final = 1e-9
_MANY: Final = 4_096  # keys; those that are at rest are forgotten when there are more


class Rates:
    """Transactions by key, in the loop's time; each key may have 300 a second."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, ...], float] = {}  # when the transactions so far would be done, one after another

    def admit(self, keys: Iterable[tuple[str, ...]], now: float) -> None:
        """Count one transaction for every key. Raises SqsError: ThrottlingException, and counts none."""
        wanted = list(dict.fromkeys(keys))
        if any(self._next.get(key, now) + _STEP_S > now + _BURST_S + _EPSILON for key in wanted):
            raise SqsError("ThrottlingException", "Rate exceeded")
        for key in wanted:
            self._next[key] = max(self._next.get(key, now), now) + _STEP_S
        if len(self._next) > _MANY:
            self._next = {key: done for key, done in self._next.items() if done > now}
