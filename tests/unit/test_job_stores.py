"""The JobStore contract over memory, moto's DynamoDB and the local cloud's, and the dead letters' size rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb import control
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.jobs import DynamoDbJobStore, S3BlobStore, SqsDeadLetters, SqsRedelivery, fit_attributes
from sluiceway.aws.reply import Reply
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.sqs import Queue
from sluiceway.errors import ConditionFailed, Rejected, ServiceRefused
from sluiceway.ports import JobRecord, JobStore
from tests.fakes import MemoryJobStore, RecordingCaller

RECORD = JobRecord(
    job_id="k.ann.a2V5",
    owner="ann",
    state="running",
    body_sha256="0" * 64,
    created_ms=1_800_000_000_000,
    updated_ms=1_800_000_000_001,
    attempt=1,
    lease_owner="m1#1#req",
    lease_until_ms=1_800_000_060_000,
    problem={"type": "/problems/attempt-lost", "title": "gone"},
    correlation_id="corr",
    expires_s=1_800_604_800,
)


class MotoCaller:
    """A Caller that hands JSON-protocol requests to boto3 under moto."""

    def __init__(self) -> None:
        self._client: Any = boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self._client.create_table(
            TableName="jobs",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "job_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        )

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        del service, path, method, query, headers, deadline
        assert not isinstance(body, bytes)
        try:
            answer = getattr(self._client, xform_name(operation))(**body)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != "ConditionalCheckFailedException":
                raise
            failed = ConditionFailed("failed", service="dynamodb", operation=operation, code=code)
            failed.item = error.response.get("Item")
            raise failed from error
        return Reply(200, {}, json.dumps(answer, default=str).encode())


class LocalCaller:
    """A Caller that hands JSON-protocol requests to the local cloud's DynamoDB, in process."""

    def __init__(self) -> None:
        self._service = DynamoService(SystemClock())
        control.create_table(
            self._service.database("eu-west-1"),
            Members(
                {
                    "TableName": "jobs",
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "job_id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "job_id", "KeyType": "HASH"}],
                }
            ),
        )

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        del query, headers, deadline
        target = {"x-amz-target": f"{service.target_prefix}.{operation}"}
        sent = json.dumps(body).encode()
        answer = await self._service.handle(
            WireRequest("dynamodb", "eu-west-1", method, path, "", target, sent, "key", "req")
        )
        assert isinstance(answer.body, bytes)
        if answer.status == 200:
            return Reply(200, {}, answer.body)
        fault = json.loads(answer.body)
        code = fault["__type"].partition("#")[2]
        assert code == "ConditionalCheckFailedException", fault
        failed = ConditionFailed("failed", service="dynamodb", operation=operation, code=code)
        failed.item = fault.get("Item")
        raise failed


@pytest.fixture(params=["memory", "moto", "local"])
def store(request: pytest.FixtureRequest) -> Iterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobStore()
        return
    if request.param == "local":
        yield DynamoDbJobStore(Table(LocalCaller(), "jobs"))
        return
    with mock_aws():
        yield DynamoDbJobStore(Table(MotoCaller(), "jobs"))


async def test_create_writes_once_and_tells_what_is_there(store: JobStore) -> None:
    """The first create wins and reads back whole; the second is given the record that is stored."""
    assert await store.get(RECORD.job_id) is None
    assert await store.create(RECORD) is None
    assert await store.get(RECORD.job_id) == RECORD
    assert await store.create(replace(RECORD, owner="bob", lease_owner="other")) == RECORD
    assert await store.get(RECORD.job_id) == RECORD


async def test_replace_holds_only_for_what_was_seen(store: JobStore) -> None:
    """State, attempt and lease owner must be as seen; the whole record is written, absent members included."""
    await store.create(RECORD)
    result = {"text": "Rhône", "usage": {"output_tokens": 2}}
    done = replace(RECORD, state="succeeded", result=result, problem=None, updated_ms=5, final=True)
    for seen in (replace(RECORD, state="queued"), replace(RECORD, attempt=2), replace(RECORD, lease_owner="x")):
        assert await store.replace(done, seen=seen) is False
    assert await store.get(RECORD.job_id) == RECORD
    assert await store.replace(done, seen=RECORD) is True
    assert await store.get(RECORD.job_id) == done


async def test_replace_of_nothing_is_refused(store: JobStore) -> None:
    """A record that is gone is not made anew."""
    assert await store.replace(replace(RECORD, state="failed"), seen=RECORD) is False
    assert await store.get(RECORD.job_id) is None


