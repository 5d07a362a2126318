"""CloudFormation's log streams and subscription filters: `AWS::Logs::LogStream` and `SubscriptionFilter`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-subscriptionfilter.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.services.delegated_setup import letters_of
from localcloud.services.logs.errors import LogsError
from localcloud.services.logs.model import Logs
from localcloud.services.logs.patterns import bounded, parse_pattern
from localcloud.services.logs.subscriptions import MAX_FILTERS, Subscription, Subscriptions, SubscriptionTarget
from localcloud.template.handler import Physical, RefusedHandler, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["SubscriptionPort", "filter_handlers"]

PRINCIPAL: Final = "logs.amazonaws.com"
_BY_STREAM: Final = "ByLogStream"


class SubscriptionPort(Protocol):
    """What filters send to, and who lets them."""

    async def invoke_event(self, arn: str, payload: bytes) -> None:
        """Invoke a function, and do not wait for it."""
        ...

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        """Put a record into a Kinesis stream."""
        ...

    def may_invoke(self, arn: str, group_arn: str) -> bool:
        """Whether the function's permissions let this log group invoke it."""
        ...

    def may_put(self, role_arn: str, stream_arn: str) -> bool:
        """Whether the role can be assumed by Logs and may put records into the stream."""
        ...

    def random_key(self) -> str:
        """A partition key that spreads records over shards."""
        ...


class LogStreamHandler:
    """`AWS::Logs::LogStream`. Ref is the name."""

    type: str = "AWS::Logs::LogStream"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {"LogGroupName": Supported(), "LogStreamName": Supported()}

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def create(self, resource: Resource) -> Physical:
        """Make the stream. Raises TemplateError where the group is not there, or has a stream of this name."""
        read = read_properties(resource)
        context = resource.context
        default = f"{context.stack_name}-{resource.logical_id}-{letters_of(resource, 12)}"
        name = read.text("LogStreamName", default)
        group = self._logs.find(read.text("LogGroupName"))
        if group is None:
            raise read.error("LogGroupName", "The specified log group does not exist.")
        if name in group.streams:
            raise read.error("LogStreamName", "The specified log stream already exists")
        self._logs.create_stream(group, name)
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it with its events."""
        group = self._logs.find(read_properties(resource).text("LogGroupName"))
        if group is not None:
            self._logs.delete_stream(group, physical.ref)


class SubscriptionFilterHandler:
    """`AWS::Logs::SubscriptionFilter`. Ref is the name."""

    type: str = "AWS::Logs::SubscriptionFilter"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "ApplyOnTransformedLogs": Supported(reason="log events are not transformed here", values=(False,)),
        "DestinationArn": Supported(),
        "Distribution": Supported(),
        "EmitSystemFields": Supported(Support.REFUSED, "system fields are not served here"),
        "FieldSelectionCriteria": Supported(Support.REFUSED, "system fields are not served here"),
        "FilterName": Supported(),
        "FilterPattern": Supported(),
        "LogGroupName": Supported(),
        "RoleArn": Supported(),
    }

    def __init__(self, logs: Logs, subscriptions: Subscriptions, port: SubscriptionPort) -> None:
        self._logs = logs
        self._subscriptions = subscriptions
        self._port = port

    async def create(self, resource: Resource) -> Physical:
        """Begin to send on. Raises TemplateError for a pattern or target that Logs refuses."""
        read, context = read_properties(resource), resource.context
        group = read.text("LogGroupName")
        name = read.text("FilterName", f"{context.stack_name}-{resource.logical_id}-{letters_of(resource, 12)}")
        if self._logs.find(group) is None:
            raise read.error("LogGroupName", "The specified log group does not exist.")
        if len(self._subscriptions.of(group)) >= MAX_FILTERS:
            raise read.error("LogGroupName", f"a log group has at most {MAX_FILTERS} subscription filters")
        try:
            matches = bounded(parse_pattern(read.text("FilterPattern")))
        except LogsError as error:
            raise read.error("FilterPattern", error.message) from error
        arn = f"arn:{context.partition}:logs:{context.region}:{context.account_id}:log-group:{group}:*"
        self._subscriptions.add(Subscription(group, name, matches, self._target(read, group, arn)))
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Send on no more."""
        self._subscriptions.remove(read_properties(resource).text("LogGroupName"), physical.ref)

    def _target(self, read: Properties, group: str, group_arn: str) -> SubscriptionTarget:
        arn = read.text("DestinationArn")
        kind = arn.split(":")[2] if arn.count(":") >= 5 else ""
        if kind == "lambda":
            if group == f"/aws/lambda/{arn.split(':')[6]}":
                raise read.error("LogGroupName", "is the function's own: each of its lines would invoke it again")
            if not self._port.may_invoke(arn, group_arn):
                message = (
                    "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
                )
                raise read.error("DestinationArn", f"{message}execute your function.")
            return _FunctionTarget(self._port, arn)
        if kind != "kinesis":
            raise read.error("DestinationArn", f"must be a function or a Kinesis stream here, is {arn!r}")
        if not self._port.may_put(read.text("RoleArn"), arn):
            message = (
                "Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is "
            )
            raise read.error("RoleArn", f"{message}in ACTIVE state, and its role may put records.")
        by_stream = read.choice("Distribution", (_BY_STREAM, "Random"), _BY_STREAM) == _BY_STREAM
        return _StreamTarget(self._port, arn, by_stream=by_stream)


@dataclass(frozen=True, slots=True)
class _FunctionTarget:
    port: SubscriptionPort
    arn: str

    async def __call__(self, data: bytes, stream: str) -> None:  # noqa: ARG002 - the port
        event = {"awslogs": {"data": base64.b64encode(data).decode()}}
        await self.port.invoke_event(self.arn, json.dumps(event, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class _StreamTarget:
    port: SubscriptionPort
    arn: str
    by_stream: bool

    async def __call__(self, data: bytes, stream: str) -> None:
        await self.port.put_record(self.arn, data, stream[:256] if self.by_stream else self.port.random_key())


_REFUSED: Final = {
    "AWS::Logs::AccountPolicy": "policies of log groups are not served here",
    "AWS::Logs::Destination": "there is one account here",
    "AWS::Logs::LogAnomalyDetector": "anomalies of logs are not looked for here",
    "AWS::Logs::QueryDefinition": "log groups here answer no Insights queries",
    "AWS::Logs::ResourcePolicy": "policies of log groups are not served here",
    "AWS::Logs::Transformer": "log events are not transformed here",
}


def filter_handlers(logs: Logs, subscriptions: Subscriptions, port: SubscriptionPort) -> list[ResourceHandler]:
    """The handlers of what stands beside log groups, those of refused types among them."""
    refused = [RefusedHandler(kind, reason) for kind, reason in _REFUSED.items()]
    return [LogStreamHandler(logs), SubscriptionFilterHandler(logs, subscriptions, port), *refused]
