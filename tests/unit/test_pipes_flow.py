"""What pipes do with records: filter, enrich, transform, hand over, and what becomes of what fails."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.compute.functions import InvokeResult
from localcloud.services.events.envelope import RefusedEntry
from localcloud.services.lambda_.errors import no_such_function, service_failed, throttled
from sluiceway.rules.patterns import compile as compile_pattern
from tests.unit.pipes_setup import (
    BUS,
    DEAD,
    ENRICHER,
    FUNCTION,
    OUT,
    PIPE,
    QUEUE,
    REGION,
    ROLE,
    STREAM,
    TOPIC,
    World,
    with_pipes,
)

BROKEN = InvokeResult(200, b'{"errorMessage":"no"}', "Unhandled")


class Busy(Exception):
    """An error of a service."""

    code = "ProvisionedThroughputExceededException"
    message = "too fast"
    status = 400


def stream_of(**more: Any) -> dict[str, Any]:
    return {"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON", **more}}


# ---------------------------------------------------------------------- sources


def test_a_message_goes_from_queue_to_queue_as_an_event() -> None:
    """The target's body is the record, as Lambda would have it; the message is gone from the source."""

    async def test(world: World) -> None:
        await world.make()
        await world.send({"n": 1})
        await asyncio.sleep(5)
        (body,) = await world.received()
        event = json.loads(body)
        assert (event["body"], event["eventSource"], event["eventSourceARN"]) == ('{"n": 1}', "aws:sqs", QUEUE)
        assert world.left() == 0

    with_pipes(test)


def test_a_kinesis_record_is_flat() -> None:
    """The members of `kinesis` lie beside the others, as pipes have them."""

    async def test(world: World) -> None:
        await world.make(Source=STREAM, SourceParameters=stream_of(), Target=FUNCTION)
        sequence = world.put(b"abc", "key")
        await asyncio.sleep(5)
        ((_, (event,), _),) = world.calls
        arrived = event.pop("approximateArrivalTimestamp")
        assert arrived > 1.7e9
        assert event == {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "key",
            "sequenceNumber": sequence,
            "data": base64.b64encode(b"abc").decode(),
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"shardId-000000000000:{sequence}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": ROLE,
            "awsRegion": REGION,
            "eventSourceARN": STREAM,
        }

    with_pipes(test)


def test_changes_of_a_table_come_in_order() -> None:
    """One event each, as its stream has them."""

    async def test(world: World) -> None:
        arn = await world.make_table()
        sources = {"DynamoDBStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": 2}}
        await world.make(Source=arn, SourceParameters=sources, Target=FUNCTION)
        for key in "ab":
            await world.table("PutItem", TableName="things", Item={"id": {"S": key}})
        await asyncio.sleep(5)
        found = [event["dynamodb"]["NewImage"]["id"]["S"] for _, batch, _ in world.calls for event in batch]
        assert found == ["a", "b"]
        assert world.calls[0][1][0]["eventName"] == "INSERT"

    with_pipes(test)


def test_what_no_filter_wants_is_dropped() -> None:
    """From a queue it is deleted, too."""

    async def test(world: World) -> None:
        filters = [{"Pattern": '{"body":{"n":[{"numeric":[">",1]}]}}'}, {"Pattern": '{"body":{"text":["x"]}}'}]
        await world.make(SourceParameters={"FilterCriteria": {"Filters": filters}})
        await world.send({"n": 1}, {"n": 2}, {"text": "x"}, "text")
        await asyncio.sleep(5)
        assert sorted(json.loads(body)["body"] for body in await world.received()) == ['{"n": 2}', '{"text": "x"}']
        assert world.left() == 0

    with_pipes(test)


def test_kinesis_is_filtered_by_its_data_and_its_members() -> None:
    """The data decoded, the members without `kinesis` before them."""

    async def test(world: World) -> None:
        filters = [{"Pattern": '{"partitionKey":["a"],"data":{"n":[1]}}'}]
        sources = {**stream_of(), "FilterCriteria": {"Filters": filters}}
        await world.make(Source=STREAM, SourceParameters=sources, Target=FUNCTION)
        for key, data in (("a", b'{"n":1}'), ("b", b'{"n":1}'), ("a", b'{"n":2}')):
            world.put(data, key)
        await asyncio.sleep(5)
        assert [(event["partitionKey"], event["data"]) for _, batch, _ in world.calls for event in batch] == [
            ("a", base64.b64encode(b'{"n":1}').decode())
        ]

    with_pipes(test)


