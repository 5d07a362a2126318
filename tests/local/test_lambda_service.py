"""A stack with an alias, its URL, destinations and dead letters, as boto3 and a browser see it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import RunningCloud, start_cloud
from tests.unit.test_function_code import archive

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "lambda_service" / "template.yaml"


@dataclass
class Stack:
    """The stack of tests/local/lambda_service, and clients of its cloud."""

    cloud: RunningCloud

    def client(self, service: str) -> Any:
        sdk: Any = boto3
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return sdk.client(service, endpoint_url=self.cloud.status["endpoints"]["aws"], **keys)

    def output(self, name: str) -> str:
        return self.cloud.status["outputs"][name]

    def invoke(self, name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        """The version that ran, and what it answered."""
        answer = self.client("lambda").invoke(FunctionName=name, **arguments)
        return answer["ExecutedVersion"], json.loads(answer["Payload"].read())

    def fetch(self, name: str) -> dict[str, Any]:
        """What is at the address of an output."""
        with urllib.request.urlopen(self.output(name)) as answer:
            return json.loads(answer.read())

    def receive(self, queue: str) -> dict[str, Any]:
        """The next message of a queue, waited for."""
        found = self.client("sqs").receive_message(
            QueueUrl=self.output(queue), WaitTimeSeconds=20, MessageAttributeNames=["All"]
        )
        return found["Messages"][0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up."""
    cloud = start_cloud(tmp_path_factory.mktemp("lambda") / "state", "--template", str(TEMPLATE))
    yield Stack(cloud)
    cloud.sluiceway("down")


def test_an_alias_reaches_a_version_in_environments_that_were_waiting(stack: Stack) -> None:
    """AutoPublishAlias and ProvisionedConcurrencyConfig of SAM: version, invoked ARN, and how it was initialised."""
    api = stack.client("lambda")
    provisioned = api.get_provisioned_concurrency_config(FunctionName=stack.output("Greet"), Qualifier="live")
    assert provisioned["RequestedProvisionedConcurrentExecutions"] == 1
    version, said = stack.invoke(stack.output("Alias"))
    assert (version, stack.output("Version")) == ("1", "1")
    assert said["arn"] == stack.output("Alias")
    assert (said["word"], said["version"]) == ("hello", "1")
    _, latest = stack.invoke(stack.output("Greet"))
    assert (latest["version"], latest["kind"]) == ("$LATEST", "on-demand")
    assert api.get_function_configuration(FunctionName=stack.output("Alias"))["Description"] == "the first"


def test_the_routes_of_an_api_lead_to_the_alias(stack: Stack) -> None:
    """REST and HTTP APIs of SAM's events name the alias in their integrations, and it lets them in."""
    for api in ("Rest", "Http"):
        assert stack.fetch(api)["arn"] == stack.output("Alias")


def test_an_alias_splits_between_versions_and_its_url_with_it(stack: Stack) -> None:
    """A second version by the API, weights on the alias, and the URL of the alias, which has a policy of its own."""
    api, name = stack.client("lambda"), stack.output("Greet")
    api.update_function_configuration(FunctionName=name, Environment={"Variables": {"WORD": "goodbye"}})
    api.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert api.publish_version(FunctionName=name)["Version"] == "2"
    api.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    drawn = [stack.invoke(stack.output("Alias")) for _ in range(30)]
    assert {version for version, _ in drawn} == {"1", "2"}
    assert {(version, said["word"]) for version, said in drawn} == {("1", "hello"), ("2", "goodbye")}
    api.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig={})
    said = stack.fetch("Url")
    assert (said["word"], said["version"], said["arn"]) == ("goodbye", "2", stack.output("Alias"))
    assert Counter(stack.invoke(stack.output("Alias"))[0] for _ in range(5)) == {"2": 5}


def test_an_event_that_fails_is_told_to_a_queue_and_is_a_dead_letter(stack: Stack) -> None:
    """No retries by its settings; the record in one queue, the event itself with its attributes in the other."""
    stack.client("lambda").invoke(FunctionName=stack.output("Break"), InvocationType="Event", Payload=b'{"n":1}')
    record = json.loads(stack.receive("Failures")["Body"])
    assert (record["requestContext"]["condition"], record["requestPayload"]) == ("RetriesExhausted", {"n": 1})
    assert record["responsePayload"]["errorType"] == "KeyError"
    letter = stack.receive("Letters")
    assert json.loads(letter["Body"]) == {"n": 1}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    request_id = record["requestContext"]["requestId"]
    assert attributes == {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "'lost'"}


def test_an_event_that_succeeds_is_an_event_on_a_bus(stack: Stack) -> None:
    """OnSuccess to EventBridge, whose rule finds it by its source."""
    stack.client("lambda").invoke(FunctionName=stack.output("Settle"), InvocationType="Event", Payload=b'{"n":2}')
    event = json.loads(stack.receive("Successes")["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert (event["detail"]["requestPayload"], event["detail"]["responseContext"]["statusCode"]) == ({"n": 2}, 200)


def test_code_comes_from_a_bucket_and_records_of_failures_go_to_one(stack: Stack) -> None:
    """UpdateFunctionCode reads the cloud's own S3 as its caller; an object that is not there is S3's own error."""
    api, s3, bucket = stack.client("lambda"), stack.client("s3"), stack.output("Records")
    name = stack.output("Lose")
    content = archive(greet=b"def fail(event, context):\n    raise ValueError('other code')\n")
    s3.put_object(Bucket=bucket, Key="code/new.zip", Body=content)
    with pytest.raises(ClientError, match="S3 Error Code: NoSuchKey"):
        api.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key="code/gone.zip")
    changed = api.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key="code/new.zip")
    assert changed["CodeSize"] == len(content)
    api.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    prefix = f"aws/lambda/async/{name}/"
    key = found(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))[0]["Key"]
    record = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert record["responsePayload"]["errorMessage"] == "other code"


def found(look: Callable[[], list[Any]]) -> list[Any]:
    """What is there to be seen, looked for again for a minute at most."""
    deadline = time.monotonic() + 60
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen
