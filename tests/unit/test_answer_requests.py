"""What the DynamoDB stores of streamed answers ask for: how many calls, in which order, on what conditions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.dynamodb.values import item_size, parse_item
from sluiceway.aws.answer_items import Piece, assemble, read_record, write_head
from sluiceway.aws.answers import DynamoDbAnswerStore, DynamoDbConnectionStore
from sluiceway.aws.attributes import decode_item, encode_item
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.reply import Reply
from sluiceway.ports import AnswerRecord, Connection, Reader, SystemClock
from tests.fakes import RecordingCaller

RUNNING = AnswerRecord(
    caller="kQ3vT0aXrWm5oZbB7yq1Lw",
    req="0d8c5ef0-5c2c-4a5e-9a7e-3f2b1c0d9e8f",
    state="running",
    request_sha256="0" * 64,
    created_ms=1_795_770_903_118,
    updated_ms=1_795_770_910_000,
    attempt=2,
    starts=(0, 40),
    off=100,
    lease_owner="6f1c2b9a-0d3e-4f5a-8b7c-9d0e1f2a3b4c#2",
    lease_until_ms=1_795_770_920_000,
    readers=(Reader("U8TkqcNJIAMCIFQ=", 1), Reader("U8TkqcNJIAMCIFR=", 3, 70, 1)),
    usage={"input_tokens": 1200, "output_tokens": 345},
    correlation_id="U8TkqEJmoAMFo3Q=",
    expires_s=4_102_444_800,
)
STORED = Reply(200, {}, json.dumps({"Attributes": encode_item(write_head(RUNNING))}).encode())


def store(*answers: Reply) -> tuple[DynamoDbAnswerStore, RecordingCaller]:
    """A store, and the caller that keeps its requests."""
    caller = RecordingCaller(list(answers))
    return DynamoDbAnswerStore(Table(caller, "conversations"), SystemClock()), caller


def bodies(caller: RecordingCaller) -> list[tuple[str, Any]]:
    return [(call.operation, call.body) for call in caller.calls]


async def test_the_question_goes_before_the_record() -> None:
    """A record without its question would never be answered; a question without its record expires."""
    answers, caller = store()
    await answers.create(RUNNING, "{}")
    [(first, question), (second, head)] = bodies(caller)
    assert (first, second) == ("PutItem", "PutItem")
    assert question["Item"] == {
        "caller": {"S": RUNNING.caller},
        "item": {"S": f"{RUNNING.req}#q#{'0' * 64}"},
        "question": {"S": "{}"},
        "expires_s": {"N": "4102444800"},
    }
    assert "ConditionExpression" not in question
    assert head["ConditionExpression"] == "attribute_not_exists(#item) OR #expires_s <= :now_s"
    assert head["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


async def test_text_goes_before_the_head_that_makes_it_count() -> None:
    """Two writes; the piece has both its ends in its key, and nothing but text and date beside it."""
    answers, caller = store(Reply(200, {}, b"{}"), STORED)
    await answers.replace(replace(RUNNING, off=105), seen=RUNNING, text="héllo")
    [(first, piece), (second, _)] = bodies(caller)
    assert (first, second) == ("PutItem", "UpdateItem")
    assert piece["Item"] == {
        "caller": {"S": RUNNING.caller},
        "item": {"S": f"{RUNNING.req}#t#001795770903118#000002#000000100#000000105"},
        "text": {"S": "héllo"},
        "expires_s": {"N": "4102444800"},
    }
    assert "ConditionExpression" not in piece


async def test_a_worker_names_neither_readers_nor_cancel() -> None:
    """One write where there is no text; the question and its date are not its to write either."""
    answers, caller = store(STORED)
    assert await answers.replace(replace(RUNNING, updated_ms=1), seen=RUNNING) == RUNNING
    [(operation, update)] = bodies(caller)
    assert (operation, update["ReturnValues"], update["ReturnValuesOnConditionCheckFailure"]) == (
        "UpdateItem",
        "ALL_NEW",
        "ALL_OLD",
    )
    conditions = update["ConditionExpression"].split(" AND ")
    seen = [f"#{name} = :seen_{name}" for name in ("created_ms", "state", "attempt", "lease_owner", "off")]
    assert conditions == [*seen, "#expires_s > :now_s"]
    written = {part.split(" = ")[0] for part in update["UpdateExpression"].removeprefix("SET ").split(", ")}
    assert written.isdisjoint({"#readers", "#cancel", "#created_ms", "#request_sha256", "#caller", "#item"})
    assert set(update["ExpressionAttributeNames"]) == written | {"#created_ms"}


async def test_an_attaching_reader_is_one_write() -> None:
    """Its place is its connection's, whatever characters the id has."""
    answers, caller = store(STORED)
    assert await answers.attach(RUNNING.caller, RUNNING.req, Reader("a.b=", 3, 5, 1)) == RUNNING
    [(_, update)] = bodies(caller)
    assert update["UpdateExpression"] == "SET #readers.#connection = :reader"
    assert update["ExpressionAttributeNames"]["#connection"] == "a.b="
    reader = {"generation": {"N": "3"}, "off": {"N": "5"}, "attempt": {"N": "1"}}
    assert update["ExpressionAttributeValues"][":reader"] == {"M": reader}


