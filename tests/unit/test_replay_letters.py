"""Dead letters: what each kind says, and that none is lost, whatever refuses it or kills the run."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.replay.letters import Extent, read_letter
from localcloud.replay.queue_api import Letter
from localcloud.replay.sources import extents
from localcloud.replay.sources.queues import HIDDEN_S, list_letters, open_letters
from localcloud.replay.targets.origins import OriginTarget, QueueTarget
from sluiceway.aws.reply import Reply
from sluiceway.events.dynamodb import DynamoDbRecord
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.batch_letters import write_letter
from tests.fakes import KilledError, Life, stop_if_killed
from tests.unit.consume_setup import KinesisCaller, aggregate, put_all
from tests.unit.kinesis_setup import Api, shard_id, with_api
from tests.unit.replay_setup import FixedChance, ListTarget, make_run

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-11-28T00:00:00.000"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
WORK = "arn:aws:sqs:eu-west-1:123456789012:work"


def letter(body: str, attributes: Mapping[str, str] | None = None, number: int = 0, **system: str) -> Letter:
    texts = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
    return Letter(f"id-{number}", f"receipt-{number}", body, texts, system)


# ---------------------------------------------------------------- what a letter says


def test_a_record_of_a_batch_is_read_back() -> None:
    """As the batch flow wrote it: data, key, place, reason and detail."""
    record = KinesisRecord("12", "k", b"\x00data", 1_800_000_000_123, "shard-1", STREAM)
    body, attributes = write_letter(record)
    said = read_letter(letter(body, attributes | {"reason": "bad-order", "detail": "no total"}))
    assert (said.reason, said.detail, said.origin) == ("bad-order", "no total", STREAM)
    item = said.item
    assert item is not None
    assert (item.kind, item.content, item.partition_key) == ("kinesis", b"\x00data", "k")
    assert (item.mark, item.lane, item.arrived_ms, item.letter) == ("12", "shard-1", 1_800_000_000_123, "id-0")


def test_a_record_whose_data_were_left_out_is_read_from_its_stream() -> None:
    """By shard and number, within an aggregate by its place."""
    record = KinesisRecord("12", "k", b"x" * 1_100_000, 1, "shard-1", STREAM, sub_sequence=3)
    body, attributes = write_letter(record)
    said = read_letter(letter(body, attributes | {"reason": "r"}))
    assert said.extent == Extent(STREAM, "shard-1", "12", "12", 3)


def test_a_change_of_a_table_is_read_back() -> None:
    """The whole record, for the functions that read the table's stream."""
    members: dict[str, Any] = dict.fromkeys(DynamoDbRecord.__annotations__)
    members |= {"event_id": "e", "change": "INSERT", "keys": {"id": "1"}, "sequence_number": "77", "changed_ms": 5000}
    members |= {"stream_arn": TABLE, "size_bytes": 3, "view": "KEYS_ONLY", "expired": False}
    body, attributes = write_letter(DynamoDbRecord(**members))
    item = read_letter(letter(body, attributes)).item
    assert item is not None
    assert (item.kind, item.mark, item.origin) == ("dynamodb", "77", TABLE)
    assert item.as_record()["dynamodb"]["Keys"] == {"id": {"S": "1"}}


def test_what_a_mapping_gave_up_points_into_its_stream() -> None:
    """Of a stream or a table, and as a pipe writes it."""
    place = {"shardId": "sh", "startSequenceNumber": "1", "endSequenceNumber": "9", "streamArn": STREAM}
    context = {"condition": "RecordAgeExceeded", "functionArn": FUNCTION}
    response = {"functionError": "Unhandled"}
    said = read_letter(
        letter(json.dumps({"requestContext": context, "responseContext": response, "KinesisBatchInfo": place}))
    )
    assert (said.reason, said.detail, said.origin) == ("RecordAgeExceeded", "Unhandled", STREAM)
    assert said.extent == Extent(STREAM, "sh", "1", "9")
    of_table = {"context": context, "DDBStreamBatchInfo": {**place, "streamArn": TABLE}}
    said = read_letter(letter(json.dumps(of_table)))
    assert (said.reason, said.extent) == ("RecordAgeExceeded", Extent(TABLE, "sh", "1", "9"))
    assert said.extent is not None
    assert said.extent.is_table