_PATTERNS = st.sampled_from(
    [
        '{"body":{"n":[1,2]}}',
        '{"body":{"n":[{"numeric":[">",1]}]}}',
        '{"body":{"t":[{"prefix":"a"}]}}',
        '{"body":{"t":[{"exists":false}]}}',
        '{"body":{"t":[{"anything-but":["ab"]}]}}',
        '{"$or":[{"body":{"n":[3]}},{"body":{"t":["b"]}}]}',
    ]
)
_BODIES = st.fixed_dictionaries({}, optional={"n": st.integers(0, 4), "t": st.sampled_from(["a", "ab", "b"])})


@settings(max_examples=40, deadline=None)
@given(patterns=st.lists(_PATTERNS, max_size=5), bodies=st.lists(_BODIES, max_size=15))
def test_what_goes_through_is_what_the_patterns_say(patterns: list[str], bodies: list[dict[str, Any]]) -> None:
    """One filter is enough, none lets all through; each once, and nothing is left."""
    compiled = [compile_pattern(pattern) for pattern in patterns]
    expected = [body for body in bodies if not patterns or any(each.matches({"body": body}) for each in compiled)]

    async def test(world: World) -> None:
        filters = {"FilterCriteria": {"Filters": [{"Pattern": pattern} for pattern in patterns]}}
        await world.make(SourceParameters=filters, TargetParameters={"InputTemplate": "<$.body>"})
        await world.send(*bodies)
        await asyncio.sleep(20)
        found = [json.loads(text) for text in await world.received()]
        assert sorted(found, key=json.dumps) == sorted(expected, key=json.dumps)
        assert world.left() == 0

    with_pipes(test)


# ---------------------------------------------------------------------- targets


def test_a_function_gets_a_list_and_a_queue_each_event() -> None:
    """The list also for one event; synchronously, unless the pipe says otherwise."""

    async def test(world: World) -> None:
        parameters = {"InputTemplate": "<$.body.n>"}
        await world.make(Target=FUNCTION, TargetParameters=parameters)
        await world.send({"n": 1})
        await asyncio.sleep(5)
        assert world.calls == [(FUNCTION, [1], True)]

    with_pipes(test)


def test_a_function_may_be_left_to_itself() -> None:
    """FIRE_AND_FORGET hands the batch over; what the answer says does not matter."""

    async def test(world: World) -> None:
        parameters = {"LambdaFunctionParameters": {"InvocationType": "FIRE_AND_FORGET"}, "InputTemplate": "x"}
        await world.make(Target=FUNCTION, TargetParameters=parameters)
        world.functions[FUNCTION] = lambda _: {"batchItemFailures": [{"itemIdentifier": "nobody"}]}
        await world.send("m")
        await asyncio.sleep(60)
        assert world.calls == [(FUNCTION, ["x"], False)]

    with_pipes(test)


@pytest.mark.parametrize(
    ("invocation", "waits"), [(None, True), ("REQUEST_RESPONSE", True), ("FIRE_AND_FORGET", False)]
)
def test_a_state_machine_gets_a_list_and_is_waited_for_unless_told_not_to(invocation: str | None, waits: bool) -> None:
    """Synchronously, which is for Express ones, by default."""

    async def test(world: World) -> None:
        asks = {"StepFunctionStateMachineParameters": {"InvocationType": invocation}} if invocation else {}
        machine = f"arn:aws:states:{REGION}:123456789012:stateMachine:m"
        await world.make(Target=machine, TargetParameters={**asks, "InputTemplate": '{"n": <$.body.n>}'})
        await world.send({"n": 1})
        await asyncio.sleep(5)
        assert world.calls == [(machine, [{"n": 1}], waits)]

    with_pipes(test)


def test_a_topic_gets_the_event_as_its_message() -> None:
    """One publication each."""

    async def test(world: World) -> None:
        await world.make(Target=TOPIC, TargetParameters={"InputTemplate": "Hello, <$.body.name>"})
        await world.send({"name": "x"})
        await asyncio.sleep(5)
        assert world.published == [(TOPIC, 'Hello, "x"')]

    with_pipes(test)


