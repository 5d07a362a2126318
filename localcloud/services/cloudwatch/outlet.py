"""The way of an alarm's actions and events to the local cloud's topics, functions and buses.

A topic must allow CloudWatch in its policy (the first one does, for the topic's own account); a function must allow
`lambda.alarms.cloudwatch.amazonaws.com`. Other actions are not served, and say so in the alarm's history.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
and alarms-and-actions-Lambda.html there
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from localcloud.services.cloudwatch.notices import SnsNotice
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Caller, context_on_behalf, evaluate, read_resource_policy
from localcloud.services.lambda_.errors import LambdaError

if TYPE_CHECKING:
    from localcloud.services.events.model import Buses
    from localcloud.services.sns.model import Topics

__all__ = ["LocalOutlet", "Outlet", "Refused"]

PRINCIPAL: Final = "cloudwatch.amazonaws.com"
LAMBDA_PRINCIPAL: Final = "lambda.alarms.cloudwatch.amazonaws.com"
SOURCE: Final = "aws.cloudwatch"


class Refused(Exception):
    """An action was not done; the message says why. `retry`: it may be later."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class Outlet(Protocol):
    """Whom alarms tell."""

    def publish(self, topic_arn: str, notice: SnsNotice, *, alarm_arn: str) -> None:
        """Publish to a topic. Raises Refused."""
        ...

    async def invoke(self, function_arn: str, payload: bytes, *, alarm_arn: str) -> None:
        """Invoke a function asynchronously. Raises Refused."""
        ...

    def emit(self, alarm_arn: str, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Put an event on the default bus of the alarm's Region."""
        ...


class LocalOutlet:
    """`Outlet` over the local cloud's services.

    `invoke_event` invokes a function (its ARN) asynchronously and raises LambdaError; `may_invoke` tells whether a
    function (its ARN) lets the alarms' principal do so on behalf of an alarm (its ARN).
    """

    def __init__(
        self,
        topics: Topics,
        buses: Buses,
        *,
        invoke_event: Callable[[str, bytes], Awaitable[object]],
        may_invoke: Callable[[str, str], bool],
    ) -> None:
        self._topics = topics
        self._buses = buses
        self._invoke_event = invoke_event
        self._may_invoke = may_invoke

    def publish(self, topic_arn: str, notice: SnsNotice, *, alarm_arn: str) -> None:
        """Publish to a topic, in the topic's group of this alarm where it is a FIFO topic. Raises Refused."""
        from localcloud.services.sns.errors import SnsError  # noqa: PLC0415 - few alarms tell topics
        from localcloud.services.sns.message import Publication  # noqa: PLC0415 - likewise

        topic = self._topics.find(topic_arn)
        if topic is None:
            raise Refused("Topic does not exist")
        if not _allows(topic.policy, topic_arn, alarm_arn):
            raise Refused("CloudWatch Alarms is not authorized to perform: SNS:Publish on resource: " + topic_arn)
        fifo = (notice.group_id, notice.deduplication_id) if topic.is_fifo else ("", "")
        publication = Publication(notice.message, notice.subject, group_id=fifo[0], deduplication_id=fifo[1])
        try:
            self._topics.publish(topic, publication)
        except SnsError as error:
            raise Refused(error.message) from error

    async def invoke(self, function_arn: str, payload: bytes, *, alarm_arn: str) -> None:
        """Invoke a function asynchronously. Raises Refused; a Lambda that is busy or broken may be asked again."""
        if not self._may_invoke(function_arn, alarm_arn):
            raise Refused(f"{LAMBDA_PRINCIPAL} is not authorized to perform: lambda:InvokeFunction on the resource")
        try:
            await self._invoke_event(function_arn, payload)
        except LambdaError as error:
            raise Refused(error.message, retry=error.status == 429 or error.status >= 500) from error

    def emit(self, alarm_arn: str, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Put an event on the default bus of the alarm's Region."""
        from localcloud.services.events.envelope import Entry  # noqa: PLC0415 - few stacks have alarms

        text = json.dumps(detail, separators=(",", ":"))
        entry = Entry(source=SOURCE, detail_type=detail_type, detail=text, resources=(alarm_arn,))
        self._buses.emit(alarm_arn.split(":")[3], entry)


def _allows(policy_text: str, topic_arn: str, alarm_arn: str) -> bool:
    """Whether a topic's policy lets CloudWatch publish, as the service or on behalf of the topic's own account."""
    try:
        policy = read_resource_policy(policy_text)
    except MalformedPolicy:
        return False
    context = {**context_on_behalf(alarm_arn), "aws:SourceOwner": alarm_arn.split(":")[4]}
    caller = Caller(arn=f"arn:aws:iam::{ACCOUNT_ID}:root", account=ACCOUNT_ID, service=PRINCIPAL)
    return evaluate((policy,) if policy else (), "SNS:Publish", topic_arn, context=context, caller=caller).allowed
