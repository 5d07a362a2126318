"""A stack whose bucket tells of its objects and whose schedules call, as boto3 sees it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.services.scheduler.target import SERVED
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local
TEMPLATE = Path(__file__).parent / "told_objects" / "template.yaml"
INBOX = "told-inbox"
DAILY = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/daily"


@dataclass
class Stack:
    """The stack of tests/local/told_objects, and clients of its cloud."""

    cloud: RunningCloud

    def client(self, service: str) -> Any:
        sdk: Any = boto3
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return sdk.client(service, endpoint_url=self.cloud.status["endpoints"]["aws"], config=config, **keys)

    def output(self, name: str) -> str:
        return self.cloud.status["outputs"][name]

    def receive(self, queue: str, count: int = 1) -> list[Any]:
        """The next bodies of a queue, waited for, in the order of sending."""
        sqs, found = self.client("sqs"), list[tuple[float, Any]]()
        while len(found) < count:
            answer = sqs.receive_message(
                QueueUrl=self.output(queue), WaitTimeSeconds=20, MaxNumberOfMessages=10, AttributeNames=["All"]
            )
            for message in answer["Messages"]:
                found.append((float(message["Attributes"]["SentTimestamp"]), json.loads(message["Body"])))
                sqs.delete_message(QueueUrl=self.output(queue), ReceiptHandle=message["ReceiptHandle"])
        return [body for _, body in sorted(found, key=lambda each: each[0])]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up; what its bucket said of itself and what was due at once is received."""
    made = Stack(start_cloud(tmp_path_factory.mktemp("told") / "state", "--template", str(TEMPLATE)))
    (test_event,) = made.receive("Heard")
    assert (test_event["Event"], test_event["Bucket"]) == ("s3:TestEvent", INBOX)
    (test_event,) = made.receive("Removed")
    assert json.loads(test_event["Message"])["Event"] == "s3:TestEvent"
    (scheduled,) = made.receive("Invoked")
    assert scheduled["requestPayload"] == {"schedule": DAILY}
    yield made
    made.cloud.sluiceway("down")


def told(message: Any) -> tuple[str, str]:
    """The event and the key of a message's one record."""
    (record,) = message["Records"]
    return record["eventName"], record["s3"]["object"]["key"]


def test_each_destination_is_told_what_it_asked_for(stack: Stack) -> None:
    """SAM's S3 event of a function, a queue, a topic, and a rule on the default bus; nobody else's."""
    s3 = stack.client("s3")
    etag = s3.put_object(Bucket=INBOX, Key="function/red flower.jpg", Body=b"hello")["ETag"]
    for key in ("queue/a", "topic/b.txt", "topic/b.csv", "bus/c"):
        s3.put_object(Bucket=INBOX, Key=key, Body=b"hello")
    s3.delete_objects(Bucket=INBOX, Delete={"Objects": [{"Key": "topic/b.csv"}, {"Key": "topic/b.txt"}], "Quiet": True})
    (invoked,) = stack.receive("Invoked")
    (record,) = invoked["requestPayload"]["Records"]
    shown = record["s3"]["object"]
    assert shown.pop("sequencer")
    assert (record["eventName"], record["awsRegion"]) == ("ObjectCreated:Put", "us-east-1")
    assert shown == {"key": "function/red+flower.jpg", "size": 5, "eTag": etag.strip('"')}
    assert [told(each) for each in stack.receive("Heard")] == [("ObjectCreated:Put", "queue/a")]
    (removed,) = stack.receive("Removed")
    assert removed["Subject"] == "Amazon S3 Notification"
    assert told(json.loads(removed["Message"])) == ("ObjectRemoved:Delete", "topic/b.txt")
    (seen,) = stack.receive("Seen")
    assert (seen["source"], seen["detail-type"], seen["resources"]) == (
        "aws.s3",
        "Object Created",
        [f"arn:aws:s3:::{INBOX}"],
    )
    assert (seen["detail"]["object"]["key"], seen["detail"]["reason"]) == ("bus/c", "PutObject")