def test_what_lambda_gave_up_of_an_invocation_is_the_event() -> None:
    """In a destination's document, or as the letter itself."""
    document = {
        "requestContext": {"condition": "RetriesExhausted", "functionArn": FUNCTION},
        "requestPayload": {"a": 1},
        "responsePayload": {"errorMessage": "boom"},
    }
    said = read_letter(letter(json.dumps(document)))
    assert (said.reason, said.detail, said.origin) == ("RetriesExhausted", "boom", FUNCTION)
    assert said.item is not None
    assert (said.item.kind, said.item.content, said.item.origin) == ("event", b'{"a":1}', FUNCTION)
    own = {"RequestID": "r", "ErrorCode": "200", "ErrorMessage": "boom"}
    said = read_letter(letter('{"a": 1}', own))
    assert (said.reason, said.detail) == ("200", "boom")
    assert said.item is not None
    assert (said.item.kind, said.item.content) == ("event", b'{"a": 1}')


def test_what_a_rule_could_not_deliver_is_the_event() -> None:
    """Its function is the origin; other targets are nobody's to send to."""
    attributes = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "denied", "RULE_ARN": "r", "TARGET_ARN": FUNCTION}
    said = read_letter(letter('{"detail": {}}', attributes))
    assert (said.reason, said.detail, said.origin) == ("NO_PERMISSIONS", "denied", FUNCTION)
    said = read_letter(letter("{}", attributes | {"TARGET_ARN": WORK}))
    assert said.origin == ""


def test_a_message_keeps_its_attributes_but_for_the_reason_that_was_put_on_it() -> None:
    """One that a redrive policy moved has all of its own."""
    own = {"reason": "no-prompt", "detail": "d", "trace": "t"}
    said = read_letter(letter("x", own))
    assert said.item is not None
    assert (said.reason, said.item.origin, set(said.item.record["messageAttributes"])) == ("no-prompt", "", {"trace"})
    said = read_letter(letter("x", own, DeadLetterQueueSourceArn=WORK, SentTimestamp="5"))
    assert said.item is not None
    assert (said.origin, set(said.item.record["messageAttributes"])) == (WORK, set(own))
    assert said.item.arrived_ms == 5
    assert read_letter(letter("x", None, DeadLetterQueueSourceArn=WORK)).reason == "redrive-policy"


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "[" * 5000, '{"KinesisBatchInfo": 1}', '{"KinesisBatchInfo": {"shardId": "x"}}',
     '{"eventSource": "aws:kinesis"}', '{"eventSource": "aws:kinesis", "kinesis": {"data": "%"}}',
     '{"eventSource": "aws:sqs"}', '{"eventSource": "aws:dynamodb", "dynamodb": 1}', "\ud800"],
)  # fmt: skip
def test_any_other_body_is_a_message(body: str) -> None:
    """Whatever it looks like."""
    said = read_letter(letter(body))
    assert said.item is not None
    assert (said.item.kind, said.item.content) == ("sqs", body.encode("utf-8", "surrogatepass"))


# ---------------------------------------------------------------- a queue of them


