"""Loops over a bucket, a queue, a topic and a function itself, in a running cloud: each has an end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "loops" / "template.yaml"
TIMES = 16


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    cloud = start_cloud(tmp_path_factory.mktemp("loops") / "state", "--template", str(TEMPLATE), "--no-reload")
    yield cloud
    cloud.sluiceway("down")


def client(cloud: RunningCloud, service: str) -> Any:
    sdk: Any = boto3
    return sdk.client(
        service,
        endpoint_url=cloud.status["endpoints"]["aws"],
        region_name=cloud.status["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def take(cloud: RunningCloud, queue: str) -> Any:
    """The body of a queue's next message, waited for and taken."""
    sqs, url = client(cloud, "sqs"), cloud.status["outputs"][queue]
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return json.loads(message["Body"])


def test_a_loop_over_a_bucket_ends(loops: RunningCloud) -> None:
    """The event of the object that would be the seventeenth round goes to the on-failure destination."""
    s3 = client(loops, "s3")
    s3.put_object(Bucket="loop-uploads", Key="in/0", Body=b"x")
    record = take(loops, "Stopped")
    assert record["requestContext"]["condition"] == "RecursiveInvocationDetected"
    assert record["requestPayload"]["Records"][0]["s3"]["object"]["key"] == f"in/{TIMES}"
    assert s3.list_objects_v2(Bucket="loop-uploads")["KeyCount"] == TIMES + 1


def test_a_loop_over_a_queue_ends_in_its_dead_letters(loops: RunningCloud) -> None:
    """The mapping is refused until the queue's redrive policy moves the message."""
    client(loops, "sqs").send_message(QueueUrl=loops.status["outputs"]["Round"], MessageBody="0")
    assert take(loops, "Letters") == TIMES


def test_a_loop_over_a_topic_ends(loops: RunningCloud) -> None:
    """The function's dead-letter queue has the event."""
    client(loops, "sns").publish(TopicArn=loops.status["outputs"]["Told"], Message="0")
    assert take(loops, "Stopped")["Records"][0]["Sns"]["Message"] == str(TIMES)


def test_a_function_that_invokes_itself_ends(loops: RunningCloud) -> None:
    """Also the asynchronous invocation by its own SDK, unless it is allowed; the metric says how often."""
    functions = client(loops, "lambda")
    functions.invoke(FunctionName="self-again", InvocationType="Event", Payload=b'{"n": 0}')
    assert take(loops, "Stopped") == {"n": TIMES}
    assert functions.get_function_recursion_config(FunctionName="self-again")["RecursiveLoop"] == "Terminate"
    metrics = client(loops, "cloudwatch").list_metrics(Namespace="AWS/Lambda", MetricName="RecursiveInvocationsDropped")
    assert len(metrics["Metrics"]) >= 1