async def test_text_is_read_page_by_page_and_as_it_is_now() -> None:
    """Strongly consistent, until there is no next key; an answer without text is not asked for."""
    key = {"caller": "c", "item": "i"}
    answers, caller = store(
        Reply(200, {}, json.dumps({"Items": [], "LastEvaluatedKey": encode_item(key)}).encode()),
        Reply(200, {}, json.dumps({"Items": [_piece(1, 0, "x" * 40)], "LastEvaluatedKey": encode_item(key)}).encode()),
        Reply(200, {}, json.dumps({"Items": [_piece(2, 40, "y" * 60)]}).encode()),
    )
    assert await answers.read_text(replace(RUNNING, off=0)) == ""
    assert caller.calls == []
    assert await answers.read_text(RUNNING) == "x" * 40 + "y" * 60
    queries = [body for _, body in bodies(caller)]
    assert [query.get("ExclusiveStartKey") for query in queries] == [None, encode_item(key), encode_item(key)]
    assert all(query["ConsistentRead"] and "Limit" not in query for query in queries)
    assert queries[0]["ExpressionAttributeValues"][":prefix"] == {"S": f"{RUNNING.req}#t#001795770903118#"}


def _piece(attempt: int, off: int, text: str) -> dict[str, Any]:
    return encode_item({"item": f"{RUNNING.req}#t#1#{attempt:06d}#{off:09d}#{off + len(text):09d}", "text": text})


async def test_records_are_read_as_they_are_now() -> None:
    """Whoever decides on a record has seen its last write."""
    answers, caller = store(Reply(200, {}, json.dumps({"Item": encode_item(write_head(RUNNING))}).encode()))
    assert await answers.get(RUNNING.caller, RUNNING.req) == RUNNING
    assert bodies(caller)[0][1]["ConsistentRead"] is True


def test_a_head_is_one_write_unit() -> None:
    """Under 1 KB with two readers, as DynamoDB counts: it is written every second."""
    assert item_size(parse_item(encode_item(write_head(RUNNING)))) < 1024


async def test_a_connection_is_opened_once() -> None:
    """A copy of the write that comes late must not set its count back."""
    caller = RecordingCaller()
    await DynamoDbConnectionStore(Table(caller, "connections")).open(Connection("c", "ann", 1, expires_s=2))
    assert bodies(caller)[0][1]["ConditionExpression"] == "attribute_not_exists(#connection)"


@given(
    said=st.lists(st.tuples(st.text(alphabet="ab🌊", max_size=12), st.floats(0, 1)), min_size=1, max_size=6),
    chance=st.randoms(use_true_random=False),
)
def test_a_text_is_put_together_whatever_its_pieces(said: list[tuple[str, float]], chance: Any) -> None:
    """Attempts that go on anywhere, pieces of any size that overlap and lie beyond, in any order."""
    text, starts, pieces = "", [], list[Piece]()
    for attempt, (more, share) in enumerate(said, 1):
        start = round(len(text) * share)
        starts.append(start)
        text = text[:start] + more
        whole = more + "beyond"
        at = 0
        while at < len(whole):
            end = at + chance.randint(1, 5)
            pieces.append(Piece(attempt, start + max(0, at - chance.randint(0, 3)), ""))
            first = pieces[-1].off - start
            pieces[-1] = pieces[-1]._replace(text=whole[first:end])
            at = end
    chance.shuffle(pieces)
    record = replace(RUNNING, attempt=len(starts), starts=tuple(starts), off=len(text))
    assert assemble(record, pieces) == text


@given(
    item=st.dictionaries(
        st.sampled_from([*write_head(RUNNING)]), st.none() | st.integers() | st.text() | st.lists(st.text())
    )
)
def test_an_item_of_another_make_reads_as_a_record(item: dict[str, Any]) -> None:
    """What another version wrote, or a person by hand, raises nothing."""
    read_record(decode_item(encode_item(item)))