class MemoryQueue:
    """A standard queue: what is received is hidden for a while, and then there again."""

    url = "http://sqs/letters"

    def __init__(self, letters: Sequence[Letter]) -> None:
        self.kept = {each.message_id: each for each in letters}
        self.shown_at: dict[str, float] = {each.message_id: 0.0 for each in letters}
        self.receipts = 0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def receive(self, *, wait_s: int, visibility_s: int) -> list[Letter]:
        await asyncio.sleep(0.01)
        stop_if_killed()
        shown = [name for name in self.kept if self.shown_at[name] <= self.now()][:10]
        if not shown:
            await asyncio.sleep(wait_s)
            stop_if_killed()
        got: list[Letter] = []
        for name in shown:
            self.receipts += 1
            self.shown_at[name] = self.now() + visibility_s
            got.append(self.kept[name]._replace(receipt=f"{name}#{self.receipts}"))
        return got

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        await asyncio.sleep(0.01)
        stop_if_killed()
        for receipt in receipts:
            self.kept.pop(receipt.partition("#")[0], None)
        return []

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        await asyncio.sleep(0)
        stop_if_killed()
        for receipt in receipts:
            self.shown_at[receipt.partition("#")[0]] = self.now() + seconds
        return []

    async def facts(self) -> Mapping[str, str]:
        return {"ApproximateNumberOfMessages": str(len(self.kept))}


def make_letters(count: int) -> list[Letter]:
    return [letter(f'{{"n": {n}}}', number=n, DeadLetterQueueSourceArn=WORK) for n in range(count)]


async def drive(queue: Any, target: Any, *, batch: int = 10, keeps: bool = False, caller: Any = None) -> Any:
    async with open_letters(caller, queue, chance=FixedChance(), keeps=keeps) as source:
        return await make_run(source, target, batch=batch).run()


def test_a_letter_goes_when_it_is_taken_and_stays_when_it_is_not() -> None:
    """What was refused is not tried again in the same run, and is there for others at once."""

    async def main() -> None:
        queue = MemoryQueue(make_letters(25))
        target = ListTarget(refuse=lambda item: "bad" if item.key in {"id-3", "id-20"} else "")
        report = await drive(queue, target, batch=7)
        assert (report.tally.taken, report.tally.refused) == (23, 2)
        assert set(queue.kept) == {"id-3", "id-20"}
        assert all(queue.shown_at[name] <= queue.now() for name in queue.kept)

    run_virtual(main)


def test_a_run_that_lasts_keeps_its_letters_hidden() -> None:
    """Far beyond their time: nobody else gets them, and none comes twice."""

    async def main() -> None:
        queue = MemoryQueue(make_letters(4))
        target = ListTarget(delay_s=4.5 * HIDDEN_S, refuse=lambda item: "bad" if item.key == "id-0" else "")

        async def look() -> list[Letter]:
            await asyncio.sleep(3 * HIDDEN_S)
            return [each for each in queue.kept.values() if queue.shown_at[each.message_id] <= queue.now()]

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            report = await drive(queue, target, batch=2)
        assert looking.result() == []
        assert (report.tally.taken, report.tally.refused) == (3, 1)
        assert sorted(target.taken) == ["id-1", "id-2", "id-3"]

    run_virtual(main)


def test_listing_and_a_dry_run_leave_every_letter_there() -> None:
    """Each is listed once, and all are shown to others afterwards."""

    async def main() -> None:
        queue = MemoryQueue(make_letters(23))
        async with open_letters(None, queue, chance=FixedChance(), keeps=True) as source:  # type: ignore[arg-type]
            listed = [each.message_id async for each, _ in list_letters(source)]
        assert sorted(listed) == sorted(queue.kept)
        report = await drive(queue, ListTarget(), keeps=True)
        assert report.tally.taken == len(queue.kept) == 23
        assert all(at <= queue.now() for at in queue.shown_at.values())

    run_virtual(main)


