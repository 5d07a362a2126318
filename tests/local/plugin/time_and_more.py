"""Run beside the example of docs/testing-applications.md by tests/local/test_plugin.py, as test_more.py."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.testing.clock import Unsettled
from localcloud.testing.faults import drop, error, fail_call, latency, throttle
from localcloud.testing.timeline import NotHappened

DAY_S = 86_400
SECRET = "secret-body"
other = pytest.mark.sluiceway(template="../other.yaml", parameters={"Word": "hello"})
KEPT: dict[str, Any] = {}  # as modules under test keep clients
ONCE = Config(retries={"total_max_attempts": 1})


@other
def test_a_marker_chooses_template_and_parameters(sluiceway_app: Any) -> None:
    assert sluiceway_app.variables("Ask")["WORD"] == "hello"
    KEPT["sqs"] = boto3.client("sqs", config=ONCE)
    assert len(KEPT["sqs"].list_queues()["QueueUrls"]) == 2
    with pytest.raises(LookupError, match="no resource Orders; there are Ask,"):
        sluiceway_app.physical("Orders")


@other
def test_clients_and_objects_survive_a_day(sluiceway_app: Any) -> None:
    """Connections that were kept open are closed by the jump, and a client that never retries goes on all the same."""
    s3, bucket = boto3.client("s3", config=ONCE), sluiceway_app.physical("Files")
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"kept")
    before = sluiceway_app.clock.now()
    for _ in range(2):
        sluiceway_app.clock.advance(timedelta(days=1))
        assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"kept"
    assert timedelta(days=2) <= sluiceway_app.clock.now() - before < timedelta(days=2, seconds=30)


@other
def test_what_moto_holds_ends_with_the_test(sluiceway_app: Any) -> None:
    """Objects of the test before are gone, though moto keeps them for the process; so are its parameters."""
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=sluiceway_app.physical("Files"))
    boto3.client("ssm").put_parameter(Name="/left", Value="over", Type="String")


@other
def test_parameters_too(sluiceway_app: Any) -> None:
    assert sluiceway_app.client("ssm").describe_parameters()["Parameters"] == []


@other
def test_time_is_the_machines_again() -> None:
    """This test asks for no application: the next one is at its beginning."""


@other
def test_the_next_test_begins_at_the_machines_date(sluiceway_app: Any) -> None:
    assert abs(sluiceway_app.clock.now().timestamp() - time.time()) < 1


@other
def test_a_client_that_was_kept_reaches_the_application_of_a_later_test(sluiceway_app: Any) -> None:
    KEPT["sqs"].send_message(QueueUrl=sluiceway_app.physical("Delayed"), MessageBody="a")
    assert sluiceway_app.timeline.wait_for(kind="call", name="SQS SendMessage").result == "ok"


@other
def test_functions_keep_their_own_time(sluiceway_app: Any) -> None:
    """Their deadline is told by the clock that they read; what runs is waited for before time moves."""
    sluiceway_app.clock.advance(DAY_S)
    assert 15_000 < sluiceway_app.invoke("Ask", {}).payload["left_ms"] <= 20_000
    sluiceway_app.invoke("Ask", {"sleep_s": 1}, invocation_type="Event")
    began = time.monotonic()
    sluiceway_app.clock.advance(3600)
    assert time.monotonic() - began >= 1
    ended = sluiceway_app.timeline.find(kind="invocation", name="Ask")[-1]
    assert (ended.result, ended.duration_s < 20) == ("ok", True)


@other
def test_what_runs_too_long_is_told(sluiceway_app: Any) -> None:
    sluiceway_app.invoke("Ask", {"sleep_s": 1.5}, invocation_type="Event")
    with pytest.raises(Unsettled, match=r"within 0\.2 s: .*function sluiceway-Ask"):
        sluiceway_app.settle(timeout_s=0.2)
    sluiceway_app.settle()


@other
def test_delays_retention_and_expiry(sluiceway_app: Any) -> None:
    sqs, url = boto3.client("sqs"), sluiceway_app.physical("Delayed")
    sqs.send_message(QueueUrl=url, MessageBody="a")
    sluiceway_app.clock.advance(298)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sluiceway_app.clock.advance(2)
    assert [each["Body"] for each in sqs.receive_message(QueueUrl=url)["Messages"]] == ["a"]
    sluiceway_app.clock.advance(60)
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    sluiceway_app.clock.advance(3600)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    table = boto3.resource("dynamodb").Table(sluiceway_app.physical("Expiring"))
    table.put_item(Item={"id": "1", "ends": int(sluiceway_app.clock.now().timestamp()) + 60})
    sluiceway_app.clock.advance(30)
    assert table.scan()["Count"] == 1
    sluiceway_app.clock.advance(3 * DAY_S)
    assert table.scan()["Count"] == 0


@other
def test_a_batching_window(sluiceway_app: Any) -> None:
    for body in "abc":
        boto3.client("sqs").send_message(QueueUrl=sluiceway_app.physical("Windowed"), MessageBody=body)
    sluiceway_app.settle()
    assert sluiceway_app.timeline.find(kind="invocation") == []
    sluiceway_app.clock.advance(60)
    assert [entry.detail["batch_size"] for entry in sluiceway_app.timeline.find(kind="invocation")] == [3]


@other
def test_an_event_is_tried_three_times_and_dropped(sluiceway_app: Any) -> None:
    sluiceway_app.invoke("Ask", {"fails": True}, invocation_type="Event")
    sluiceway_app.clock.advance(59)
    assert len(sluiceway_app.timeline.find(kind="invocation", result="error")) == 1
    sluiceway_app.clock.advance(1)
    assert len(sluiceway_app.timeline.find(kind="invocation", result="error")) == 2
    sluiceway_app.clock.advance(121)
    assert len(sluiceway_app.timeline.find(kind="invocation", result="error", error_type="RuntimeError")) == 3
    assert [entry.detail["attempt"] for entry in sluiceway_app.timeline.find(kind="retry")] == [2, 3]
    dropped = sluiceway_app.timeline.find(kind="dropped", name="Ask")
    assert [entry.detail["condition"] for entry in dropped] == ["RetriesExhausted"]
    kinds = [entry.kind for entry in sluiceway_app.timeline.entries if entry.kind != "init"]
    assert kinds == ["queued", "invocation", "retry", "invocation", "retry", "invocation", "dropped"]


@other
def test_times_that_are_none(sluiceway_app: Any) -> None:
    for seconds in (-1, float("nan"), 400 * DAY_S):
        with pytest.raises(ValueError, match="0 to 31622400 seconds"):
            sluiceway_app.clock.advance(seconds)


@other
def test_what_did_not_happen_is_told_with_what_did(sluiceway_app: Any) -> None:
    sluiceway_app.invoke("Ask", {"token": "secret-body"})
    with pytest.raises(NotHappened) as missed:
        sluiceway_app.timeline.wait_for(kind="message", name="Delayed", timeout_s=0.05)
    assert "kind='message' name='Delayed' did not happen within 0.05 s" in str(missed.value)
    assert "  invocation  Ask" in str(missed.value)
    assert "secret-body" not in str(missed.value)


@other
def test_faults_of_calls_by_the_test(sluiceway_app: Any) -> None:
    client = boto3.client("sqs", config=ONCE)
    with sluiceway_app.faults.inject(
        throttle("sqs", "ListQueues", callers="people", count=1),
        fail_call("sqs", "SendMessage", status=503, callers="people"),
    ) as faults:
        with pytest.raises(ClientError, match="Throttl"):
            client.list_queues()
        assert client.list_queues()["QueueUrls"]
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            client.send_message(QueueUrl=sluiceway_app.physical("Delayed"), MessageBody="a")
    assert [each["injected"] for each in faults.report()] == [1, 1]
    client.send_message(QueueUrl=sluiceway_app.physical("Delayed"), MessageBody="a")


@other
def test_faults_of_invocations_are_drawn_by_the_seed(sluiceway_app: Any) -> None:
    def hit(seed: int) -> list[bool]:
        with sluiceway_app.faults.inject(error("Ask", error_type="Broken", rate=0.5), seed=seed):
            return [sluiceway_app.invoke("Ask", {}).error == "Broken" for _ in range(12)]

    first = hit(3)
    assert hit(3) == first
    assert {True, False} == set(first)
    sluiceway_app.faults.inject(latency(0.3, "Ask"))  # left on: the end of the test ends it
    assert sluiceway_app.invoke("Ask", {}).payload["left_ms"] <= 19_800


@other
def test_no_fault_is_left_on(sluiceway_app: Any) -> None:
    assert sluiceway_app.faults.report() == []
    assert sluiceway_app.invoke("Ask", {}).payload["left_ms"] > 19_800
    with pytest.raises(Exception, match=r"steps\[0\]\.functions: there is no 'Nobody'"):
        sluiceway_app.faults.inject(drop("Nobody"))


@other
@pytest.mark.asyncio
async def test_time_in_an_async_test(sluiceway_app: Any) -> None:
    """The test's own loop goes on meanwhile, in real time."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turning = asyncio.ensure_future(turn())
    await sluiceway_app.invoke_async("Ask", {"sleep_s": 0.3}, invocation_type="Event")
    await sluiceway_app.clock.advance_async(3600)
    turning.cancel()
    assert turns >= 10
    assert (await sluiceway_app.timeline.wait_for_async(kind="invocation", name="Ask")).result == "ok"


@other
def test_what_a_test_sees_of_the_machine(sluiceway_app: Any) -> None:
    assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL_SQS" not in os.environ
    assert os.environ["AWS_ENDPOINT_URL"] == sluiceway_app.endpoint


def test_the_machine_is_as_before() -> None:
    assert os.environ["AWS_PROFILE"] == "nobody"
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_report(sluiceway_app: Any) -> None:
    sluiceway_app.invoke("ShipOrder", {"Records": [{"body": json.dumps({"broken": SECRET})}]})
    pytest.fail("must fail")


@pytest.mark.sluiceway(template="../none.yaml")
def test_no_template(sluiceway_app: Any) -> None:
    pytest.fail("is not run")


@pytest.mark.sluiceway(template="../refused.yaml")
def test_a_template_that_is_not_served(sluiceway_app: Any) -> None:
    pytest.fail("is not run")