@pytest.mark.parametrize(("given", "key"), [("$.body.customer", "7"), ("fixed", "fixed")])
def test_a_record_gets_the_key_that_the_pipe_says(given: str, key: str) -> None:
    """A path into the event, or the text itself."""

    async def test(world: World) -> None:
        parameters = {"KinesisStreamParameters": {"PartitionKey": given}, "InputTemplate": '{"n": <$.body.customer>}'}
        await world.make(Target=STREAM, TargetParameters=parameters)
        await world.send({"customer": 7})
        await asyncio.sleep(5)
        assert world.records == [(STREAM, '{"n":7}', key)]

    with_pipes(test)


def test_a_fifo_queue_gets_group_and_deduplication_id() -> None:
    """By paths, too."""

    async def test(world: World) -> None:
        attributes = {"FifoQueue": "true"}
        queue = world.queues.create("o.fifo", REGION, attributes=attributes, tags={})
        parameters = {"MessageGroupId": "$.body.group", "MessageDeduplicationId": "$.messageId"}
        await world.make(Target=queue.arn, TargetParameters={"SqsQueueParameters": parameters})
        await world.send({"group": "g"})
        await asyncio.sleep(5)
        (message,) = await queue.receive(10, wait_s=0)
        source = json.loads(message.body)
        assert (message.content.group_id, message.content.deduplication_id) == ("g", source["messageId"])

    with_pipes(test)


def test_an_event_on_a_bus_says_which_pipe_it_comes_from() -> None:
    """Unless the pipe names source and type itself."""

    async def test(world: World) -> None:
        await world.make(Target=BUS, TargetParameters={"InputTemplate": '{"n": <$.body.n>}'})
        await world.send({"n": 1})
        await asyncio.sleep(5)
        ((arn, entry),) = world.entries
        assert (arn, entry.source, entry.detail_type) == (BUS, "Pipe p", "Event from aws:sqs")
        assert (entry.detail, entry.resources, entry.time_s) == ('{"n":1}', (), None)

    with_pipes(test)


@pytest.mark.parametrize(
    ("given", "time_s"), [("2027-01-15T08:00:00Z", 1_800_000_000.0), (1_800_000_000_500, 1_800_000_000.5), (12, 12.0)]
)
def test_an_event_on_a_bus_has_the_envelope_that_the_pipe_says(given: object, time_s: float) -> None:
    """Texts or paths; the time as a date, in seconds or in milliseconds."""

    async def test(world: World) -> None:
        parameters = {
            "Source": "$.body.from",
            "DetailType": "order",
            "Resources": ["arn:aws:s3:::b", "$.body.arn"],
            "Time": "$.body.at",
        }
        await world.make(Target=BUS, TargetParameters={"EventBridgeEventBusParameters": parameters})
        await world.send({"from": "shop", "arn": "arn:aws:s3:::c", "at": given})
        await asyncio.sleep(5)
        ((_, entry),) = world.entries
        assert (entry.source, entry.detail_type) == ("shop", "order")
        assert (entry.resources, entry.time_s) == (("arn:aws:s3:::b", "arn:aws:s3:::c"), time_s)

    with_pipes(test)


# ---------------------------------------------------------------------- templates


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ('{"id": <$.messageId>, "n": <$.body.n>, "t": "<$.body.t>"}', '{"id":"ID","n":1.50,"t":"x"}'),
        ('{"all": <$.body>}', '{"all":{"n":1.50,"t":"x","list":[{"a":1},{"a":2}]}}'),
        ("<$.body.list[1].a>", "2"),
        ("<$.body.list[*].a>", "[1,2]"),
        ('{"none": <$.nothing>, "q": "<$.nothing>"}', '{"none":"","q":""}'),
        ('{"p": "<aws.pipes.pipe-name>", "a": <aws.pipes.pipe-arn>}', f'{{"p":"p","a":"{PIPE}"}}'),
        ('{"s": <aws.pipes.source-arn>, "t": <aws.pipes.target-arn>}', f'{{"s":"{QUEUE}","t":"{OUT}"}}'),
        ('{"e": "<aws.pipes.enrichment-arn>"}', '{"e":""}'),
        ("plain", "plain"),
    ],
)
def test_a_template_looks_into_the_body(template: str, body: str) -> None:
    """Of an SQS message as if it were decoded; numbers stay as they are written."""

    async def test(world: World) -> None:
        await world.make(TargetParameters={"InputTemplate": template})
        await world.send('{"n":1.50,"t":"x","list":[{"a":1},{"a":2}]}')
        await asyncio.sleep(5)
        (found,) = await world.received()
        if "ID" in body:
            body_id = json.loads(found)["id"]
            assert len(body_id) == 36
            assert found == body.replace("ID", body_id)
        else:
            assert found == body

    with_pipes(test)