async def test_a_replace_that_was_done_already_is_true(store: JobStore) -> None:
    """A client's retry after a lost answer meets its own write and knows it."""
    await store.create(RECORD)
    done = replace(RECORD, state="succeeded", updated_ms=5)
    assert await store.replace(done, seen=RECORD) is True
    assert await store.replace(done, seen=RECORD) is True


async def test_conflicts_are_counted_beside_the_record(store: JobStore) -> None:
    """A conflict neither needs nor loses a replace; a new job under the old id starts at 0."""
    await store.note_conflict("k.ann.none")
    assert await store.get("k.ann.none") is None
    await store.create(RECORD)
    await store.note_conflict(RECORD.job_id)
    await store.note_conflict(RECORD.job_id)
    done = replace(RECORD, state="succeeded")
    assert await store.replace(done, seen=RECORD) is True
    assert await store.get(RECORD.job_id) == replace(done, conflicts=2)
    anew = replace(RECORD, created_ms=7, lease_owner="new")
    assert await store.replace(anew, seen=done) is True
    assert await store.get(RECORD.job_id) == anew


async def test_blobs_go_to_the_bucket() -> None:
    """The key and type are the flow's; a missing key is None."""
    missing = ServiceRefused("no", service="s3", operation="GetObject", code="NoSuchKey", status=404)
    caller = RecordingCaller([Reply(200, {}, b""), Reply(200, {}, b"{}"), missing])
    blobs = S3BlobStore(Bucket(caller, "results"))
    await blobs.put("results/ann/j/1", b"{}", content_type="application/json")
    assert await blobs.get("results/ann/j/1") == b"{}"
    assert await blobs.get("results/ann/j/2") is None
    assert caller.calls[0].path == "/results/results/ann/j/1"


async def test_a_dead_letter_keeps_body_and_attributes_and_adds_the_reason() -> None:
    """What was sent comes through whole, with the reason and the detail beside it."""
    caller = RecordingCaller([Reply(200, {}, b'{"MessageId":"m"}')])
    letters = SqsDeadLetters(Queue(caller, "http://127.0.0.1/q"))
    await letters.send("body & all", reason="invalid-body", detail="prompt: too long", attributes={"job_id": "k.a.b"})
    sent: Any = caller.calls[0].body
    assert sent["MessageBody"] == "body & all"
    assert {name: value["StringValue"] for name, value in sent["MessageAttributes"].items()} == {
        "reason": "invalid-body",
        "job_id": "k.a.b",
        "detail": "prompt: too long",
    }


async def test_a_return_changes_the_visibility_of_one_delivery() -> None:
    """The receipt handle names the delivery, the seconds count from now."""
    caller = RecordingCaller([Reply(200, {}, b"{}")])
    await SqsRedelivery(Queue(caller, "http://127.0.0.1/q")).return_after("handle", 30)
    assert (caller.calls[0].operation, caller.calls[0].body) == (
        "ChangeMessageVisibility",
        {"QueueUrl": "http://127.0.0.1/q", "ReceiptHandle": "handle", "VisibilityTimeout": 30},
    )


@given(
    st.integers(1, 1_048_576) | st.integers(1_048_400, 1_048_576),
    st.text(max_size=2000),
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), st.text(max_size=50), max_size=14),
)
def test_dead_letters_keep_sqs_limits(body_bytes: int, detail: str, attributes: dict[str, str]) -> None:
    """At most 10 non-empty attributes and 1 MiB with the body, the reason always among them; else it is refused."""
    body = "x" * body_bytes
    if body_bytes + len("reason" + "String" + "invalid-body") > 1_048_576:
        with pytest.raises(Rejected, match="do not fit"):
            fit_attributes(body, "invalid-body", detail=detail, attributes=attributes)
        return
    fitted = fit_attributes(body, "invalid-body", detail=detail, attributes=attributes)
    size = sum(len(name.encode()) + len("String") + len(value.encode()) for name, value in fitted.items())
    assert body_bytes + size <= 1_048_576
    assert len(fitted) <= 10
    assert fitted["reason"] == "invalid-body"
    assert all(fitted.values())


def test_a_dead_letter_says_nothing_that_sqs_refuses() -> None:
    """A detail may quote a record: a character that no message may have gives way, or it came again for ever."""
    detail = "no such name: \x00\x1f\ud800\ufffe, line\n\U0001f600"
    fitted = fit_attributes("{}", "odd\x00", detail=detail, attributes={"name": "\x0b"})
    assert fitted == {
        "reason": "odd\ufffd",
        "name": "\ufffd",
        "detail": "no such name: \ufffd\ufffd\ufffd\ufffd, line\n\U0001f600",
    }
