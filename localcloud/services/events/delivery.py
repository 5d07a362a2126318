"""Bringing events to targets: retries with back-off, then the dead-letter queue. At least once, in no order.

1. A failure that may pass is tried again after 1 s, 2 s, 4 s and so on up to ten minutes, each shortened by chance by
   up to half, until the target's retry policy ends it: 185 times and 24 hours by default.
2. A failure that will not pass (no permission, no such target) is not tried again.
3. What is not delivered goes to the target's dead-letter queue with the reason, or is dropped aloud.

Knows a target's service by the `TargetPort` only.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from localcloud.clock import Clock
from localcloud.services.events.envelope import Event
from localcloud.services.events.target import Target
from localcloud.services.events.templates import InputTooLarge
from localcloud.services.events.transform import RuleName

__all__ = ["Courier", "DeadLetter", "Parcel", "TargetPort", "Undeliverable"]

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0  # ours, as MAX_WAIT_S: AWS says "exponential back off and jitter"
MAX_WAIT_S: Final = 600.0  # so that 185 attempts take the 24 hours that they may
OUT_OF_ATTEMPTS: Final = "MaximumRetryAttempts"
OUT_OF_TIME: Final = "MaximumEventAgeInSeconds"


class Undeliverable(Exception):
    """A target did not take an event. `retry`: it may later. `code` is one of the ERROR_CODEs of dead letters."""

    def __init__(self, message: str, *, code: str, retry: bool) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event for one target."""

    target: Target
    rule: RuleName
    event: Event


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was not delivered, for an SQS queue. `attributes` are the message attributes, all text."""

    queue_arn: str
    rule_arn: str
    body: str
    attributes: Mapping[str, str]


class TargetPort(Protocol):
    """The way to the services of targets."""

    async def deliver(self, parcel: Parcel, body: str) -> None:
        """Hand `body`, which is what the target is given of the event, to the target, once. Raises Undeliverable."""
        ...

    async def bury(self, letter: DeadLetter) -> None:
        """Put a dead letter into its queue. Raises Undeliverable."""
        ...


class Courier:
    """Carries parcels while `run` runs; those that are sent before wait for it. One event loop."""

    def __init__(self, port: TargetPort, *, clock: Clock, rng: Random) -> None:
        self._port = port
        self._clock = clock
        self._rng = rng
        self._group: asyncio.TaskGroup | None = None
        self._early: deque[Parcel] = deque()
        self._change: asyncio.Future[None] | None = None
        self._count = 0
        self._chars = 0

    @property
    def under_way(self) -> int:
        """How many parcels are neither delivered nor given up."""
        return self._count

    @property
    def held_chars(self) -> int:
        """How long their events are together; one for several targets counts for each."""
        return self._chars

    def next_change(self) -> asyncio.Future[None]:
        """Done as soon as a parcel is delivered or given up. For all who wait: nobody cancels it."""
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def send(self, parcel: Parcel) -> None:
        """Carry a parcel, from the next turn of the loop on."""
        self._count += 1
        self._chars += len(parcel.event.text)
        if self._group is None:
            self._early.append(parcel)
        else:
            self._group.create_task(self._carry(parcel))

    async def run(self) -> None:
        """Carry, until cancelled; what is under way then is lost, as it is when AWS gives up."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while self._early:
                    group.create_task(self._carry(self._early.popleft()))
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    async def _carry(self, parcel: Parcel) -> None:
        try:
            await self._deliver(parcel)
        finally:
            self._count -= 1
            self._chars -= len(parcel.event.text)
            if self._change is not None:
                self._change.set_result(None)
                self._change = None

    async def _deliver(self, parcel: Parcel) -> None:
        loop = asyncio.get_running_loop()
        policy = parcel.target.retry
        expires = loop.time() + parcel.event.ingested_s + policy.age_s - self._clock.time()
        retries = 0
        while True:
            failure = await self._try(parcel)
            if failure is None:
                return
            if not failure.retry:
                condition = ""
                break
            if retries == policy.attempts:
                condition = OUT_OF_ATTEMPTS
                break
            wait_s = min(FIRST_WAIT_S * 2.0**retries, MAX_WAIT_S) * (0.5 + self._rng.random() / 2)
            if loop.time() + wait_s > expires:
                condition = OUT_OF_TIME
                break
            await asyncio.sleep(wait_s)
            retries += 1
        await self._give_up(parcel, failure, condition=condition, retries=retries)

    async def _try(self, parcel: Parcel) -> Undeliverable | None:
        try:
            await self._port.deliver(parcel, parcel.target.make_body(parcel.event, parcel.rule))
        except Undeliverable as failure:
            return failure
        except InputTooLarge:
            return Undeliverable("The transformed input is too large.", code="INVALID_PARAMETER", retry=False)
        except Exception as error:  # the edge of a delivery: whatever is wrong belongs to this parcel
            log.exception("events.delivery_failed", extra={"target": parcel.target.arn})
            return Undeliverable(f"{type(error).__name__}: {error}", code="INTERNAL_ERROR", retry=True)
        return None

    async def _give_up(self, parcel: Parcel, failure: Undeliverable, *, condition: str, retries: int) -> None:
        fields = {"rule": parcel.rule.arn, "target": parcel.target.arn, "code": failure.code, "retries": retries}
        if not parcel.target.dead_letter_arn:
            log.warning("events.dropped", extra=fields)
            return
        attributes = {
            "RULE_ARN": parcel.rule.arn,
            "TARGET_ARN": parcel.target.arn,
            "ERROR_CODE": failure.code,
            "ERROR_MESSAGE": failure.message,
            "RETRY_ATTEMPTS": str(retries),
        }
        if condition:
            attributes["EXHAUSTED_RETRY_CONDITION"] = condition
        letter = DeadLetter(parcel.target.dead_letter_arn, parcel.rule.arn, parcel.event.text, attributes)
        try:
            await self._port.bury(letter)
        except Undeliverable as error:
            log.warning("events.dead_letter_lost", extra=fields | {"reason": error.message})
        except Exception:
            log.exception("events.dead_letter_lost", extra=fields)
