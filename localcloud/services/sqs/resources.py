"""CloudFormation's SQS resources over the model: `AWS::SQS::Queue` and `AWS::SQS::QueuePolicy`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import FIFO, MAX_NAME_CHARS, Queue, Queues
from localcloud.services.sqs.operations import queue_name
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["QueueHandler", "QueuePolicyHandler"]

_NUMBERS: Final = (
    "DelaySeconds",
    "KmsDataKeyReusePeriodSeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
)
_CHOICES: Final = ("DeduplicationScope", "FifoThroughputLimit")
_THROUGHPUT: Final = Supported(
    differs=lambda value: (
        "300 sends a second to each group; the Region's quota of the queue is not held"
        if value == "perMessageGroupId"
        else ""
    )
)
_PLAIN: Final = Supported(Support.PARTIAL, "recorded; messages are not encrypted here")


class QueueHandler:
    """`AWS::SQS::Queue`. Ref is the URL; attributes Arn, QueueName, QueueUrl.

    `keeps` says that queues outlive the stack (`--persist`).
    """

    type: str = "AWS::SQS::Queue"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **dict.fromkeys(_NUMBERS, Supported()),
        "ContentBasedDeduplication": Supported(),
        "DeduplicationScope": Supported(),
        "FifoQueue": Supported(),
        "FifoThroughputLimit": _THROUGHPUT,
        "KmsDataKeyReusePeriodSeconds": _PLAIN,
        "KmsMasterKeyId": _PLAIN,
        "QueueName": Supported(),
        "RedriveAllowPolicy": Supported(),
        "RedrivePolicy": Supported(),
        "SqsManagedSseEnabled": _PLAIN,
        "Tags": Supported(),
    }

    def __init__(self, queues: Queues, *, keeps: bool = False) -> None:
        self._queues = queues
        self._keeps = keeps

    async def create(self, resource: Resource) -> Physical:
        """Make the queue, or take over the kept one with its messages: what the template says wins.

        Raises TemplateError for what CreateQueue would refuse.
        """
        read = read_properties(resource)
        tags = {tag.text("Key"): tag.text("Value") for tag in read.each("Tags")}
        try:
            name = read.text("QueueName", _default_name(resource, fifo=read.flag("FifoQueue", default=False)))
            region, attributes = resource.context.region, _attributes(read)
            queue = self._queues.claim(name, region, attributes=attributes, tags=tags)
            queue = queue or self._queues.create(name, region, attributes=attributes, tags=tags)
        except SqsError as error:
            raise read.error("", error.message) from error
        url = self._queues.url_of(queue)
        return Physical(url, {"Arn": queue.arn, "QueueName": queue.name, "QueueUrl": url})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Delete the queue and its messages, where it is still there; where queues are kept between runs, leave it."""
        if self._keeps:
            return
        queue = self._queues.find(str(physical.attributes["Arn"]))
        if queue is not None:
            self._queues.delete(queue)


class QueuePolicyHandler:
    """`AWS::SQS::QueuePolicy`: one policy for several queues."""

    type: str = "AWS::SQS::QueuePolicy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {"PolicyDocument": Supported(), "Queues": Supported()}

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    async def create(self, resource: Resource) -> Physical:
        """Attach the policy. Raises TemplateError where a queue is not there, or the policy is one that SQS refuses."""
        read = read_properties(resource)
        policy = json.dumps(read.mapping("PolicyDocument"))
        queues = self._named(read, resource.context.region)
        try:
            for queue in queues:
                self._queues.configure(queue, {"Policy": policy})
        except SqsError as error:
            raise read.error("PolicyDocument", error.message) from error
        return Physical(f"{resource.context.stack_name}-{resource.logical_id}")

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take the policy off the queues that are still there."""
        for url in read_properties(resource).texts("Queues"):
            queue = self._queues.find(self._queues.arn_of(queue_name(url), resource.context.region))
            if queue is not None:
                self._queues.configure(queue, {"Policy": ""})

    def _named(self, read: Properties, region: str) -> list[Queue]:
        try:
            return [self._queues.get(queue_name(url), region) for url in read.texts("Queues")]
        except SqsError as error:
            raise read.error("Queues", error.message) from error


def _default_name(resource: Resource, *, fifo: bool) -> str:
    suffix = FIFO if fifo else ""
    return f"{resource.context.stack_name}-{resource.logical_id}"[: MAX_NAME_CHARS - len(suffix)] + suffix


def _attributes(read: Properties) -> dict[str, str]:
    found = {name: str(read.integer(name)) for name in _NUMBERS if name in read}
    found |= {name: read.text(name) for name in _CHOICES if name in read}
    if read.flag("FifoQueue", default=False):  # CloudFormation takes false for a standard queue, the API does not
        found["FifoQueue"] = "true"
    if "ContentBasedDeduplication" in read:
        found["ContentBasedDeduplication"] = "true" if read.flag("ContentBasedDeduplication") else "false"
    if "KmsMasterKeyId" in read:
        found["KmsMasterKeyId"] = read.text("KmsMasterKeyId")
    if "SqsManagedSseEnabled" in read:
        found["SqsManagedSseEnabled"] = "true" if read.flag("SqsManagedSseEnabled") else "false"
    for name in ("RedriveAllowPolicy", "RedrivePolicy"):
        if name in read:
            found[name] = json_text(read.values[name])
    return found
