"""The way from a pipe to the services: with its role, and what their refusals mean for an event.

Services are given as callables; their errors are `ServiceRefusal`s. What is said of a failure goes to the log, so it
names settings and never what an event holds.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-permissions.html
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from localcloud.compute.functions import InvokeResult
from localcloud.services.contract import ServiceRefusal
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.targets import SendingQueue
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.pipes.inputs import Item, Parameter, Unreadable
from localcloud.services.pipes.settings import PipeSettings
from localcloud.services.pipes.stages import Failed, Outgoing
from localcloud.services.sqs.message import Content

__all__ = ["PipeServices", "ServicePort"]

_ACTIONS: Final = {
    "events": "events:PutEvents",
    "kinesis": "kinesis:PutRecords",
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
    "states": "states:StartExecution",
    "states and wait": "states:StartSyncExecution",
}
_EVENT_SOURCES: Final = {"dynamodb": "aws:dynamodb", "kinesis": "aws:kinesis", "sqs": "aws:sqs"}
_NO_TIME: Final = "EventBridgeEventBusParameters.Time leads to what is no time."
_THROTTLED: Final = 429
_LEAST_MILLISECONDS: Final = 1e11  # as seconds it would be the year 5138


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeServices:
    """The services. Each callable raises its service's own error.

    `invoke`: function ARN, payload, whether to wait for the answer. `publish`: topic ARN, message. `put_record`: stream
    ARN, data, partition key. `put_event`: bus ARN, entry; raises RefusedEntry.
    `run_machine`: machine ARN, input, whether to wait for its end. `may_do`: whether a role (ARN) may do an
    action on a resource (ARN).
    """

    find_queue: Callable[[str], SendingQueue | None]
    invoke: Callable[[str, bytes, bool], Awaitable[InvokeResult]]
    publish: Callable[[str, str], Awaitable[object]]
    put_record: Callable[[str, bytes, str], Awaitable[object]]
    put_event: Callable[[str, Entry], Awaitable[object]]
    run_machine: Callable[[str, str, bool], Awaitable[InvokeResult]]
    may_do: Callable[[str, str, str], bool]


class ServicePort:
    """A `PipePort` over the services of the local cloud; also the way to dead-letter queues and topics."""

    def __init__(self, services: PipeServices) -> None:
        self._services = services
        self._send = {
            "events": self._put_event,
            "kinesis": self._put_record,
            "sns": self._publish,
            "sqs": self._send_message,
        }

    async def invoke(self, settings: PipeSettings, arn: str, payload: bytes, *, wait: bool) -> InvokeResult:
        """Invoke a function or start a machine, or only hand it over. Raises Failed; LambdaError for a throttle."""
        if arn.split(":")[2] == "states":
            return await self._run_machine(settings, arn, payload, wait=wait)
        self._check(settings.role_arn, "lambda", arn)
        try:
            return await self._services.invoke(arn, payload, wait)
        except LambdaError as error:
            if error.status == _THROTTLED or error.status >= 500:
                raise
            raise Failed(str(error)) from error

    async def _run_machine(self, settings: PipeSettings, arn: str, payload: bytes, *, wait: bool) -> InvokeResult:
        self._check(settings.role_arn, "states and wait" if wait else "states", arn)
        try:
            return await self._services.run_machine(arn, payload.decode(), wait)
        except Exception as error:
            raise _translate(error) from error

    async def send(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        """Give one event to a target that is no function. Raises Failed, Unreadable."""
        service = settings.target.service
        self._check(settings.role_arn, service, settings.target.arn)
        try:
            await self._send[service](settings, outgoing)
        except (Failed, Unreadable):
            raise
        except Exception as error:
            raise _translate(error) from error

    async def bury(self, settings: PipeSettings, text: str) -> None:
        """Put a text into the pipe's dead-letter queue or topic. Raises Failed, or what the service raises."""
        arn = settings.dead_letter_arn
        service = arn.split(":")[2]
        self._check(settings.role_arn, service, arn)
        if service == "sns":
            await self._services.publish(arn, text)
        else:
            await self._find_queue(arn).send(Content(text, {}))

    # ------------------------------------------------------------------ one service each

    async def _put_event(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        bus, item = settings.target.bus, outgoing.item
        entry = Entry(
            source=_find(bus.source, item) or f"Pipe {settings.pipe.name}",
            detail_type=_find(bus.detail_type, item) or f"Event from {_EVENT_SOURCES[settings.kind]}",
            detail=outgoing.body,
            resources=tuple(each.find(item) for each in bus.resources),
            time_s=_read_time(_find(bus.time, item)),
        )
        await self._services.put_event(settings.target.arn, entry)

    async def _put_record(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        key = _find(settings.target.partition_key, outgoing.item)
        await self._services.put_record(settings.target.arn, outgoing.body.encode(), key)

    async def _publish(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        await self._services.publish(settings.target.arn, outgoing.body)

    async def _send_message(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        target, item = settings.target, outgoing.item
        group_id, deduplication_id = _find(target.group_id, item), _find(target.deduplication_id, item)
        content = Content(outgoing.body, {}, group_id=group_id, deduplication_id=deduplication_id)
        await self._find_queue(target.arn).send(content)

    def _find_queue(self, arn: str) -> SendingQueue:
        queue = self._services.find_queue(arn)
        if queue is None:
            raise Failed(f"The queue {arn} does not exist.")
        return queue

    def _check(self, role_arn: str, service: str, arn: str) -> None:
        action = _ACTIONS[service]
        if not self._services.may_do(role_arn, action, arn):
            raise Failed(f"{role_arn} is not authorized to perform: {action} on resource: {arn}")


def _find(parameter: Parameter | None, item: Item) -> str:
    return "" if parameter is None else parameter.find(item)


def _read_time(text: str) -> float | None:
    """A date of an event in epoch seconds: ISO 8601, or epoch seconds or milliseconds. Raises Failed."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError) as error:
            raise Failed(_NO_TIME) from error
    if not math.isfinite(number):
        raise Failed(_NO_TIME)
    return number / 1000 if number >= _LEAST_MILLISECONDS else number


def _translate(error: Exception) -> Exception:
    """A refusal of a service means that the event failed; an error that is none stays what it is.

    Of a refusal the code alone is told: its message may quote what a parameter found in the event.
    """
    if isinstance(error, RefusedEntry | ServiceRefusal):
        return Failed(error.code)
    return error