@given(
    count=st.integers(0, 30),
    batch=st.integers(1, 12),
    refused=st.sets(st.integers(0, 29), max_size=4),
    lives=st.lists(st.floats(0.02, 4.0), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_however_often_the_run_is_killed(
    count: int, batch: int, refused: set[int], lives: list[float]
) -> None:
    """A letter is in the queue until it was taken; a kill repeats a batch at most; what is refused is still there."""

    async def main() -> None:
        queue = MemoryQueue(make_letters(count))
        bad = {f"id-{n}" for n in refused if n < count}
        target = ListTarget(delay_s=0.3, refuse=lambda item: "bad" if item.key in bad else "")
        for limit_s in lives:
            with suppress(KilledError):
                await Life(limit_s).spend(drive(queue, target, batch=batch))
            assert set(queue.kept) | set(target.taken) == {f"id-{n}" for n in range(count)}
            await asyncio.sleep(HIDDEN_S + 1)
        await drive(queue, target, batch=batch)
        assert set(queue.kept) == bad
        assert set(target.taken) == {f"id-{n}" for n in range(count)} - bad
        assert len(target.taken) <= count + batch * len(lives)

    run_virtual(main)


# ---------------------------------------------------------------- letters that point into a stream


def point(arn: str, first: str, last: str, number: int = 0, shard: str = "") -> Letter:
    place = {"shardId": shard or shard_id(0), "startSequenceNumber": first, "endSequenceNumber": last, "streamArn": arn}
    return letter(json.dumps({"requestContext": {"condition": "c"}, "KinesisBatchInfo": place}), number=number)


def test_a_letter_goes_once_all_of_its_records_are_taken() -> None:
    """Over several batches; where one is refused it stays. Aggregates come as the function had them."""

    async def body(api: Api) -> None:
        arn = await api.make()
        packed = aggregate(("k", b"1"), ("k", b"2"))
        numbers = await put_all(api, *(("k", b"%d" % n) for n in range(10)), ("k", packed))
        await asyncio.sleep(1)
        queue = MemoryQueue([point(arn, numbers[2], numbers[8]), point(arn, numbers[9], numbers[10], 1)])
        target = ListTarget(refuse=lambda item: "bad" if item.content == b"9" else "")
        report = await drive(queue, target, batch=3, caller=KinesisCaller(api))
        assert target.contents == [b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", packed]
        assert (report.tally.taken, report.tally.refused) == (8, 1)
        assert set(queue.kept) == {"id-1"}

    with_api(body)


def test_a_letter_whose_records_are_gone_stays() -> None:
    """The shard, the record, or the end: what is no longer there is said, not passed over."""

    async def body(api: Api) -> None:
        arn = await api.make()
        numbers = await put_all(api, ("k", b"0"), ("k", b"1"))
        await asyncio.sleep(1)
        before = str(int(numbers[0]) - 1)
        beyond = str(int(numbers[1]) + 1)
        queue = MemoryQueue(
            [
                point(arn, numbers[0], numbers[0], 0, shard_id(7)),
                point(arn, before, numbers[1], 1),
                point(arn, numbers[1], beyond, 2),
                point(f"{arn}x", numbers[1], beyond, 3),
            ]
        )
        target = ListTarget()
        report = await drive(queue, target, caller=KinesisCaller(api))
        assert report.reasons == {extents.GONE: 4}
        assert target.contents == [b"1"]
        assert len(queue.kept) == 4

    with_api(body)


def test_a_record_of_an_aggregate_that_was_left_out_is_found_in_it() -> None:
    """By its place."""

    async def body(api: Api) -> None:
        arn = await api.make()
        (number,) = await put_all(api, ("k", aggregate(("a", b"1"), ("b", b"2"))))
        await asyncio.sleep(1)
        extent = Extent(arn, shard_id(0), number, number, 1)
        found = [item async for item in extents.follow(KinesisCaller(api), extent, "l", chance=FixedChance())]
        assert [(item.content, item.partition_key, item.letter) for item in found] == [(b"2", "b", "l")]

    with_api(body)


def test_changes_of_a_table_are_read_from_its_stream() -> None:
    """Over pages, up to the last one that the letter names; with the ARN that Lambda's event has."""
    change = {"eventSource": "aws:dynamodb", "eventName": "MODIFY"}
    records = [{**change, "eventID": f"e{n}", "dynamodb": {"SequenceNumber": str(n)}} for n in range(5, 10)]

    class Streams:
        asked: list[Any] = []  # noqa: RUF012 - of one test

        async def call(self, service: Any, operation: str, body: Any, **more: Any) -> Reply:
            self.asked.append((service.target_prefix, operation, body))
            if operation == "GetShardIterator":
                return Reply(200, {}, b'{"ShardIterator": "0"}')
            at = int(body["ShardIterator"])
            told = {"Records": records[at : at + 2], "NextShardIterator": str(at + 2)}
            return Reply(200, {}, json.dumps(told).encode())

    async def main() -> list[Any]:
        extent = Extent(TABLE, "sh", "5", "8")
        return [item async for item in extents.follow(Streams(), extent, "l", chance=FixedChance())]  # type: ignore[arg-type]

    items = run_virtual(main)
    assert [item.mark for item in items] == ["5", "6", "7", "8"]
    assert items[0].as_record() == {**records[0], "eventSourceARN": TABLE}
    assert Streams.asked[0] == (
        "DynamoDBStreams_20120810",
        "GetShardIterator",
        {"StreamArn": TABLE, "ShardId": "sh", "ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "5"},
    )


# ---------------------------------------------------------------- back to where they came from


class Services:
    """SQS, Kinesis and Lambda as far as a redrive calls them."""

    def __init__(self, *sources: str) -> None:
        self.sources = sources
        self.sent: list[tuple[str, Any]] = []

    async def call(self, service: Any, operation: str, body: Any = b"", **more: Any) -> Reply:
        answers: dict[str, Any] = {
            "ListDeadLetterSourceQueues": {"queueUrls": list(self.sources)},
            "GetQueueUrl": {"QueueUrl": "http://sqs/" + (body.get("QueueName", "") if isinstance(body, dict) else "")},
            "PutRecords": {"Records": [{"ShardId": "s", "SequenceNumber": "1"}] * 9},
        }
        if operation == "PutRecords":
            answers[operation]["Records"] = answers[operation]["Records"][: len(body["Records"])]
        if operation not in {"ListDeadLetterSourceQueues", "GetQueueUrl"}:
            self.sent.append((operation, body))
        return Reply(200, {}, json.dumps(answers.get(operation, {})).encode())


def back(services: Services, *letters: Letter) -> list[str]:
    items = [read_letter(each).item for each in letters]
    from localcloud.replay.queue_api import LetterQueue

    async def main() -> list[str]:
        queue = LetterQueue(services, "http://sqs/letters")  # type: ignore[arg-type]
        target = OriginTarget(services, letters=queue, chance=FixedChance())  # type: ignore[arg-type]
        return await target.send([item for item in items if item is not None])

    return run_virtual(main)


def test_each_letter_goes_back_to_its_own_source() -> None:
    """A message to its queue with its attributes, a record to its stream with its key, an event to its function."""
    record = KinesisRecord("12", "key", b"data", 1, "shard-1", STREAM)
    body, attributes = write_letter(record)
    event = {"requestContext": {"functionArn": FUNCTION, "condition": "c"}, "requestPayload": {"a": 1}}
    services = Services()
    reasons = back(
        services,
        letter("m", {"trace": "t"}, DeadLetterQueueSourceArn=WORK),
        letter(body, attributes, 1),
        letter(json.dumps(event), None, 2),
    )
    assert reasons == ["", "", ""]
    assert services.sent == [
        (
            "SendMessage",
            {
                "QueueUrl": "http://sqs/work",
                "MessageBody": "m",
                "MessageAttributes": {"trace": {"DataType": "String", "StringValue": "t"}},
            },
        ),
        (
            "PutRecords",
            {"StreamARN": STREAM, "Records": [{"Data": base64.b64encode(b"data").decode(), "PartitionKey": "key"}]},
        ),
        ("Invoke", b'{"a":1}'),
    ]


def test_a_letter_of_a_flow_goes_to_the_one_queue_whose_letters_these_are() -> None:
    """Where there are several, or none, or it is a table's, it is refused."""
    services = Services("http://sqs/only")
    assert back(services, letter("m", {"reason": "r"})) == [""]
    assert services.sent[0][1]["QueueUrl"] == "http://sqs/only"
    for sources in ((), ("http://sqs/a", "http://sqs/b")):
        services = Services(*sources)
        (reason,) = back(services, letter("m", {"reason": "r"}))
        assert reason.startswith("no-source: nobody knows")
        assert services.sent == []
    change = {"eventSource": "aws:dynamodb", "eventSourceARN": TABLE, "dynamodb": {"SequenceNumber": "1"}}
    (reason,) = back(Services(), letter(json.dumps(change)))
    assert reason.startswith("no-source: a table's stream")


def test_in_a_fifo_queue_a_letter_keeps_its_group_and_is_taken_once() -> None:
    """Its message id deduplicates: a run that was killed sends it again to no effect. What is no text is refused."""
    from localcloud.replay.queue_api import LetterQueue

    services = Services()
    item = read_letter(letter("m", None, 5, MessageGroupId="g")).item
    assert item is not None

    async def main() -> list[str]:
        target = QueueTarget(LetterQueue(services, "http://sqs/w.fifo"), chance=FixedChance())  # type: ignore[arg-type]
        broken = type(item)(kind="kinesis", key="k", content=b"\xff")
        return await target.send([item, broken])

    assert run_virtual(main) == ["", "not-text: a message of a queue is UTF-8 text"]
    (sent,) = services.sent
    assert (sent[1]["MessageGroupId"], sent[1]["MessageDeduplicationId"]) == ("g", "id-5")


def test_too_many_refused_letters_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are held are shown again."""
    monkeypatch.setattr("localcloud.replay.sources.queues.MAX_HELD", 15)

    async def main() -> None:
        queue = MemoryQueue(make_letters(40))
        with pytest.raises(Exception, match="letters are held"):
            await drive(queue, ListTarget(refuse=lambda _: "bad"), batch=5)
        assert len(queue.kept) == 40
        assert all(at <= queue.now() for at in queue.shown_at.values())

    run_virtual(main)


def test_a_letter_that_comes_back_too_early_is_not_sent_twice() -> None:
    """A standard queue may: one in hand is known, and one that was taken is deleted again."""

    class Eager(MemoryQueue):
        async def receive(self, *, wait_s: int, visibility_s: int) -> list[Letter]:
            return await super().receive(wait_s=wait_s, visibility_s=0 if self.receipts < 12 else visibility_s)

    async def main() -> None:
        queue, target = Eager(make_letters(6)), ListTarget()
        await drive(queue, target, batch=4)
        assert sorted(target.taken) == [f"id-{n}" for n in range(6)]
        assert queue.kept == {}

    run_virtual(main)


def test_a_letter_that_was_taken_and_comes_once_more_is_only_deleted() -> None:
    """A server of the queue that did not hear of the deletion shows it again."""

    class Deaf(MemoryQueue):
        async def delete(self, receipts: Sequence[str]) -> list[str]:
            heard = [receipt for receipt in receipts if receipt.partition("#")[0] not in deaf]
            for name in {receipt.partition("#")[0] for receipt in receipts} & deaf:
                self.shown_at[name] = 0.0
                deaf.remove(name)
            return await super().delete(heard)

    deaf = {"id-1", "id-12"}

    async def main() -> None:
        queue, target = Deaf(make_letters(20)), ListTarget()
        report = await drive(queue, target, batch=4)
        assert sorted(target.taken) == sorted(f"id-{n}" for n in range(20))
        assert (report.tally.taken, queue.kept, deaf) == (20, {}, set())

    run_virtual(main)


def test_a_letter_whose_first_record_has_expired_stays() -> None:
    """Kinesis gives what came later instead: that is not all that the letter stands for."""

    async def body(api: Api) -> None:
        arn = await api.make()
        (first,) = await put_all(api, ("k", b"expired"))
        await asyncio.sleep(23 * 3600)
        (last,) = await put_all(api, ("k", b"kept"))
        await asyncio.sleep(2 * 3600)
        queue, target = MemoryQueue([point(arn, first, last)]), ListTarget()
        report = await drive(queue, target, caller=KinesisCaller(api))
        assert (target.contents, report.reasons, len(queue.kept)) == ([], {extents.GONE: 1}, 1)

    with_api(body)
