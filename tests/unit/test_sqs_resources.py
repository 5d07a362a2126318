"""SQS resources of a template become queues of the model."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.resources import QueueHandler, QueuePolicyHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext, Support

CONTEXT = StackContext("sluiceway", "eu-west-1", "123456789012", "aws", Path())


def resource(logical_id: str, type_name: str, **properties: Any) -> Resource:
    return Resource(logical_id, type_name, properties, CONTEXT)


def with_queues(test: Callable[[Queues], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


def test_a_queue_and_its_dead_letters_are_made_as_the_template_says() -> None:
    """Numbers and flags in any spelling, the redrive policy as a map; Ref is the URL."""

    async def test(queues: Queues) -> None:
        handler = QueueHandler(queues)
        dead = await handler.create(resource("Dead", handler.type, MessageRetentionPeriod="1209600"))
        redrive = {"deadLetterTargetArn": dead.attributes["Arn"], "maxReceiveCount": "4"}
        made = await handler.create(
            resource(
                "Jobs",
                handler.type,
                VisibilityTimeout=360,
                SqsManagedSseEnabled="true",
                RedrivePolicy=redrive,
                Tags=[{"Key": "k", "Value": "v"}],
            )
        )
        assert made.ref == "http://127.0.0.1:4600/123456789012/sluiceway-Jobs"
        assert made.attributes == {
            "Arn": "arn:aws:sqs:eu-west-1:123456789012:sluiceway-Jobs",
            "QueueName": "sluiceway-Jobs",
            "QueueUrl": made.ref,
        }
        queue = queues.get("sluiceway-Jobs", "eu-west-1")
        assert queue.attributes["VisibilityTimeout"] == "360"
        assert queue.redrive is not None
        assert (queue.redrive.target_arn, queue.redrive.max_receives) == (dead.attributes["Arn"], 4)
        assert queue.tags == {"k": "v"}
        await handler.delete(resource("Jobs", handler.type), made)
        assert queues.find(made.attributes["Arn"]) is None

    with_queues(test)


def test_what_sqs_would_refuse_is_an_error_of_the_template() -> None:
    """The error names the resource."""

    async def test(queues: Queues) -> None:
        handler = QueueHandler(queues)
        with pytest.raises(TemplateError, match=r"Jobs\.Properties: .*VisibilityTimeout"):
            await handler.create(resource("Jobs", handler.type, VisibilityTimeout=43_201))

    with_queues(test)


def test_a_queue_policy_is_its_queues_policy() -> None:
    """The document is the Policy attribute, which IAM's check reads, until the resource goes."""

    async def test(queues: Queues) -> None:
        queue = await QueueHandler(queues).create(resource("Jobs", "AWS::SQS::Queue"))
        handler = QueuePolicyHandler(queues)
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        wanted = resource("Policy", handler.type, Queues=[queue.ref], PolicyDocument=policy)
        made = await handler.create(wanted)
        made_queue = queues.get("sluiceway-Jobs", "eu-west-1")
        assert json.loads(made_queue.attributes["Policy"]) == policy
        await handler.delete(wanted, made)
        assert "Policy" not in made_queue.attributes
        with pytest.raises(TemplateError, match="does not exist"):
            await handler.create(resource("Policy", handler.type, Queues=["nope"], PolicyDocument=policy))
        with pytest.raises(TemplateError, match="Invalid value for the parameter Policy"):
            await handler.create(resource("Policy", handler.type, Queues=[queue.ref], PolicyDocument={}))

    with_queues(test)


def test_a_fifo_queue_is_made_as_the_template_says() -> None:
    """FIFO's properties in any spelling; a name that CloudFormation makes ends in .fifo, and so must any other."""

    async def test(queues: Queues) -> None:
        handler = QueueHandler(queues)
        dead = await handler.create(resource("Dead", handler.type, FifoQueue="true"))
        redrive = {"deadLetterTargetArn": dead.attributes["Arn"], "maxReceiveCount": 2}
        made = await handler.create(
            resource(
                "Jobs",
                handler.type,
                FifoQueue=True,
                ContentBasedDeduplication="true",
                DeduplicationScope="messageGroup",
                FifoThroughputLimit="perMessageGroupId",
                RedrivePolicy=redrive,
            )
        )
        assert made.attributes["QueueName"] == "sluiceway-Jobs.fifo"
        queue = queues.get("sluiceway-Jobs.fifo", "eu-west-1")
        told = {name: queue.attributes[name] for name in queue.attributes if "F" in name or "Dedup" in name}
        assert told == {
            "ContentBasedDeduplication": "true",
            "DeduplicationScope": "messageGroup",
            "FifoQueue": "true",
            "FifoThroughputLimit": "perMessageGroupId",
        }
        assert queue.redrive is not None
        with pytest.raises(TemplateError, match="same type of queue"):
            await handler.create(resource("Plain", handler.type, FifoQueue=False, RedrivePolicy=redrive))
        with pytest.raises(TemplateError, match=r"must end with \.fifo"):
            await handler.create(resource("Odd", handler.type, FifoQueue=True, QueueName="odd"))

    with_queues(test)


def test_the_longest_name_of_a_fifo_queue_keeps_its_suffix() -> None:
    """80 characters in all, .fifo among them."""

    async def test(queues: Queues) -> None:
        handler = QueueHandler(queues)
        made = await handler.create(resource("J" * 90, handler.type, FifoQueue=True))
        name = made.attributes["QueueName"]
        assert (len(name), name[-6:]) == (80, "J.fifo")

    with_queues(test)


def test_what_the_ledger_says_of_queues() -> None:
    """Encryption is partial, for nothing is encrypted; so is the throughput of a whole FIFO queue by groups."""
    table = QueueHandler.properties
    differs = table["FifoThroughputLimit"].differs
    assert differs is not None
    assert (bool(differs("perMessageGroupId")), differs("perQueue")) == (True, "")
    assert table["KmsMasterKeyId"].support is Support.PARTIAL
    assert all(entry.reason for entry in table.values() if entry.support is not Support.SERVED)
