"""What a failure destination gets from a stream mapping, and what becomes of it where it does not take it."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.destinations import BucketDestination, MessageDestination
from localcloud.compute.functions import InvokeResult
from tests.unit.stream_world import FACTS, FAILED, OK, MemoryStream, named, world

FIRST = "shardId-000000000000"


async def fail(event: dict[str, Any]) -> InvokeResult:
    return FAILED


async def dislike_poison(event: dict[str, Any]) -> InvokeResult:
    return FAILED if "poison" in named(event) else OK


async def one_failure(**changes: Any) -> tuple[MemoryStream, dict[str, Any], dict[str, Any]]:
    stream = MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)
    await asyncio.sleep(0.25)
    stream.put("a")
    await asyncio.sleep(1.5)
    stream.put("b")
    async with world(fail, stream=stream, max_retries=0) as there:
        await asyncio.sleep(1)
        return stream, there.destination.documents[0], there.destination.payloads[0]


def test_the_document_is_lambdas_to_the_letter() -> None:
    """Kinesis, retries exhausted: every member, in its order."""

    async def main() -> None:
        stream, document, payload = await one_failure()
        assert list(document) == ["requestContext", "responseContext", "version", "timestamp", "KinesisBatchInfo"]
        assert document == {
            "requestContext": {
                "requestId": "req-failed",
                "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:handle",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 1,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": "2027-01-15T08:00:01.750Z",
            "KinesisBatchInfo": {
                "shardId": FIRST,
                "startSequenceNumber": "1001",
                "endSequenceNumber": "1002",
                "approximateArrivalOfFirstRecord": "2027-01-15T08:00:00.250Z",
                "approximateArrivalOfLastRecord": "2027-01-15T08:00:01.750Z",
                "batchSize": 2,
                "streamArn": stream.arn,
            },
        }
        assert named(payload) == ["a", "b"]

    run_virtual(main)


def test_times_of_dynamodb_records_are_whole_seconds() -> None:
    """And the batch is called DDBStreamBatchInfo."""

    async def main() -> None:
        _, document, _ = await one_failure(kind="dynamodb")
        assert "KinesisBatchInfo" not in document
        info = document["DDBStreamBatchInfo"]
        assert info["approximateArrivalOfFirstRecord"] == "2027-01-15T08:00:00Z"
        assert info["approximateArrivalOfLastRecord"] == "2027-01-15T08:00:01Z"

    run_virtual(main)


def test_a_batch_that_grew_too_old_has_no_answer_in_its_document() -> None:
    """As AWS sends it, whether it was tried or not; a request id is made up where there was no request."""

    async def main() -> None:
        stream = MemoryStream(LoopClock(asyncio.get_running_loop()))
        stream.put("old")
        await asyncio.sleep(61)
        stream.put("tried")
        async with world(fail, stream=stream, max_record_age_s=60) as there:
            await asyncio.sleep(62)
            untried, tried = there.destination.documents
            for document in (untried, tried):
                assert list(document) == ["requestContext", "version", "timestamp", "KinesisBatchInfo"]
                assert document["requestContext"]["condition"] == "RecordAgeExceeded"
                assert document["requestContext"]["approximateInvokeCount"] == 1
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", untried["requestContext"]["requestId"])
            assert tried["requestContext"]["requestId"] == "req-failed"

    run_virtual(main)


def test_a_destination_that_refuses_is_tried_again_before_the_shard_goes_on() -> None:
    """The document arrives, and only then are its records done."""

    async def main() -> None:
        stream = MemoryStream(LoopClock(asyncio.get_running_loop()))
        stream.put("poison")
        async with world(dislike_poison, stream=stream, max_retries=0) as there:
            there.destination.refusals = 4
            await asyncio.sleep(0.1)
            assert there.checkpoints.after(FIRST) == ""
            await asyncio.sleep(20)
            assert (there.destination.calls, len(there.destination.documents)) == (5, 1)
            assert there.checkpoints.after(FIRST) == "1001"

    run_virtual(main)


def test_a_destination_that_never_takes_it_is_reported_and_blocks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the log with the whole document, a metric, and the mapping's last result."""

    async def main() -> None:
        stream = MemoryStream(LoopClock(asyncio.get_running_loop()))
        stream.put("poison")
        async with world(dislike_poison, stream=stream, max_retries=0) as there:
            there.destination.refusals = 1000
            await asyncio.sleep(60)
            assert there.destination.calls == 5
            assert there.mapping.last_result.startswith("PROBLEM: The failure destination")
            assert ("AWS/Lambda", "DestinationDeliveryFailures", 1, {"FunctionName": "handle"}, "Count") in (
                there.metrics.points
            )
            stream.put("next")
            await asyncio.sleep(2)
            assert there.batches == [["poison"], ["next"]]

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    lost = [record for record in caplog.records if record.message == "mapping.records_lost"]
    assert len(lost) == 1
    assert lost[0].__dict__["document"]["KinesisBatchInfo"]["startSequenceNumber"] == "1001"


