"""The way of a custom resource's event: to a function as an event, to a topic as a message, else nowhere."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.cloud import Compute
from localcloud.parts.formation import send_to
from localcloud.parts.messaging import Messaging
from localcloud.services.cloudformation.resources import Send
from localcloud.services.lambda_.errors import no_such_function
from localcloud.services.sns.model import Topics
from localcloud.services.sns.ports import QueueMessage

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


class Functions:
    """One function, which remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, str]] = []

    async def invoke(self, arn: str, payload: bytes, *, invocation_type: str) -> None:
        """Raises LambdaError for another."""
        await asyncio.sleep(0)
        if arn != FUNCTION:
            raise no_such_function(arn)
        self.events.append((payload, invocation_type))


class Endpoints:
    """A queue, which remembers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send_to_queue(self, arn: str, message: QueueMessage, *, topic_arn: str) -> None:
        """Remembered."""
        await asyncio.sleep(0)
        self.sent.append((arn, message.body))


def _play(test: Callable[[Send, Functions, Endpoints, Topics], Awaitable[None]]) -> None:
    async def main() -> None:
        functions, endpoints = Functions(), Endpoints()
        async with asyncio.TaskGroup() as group:
            clock = LoopClock(asyncio.get_running_loop())
            topics = Topics(clock=clock, rng=random.Random(1), group=group, endpoints=cast("Any", endpoints))
            compute = cast("Compute", SimpleNamespace(functions=functions))
            messaging = cast("Messaging", SimpleNamespace(topics=topics))
            try:
                await test(send_to(compute, messaging), functions, endpoints, topics)
            finally:
                topics.close()

    run_virtual(main)


def test_a_function_is_invoked_as_an_event() -> None:
    """So Lambda's own retries count, as on AWS."""

    async def test(send: Send, functions: Functions, _endpoints: Endpoints, _topics: Topics) -> None:
        await send(FUNCTION, "{}")
        assert functions.events == [(b"{}", "Event")]

    _play(test)


def test_a_topic_gets_a_message_with_cloudformations_subject() -> None:
    """Whoever subscribed it makes the resource."""

    async def test(send: Send, _functions: Functions, endpoints: Endpoints, topics: Topics) -> None:
        topic = topics.create("makers", "us-east-1", attributes={}, tags={})
        topics.subscribe(topic, "sqs", QUEUE, attributes={})
        await send(topic.arn, '{"RequestType":"Create"}')
        while topics.pending:  # noqa: ASYNC110 - seconds of the virtual clock
            await asyncio.sleep(1)
        ((arn, body),) = endpoints.sent
        told = json.loads(body)
        assert (arn, told["Subject"], told["Message"]) == (
            QUEUE, "AWS CloudFormation custom resource request", '{"RequestType":"Create"}',
        )  # fmt: skip

    _play(test)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("maker", "Invalid service token: maker is no ARN of a function or a topic"),
        (f"{FUNCTION}-other", "ResourceNotFoundException: Function not found: "),
        ("arn:aws:sns:us-east-1:123456789012:none", "NotFound: Topic does not exist"),
    ],
)
def test_a_token_that_leads_nowhere_is_said(token: str, message: str) -> None:
    """In the words of the service that was asked."""

    async def test(send: Send, _functions: Functions, _endpoints: Endpoints, _topics: Topics) -> None:
        with pytest.raises(LookupError) as caught:
            await send(token, "{}")
        assert message in str(caught.value)

    _play(test)