def test_every_way_to_make_an_object_is_told(stack: Stack) -> None:
    """Copies, uploads in parts and forms, with the size of what is there then."""
    s3 = stack.client("s3")
    s3.put_object(Bucket=INBOX, Key="other", Body=b"1234567")
    s3.copy_object(Bucket=INBOX, Key="queue/copy", CopySource={"Bucket": INBOX, "Key": "other"})
    upload = s3.create_multipart_upload(Bucket=INBOX, Key="queue/parts")["UploadId"]
    part = s3.upload_part(Bucket=INBOX, Key="queue/parts", UploadId=upload, PartNumber=1, Body=b"123456")["ETag"]
    done = s3.complete_multipart_upload(
        Bucket=INBOX, Key="queue/parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    url = s3.generate_presigned_url("put_object", Params={"Bucket": INBOX, "Key": "queue/signed"})
    urllib.request.urlopen(urllib.request.Request(url, data=b"12345", method="PUT")).close()
    found = [each["Records"][0] for each in stack.receive("Heard", 3)]
    expected = [
        ("ObjectCreated:Copy", "queue/copy", 7),
        ("ObjectCreated:CompleteMultipartUpload", "queue/parts", 6),
        ("ObjectCreated:Put", "queue/signed", 5),
    ]
    assert [
        (each["eventName"], each["s3"]["object"]["key"], each["s3"]["object"]["size"]) for each in found
    ] == expected
    assert found[1]["s3"]["object"]["eTag"] == done["ETag"].strip('"')


def test_a_versioned_bucket_is_configured_by_its_api(stack: Stack) -> None:
    """Put, marker and the removal of a version, each with its version's id; GET shows what PUT was given."""
    s3, bucket = stack.client("s3"), f"told-{uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]
    chosen = {"Key": {"FilterRules": [{"Name": "Suffix", "Value": "&.txt"}]}}
    rule = {"Id": "all", "QueueArn": stack.output("HeardArn"), "Events": events, "Filter": chosen}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule], "EventBridgeConfiguration": {}}
    )
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert (shown["QueueConfigurations"], shown["EventBridgeConfiguration"]) == ([rule], {})
    version = s3.put_object(Bucket=bucket, Key="a&.txt", Body=b"hello")["VersionId"]
    s3.put_object_tagging(Bucket=bucket, Key="a&.txt", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    marker = s3.delete_object(Bucket=bucket, Key="a&.txt")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="a&.txt", VersionId=version)
    s3.delete_object(Bucket=bucket, Key="a&.txt", VersionId=marker)
    test_event, *found = stack.receive("Heard", 6)
    assert test_event["Bucket"] == bucket
    records = [each["Records"][0] for each in found]
    assert [(each["eventName"], each["s3"]["object"]["versionId"]) for each in records] == [
        ("ObjectCreated:Put", version),
        ("ObjectTagging:Put", version),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version),
        ("ObjectRemoved:Delete", marker),
    ]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_a_queue_that_does_not_let_s3_in_is_refused(stack: Stack) -> None:
    """With S3's own code and sentence."""
    rule = {"QueueArn": stack.output("SeenArn"), "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError) as refused:
        stack.client("s3").put_bucket_notification_configuration(
            Bucket=INBOX, NotificationConfiguration={"QueueConfigurations": [rule]}
        )
    error: Any = refused.value
    assert error.response["Error"]["Code"] == "InvalidArgument"
    assert error.response["Error"]["Message"] == "Unable to validate the following destination configurations"
    assert "Permissions on the destination queue" in error.response["Error"]["ArgumentValue"]


def test_a_schedule_by_its_api_calls_with_its_role(stack: Stack) -> None:
    """A date in a second, by a universal target; gone afterwards, as was asked for."""
    scheduler = stack.client("scheduler")
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": stack.output("Role"),
        "Input": json.dumps({"QueueUrl": stack.output("Heard"), "MessageBody": '"<aws.scheduler.scheduled-time>"'}),
    }
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
    scheduler.create_schedule(
        Name="soon",
        ScheduleExpression=f"at({moment})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=target,
    )
    assert stack.receive("Heard") == [f"{moment}Z"]
    assert "soon" not in [each["Name"] for each in scheduler.list_schedules()["Schedules"]]


def test_schedules_of_a_template_are_there(stack: Stack) -> None:
    """SAM's ScheduleV2 of a function and of a machine, with roles that the Scheduler may assume."""
    scheduler = stack.client("scheduler")
    found = {each["Name"]: each for each in scheduler.list_schedules()["Schedules"]}
    machine = next(each for each in found.values() if each["Target"]["Arn"] == stack.output("Machine"))
    shown = scheduler.get_schedule(Name=machine["Name"])
    assert (shown["ScheduleExpression"], shown["ScheduleExpressionTimezone"]) == ("cron(0 3 * * ? *)", "Europe/Berlin")
    assert found["daily"]["Arn"] == DAILY


def test_universal_targets_may_call_what_is_served(stack: Stack) -> None:
    """The Scheduler's own list of services names those that the front has."""
    with urllib.request.urlopen(f"{stack.cloud.status['endpoints']['aws']}/_sluiceway/health") as answer:
        services = set(json.loads(answer.read())["services"])
    assert services >= SERVED
