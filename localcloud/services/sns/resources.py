"""CloudFormation's SNS resources over the model: topics, subscriptions and topic policies.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SNS.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from localcloud.services.sns.errors import SnsError
from localcloud.services.sns.model import Topic, Topics
from localcloud.services.sns.subscription import PROTOCOLS
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["SubscriptionHandler", "TopicHandler", "TopicInlinePolicyHandler", "TopicPolicyHandler"]

MAX_NAME_CHARS: Final = 256
_FIFO: Final = ".fifo"
_SERVED: Final = Supported()
_PROTOCOL: Final = Supported(
    reason="http, email, SMS, push and Firehose endpoints are not served here", values=PROTOCOLS, vital=True
)
_TEXTS: Final = ("DisplayName", "FifoThroughputScope", "KmsMasterKeyId", "SignatureVersion", "TracingConfig")
_FLAGS: Final = ("ContentBasedDeduplication", "FifoTopic")


def _refused(reason: str) -> Supported:
    return Supported(Support.REFUSED, reason)


def _trace_difference(value: str) -> str:
    return "the topic records no segment of its own; trace headers are passed on" if value == "Active" else ""


class TopicHandler:
    """`AWS::SNS::Topic`. Ref and TopicArn are the ARN; attribute TopicName too."""

    type: str = "AWS::SNS::Topic"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ArchivePolicy": _refused("archives are not kept here, so nothing can be replayed"),
        "ContentBasedDeduplication": _SERVED,
        "DataProtectionPolicy": _refused("messages are not searched for sensitive data here"),
        "DeliveryStatusLogging": _refused("deliveries are not logged to CloudWatch here"),
        "DisplayName": _SERVED,
        "FifoThroughputScope": _SERVED,
        "FifoTopic": _SERVED,
        "KmsMasterKeyId": Supported(Support.PARTIAL, "recorded; messages are not encrypted here"),
        "SignatureVersion": Supported(Support.PARTIAL, "written into messages, whose signature signs nothing here"),
        "Subscription.Endpoint": _SERVED,
        "Subscription.Protocol": _PROTOCOL,
        "Tags": _SERVED,
        "TopicName": _SERVED,
        "TracingConfig": Supported(values=("PassThrough", "Active"), differs=_trace_difference),
    }

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def create(self, resource: Resource) -> Physical:
        """Make the topic and its subscriptions. Raises TemplateError for what CreateTopic or Subscribe would refuse."""
        read, region = read_properties(resource), resource.context.region
        attributes = {name: read.text(name) for name in _TEXTS if name in read}
        attributes |= {name: "true" if read.flag(name) else "false" for name in _FLAGS if name in read}
        name = read.text("TopicName", _generate_name(resource, is_fifo=attributes.get("FifoTopic") == "true"))
        try:
            topic = self._topics.create(name, region, attributes=attributes, tags=read.tags())
        except SnsError as error:
            raise read.error("", error.message) from error
        for each in read.each("Subscription"):
            try:
                self._topics.subscribe(topic, each.text("Protocol"), each.text("Endpoint"), attributes={})
            except SnsError as error:
                raise each.error("", error.message) from error
        return Physical(topic.arn, {"TopicArn": topic.arn, "TopicName": topic.name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the topic with its subscriptions."""
        self._topics.delete(physical.ref, resource.context.region)


class SubscriptionHandler:
    """`AWS::SNS::Subscription`. Ref and Arn are the subscription's ARN."""

    type: str = "AWS::SNS::Subscription"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "DeliveryPolicy": _refused("only http endpoints have one, and those are not served here"),
        "Endpoint": _SERVED,
        "FilterPolicy": _SERVED,
        "FilterPolicyScope": _SERVED,
        "Protocol": _PROTOCOL,
        "RawMessageDelivery": _SERVED,
        "RedrivePolicy": _SERVED,
        "Region": _SERVED,
        "ReplayPolicy": _refused("archives are not kept here, so nothing can be replayed"),
        "SubscriptionRoleArn": _refused("only Firehose endpoints have one, and those are not served here"),
        "TopicArn": _SERVED,
    }

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def create(self, resource: Resource) -> Physical:
        """Subscribe. Raises TemplateError for what Subscribe would refuse."""
        read = read_properties(resource)
        attributes = {name: json_text(read.values[name]) for name in ("FilterPolicy", "RedrivePolicy") if name in read}
        if "FilterPolicyScope" in read:
            attributes["FilterPolicyScope"] = read.text("FilterPolicyScope")
        if "RawMessageDelivery" in read:
            attributes["RawMessageDelivery"] = "true" if read.flag("RawMessageDelivery") else "false"
        try:
            topic = self._topics.get(read.text("TopicArn"), read.text("Region", resource.context.region))
            made = self._topics.subscribe(topic, read.text("Protocol"), read.text("Endpoint"), attributes=attributes)
        except SnsError as error:
            raise read.error("", error.message) from error
        return Physical(made.arn, {"Arn": made.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Unsubscribe."""
        self._topics.unsubscribe(physical.ref)


class TopicPolicyHandler:
    """`AWS::SNS::TopicPolicy`: one policy for several topics."""

    type: str = "AWS::SNS::TopicPolicy"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {"PolicyDocument": _SERVED, "Topics": _SERVED}

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def create(self, resource: Resource) -> Physical:
        """Attach the policy. Raises TemplateError where a topic is not there, or SNS would refuse the policy."""
        read = read_properties(resource)
        for arn in read.texts("Topics"):
            _attach(self._topics, read, arn, region=resource.context.region)
        return Physical(f"{resource.context.stack_name}-{resource.logical_id}")

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Give the topics that are still there their first policy."""
        for arn in read_properties(resource).texts("Topics"):
            _detach(self._topics.find(arn))


class TopicInlinePolicyHandler:
    """`AWS::SNS::TopicInlinePolicy`: the policy of one topic. Ref is the topic's ARN."""

    type: str = "AWS::SNS::TopicInlinePolicy"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {"PolicyDocument": _SERVED, "TopicArn": _SERVED}

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def create(self, resource: Resource) -> Physical:
        """Attach the policy. Raises TemplateError where the topic is not there, or SNS would refuse the policy."""
        read = read_properties(resource)
        arn = read.text("TopicArn")
        _attach(self._topics, read, arn, region=resource.context.region)
        return Physical(arn)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Give the topic, where it is still there, its first policy."""
        _detach(self._topics.find(physical.ref))


def _attach(topics: Topics, read: Properties, arn: str, *, region: str) -> None:
    policy = json.dumps(read.mapping("PolicyDocument"))
    try:
        topics.configure(topics.get(arn, region), {"Policy": policy})
    except SnsError as error:
        raise read.error("", error.message) from error


def _detach(topic: Topic | None) -> None:
    if topic is not None:
        topic.configure({"Policy": ""})


def _generate_name(resource: Resource, *, is_fifo: bool) -> str:
    suffix = _FIFO if is_fifo else ""
    return f"{resource.context.stack_name}-{resource.logical_id}"[: MAX_NAME_CHARS - len(suffix)] + suffix
