"""FIFO queues over a socket, with boto3."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.sqs import rates
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

pytestmark = pytest.mark.local


def connect(url: str, *, retries: dict[str, Any]) -> Any:
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="AK",
        aws_secret_access_key="secret",
        config=Config(retries=retries),
    )


@pytest.fixture
async def sqs() -> AsyncIterator[Any]:
    """boto3's client of a front with SQS alone. It tries once, and checks every checksum."""
    front = Front(
        [SqsService(Queues(clock=SystemClock(), rng=random.Random(1)))],
        authorise=lambda _key, _needs: None,
        rng=random.Random(1),
    )
    async with front.serve(open_listener()) as url:
        client = connect(url, retries={"total_max_attempts": 1})
        yield client
        client.close()


async def test_a_producer_and_a_consumer_use_a_fifo_queue(sqs: Any) -> None:
    """Create, send one by one and in a batch, receive by group, repeat a receive, delete, and see nothing twice."""

    def work() -> None:
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "60"}
        url = sqs.create_queue(QueueName="orders.fifo", Attributes=attributes)["QueueUrl"]
        sent = sqs.send_message(QueueUrl=url, MessageBody="a1", MessageGroupId="a")
        again = sqs.send_message(QueueUrl=url, MessageBody="a1", MessageGroupId="a")
        assert (again["MessageId"], again["SequenceNumber"]) == (sent["MessageId"], sent["SequenceNumber"])
        entries = [{"Id": body, "MessageBody": body, "MessageGroupId": body[0]} for body in ("b1", "a2", "b2")]
        numbers = [
            entry["SequenceNumber"] for entry in sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
        ]
        assert [sent["SequenceNumber"], *numbers] == sorted([sent["SequenceNumber"], *numbers])
        receive = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
        found = sqs.receive_message(**receive, ReceiveRequestAttemptId="try")["Messages"]
        assert [(one["Body"], one["Attributes"]["MessageGroupId"]) for one in found] == [
            ("a1", "a"),
            ("a2", "a"),
            ("b1", "b"),
            ("b2", "b"),
        ]
        repeated = sqs.receive_message(**receive, ReceiveRequestAttemptId="try")["Messages"]
        assert [one["ReceiptHandle"] for one in repeated] == [one["ReceiptHandle"] for one in found]
        handles = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(found)]
        assert len(sqs.delete_message_batch(QueueUrl=url, Entries=handles)["Successful"]) == 4
        assert "Messages" not in sqs.receive_message(**receive)

    await asyncio.to_thread(work)


async def test_botocore_knows_the_errors(sqs: Any) -> None:
    """Each refusal is the client's own exception or code, with AWS's sentence."""

    def work() -> None:
        url = sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for arguments, code in (
            ({"MessageBody": "x"}, "MissingParameter"),
            ({"MessageBody": "x", "MessageGroupId": "a"}, "InvalidParameterValue"),
            (
                {"MessageBody": "x", "MessageGroupId": "a", "MessageDeduplicationId": "d", "DelaySeconds": 9},
                "InvalidParameterValue",
            ),
        ):
            with pytest.raises(ClientError) as caught:
                sqs.send_message(QueueUrl=url, **arguments)
            assert caught.value.response["Error"]["Code"] == code
        with pytest.raises(sqs.exceptions.InvalidAttributeValue):
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"FifoQueue": "false"})
        with pytest.raises(sqs.exceptions.InvalidAttributeName):
            sqs.create_queue(QueueName="plain", Attributes={"FifoThroughputLimit": "perQueue"})
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="a", MessageDeduplicationId="d")
        (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
        with pytest.raises(ClientError, match="The receipt handle has expired"):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    await asyncio.to_thread(work)


async def test_a_throttled_client_gets_through_when_it_tries_again(sqs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one transaction a second instead of 300: the next is refused by a code that botocore retries."""
    monkeypatch.setattr(rates, "_STEP_S", 1.0)

    def send(client: Any, url: str, body: str) -> None:
        client.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="a", MessageDeduplicationId=body)

    def work() -> None:
        url = sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        send(sqs, url, "first")
        with pytest.raises(ClientError) as caught:
            send(sqs, url, "second")
        error = caught.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("ThrottlingException", "Rate exceeded")
        patient = connect(sqs.meta.endpoint_url, retries={"mode": "standard", "total_max_attempts": 10})
        send(patient, url, "at-last")
        patient.close()

    await asyncio.to_thread(work)
