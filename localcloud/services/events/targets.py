"""The way to the services of targets: who may be reached, and what their refusals mean for a delivery.

A target with a role is reached with what the role may; one without by its own resource policy, which must let
events.amazonaws.com in on behalf of the rule. Services are given as callables; their errors are `ServiceRefusal`s.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.services.contract import ACCOUNT_ID, ServiceRefusal
from localcloud.services.events.delivery import DeadLetter, Parcel, Undeliverable
from localcloud.services.events.envelope import Event
from localcloud.services.iam.policy import Caller, Document, Outcome, context_on_behalf, evaluate
from localcloud.services.sqs.message import AttributeValue, Content

__all__ = ["Reach", "SendingQueue", "TargetServices", "Targets"]

PRINCIPAL: Final = "events.amazonaws.com"
_ACTIONS: Final = {
    "events": "events:PutEvents",
    "kinesis": "kinesis:PutRecord",
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
    "states": "states:StartExecution",
}
_CODES: Final[Mapping[str, str]] = {  # of services, to those of dead letters
    "InvalidParameterValueException": "INVALID_PARAMETER",
    "InvalidRequestContentException": "INVALID_JSON",
    "NotFound": "NO_RESOURCE",
    "QueueDoesNotExist": "NO_RESOURCE",
    "ResourceNotFoundException": "NO_RESOURCE",
    "StateMachineDoesNotExist": "NO_RESOURCE",
}
_THROTTLED: Final = frozenset(
    {
        "OverLimit",
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "Throttled",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class SendingQueue(Protocol):
    """What is needed of a queue (`localcloud.services.sqs.queue.Queue` is one)."""

    async def send(self, content: Content) -> str:
        """Put a message. Raises SqsError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetServices:
    """The services. Each callable raises its service's own error.

    `invoke`: function ARN, payload, trace header; asynchronously. `publish`: topic ARN, message. `put_record`: stream
    ARN, data, partition key. `forward`: bus ARN, event; False where there is no such bus. `start`: machine ARN, input.
    """

    find_queue: Callable[[str], SendingQueue | None]
    invoke: Callable[[str, bytes, str], Awaitable[object]]
    publish: Callable[[str, str], Awaitable[object]]
    put_record: Callable[[str, bytes, str], Awaitable[object]]
    forward: Callable[[str, Event], bool]
    start: Callable[[str, str], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Who may reach what. `policy_of`: the resource policy of an ARN, None where there is none.

    `may_assume`: whether a role may be assumed by a service (`events.amazonaws.com`). `may_do`: whether a role may do
    an action on a resource.
    """

    policy_of: Callable[[str], Document | None]
    may_assume: Callable[[str, str], bool]
    may_do: Callable[[str, str, str], bool]


class Targets:
    """A `TargetPort` over the services of the local cloud."""

    def __init__(self, services: TargetServices, reach: Reach) -> None:
        self._services = services
        self._reach = reach
        self._send: Mapping[str, Callable[[Parcel, str], Awaitable[None]]] = {
            "events": self._forward,
            "kinesis": self._put_record,
            "lambda": self._invoke,
            "sns": self._publish,
            "sqs": self._send_message,
            "states": self._start,
        }

    async def deliver(self, parcel: Parcel, body: str) -> None:
        """Hand `body` to the parcel's target. Raises Undeliverable."""
        target = parcel.target
        self._check(target.arn, _ACTIONS[target.service], role_arn=target.role_arn, rule_arn=parcel.rule.arn)
        try:
            await self._send[target.service](parcel, body)
        except Undeliverable:
            raise
        except Exception as error:
            raise _translate(error) from error

    async def bury(self, letter: DeadLetter) -> None:
        """Put a dead letter into its queue, as its policy allows. Raises Undeliverable."""
        self._check(letter.queue_arn, _ACTIONS["sqs"], role_arn="", rule_arn=letter.rule_arn)
        attributes = {name: AttributeValue("String", value) for name, value in letter.attributes.items() if value}
        try:
            await self._find_queue(letter.queue_arn).send(Content(letter.body, attributes))
        except Undeliverable:
            raise
        except Exception as error:
            raise _translate(error) from error

    # ------------------------------------------------------------------ permission

    def _check(self, arn: str, action: str, *, role_arn: str, rule_arn: str) -> None:
        if role_arn and not self._reach.may_assume(role_arn, PRINCIPAL):
            message = f"{PRINCIPAL} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            raise Undeliverable(message, code="FAILED_TO_ASSUME_ROLE", retry=False)
        caller = Caller(arn=role_arn, account=ACCOUNT_ID) if role_arn else Caller(service=PRINCIPAL)
        policy = self._reach.policy_of(arn)
        context = context_on_behalf(rule_arn)
        decided = evaluate((policy,) if policy else (), action, arn, context=context, caller=caller)
        if decided.allowed:
            return
        denied = decided.outcome is Outcome.EXPLICIT_DENY
        if denied or not role_arn or not self._reach.may_do(role_arn, action, arn):
            message = f"{role_arn or PRINCIPAL} is not authorized to perform: {action} on resource: {arn}"
            raise Undeliverable(message, code="NO_PERMISSIONS", retry=False)

    # ------------------------------------------------------------------ one service each

    async def _forward(self, parcel: Parcel, _body: str) -> None:
        """An event that comes from another bus goes no further.

        Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-bus-to-bus.html
        """
        target, event = parcel.target, parcel.event
        sender = parcel.rule.bus_arn
        if event.hops:
            is_near = _regions(*event.hops, sender, target.arn) == 1
            code = "THIRD_ACCOUNT_HOP_DETECTED" if is_near else "THIRD_REGION_HOP_DETECTED"
            message = "Events that came from another event bus are not sent to a third one."
            raise Undeliverable(message, code=code, retry=False)
        if not self._services.forward(target.arn, event.sent_on(sender)):
            raise Undeliverable(f"Event bus {target.arn} does not exist.", code="NO_RESOURCE", retry=False)

    async def _put_record(self, parcel: Parcel, body: str) -> None:
        key = parcel.target.partition_key(parcel.event)
        await self._services.put_record(parcel.target.arn, body.encode(), key)

    async def _invoke(self, parcel: Parcel, body: str) -> None:
        await self._services.invoke(parcel.target.arn, body.encode(), parcel.event.trace)

    async def _publish(self, parcel: Parcel, body: str) -> None:
        await self._services.publish(parcel.target.arn, body)

    async def _start(self, parcel: Parcel, body: str) -> None:
        await self._services.start(parcel.target.arn, body)

    async def _send_message(self, parcel: Parcel, body: str) -> None:
        trace = parcel.event.trace
        system = {"AWSTraceHeader": AttributeValue("String", trace)} if trace else {}
        content = Content(body, {}, system, parcel.target.group_id)
        await self._find_queue(parcel.target.arn).send(content)

    def _find_queue(self, arn: str) -> SendingQueue:
        queue = self._services.find_queue(arn)
        if queue is None:
            raise Undeliverable(f"The queue {arn} does not exist.", code="NO_RESOURCE", retry=False)
        return queue


def _regions(*arns: str) -> int:
    return len({arn.split(":")[3] for arn in arns})


def _translate(error: Exception) -> Undeliverable | Exception:
    """What an error of a service means for a delivery; an error that is none of a service's stays what it is."""
    if not isinstance(error, ServiceRefusal):
        return error
    code = error.code.rpartition(".")[2]
    if code in _THROTTLED or error.status == 429:
        return Undeliverable(error.message, code="THROTTLING", retry=True)
    if error.status >= 500:
        return Undeliverable(error.message, code="ERROR_FROM_TARGET", retry=True)
    return Undeliverable(error.message, code=_CODES.get(code, "SDK_CLIENT_ERROR"), retry=False)