def test_the_whole_event_as_it_came_and_decoded() -> None:
    """`aws.pipes.event` has the body as text, `aws.pipes.event.json` what it says; the time is when it was filled."""

    async def test(world: World) -> None:
        template = '{"e": <aws.pipes.event>, "j": <aws.pipes.event.json>, "at": <aws.pipes.event.ingestion-time>}'
        await world.make(TargetParameters={"InputTemplate": template})
        await world.send('{"n":1}')
        await asyncio.sleep(5)
        (text,) = await world.received()
        found = json.loads(text)
        assert (found["e"]["body"], found["j"]["body"]) == ('{"n":1}', {"n": 1})
        assert found["at"].startswith("2027-01-15T08:00:0")

    with_pipes(test)


@pytest.mark.parametrize(("data", "found"), [(b'{"n":1}', '{"n":1}'), (b"text", '"text"'), (b"\xff", '"/w=="')])
def test_a_template_looks_into_the_data(data: bytes, found: str) -> None:
    """Of a Kinesis record: JSON, else text, else what it was."""

    async def test(world: World) -> None:
        parameters = {"InputTemplate": '{"d": <$.data>}'}
        await world.make(Source=STREAM, SourceParameters=stream_of(), TargetParameters=parameters)
        world.put(data)
        await asyncio.sleep(5)
        assert await world.received() == [f'{{"d":{found}}}']

    with_pipes(test)


# ---------------------------------------------------------------------- enrichment


def test_an_enrichment_stands_between_source_and_target() -> None:
    """It gets the list that its template makes, synchronously; the target's template sees what it answers."""

    async def test(world: World) -> None:
        world.functions[ENRICHER] = lambda events: [{"double": event["n"] * 2} for event in events]
        await world.make(
            Enrichment=ENRICHER,
            EnrichmentParameters={"InputTemplate": '{"n": <$.body.n>}'},
            TargetParameters={"InputTemplate": "<$.double>"},
        )
        await world.send({"n": 4})
        await asyncio.sleep(5)
        assert world.calls == [(ENRICHER, [{"n": 4}], True)]
        assert await world.received() == ["8"]

    with_pipes(test)


@pytest.mark.parametrize(
    ("answer", "bodies"),
    [
        ("", []),
        ({}, []),
        ([], []),
        (b"", []),
        (None, []),
        ([{}], ["{}"]),
        ({"a": 1}, ['{"a":1}']),
        ([1, 2, 3], ["1", "2", "3"]),
        ("text", ['"text"']),
        (False, ["false"]),
    ],
)
def test_what_an_enrichment_answers_is_what_the_target_gets(answer: object, bodies: list[str]) -> None:
    """Nothing for an empty answer; as many events as it answers with."""

    async def test(world: World) -> None:
        world.functions[ENRICHER] = lambda _: answer
        await world.make(Enrichment=ENRICHER)
        await world.send("m")
        await asyncio.sleep(5)
        assert sorted(await world.received()) == bodies
        assert world.left() == 0

    with_pipes(test)


def test_an_enrichment_that_fails_is_tried_again() -> None:
    """After the queue's visibility timeout; the target sees nothing before."""

    async def test(world: World) -> None:
        answers = [BROKEN, [{"n": 1}]]
        world.functions[ENRICHER] = lambda _: answers.pop(0)
        await world.make(Enrichment=ENRICHER)
        await world.send("m")
        await asyncio.sleep(25)
        assert (await world.received(), world.left()) == ([], 1)
        await asyncio.sleep(10)
        assert (await world.received(), world.left()) == (['{"n":1}'], 0)

    with_pipes(test)


# ---------------------------------------------------------------------- failures


