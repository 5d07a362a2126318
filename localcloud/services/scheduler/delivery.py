"""One invocation of a schedule: its input, its attempts with back-off, then the dead-letter queue. At least once.

1. A failure that may pass is tried again after 1 s, 2 s, 4 s and so on up to ten minutes, each shortened by chance by
   up to half, until the target's retry policy ends it: 185 times and 24 hours by default.
2. A failure that will not pass (no permission, no such resource) is not tried again.
3. What is not delivered goes to the dead-letter queue with the reason, or is dropped aloud.

Knows services by the `CallPort` only.
Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from localcloud.clock import Clock
from localcloud.json_text import MalformedJson
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.delivery import FIRST_WAIT_S, MAX_WAIT_S, OUT_OF_ATTEMPTS, OUT_OF_TIME
from localcloud.services.events.envelope import write_time
from localcloud.services.scheduler.target import Target, queue_call
from localcloud.services.states.task_resource import TaskResource
from localcloud.uuids import new_uuid

__all__ = ["CallPort", "Courier", "Failed", "Invocation"]

log = logging.getLogger(__name__)

_PREFIX: Final = "<aws.scheduler."


class Failed(Exception):
    """A service refused a call. `retry`: it may take it later."""

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation of a schedule's target. `due_s`: when it was due, in epoch seconds."""

    schedule_arn: str
    target: Target
    due_s: float

    @property
    def region(self) -> str:
        """The schedule's Region."""
        return self.schedule_arn.split(":")[3]


class CallPort(Protocol):
    """The way to services."""

    async def call(self, call: TaskResource, arguments: Any, *, role_arn: str, region: str) -> None:
        """Call an operation with a role. Raises Failed."""
        ...


class Courier:
    """Carries invocations to their end."""

    def __init__(self, port: CallPort, *, clock: Clock, rng: Random) -> None:
        self._port = port
        self._clock = clock
        self._rng = rng

    async def carry(self, invocation: Invocation) -> None:
        """Try until it is done or given up; whatever fails is told to the dead-letter queue or the log."""
        target = invocation.target
        default = _default_text(invocation, new_uuid(self._rng)) if target.text is None else target.text
        expires_s = self._clock.time() + target.age_s
        retries = 0
        while True:
            execution_id = f"{self._rng.getrandbits(64):016x}"
            text = _fill(default, invocation, execution_id=execution_id, attempt=retries + 1)
            failure = await self._try(invocation, text)
            if failure is None:
                return
            condition = ""
            wait_s = min(FIRST_WAIT_S * 2.0**retries, MAX_WAIT_S) * (0.5 + self._rng.random() / 2)
            if failure.retry and retries >= target.attempts:
                condition = OUT_OF_ATTEMPTS
            elif failure.retry and self._clock.time() + wait_s > expires_s:
                condition = OUT_OF_TIME
            if condition or not failure.retry:
                break
            await asyncio.sleep(wait_s)
            retries += 1
        told = {
            "ERROR_CODE": failure.code,
            "ERROR_MESSAGE": failure.message,
            "EXECUTION_ID": execution_id,
            "EXHAUSTED_RETRY_CONDITION": condition,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(retries),
            "SCHEDULED_TIME": write_time(invocation.due_s),
            "SCHEDULE_ARN": invocation.schedule_arn,
            "TARGET_ARN": target.arn,
        }
        await self._give_up(invocation, text, told)

    async def _try(self, invocation: Invocation, text: str) -> Failed | None:
        target = invocation.target
        try:
            arguments = target.arguments(text)
            await self._port.call(target.call, arguments, role_arn=target.role_arn, region=invocation.region)
        except Failed as failure:
            return failure
        except MalformedJson:
            return Failed("ValidationException", "The input is no JSON.", retry=False)
        except Exception as error:  # the edge of an invocation: whatever is wrong belongs to this one
            log.exception("scheduler.invocation_failed", extra={"schedule": invocation.schedule_arn})
            return Failed("InternalServerException", type(error).__name__, retry=True)
        return None

    async def _give_up(self, invocation: Invocation, text: str, told: Mapping[str, str]) -> None:
        target = invocation.target
        fields = {"schedule": invocation.schedule_arn, "target": target.arn, "code": told["ERROR_CODE"]}
        if not target.dead_letter_arn:
            log.warning("scheduler.dropped", extra=fields)
            return
        call, request = queue_call(target.dead_letter_arn)
        request["MessageBody"] = text
        request["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in told.items() if value
        }
        try:
            await self._port.call(call, request, role_arn=target.role_arn, region=invocation.region)
        except Failed as failure:
            log.warning("scheduler.dead_letter_lost", extra=fields | {"reason": failure.code})
        except Exception:
            log.exception("scheduler.dead_letter_lost", extra=fields)


def _fill(text: str, invocation: Invocation, *, execution_id: str, attempt: int) -> str:
    """The input with its context attributes."""
    if _PREFIX not in text:
        return text
    known = {
        "attempt-number": str(attempt),
        "execution-id": execution_id,
        "schedule-arn": invocation.schedule_arn,
        "scheduled-time": write_time(invocation.due_s),
    }
    for name, value in known.items():
        text = text.replace(f"{_PREFIX}{name}>", value)
    return text


def _default_text(invocation: Invocation, event_id: str) -> str:
    """What a target without an Input is given: nothing to a universal one, whose input is the request."""
    if invocation.target.is_universal:
        return "{}"
    notification = {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT_ID,
        "time": write_time(invocation.due_s),
        "region": invocation.region,
        "resources": [invocation.schedule_arn],
        "detail": "{}",
    }
    return json.dumps(notification, separators=(",", ":"))
