"""Dead letters of a shard's records: what is in them reads back as the record, and fits a message."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.aws.attributes import encode_item
from sluiceway.aws.jobs import fit_attributes
from sluiceway.codec import dynamodb, kinesis
from sluiceway.errors import Rejected
from sluiceway.events.dynamodb import DynamoDbRecord
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.flows.batch_letters import MAX_BODY_BYTES, write_letter
from tests.fakes import Letter, MemoryDeadLetters
from tests.unit.test_codec_dynamodb import NAMES, VALUES, wire
from tests.unit.test_codec_kinesis import FIRST, RECORDS, make


@given(record=RECORDS)
def test_a_kinesis_letter_is_an_event_again(record: KinesisRecord) -> None:
    """In `{"Records": [...]}` it is the same record: a dead letter can be sent to the function again."""
    body, attributes = write_letter(record)
    assert kinesis.decode({"Records": [json.loads(body)]}).records == (record,)
    assert attributes == {
        "source_arn": record.stream_arn,
        "shard_id": record.shard_id,
        "sequence_number": record.sequence_number,
    }


@given(item=st.dictionaries(NAMES, VALUES, max_size=4), expired=st.booleans())
def test_a_dynamodb_letter_is_an_event_again(item: dict[str, Any], expired: bool) -> None:
    """Images of every type survive, numbers to the last digit, sets as sets; so does who removed it."""
    raw = wire(7, NewImage=encode_item(item), OldImage={"n": {"N": "1.50"}})
    record = dynamodb.decode({"Records": [raw]}).records[0]._replace(expired=expired)
    body, attributes = write_letter(record)
    (again,) = dynamodb.decode({"Records": [json.loads(body)]}).records
    assert again == record
    assert repr(again.old_image) == repr({"n": Decimal("1.50")})
    assert attributes == {"source_arn": record.stream_arn, "sequence_number": "7"}


def test_a_letter_of_an_aggregates_record_stands_alone() -> None:
    """With its own key and data, and its place beside it: sent again, it is a plain record."""
    body, attributes = write_letter(make(b"one")._replace(partition_key="k0", sub_sequence=3))
    assert kinesis.decode({"Records": [json.loads(body)]}).records == (make(b"one")._replace(partition_key="k0"),)
    assert attributes["sub_sequence"] == "3"


def test_what_is_too_large_goes_without_its_data() -> None:
    """A letter that no queue takes would stop the shard for ever: the stream has the data, the letter where it is."""
    body, attributes = write_letter(make(b"\xff" * 1_000_000))
    assert attributes["left_out"] == "data"
    assert json.loads(body)["kinesis"]["sequenceNumber"] == str(FIRST)
    assert "data" not in json.loads(body)["kinesis"]
    large = DynamoDbRecord("7", "e", "MODIFY", {"id": "o"}, "o", "arn", {"a": "é" * 200_000}, {"a": "b"})
    body, attributes = write_letter(large)
    assert attributes["left_out"] == "images"
    assert json.loads(body)["dynamodb"]["Keys"] == {"id": {"S": "o"}}
    assert not {"NewImage", "OldImage"} & set(json.loads(body)["dynamodb"])


@pytest.mark.parametrize("size", [779_000, 779_999, 780_005, 900_000])
def test_every_letter_fits_a_message(size: int) -> None:
    """Around the limit too, with the attributes that the dead letters add: no body is refused."""
    body, attributes = write_letter(make(b"x" * size))
    assert len(body) <= MAX_BODY_BYTES
    fitted = fit_attributes(body, "reason", detail="d" * 2000, attributes=attributes)
    assert fitted["reason"] == "reason"
    assert set(attributes) <= set(fitted)


def test_poison_of_a_shard_is_buried_with_its_reason() -> None:
    """And the shard goes on: nothing is reported."""
    letters = MemoryDeadLetters()

    async def one(_record: KinesisRecord) -> None:
        raise Rejected("no order", reason="invalid-order", field="id")

    async def run() -> BatchReport:
        batch = kinesis.decode({"Records": [wire_of(make(b"x"))]})
        return await process_batch(batch, one, desk=BatchDesk(letters), deadline=float("inf"))

    assert run_virtual(run) == BatchReport()
    body, attributes = write_letter(make(b"x"))
    assert letters.letters == [Letter(body, "invalid-order", "no order", attributes)]


def wire_of(record: KinesisRecord) -> Any:
    return json.loads(write_letter(record)[0])