def test_messages_that_a_function_names_come_again() -> None:
    """By their message id; the others are deleted."""

    async def test(world: World) -> None:
        def target(events: list[Any]) -> Any:
            named = [event["messageId"] for event in events if event["body"] == "bad"]
            return {"batchItemFailures": [{"itemIdentifier": name} for name in named]}

        world.functions[FUNCTION] = target
        await world.send("good", "bad")
        await world.make(Target=FUNCTION)
        await asyncio.sleep(33)
        bodies = [[event["body"] for event in batch] for _, batch, _ in world.calls]
        assert (sorted(bodies[0]), bodies[1]) == (["bad", "good"], ["bad"])

    with_pipes(test)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ({"batchItemFailures": [{"itemIdentifier": "nobody"}]}, 2),
        ({"batchItemFailures": [{}]}, 2),
        ({"batchItemFailures": ["x"]}, 2),
        ({"batchItemFailures": []}, 0),
        ({"batchItemFailures": None}, 0),
        ("all is well", 0),
        (7, 0),
        (b"no JSON", 0),
        (BROKEN, 2),
    ],
)
def test_what_the_answer_of_a_function_means(answer: object, left: int) -> None:
    """An unknown name fails the batch; what names no failure is success."""

    async def test(world: World) -> None:
        world.functions[FUNCTION] = lambda _: answer
        await world.send("a", "b")
        await world.make(Target=FUNCTION)
        await asyncio.sleep(5)
        assert (len(world.calls), world.left()) == (1, left)

    with_pipes(test)


def test_what_a_target_does_not_take_comes_again() -> None:
    """One event of a batch by itself."""

    async def test(world: World) -> None:
        await world.send("a", "b", "c")
        world.failures = [Busy()]
        await world.make(Target=TOPIC, TargetParameters={"InputTemplate": "<$.body>"})
        await asyncio.sleep(5)
        assert (len(world.published), world.left()) == (2, 1)
        await asyncio.sleep(30)
        assert (sorted(message for _, message in world.published), world.left()) == (['"a"', '"b"', '"c"'], 0)

    with_pipes(test)


@pytest.mark.parametrize(("answer", "left"), [([1, 2, 3], 2), ([1, 2], 1)])
def test_a_failure_after_an_enrichment(answer: list[int], left: int) -> None:
    """Each event stands for its own where there are as many as before; else the whole batch has failed."""

    async def test(world: World) -> None:
        def enrich(_: object) -> list[int]:
            world.failures = [Busy()]
            return answer

        world.functions[ENRICHER] = enrich
        await world.send("a", "b")
        await world.make(Enrichment=ENRICHER, Target=TOPIC)
        await asyncio.sleep(5)
        assert world.left() == left

    with_pipes(test)


def test_a_throttled_function_is_tried_again_soon() -> None:
    """That is no failure of the message: it stays in hand."""

    async def test(world: World) -> None:
        world.failures = [throttled("ConcurrentInvocationLimitExceeded")]
        await world.make(Target=FUNCTION)
        await world.send("m")
        await asyncio.sleep(5)
        assert (len(world.calls), world.left()) == (1, 0)

    with_pipes(test)


def test_a_function_that_is_gone_is_a_failure() -> None:
    """The message comes again after its visibility timeout."""

    async def test(world: World) -> None:
        world.failures = [no_such_function(FUNCTION)]
        await world.make(Target=FUNCTION)
        await world.send("m")
        await asyncio.sleep(20)
        assert (len(world.calls), world.left()) == (0, 1)
        await asyncio.sleep(20)
        assert (len(world.calls), world.left()) == (1, 0)

    with_pipes(test)


@pytest.mark.parametrize(
    ("action", "target", "parameters"),
    [
        ("sqs:SendMessage", OUT, {}),
        ("sns:Publish", TOPIC, {}),
        ("lambda:InvokeFunction", FUNCTION, {}),
        ("events:PutEvents", BUS, {}),
        ("kinesis:PutRecords", STREAM, {"KinesisStreamParameters": {"PartitionKey": "k"}}),
    ],
)
def test_the_role_must_be_allowed_to_reach_the_target(action: str, target: str, parameters: dict[str, Any]) -> None:
    """Else nothing is delivered, and the message stays."""

    async def test(world: World) -> None:
        world.denied.add((action, target))
        await world.make(Target=target, TargetParameters=parameters)
        await world.send("{}")
        await asyncio.sleep(5)
        sent = (world.calls, world.published, world.records, world.entries, await world.received())
        assert (sent, world.left()) == (([], [], [], [], []), 1)

    with_pipes(test)