def test_a_pause_while_the_destination_refuses_loses_nothing() -> None:
    """The batch is not done, so it is delivered, and given up, again."""

    async def main() -> None:
        stream = MemoryStream(LoopClock(asyncio.get_running_loop()))
        stream.put("poison")
        async with world(dislike_poison, stream=stream, max_retries=0) as there:
            there.destination.refusals = 3
            await asyncio.sleep(0.1)
            await there.stop()
            there.destination.refusals = 0
            there.start()
            await asyncio.sleep(1)
            assert there.destination.ranges() == [("1001", "1001")]

    run_virtual(main)


def test_a_queue_or_topic_gets_the_document_as_its_message() -> None:
    """Without the records, each time."""

    async def main() -> None:
        sent: list[str] = []

        async def keep(text: str) -> None:
            sent.append(text)

        document = {"version": "1.0", "KinesisBatchInfo": {"shardId": FIRST}}
        for _ in range(2):
            await MessageDestination(keep).send(document, b'{"Records":[]}')
        assert [json.loads(text) for text in sent] == [document, document]

    run_virtual(main)


def test_a_bucket_gets_an_object_of_its_own_with_the_whole_event() -> None:
    """Its key names mapping, shard, day and second; the event is text under `payload`."""

    async def main() -> None:
        put: dict[str, bytes] = {}

        async def keep(key: str, content: bytes) -> None:
            put[key] = content

        bucket = BucketDestination(keep, mapping_id=FACTS.mapping_id, rng=random.Random(1))
        stream, document, payload = await one_failure()
        event = json.dumps(payload).encode()
        await bucket.send(document, event)
        await bucket.send(document, event)
        assert len(put) == 2
        for key, content in put.items():
            assert re.fullmatch(
                f"aws/lambda/{FACTS.mapping_id}/{FIRST}/2027/01/15/"
                r"2027-01-15T08\.00\.01-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
                key,
            )
            assert json.loads(content) == {**document, "payload": event.decode()}
        assert stream.arn in document["KinesisBatchInfo"]["streamArn"]

        _, of_table, _ = await one_failure(kind="dynamodb")
        await bucket.send(of_table, event)
        assert len(put) == 3

    run_virtual(main)


def test_a_destination_passes_on_what_its_service_says() -> None:
    """The mapping, not the destination, decides what a refusal means."""

    async def main() -> None:
        async def refuse(*_: object) -> None:
            raise PermissionError("AccessDenied")

        document = {"timestamp": "2027-01-15T08:00:01.750Z", "KinesisBatchInfo": {"shardId": FIRST}}
        bucket = BucketDestination(refuse, mapping_id="m", rng=random.Random(1))
        for destination in (MessageDestination(refuse), bucket):
            with pytest.raises(PermissionError, match="AccessDenied"):
                await destination.send(document, b"{}")

    run_virtual(main)
