"""The delivery of notifications to subscribers: attempts, waits, order, dead letters. Knows an endpoint by its port.

The rules, as SNS has them for SQS and Lambda:
1. A server error is tried again: three times at once, twice a second apart, ten times with waits that grow from 1 to 20
   seconds, 100,000 times 20 seconds apart: 23 days.
2. A client error, an endpoint that is gone or does not allow the topic, is not tried again.
3. What could not be delivered goes to the subscription's dead-letter queue, as it would have gone to a queue; without
   one it is dropped. AWS tells its reason to nobody but the log: the dead letter has no attributes of its own.
4. Of a FIFO topic, a message group is delivered in order: what comes later waits for what is being tried.
A subscription that is deleted gets nothing more. Every delivery is a task of the given group; all waits are the loop's.
Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html, sns-dead-letter-queues.html
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.sns.errors import Undeliverable
from localcloud.services.sns.notification import Notification, write_envelope, write_lambda_event
from localcloud.services.sns.ports import Endpoints, QueueMessage
from localcloud.services.sns.subscription import Subscription

__all__ = ["Deliveries", "retry_waits_s"]

log = logging.getLogger(__name__)

IMMEDIATE: Final = 3  # sns-message-delivery-retries: AWS managed endpoints, as the six below
PRE_BACKOFF: Final = 2
PRE_BACKOFF_S: Final = 1.0
BACKOFF: Final = 10
BACKOFF_S: Final = (1.0, 20.0)
POST_BACKOFF: Final = 100_000
POST_BACKOFF_S: Final = 20.0
MAX_RAW_ATTRIBUTES: Final = 10  # sns-message-attributes: of a raw message to a queue

Send = Callable[[], Awaitable[None]]


def retry_waits_s(rng: random.Random) -> Iterator[float]:
    """The seconds before each retry. The growing ones are drawn from the least to their own: SNS says it jitters."""
    yield from (0.0 for _ in range(IMMEDIATE))
    yield from (PRE_BACKOFF_S for _ in range(PRE_BACKOFF))
    least, most = BACKOFF_S
    for step in range(BACKOFF):
        longest = least * (most / least) ** (step / (BACKOFF - 1))
        yield least + rng.random() * (longest - least)
    yield from (POST_BACKOFF_S for _ in range(POST_BACKOFF))


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One notification for one subscriber."""

    notification: Notification
    subscription: Subscription


class Deliveries:
    """Every delivery under way. `close()` before `group` ends."""

    def __init__(self, endpoints: Endpoints, *, group: asyncio.TaskGroup, rng: random.Random) -> None:
        self._endpoints = endpoints
        self._group = group
        self._rng = rng
        self._lanes: dict[tuple[str, str], deque[_Delivery]] = {}  # by subscription and message group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, notification: Notification, subscription: Subscription) -> None:
        """Deliver, after what a FIFO topic put before it; returns at once."""
        delivery = _Delivery(notification, subscription)
        if not notification.sequence_number:
            self._spawn(self._deliver(delivery))
            return
        lane = (subscription.arn, notification.publication.group_id)
        if lane in self._lanes:
            self._lanes[lane].append(delivery)
            return
        self._lanes[lane] = deque((delivery,))
        self._spawn(self._follow(lane))

    @property
    def pending(self) -> int:
        """How many notifications are neither delivered nor given up."""
        waiting = sum(len(lane) - 1 for lane in self._lanes.values())
        return len(self._tasks) + waiting

    def close(self) -> None:
        """Give up everything that is under way."""
        self._lanes.clear()
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, lane: tuple[str, str]) -> None:
        waiting = self._lanes[lane]
        while waiting:
            await self._deliver(waiting[0])
            waiting.popleft()
        del self._lanes[lane]

    async def _deliver(self, delivery: _Delivery) -> None:
        try:
            failure = await self._attempt(lambda: self._send(delivery), delivery.subscription)
            if failure is not None:
                await self._bury(delivery, failure)
        except Exception:
            log.exception("sns.delivery_broken", extra={"subscription": delivery.subscription.arn})

    async def _attempt(self, send: Send, subscription: Subscription) -> Undeliverable | None:
        """Try until it is delivered or cannot be any more: then why not."""
        waits = retry_waits_s(self._rng)
        while not subscription.is_deleted:
            try:
                await send()
            except Undeliverable as failure:
                wait_s = next(waits, None) if failure.retry else None
                if wait_s is None:
                    return failure
            else:
                return None
            await asyncio.sleep(wait_s)
        return None

    async def _send(self, delivery: _Delivery) -> None:
        subscription, notification = delivery.subscription, delivery.notification
        topic_arn = notification.topic_arn
        if subscription.protocol == "lambda":
            event = write_lambda_event(notification, subscription.arn)
            await self._endpoints.invoke_function(
                subscription.endpoint, event, topic_arn=topic_arn, trace_header=notification.trace_header
            )
            return
        if subscription.is_raw and len(notification.publication.attributes) > MAX_RAW_ATTRIBUTES:
            message = f"A raw message has at most {MAX_RAW_ATTRIBUTES} attributes"
            raise Undeliverable("InvalidParameterValue", message, retry=False)
        message = _queue_message(delivery, subscription.endpoint)
        await self._endpoints.send_to_queue(subscription.endpoint, message, topic_arn=topic_arn)

    async def _bury(self, delivery: _Delivery, failure: Undeliverable) -> None:
        subscription, topic_arn = delivery.subscription, delivery.notification.topic_arn
        fields = {
            "subscription": subscription.arn,
            "message_id": delivery.notification.message_id,
            "code": failure.code,
            "reason": failure.message,
        }
        target = subscription.dead_letter_arn
        if not target:
            log.warning("sns.dropped", extra=fields)
            return
        message = _queue_message(delivery, target)
        lost = await self._attempt(
            lambda: self._endpoints.send_to_queue(target, message, topic_arn=topic_arn), subscription
        )
        if lost is None:
            log.info("sns.dead_letter", extra=fields)
        else:
            log.warning("sns.dead_letter_lost", extra=fields | {"dead_letter_queue": target, "lost": str(lost)})


def _queue_message(delivery: _Delivery, queue_arn: str) -> QueueMessage:
    """What a queue gets: the subscriber's, or the dead-letter queue in its place.

    A raw message with more attributes than a queue takes is a dead letter in its envelope.
    """
    notification, subscription = delivery.notification, delivery.subscription
    publication = notification.publication
    is_raw = subscription.is_raw and len(publication.attributes) <= MAX_RAW_ATTRIBUTES
    is_fifo = queue_arn.endswith(".fifo")
    return QueueMessage(
        body=publication.text_for(subscription.protocol)
        if is_raw
        else write_envelope(notification, subscription.arn, subscription.protocol),
        attributes=publication.attributes if is_raw else {},
        group_id=publication.group_id if is_fifo or not notification.sequence_number else "",
        deduplication_id=publication.deduplication_id if is_fifo else "",
        trace_header=notification.trace_header,
    )