@pytest.mark.parametrize(
    ("failure", "parameters"),
    [
        (RefusedEntry("MalformedDetail", "Detail is malformed."), {}),
        (None, {"Time": "$.body.at"}),
        (None, {"Time": "$.body.nan"}),
        (None, {"DetailType": "$.body.type"}),
    ],
)
def test_an_event_that_makes_none_on_the_bus_fails_alone(failure: Exception | None, parameters: dict[str, Any]) -> None:
    """A detail that the bus refuses, a time that is none, a path that leads nowhere."""

    async def test(world: World) -> None:
        if failure is not None:
            world.failures = [failure]
        await world.send({"at": "soon", "nan": "nan"}, {"at": 1, "nan": 1, "type": "t"})
        await world.make(Target=BUS, TargetParameters={"EventBridgeEventBusParameters": parameters})
        await asyncio.sleep(5)
        assert (len(world.entries), world.left()) == (1, 1)

    with_pipes(test)


def test_an_event_that_fills_too_large_a_template_fails_alone() -> None:
    """Larger than any target takes."""

    async def test(world: World) -> None:
        await world.send("x" * 1_000_000, "y")
        await world.make(Target=TOPIC, TargetParameters={"InputTemplate": "<$.body>" * 20})
        await asyncio.sleep(5)
        assert (world.published, world.left()) == ([(TOPIC, '"y"' * 20)], 1)

    with_pipes(test)


