"""State machines in a running cloud: begun by boto3, a request and an event, with functions, a token and a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local.conftest import RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "state_machine" / "template.yaml"


@dataclass
class Printer:
    """The stack of tests/local/state_machine, and clients of its cloud."""

    cloud: RunningCloud

    def client(self, service: str) -> Any:
        sdk: Any = boto3
        return sdk.client(
            service,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            region_name=self.cloud.status["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(inject_host_prefix=False),  # no `sync-` before an address
        )

    def output(self, name: str) -> str:
        return self.cloud.status["outputs"][name]

    def receive(self, queue: str) -> dict[str, Any]:
        """The next message of a queue, waited for and taken."""
        sqs, url = self.client("sqs"), self.output(queue)
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(message["Body"])

    def note(self, name: str) -> Any:
        """What an execution noted in the table."""
        found = self.client("dynamodb").get_item(TableName=self.output("Notes"), Key={"pk": {"S": name}})
        return json.loads(found["Item"]["state"]["S"])


@pytest.fixture(scope="module")
def printer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Printer]:
    cloud = start_cloud(tmp_path_factory.mktemp("machines") / "state", "--template", str(TEMPLATE))
    yield Printer(cloud)
    cloud.sluiceway("down")


def test_pages_are_printed_with_a_retry_and_a_person_approves(printer: Printer) -> None:
    """A Map over a function that fails once, a token that comes back over the API, an item that an integration puts."""
    states = printer.client("stepfunctions")
    started = states.start_execution(
        stateMachineArn=printer.output("Press"), name="book", input=json.dumps({"pages": [1, 2]})
    )
    question = printer.receive("Questions")
    assert question["pages"] == 2
    states.send_task_heartbeat(taskToken=question["token"])
    states.send_task_success(taskToken=question["token"], output=json.dumps({"good": True}))
    ended = printer.receive("Ended")["detail"]
    assert (ended["name"], ended["status"]) == ("book", "SUCCEEDED")
    assert printer.note("book") == {
        "pages": [1, 2],
        "printed": [{"page": 1, "by": "book"}, {"page": 2, "by": "book"}],
        "answer": {"good": True},
    }
    history = states.get_execution_history(executionArn=started["executionArn"], maxResults=1000)["events"]
    failed = [event for event in history if event["type"] == "TaskFailed"]
    assert [event["taskFailedEventDetails"]["error"] for event in failed] == ["OutOfInk"]
    assert [event["id"] for event in history] == list(range(1, len(history) + 1))


def test_a_request_begins_an_execution_that_a_person_refuses(printer: Printer) -> None:
    """An Api event of a serverless state machine is a service integration that answers at once."""
    reply = call_api(printer.cloud.status["endpoints"]["serverlessrestapi"], "POST", "press", body={"pages": [3]})
    assert reply.status == 200, reply.body
    question = printer.receive("Questions")
    states = printer.client("stepfunctions")
    states.send_task_success(taskToken=question["token"], output=json.dumps({"good": False, "why": "smudged"}))
    ended = printer.receive("Ended")["detail"]
    told = states.describe_execution(executionArn=reply.json()["executionArn"])
    assert (ended["executionArn"], told["status"]) == (told["executionArn"], "FAILED")
    assert (told["error"], told["cause"]) == ("NotGood", "smudged")


def test_an_event_begins_an_execution_whose_functions_error_is_caught(printer: Printer) -> None:
    """The error's name is the exception's own."""
    printer.client("events").put_events(
        Entries=[{"Source": "shop", "DetailType": "order", "Detail": json.dumps({"pages": [13]})}]
    )
    ended = printer.receive("Ended")["detail"]
    note = printer.note(ended["name"])
    assert (ended["status"], note["error"]["Error"]) == ("SUCCEEDED", "ValueError")
    assert json.loads(note["error"]["Cause"])["errorMessage"] == "there is no page 13"


def test_an_express_machine_answers_at_once_and_logs(printer: Printer) -> None:
    """StartSyncExecution gives the output; every event is in the log group."""
    told = printer.client("stepfunctions").start_sync_execution(
        stateMachineArn=printer.output("Stamp"), input=json.dumps({"text": "paid"})
    )
    assert (told["status"], json.loads(told["output"])) == ("SUCCEEDED", {"stamped": "paid"})
    log = "".join(path.read_text() for path in (printer.cloud.state / "logs").rglob("*") if "StampLog" in str(path))
    kinds = ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    assert [kind for kind in kinds if f'"{kind}"' in log] == kinds


def test_a_token_that_is_none_and_a_name_that_is_taken_are_refused(printer: Printer) -> None:
    """boto3 raises the API's own errors."""
    states = printer.client("stepfunctions")
    with pytest.raises(states.exceptions.InvalidToken):
        states.send_task_failure(taskToken="none", error="x")
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(stateMachineArn=printer.output("Press"), name="book", input="{}")
    with pytest.raises(ClientError, match="SCHEMA_VALIDATION_FAILED"):
        states.create_state_machine(name="x", definition='{"StartAt": "A"}', roleArn="arn:aws:iam::123456789012:role/r")
