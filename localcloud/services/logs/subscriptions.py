"""Subscription filters: the events of a log group that match a pattern, sent on in batches to a function or a stream.

What is sent is what AWS sends: JSON, gzipped. A batch is of one log stream; it leaves a second after its first event,
or when it is full.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.logs.model import LogEvent, Logs
from localcloud.services.logs.patterns import Pattern
from localcloud.services.logs.reading import Cursor

__all__ = ["MAX_FILTERS", "Subscription", "SubscriptionTarget", "Subscriptions"]

MAX_FILTERS: Final = (
    2  # of a log group; https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
)
BATCH_S: Final = 1.0  # AWS sends "in near real time"
MAX_BATCH_CHARS: Final = 512 * 1024  # so that the gzipped batch in base64 fits an asynchronous invocation
MAX_WAITING_CHARS: Final = 8 * 1024 * 1024  # of all batches of a filter; more is dropped, and said
_LOG: Final = logging.getLogger(__name__)


class SubscriptionTarget(Protocol):
    """What a filter sends to."""

    async def __call__(self, data: bytes, stream: str) -> None:
        """Send one gzipped batch of a log stream. Raises an error that is logged: it is not sent again."""
        ...


@dataclass(slots=True)
class Subscription:
    """One filter of a log group."""

    group: str
    name: str
    matches: Pattern
    send: SubscriptionTarget
    batches: dict[str, list[LogEvent]] = field(default_factory=dict[str, list[LogEvent]])
    waiting_chars: int = 0


class Subscriptions:
    """The filters of every log group. `start` owns the sending of batches."""

    def __init__(self, logs: Logs, *, start: Callable[[Awaitable[None]], None]) -> None:
        self._logs = logs
        self._start = start
        self._filters: dict[str, list[Subscription]] = {}
        self._stop: Callable[[], None] | None = None

    def of(self, group: str) -> list[Subscription]:
        """The filters of a group."""
        return self._filters.get(group, [])

    def add(self, subscription: Subscription) -> None:
        """Send on what is written from now on."""
        self._filters.setdefault(subscription.group, []).append(subscription)
        if self._stop is None:
            self._stop = self._logs.listen(self._hear)

    def remove(self, group: str, name: str) -> None:
        """Send on no more; what was written before still goes."""
        self._filters[group] = [each for each in self.of(group) if each.name != name]

    def _hear(self, event: LogEvent) -> None:
        for subscription in self._filters.get(event.group, ()):
            if subscription.matches(event.message):
                self._collect(subscription, event)

    def _collect(self, subscription: Subscription, event: LogEvent) -> None:
        size = len(event.message)
        if subscription.waiting_chars + size > MAX_WAITING_CHARS:
            _LOG.error("logs.subscription_dropped group=%s filter=%s", subscription.group, subscription.name)
            return
        batch = subscription.batches.setdefault(event.stream, [])
        if not batch:
            loop = asyncio.get_running_loop()
            loop.call_later(BATCH_S, self._flush, subscription, event.stream, batch)
        batch.append(event)
        subscription.waiting_chars += size
        if sum(len(each.message) for each in batch) >= MAX_BATCH_CHARS:
            self._flush(subscription, event.stream, batch)

    def _flush(self, subscription: Subscription, stream: str, batch: list[LogEvent]) -> None:
        if subscription.batches.get(stream) is not batch:
            return  # it was full, and went before its time
        del subscription.batches[stream]
        self._start(self._send(subscription, stream, batch))

    async def _send(self, subscription: Subscription, stream: str, batch: list[LogEvent]) -> None:
        try:
            await subscription.send(_pack(subscription, stream, batch), stream)
        except Exception:  # noqa: BLE001 - a target may fail in any way, and its filter goes on
            _LOG.exception("logs.subscription_failed group=%s filter=%s", subscription.group, subscription.name)
        finally:
            subscription.waiting_chars -= sum(len(event.message) for event in batch)


def _pack(subscription: Subscription, stream: str, batch: list[LogEvent]) -> bytes:
    events = [
        {"id": Cursor.of(event).token(), "timestamp": event.timestamp_ms, "message": event.message} for event in batch
    ]
    told = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT_ID,
        "logGroup": subscription.group,
        "logStream": stream,
        "subscriptionFilters": [subscription.name],
        "logEvents": events,
    }
    return gzip.compress(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)