def test_a_target_queue_that_is_gone_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Of the event, not of the pipe: nothing breaks."""

    async def test(world: World) -> None:
        await world.make()
        world.queues.delete(world.queues.get("out", REGION))
        await world.send("m")
        await asyncio.sleep(5)
        assert world.left() == 1
        assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []

    with_pipes(test)


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        (BUS, {"EventBridgeEventBusParameters": {"Time": "$.body.name"}}),
        (OUT, {"SqsQueueParameters": {"MessageGroupId": "$.body.name"}}),
    ],
)
def test_what_an_event_holds_is_not_logged(
    caplog: pytest.LogCaptureFixture, target: str, parameters: dict[str, Any]
) -> None:
    """Not where a parameter's value is refused, by us or by the target's service, either."""

    async def test(world: World) -> None:
        await world.send({"name": "Jane Doe"})
        await world.make(Target=target, TargetParameters=parameters)
        await asyncio.sleep(5)
        assert world.left() == 1
        (line,) = [record for record in caplog.records if record.message == "pipe.event_failed"]
        assert "Jane" not in str(vars(line))

    with caplog.at_level(logging.INFO):
        with_pipes(test)


def test_a_stream_goes_on_from_the_first_record_that_failed() -> None:
    """Named by its event id; what comes after it is delivered again, in order."""

    async def test(world: World) -> None:
        tries: list[list[str]] = []

        def target(events: list[Any]) -> Any:
            tries.append([base64.b64decode(event["data"]).decode() for event in events])
            named = [events[1]["eventID"]] if len(tries) == 1 else []
            return {"batchItemFailures": [{"itemIdentifier": name} for name in named]}

        world.functions[FUNCTION] = target
        for data in (b"a", b"b", b"c"):
            world.put(data)
        await world.make(Source=STREAM, SourceParameters=stream_of(BatchSize=10), Target=FUNCTION)
        await asyncio.sleep(20)
        assert tries == [["a", "b", "c"], ["b", "c"]]

    with_pipes(test)


def test_changes_of_a_table_go_on_from_the_first_that_failed() -> None:
    """Named by its event id, which is not its sequence number."""

    async def test(world: World) -> None:
        tries: list[list[str]] = []

        def target(events: list[Any]) -> Any:
            tries.append([event["dynamodb"]["Keys"]["id"]["S"] for event in events])
            named = [events[1]["eventID"]] if len(tries) == 1 else []
            return {"batchItemFailures": [{"itemIdentifier": name} for name in named]}

        world.functions[FUNCTION] = target
        arn = await world.make_table()
        for key in "abc":
            await world.table("PutItem", TableName="things", Item={"id": {"S": key}})
        sources = {"DynamoDBStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": 10}}
        await world.make(Source=arn, SourceParameters=sources, Target=FUNCTION)
        await asyncio.sleep(20)
        assert tries == [["a", "b", "c"], ["b", "c"]]

    with_pipes(test)


def test_an_event_without_what_a_path_names_fails_alone() -> None:
    """The others of its batch are delivered."""

    async def test(world: World) -> None:
        await world.send({}, {"key": None}, {"key": "k"})
        parameters = {"KinesisStreamParameters": {"PartitionKey": "$.body.key"}, "InputTemplate": "x"}
        await world.make(Target=STREAM, TargetParameters=parameters)
        await asyncio.sleep(5)
        assert (world.records, world.left()) == ([(STREAM, "x", "k")], 2)

    with_pipes(test)


def test_a_batch_of_a_stream_is_halved_where_the_pipe_says_so() -> None:
    """AUTOMATIC_BISECT: until the bad record stands alone."""

    async def test(world: World) -> None:
        tries: list[str] = []

        def target(events: list[Any]) -> Any:
            tries.append("".join(base64.b64decode(event["data"]).decode() for event in events))
            return BROKEN if "c" in tries[-1] and len(tries) < 9 else None

        world.functions[FUNCTION] = target
        for data in (b"a", b"b", b"c", b"d"):
            world.put(data)
        parameters = stream_of(BatchSize=4, OnPartialBatchItemFailure="AUTOMATIC_BISECT", MaximumRetryAttempts=0)
        await world.make(Source=STREAM, SourceParameters=parameters, Target=FUNCTION)
        await asyncio.sleep(60)
        assert tries == ["abcd", "ab", "cd", "c", "d"]

    with_pipes(test)


def test_an_error_of_lambdas_own_costs_a_stream_no_retry() -> None:
    """The batch is tried again, though it may be tried once only."""

    async def test(world: World) -> None:
        world.failures = [service_failed("oh"), throttled("ConcurrentInvocationLimitExceeded")]
        world.put(b"a")
        parameters = stream_of(MaximumRetryAttempts=0, DeadLetterConfig={"Arn": DEAD})
        await world.make(Source=STREAM, SourceParameters=parameters, Target=FUNCTION)
        await asyncio.sleep(60)
        assert (len(world.calls), await world.received("dead")) == (1, [])

    with_pipes(test)


def test_dead_letters_need_the_role_too() -> None:
    """Without it they are lost, and the pipe goes on."""

    async def test(world: World) -> None:
        world.denied.add(("sqs:SendMessage", DEAD))
        world.functions[FUNCTION] = lambda events: BROKEN if events[0]["partitionKey"] == "bad" else None
        world.put(b"a", "bad")
        world.put(b"b", "good")
        parameters = stream_of(MaximumRetryAttempts=0, DeadLetterConfig={"Arn": DEAD})
        await world.make(Source=STREAM, SourceParameters=parameters, Target=FUNCTION)
        await asyncio.sleep(600)
        assert [events[0]["partitionKey"] for _, events, _ in world.calls] == ["bad", "good"]
        assert await world.received("dead") == []

    with_pipes(test)


@pytest.mark.parametrize("dead", [DEAD, TOPIC])
def test_a_batch_of_a_stream_that_is_given_up_is_a_dead_letter(dead: str) -> None:
    """It says which pipe gave it up, why, and where its records are."""

    async def test(world: World) -> None:
        world.functions[FUNCTION] = lambda _: BROKEN
        sequence = world.put(b"a")
        parameters = stream_of(MaximumRetryAttempts=1, DeadLetterConfig={"Arn": dead})
        await world.make(Source=STREAM, SourceParameters=parameters, Target=FUNCTION)
        await asyncio.sleep(60)
        texts = await world.received("dead") if dead == DEAD else [text for _, text in world.published]
        (letter,) = [json.loads(text) for text in texts]
        assert list(letter) == ["context", "version", "timestamp", "KinesisBatchInfo"]
        assert letter["context"] == {"partnerResourceArn": PIPE, "condition": "RetryAttemptsExhausted"}
        info = letter["KinesisBatchInfo"]
        assert (info["startSequenceNumber"], info["batchSize"], info["streamArn"]) == (sequence, 1, STREAM)
        assert len(world.calls) == 2

    with_pipes(test)
