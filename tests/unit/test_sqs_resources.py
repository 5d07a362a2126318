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
        policy = {"Version": "2012-10-17", "Statement": []}
        wanted = resource("Policy", handler.type, Queues=[queue.ref], PolicyDocument=policy)
        made = await handler.create(wanted)
        made_queue = queues.get("sluiceway-Jobs", "eu-west-1")
        assert json.loads(made_queue.attributes["Policy"]) == policy
        await handler.delete(wanted, made)
        assert "Policy" not in made_queue.attributes
        with pytest.raises(TemplateError, match="does not exist"):
            await handler.create(resource("Policy", handler.type, Queues=["nope"], PolicyDocument=policy))

    with_queues(test)


def test_fifo_is_refused_by_the_ledger() -> None:
    """FIFO's properties are refused with a reason; encryption is partial, for nothing is encrypted."""
    table = QueueHandler.properties
    assert table["FifoThroughputLimit"].support is Support.REFUSED
    assert table["FifoQueue"].values == (False,)
    assert table["KmsMasterKeyId"].support is Support.PARTIAL
    assert all(entry.reason for entry in table.values() if entry.support is not Support.SERVED)
