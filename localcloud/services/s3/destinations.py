"""The way from a bucket to its destinations: who may be told, and what refusals mean for a message.

A queue's, topic's or function's own policy must let s3.amazonaws.com in on behalf of the bucket. Services are given as
callables; their errors are `ServiceRefusal`s.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/grant-destinations-permissions-to-s3.html
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.services.contract import ACCOUNT_ID, ServiceRefusal
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.targets import SendingQueue
from localcloud.services.iam.policy import Caller, Document, context_on_behalf, evaluate
from localcloud.services.s3.notifications import NotDelivered
from localcloud.services.sqs.message import AttributeValue, Content

__all__ = ["DestinationServices", "Destinations"]

log = logging.getLogger(__name__)

PRINCIPAL: Final = "s3.amazonaws.com"
SOURCE: Final = "aws.s3"
SUBJECT: Final = "Amazon S3 Notification"
_ACTIONS: Final = {"lambda": "lambda:InvokeFunction", "sns": "sns:Publish", "sqs": "sqs:SendMessage"}
_NAMES: Final = {"lambda": "Lambda", "sns": "topic", "sqs": "queue"}
_THROTTLED: Final = frozenset({"OverLimit", "RequestThrottled", "Throttled", "TooManyRequestsException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationServices:
    """The services. Each callable raises its service's own error.

    `has_topic`, `has_function`: whether there is one of an ARN. `publish`: topic ARN, message, subject, trace header.
    `invoke`: function ARN, payload, trace header; asynchronously. `emit`: Region, event of a service. `policy_of`: the
    resource policy of an ARN, None where it has none.
    """

    find_queue: Callable[[str], SendingQueue | None]
    has_topic: Callable[[str], bool]
    has_function: Callable[[str], bool]
    publish: Callable[[str, str, str, str], Awaitable[object]]
    invoke: Callable[[str, bytes, str], Awaitable[object]]
    emit: Callable[[str, Entry], object]
    policy_of: Callable[[str], Document | None]


class Destinations:
    """A `DestinationPort` over the services of the local cloud."""

    def __init__(self, services: DestinationServices) -> None:
        self._services = services
        self._send: Mapping[str, Callable[[str, str, str], Awaitable[object]]] = {
            "lambda": lambda arn, text, trace: services.invoke(arn, text.encode(), trace),
            "sns": lambda arn, text, trace: services.publish(arn, text, SUBJECT, trace),
            "sqs": self._send_message,
        }

    def find_fault(self, arn: str, bucket: str) -> str:
        """Why a destination cannot be told of a bucket's objects, in S3's words, "" where it can."""
        service = arn.split(":")[2]
        if arn.endswith(".fifo"):
            return f"FIFO {_NAMES[service]}s are not supported"
        if not self._is_there(service, arn):
            return f"The destination {_NAMES[service]} does not exist"
        if self._is_let_in(service, arn, bucket):
            return ""
        if service == "lambda":
            return f"Not authorized to invoke function [{arn}]"
        what = f"Permissions on the destination {_NAMES[service]}"
        return f"{what} do not allow S3 to publish notifications from this bucket"

    async def send(self, arn: str, text: str, bucket: str, *, trace: str = "") -> None:
        """Hand a message over. Raises NotDelivered."""
        fault = self.find_fault(arn, bucket)
        if fault:
            raise NotDelivered(fault, retry=False)
        try:
            await self._send[arn.split(":")[2]](arn, text, trace)
        except Exception as error:
            if not isinstance(error, ServiceRefusal):
                raise
            code = error.code.rpartition(".")[2]
            again = error.status >= 500 or error.status == 429 or code in _THROTTLED
            raise NotDelivered(code, retry=again) from error

    def emit(self, region: str, bucket: str, *, detail_type: str, detail: str) -> None:
        """Put an event on the default bus of a Region."""
        entry = Entry(source=SOURCE, detail_type=detail_type, detail=detail, resources=(f"arn:aws:s3:::{bucket}",))
        try:
            self._services.emit(region, entry)
        except RefusedEntry as error:
            log.warning("s3.event_dropped", extra={"bucket": bucket, "code": error.code})

    def _is_there(self, service: str, arn: str) -> bool:
        if service == "sqs":
            return self._services.find_queue(arn) is not None
        return self._services.has_topic(arn) if service == "sns" else self._services.has_function(arn)

    def _is_let_in(self, service: str, arn: str, bucket: str) -> bool:
        policy = self._services.policy_of(arn)
        context = context_on_behalf(f"arn:aws:s3:::{bucket}") | {"aws:SourceAccount": ACCOUNT_ID}
        documents = (policy,) if policy is not None else ()
        return evaluate(documents, _ACTIONS[service], arn, context=context, caller=Caller(service=PRINCIPAL)).allowed

    async def _send_message(self, arn: str, text: str, trace: str) -> None:
        queue = self._services.find_queue(arn)
        if queue is not None:
            system = {"AWSTraceHeader": AttributeValue("String", trace)} if trace else {}
            await queue.send(Content(text, {}, system))
