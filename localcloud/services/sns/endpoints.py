"""The endpoints that SNS delivers to here: the queues of the local cloud, and its functions.

A queue must allow the topic in its own policy, as on AWS; whether a function does is asked for. Knows how each of them
refuses, and which refusals may pass.
Sources: https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
and https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Caller, context_on_behalf, evaluate, read_resource_policy
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sns.errors import Undeliverable
from localcloud.services.sns.message import Attribute
from localcloud.services.sns.ports import QueueMessage
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import AttributeValue, Content
from localcloud.services.sqs.model import Queue, Queues

__all__ = ["InvokeEvent", "LocalEndpoints", "queue_allows"]

SERVICE: Final = "sns.amazonaws.com"
SENDER_ID: Final = "AIDAIT2UOQQY3AUEKVGXU"  # SenderId of what SNS sends, in every account

InvokeEvent = Callable[[str, bytes, str], Awaitable[object]]
"""Invokes a function asynchronously: its ARN, the payload, the trace header. Raises LambdaError."""
MayInvoke = Callable[[str, str], bool]
"""Whether a function (its ARN) lets SNS invoke it on behalf of a topic (its ARN)."""


class LocalEndpoints:
    """`Endpoints` over the local cloud's queues and functions."""

    def __init__(self, queues: Queues, *, invoke_event: InvokeEvent, may_invoke: MayInvoke) -> None:
        self._queues = queues
        self._invoke_event = invoke_event
        self._may_invoke = may_invoke

    async def send_to_queue(self, queue_arn: str, message: QueueMessage, *, topic_arn: str) -> None:
        """Put a message into a queue. Raises Undeliverable."""
        queue = self._queues.find(queue_arn)
        if queue is None:
            raise Undeliverable("QueueDoesNotExist", "The specified queue does not exist.", retry=False)
        if not queue_allows(queue, topic_arn):
            raise Undeliverable("AccessDenied", f"{queue_arn} does not let {topic_arn} send", retry=False)
        try:
            await queue.send(_content(message), sender_id=SENDER_ID)
        except SqsError as error:
            retry = error.status >= 500 or error.code == "ThrottlingException"
            raise Undeliverable(error.code, error.message, retry=retry) from error

    async def invoke_function(self, function_arn: str, event: bytes, *, topic_arn: str, trace_header: str) -> None:
        """Invoke a function asynchronously. Raises Undeliverable; a throttled or broken Lambda may be tried again."""
        if not self._may_invoke(function_arn, topic_arn):
            raise Undeliverable("AccessDenied", f"{function_arn} does not let {topic_arn} invoke it", retry=False)
        try:
            await self._invoke_event(function_arn, event, trace_header)
        except LambdaError as error:
            retry = error.status == 429 or error.status >= 500
            raise Undeliverable(error.code, error.message, retry=retry) from error


def queue_allows(queue: Queue, topic_arn: str) -> bool:
    """Whether the queue's policy lets SNS send on behalf of the topic; without one that can be read, nobody may."""
    try:
        policy = read_resource_policy(queue.attributes.get("Policy", ""))
    except MalformedPolicy:
        return False
    context, caller = context_on_behalf(topic_arn), Caller(service=SERVICE)
    return evaluate((policy,) if policy else (), "sqs:SendMessage", queue.arn, context=context, caller=caller).allowed


def _content(message: QueueMessage) -> Content:
    system = {"AWSTraceHeader": AttributeValue("String", message.trace_header)} if message.trace_header else {}
    attributes = {name: _value(attribute) for name, attribute in message.attributes.items()}
    return Content(message.body, attributes, system, message.group_id, message.deduplication_id)


def _value(attribute: Attribute) -> AttributeValue:
    return AttributeValue(attribute.data_type, attribute.value)
