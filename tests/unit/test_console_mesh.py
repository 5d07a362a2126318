"""What the console says of the mesh: shards, records, readers, rules, subscribers, rollups, letters; and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.compute.function import FunctionSpec
from localcloud.console.mesh.demo import DemoOrder, draw_records, read_demo
from localcloud.console.mesh.letters import describe_letter
from localcloud.console.mesh.places import Rollup, find_places
from localcloud.console.mesh.rates import Rate, Rates
from localcloud.console.mesh.readers import Age, Batches, describe_reader, name_stream
from localcloud.console.mesh.records import MAX_PATTERN_CHARS, MAX_SHOWN_BYTES, describe_record, is_wanted, read_pattern
from localcloud.console.mesh.replays import Wanted, read_route, read_wanted
from localcloud.console.mesh.rules import FilterTally
from localcloud.console.mesh.streams import describe_shards
from localcloud.console.mesh.tables import describe_rule, group_subscribers, sum_minutes
from localcloud.console.refusals import ApiError
from localcloud.services.logs.model import LogEvent
from localcloud.state import RunningState
from localcloud.traces.recorder import Span
from sluiceway.aws.attributes import Value
from sluiceway.errors import Rejected
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.rules.filtering import parse_rule

NOW_MS = 1_800_000_000_000
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
STATE = RunningState(
    pid=1,
    template="t",
    region="us-east-1",
    audience="",
    endpoints={},
    outputs={},
    functions={"Filter": "app-Filter"},
    logs={},
)


class FixedClock:
    def time(self) -> float:
        return NOW_MS / 1000


def shard(number: int, first: int, last: int, *parents: int, closed: bool = False) -> dict[str, Any]:
    """A shard as ListShards tells it; `first` and `last` are eighths of the hash keys."""
    eighth = (1 << 128) // 8
    names = dict(zip(("ParentShardId", "AdjacentParentShardId"), map(shard_id, parents), strict=False))
    numbers = {"StartingSequenceNumber": "1"} | ({"EndingSequenceNumber": "9"} if closed else {})
    span = {"StartingHashKey": str(first * eighth), "EndingHashKey": str(last * eighth - 1)}
    return {"ShardId": shard_id(number), "HashKeyRange": span, "SequenceNumberRange": numbers, **names}


def shard_id(number: int) -> str:
    return f"shardId-{number:012}"


def record(data: bytes, **more: Any) -> KinesisRecord:
    return KinesisRecord("49", "ann", data, NOW_MS, shard_id(0), STREAM)._replace(**more)


def spec(name: str, **environment: str) -> FunctionSpec:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="h", code_dir=Path(), environment=environment)


# ---------------------------------------------------------------- shards and rates


def test_shards_have_their_share_of_the_hash_keys_and_their_parents() -> None:
    """A split and a merge: what is closed, who came from whom, which part of the keys each has."""
    found = describe_shards(
        [shard(0, 0, 8, closed=True), shard(1, 0, 4, 0), shard(2, 4, 8, 0), shard(3, 0, 8, 1, 2)], None
    )
    told = [(each["from"], each["to"], each["open"], each["parents"]) for each in found]
    assert told == [
        (0.0, 1.0, False, []),
        (0.0, 0.5, True, [shard_id(0)]),
        (0.5, 1.0, True, [shard_id(0)]),
        (0.0, 1.0, True, [shard_id(1), shard_id(2)]),
    ]
    assert {(each["records_s"], each["load"], each["hot"]) for each in found} == {(None, None, False)}


@pytest.mark.parametrize(
    ("loads", "hot"),
    [
        ((100, 100, 100, 100), None),
        ((500, 20, 20, 20), 0),
        ((10, 10, 10, 61), 3),
        ((10, 10, 10, 30), None),
        ((900, 850, 870, 860), 0),
        ((0, 0, 0, 0), None),
        ((300,), None),
        ((800,), 0),
    ],
)
def test_a_shard_is_hot_that_takes_twice_its_share_or_nearly_all_it_can(
    loads: tuple[int, ...], hot: int | None
) -> None:
    """One of several above twice the mean, or any at 80 % of 1,000 records a second."""
    shards = [shard(at, at, at + 1) for at in range(len(loads))]
    rates = {shard_id(at): Rate(float(load)) for at, load in enumerate(loads)}
    assert [at for at, each in enumerate(describe_shards(shards, rates)) if each["hot"]] == (
        [] if hot is None else [hot]
    )


def test_a_closed_shard_is_never_hot() -> None:
    """Its last records may be of the last ten seconds; it takes no more."""
    rates = {shard_id(0): Rate(900.0), shard_id(1): Rate(1.0), shard_id(2): Rate(1.0)}
    found = describe_shards([shard(0, 0, 8, closed=True), shard(1, 0, 4, 0), shard(2, 4, 8, 0)], rates)
    assert [each["hot"] for each in found] == [False, False, False]


def test_a_load_is_of_records_or_of_bytes_whichever_is_more() -> None:
    """500 records a second are half of a shard, and so is half a megabyte."""
    assert [Rate(500.0, 0.0).load, Rate(1.0, 524_288.0).load] == [0.5, 0.5]


def test_a_rate_is_of_the_last_ten_whole_seconds() -> None:
    """What arrived before, and in the second that is not over, does not count."""
    rates = Rates()
    for ago_s in (12, 10, 5, 1, 0):
        rates.note("a", 100, NOW_MS - ago_s * 1000)
    assert rates.read(NOW_MS + 500) == {"a": Rate(0.3, 30.0)}
    assert rates.read(NOW_MS + 60_000) == {"a": Rate(0.0, 0.0)}


# ---------------------------------------------------------------- records and patterns


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a":1}', {"data": {"a": 1}, "text": None, "base64": None, "cut": False}),
        (b"[1]", {"data": [1], "text": None, "base64": None, "cut": False}),
        (b"5", {"data": None, "text": "5", "base64": None, "cut": False}),
        (b"{", {"data": None, "text": "{", "base64": None, "cut": False}),
        ("grüße".encode(), {"data": None, "text": "grüße", "base64": None, "cut": False}),
        (b"\xff\x00", {"data": None, "text": None, "base64": "/wA=", "cut": False}),
        (
            b"{}" + b" " * MAX_SHOWN_BYTES,
            {"data": None, "text": "{}" + " " * (MAX_SHOWN_BYTES - 2), "base64": None, "cut": True},
        ),
        (b"x" * (MAX_SHOWN_BYTES + 1), {"data": None, "text": "x" * MAX_SHOWN_BYTES, "base64": None, "cut": True}),
        (
            b"x" * (MAX_SHOWN_BYTES - 1) + "ü".encode(),
            {"data": None, "text": "x" * (MAX_SHOWN_BYTES - 1), "base64": None, "cut": True},
        ),
    ],
)
def test_data_are_shown_as_what_they_are_and_no_more_than_16_kb(data: bytes, shown: Mapping[str, Any]) -> None:
    """JSON, text, bytes; a character that the cut goes through is left out."""
    found = describe_record(record(data))
    assert {name: found[name] for name in shown} == shown
    assert (found["key"], found["size_bytes"], found["arrived_ms"]) == ("ann", len(data), NOW_MS)


def test_a_record_that_cannot_be_opened_says_why() -> None:
    """The fault's reason, for the page to show."""
    assert (
        describe_record(record(b"x", fault=Rejected("x", reason="corrupt-aggregate")))["fault"] == "corrupt-aggregate"
    )


@given(st.binary(max_size=300))
def test_whatever_the_data_are_they_can_be_shown(data: bytes) -> None:
    """The answer is JSON, and has the data in one of three forms."""
    found = describe_record(record(data))
    assert json.loads(json.dumps(found)) == found
    assert sum(found[name] is not None for name in ("data", "text", "base64")) == 1


@given(st.binary(max_size=100))
def test_a_pattern_takes_whatever_comes(data: bytes) -> None:
    """What is no JSON object does not match, and breaks nothing."""
    assert is_wanted(read_pattern('{"never":["there"]}'), record(data)) is False


def test_a_pattern_lets_through_what_matches() -> None:
    """By the data of a record; without one, everything."""
    pattern = read_pattern('{"total":[{"numeric":[">=",100]}]}')
    found = [is_wanted(pattern, record(data)) for data in (b'{"total":120}', b'{"total":20}', b"[1]", b"{", b"text")]
    assert found == [True, False, False, False, False]
    assert is_wanted(read_pattern(" "), record(b"text"))


@pytest.mark.parametrize(
    "text", ["{", "[]", "5", '{"a":1}', '{"a":[{"nothing":[1]}]}', "[" * 4_000, " " + "x" * MAX_PATTERN_CHARS]
)
def test_a_bad_pattern_is_a_400_with_a_sentence(text: str) -> None:
    """Whatever is typed."""
    with pytest.raises(ApiError) as caught:
        read_pattern(text)
    assert (caught.value.status, str(caught.value)[-1]) == (400, ".")


# ---------------------------------------------------------------- places


def test_places_are_found_by_the_settings_of_functions() -> None:
    """Topics by name or ARN, channels, tables, rollups; nothing of any other setting."""
    rollup = {"rollup_id": "hours", "metrics": [{"source_field": "heat"}, 5, {}]}
    places = find_places(
        [
            spec("a", TOPICS=json.dumps({"orders": STREAM, "news": "news-stream", "odd": 5}), MASK_KEY="k1:secret"),
            spec("b", RULES_TABLE="rules", TOPICS="{"),
            spec("c", SUBSCRIPTIONS_TABLE="subs", CHANNELS=json.dumps({"orders": {"channel": "/o/live"}, "odd": {}})),
            spec("d", ROLLUPS_TABLE="rows", ROLLUP=json.dumps(rollup)),
            spec("e", ROLLUPS_TABLE="rows", ROLLUP="[]"),
        ]
    )
    assert places.topics == {"orders": "orders", "news": "news-stream"}
    assert places.channels == {"orders": "/o/live"}
    assert (places.rules, places.subscriptions, places.filters) == (("rules",), ("subs",), {"/aws/lambda/b"})
    assert places.rollups == (Rollup("hours", "rows", ("heat",)),)
    assert "secret" not in repr(places)


# ---------------------------------------------------------------- readers


MAPPING = {
    "UUID": "u",
    "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:app-Filter",
    "EventSourceArn": f"{STREAM}/consumer/quick:1700000000",
    "State": "Enabled",
    "StartingPosition": "LATEST",
    "BatchSize": 100,
    "TumblingWindowInSeconds": 0,
    "LastProcessingResult": "OK",
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "FilterCriteria": {"Filters": [{"Pattern": '{"data":{"a":[1]}}'}]},
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:letters"}},
}


def test_a_reader_is_its_mapping_its_age_and_its_last_batch() -> None:
    """By logical id; the consumer of enhanced fan-out and the queue of dead letters by name."""
    last = {"batches": 1}
    assert describe_reader(MAPPING, STATE, age=Age(12.5, 60_000.0), last=last) == {
        "id": "u",
        "stream": "orders",
        "function": "Filter",
        "state": "Enabled",
        "consumer": "quick",
        "position": "LATEST",
        "batch_size": 100,
        "window_s": 0,
        "filters": ['{"data":{"a":[1]}}'],
        "last_result": "OK",
        "age_ms": 12.5,
        "age_at_ms": 60_000.0,
        "last": last,
        "letters": "letters",
    }


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (STREAM, "orders"),
        (f"{STREAM}/consumer/quick:1", "orders"),
        ("arn:aws:sqs:us-east-1:1:q", ""),
        ("arn:aws:dynamodb:us-east-1:1:table/t/stream/x", ""),
        ("None", ""),
    ],
)
def test_a_stream_is_named_by_its_arn_or_a_consumers(arn: str, name: str) -> None:
    """Other sources have none."""
    assert name_stream(arn) == name


def test_batches_count_as_they_end() -> None:
    """Not while they run, nor asynchronous invocations; the newest is kept."""
    batches = Batches()
    batches.hear(Span("t", "1", "", "function", "f", 10.0))
    assert batches.find("f") is None
    batches.hear(Span("t1", "1", "", "function", "f", 10.0, 30.0, failed=True))
    batches.hear(Span("t2", "2", "", "function", "f", 40.0, 45.0))
    batches.hear(Span("t3", "3", "", "function", "f", 50.0, 55.0, detail={"asynchronous": True}))
    batches.hear(Span("t4", "4", "", "call", "f", 50.0, 55.0))
    expected = {"ended_ms": 45.0, "took_ms": 5.0, "ok": True, "trace": "t2", "batches": 2, "failed": 1}
    assert batches.find("f") == expected


# ---------------------------------------------------------------- rules, subscribers, rollups


def rule_item(**more: Value) -> dict[str, Value]:
    item: dict[str, Value] = {
        "topic": "records",
        "rule_id": "large",
        "pattern": '{"total":[{"numeric":[">=",100]}]}',
        "columns": ["order"],
        "masks": {"customer.email": "tokenise"},
        "destination": {"type": "sqs", "url": "https://sqs.us-east-1.amazonaws.com/123456789012/large"},
        "enabled": True,
        "version": 3,
        "changed": 7,
    }
    return item | more


def test_a_rule_is_shown_as_it_is_kept() -> None:
    """With its masks and destination, and no problem where filter_records can use it."""
    parse_rule({name: value for name, value in rule_item().items() if name != "changed"})
    shown = describe_rule(rule_item())
    assert (shown["id"], shown["enabled"], shown["problem"]) == ("large", True, None)
    assert (shown["columns"], shown["masks"]) == (["order"], {"customer.email": "tokenise"})
    assert shown["destination"]["type"] == "sqs"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"destination": {"type": "nowhere"}}, "invalid-rule destination.type"),
        ({"pattern": '{"total":5}'}, "invalid-pattern pattern.total"),
        ({"later": True}, "invalid-rule later"),
    ],
)
def test_a_rule_that_cannot_be_used_says_so(more: dict[str, Value], problem: str) -> None:
    """As filter_records would name it in its log."""
    assert describe_rule(rule_item(**more))["problem"] == problem


def test_filter_counts_are_what_the_function_logs() -> None:
    """All of a batch, and what went wrong by rule, whatever a message was refused for; lines of other functions and of
    no such form do not count."""
    tally = FilterTally(lambda group: group == "f")
    lines = [
        ("f", {"message": "filter.done", "records": 3, "matched": 2, "unmatched": 1, "sent": 2}),
        ("f", {"message": "filter.done", "matched": 1, "refused": 1}),
        ("f", {"message": "filter.done", "matched": 2, "too_large": 1, "unwritable": 1, "again": 7, "returned": 2}),
        ("f", {"message": "filter.rule", "rule": "large", "refused": 1, "sent": 4}),
        ("f", {"message": "filter.rule", "rule": "large", "too_large": 2, "unwritable": 1, "returned": 3}),
        ("other", {"message": "filter.done", "matched": 100}),
        ("f", {"message": "filter.done", "matched": "many"}),
    ]
    for group, line in lines:
        tally.hear(LogEvent(group, "s", NOW_MS, json.dumps(line)))
    tally.hear(LogEvent("f", "s", NOW_MS, '{"filter.'))
    tally.hear(LogEvent("f", "s", NOW_MS, '["filter.done"]'))
    whole = tally.whole()
    assert (whole["matched"], whole["unmatched"], whole["sent"], whole["refused"], whole["poison"]) == (5, 1, 2, 3, 0)
    assert whole["returned"] == 2
    assert tally.of_rule("large") == {"refused": 4, "returned": 3, "misconfigured": 0}
    assert tally.of_rule("small") is None


def test_subscribers_are_counted_by_topic_and_by_what_they_want() -> None:
    """A topic's parts are one topic; what has expired does not count."""
    items: list[Mapping[str, Value]] = [
        {"connection_id": "a", "topic": "orders", "pattern": "", "columns": [], "expires_s": 2_000},
        {"connection_id": "b", "topic": "orders#1", "pattern": "", "columns": [], "expires_s": 2_000},
        {"connection_id": "c", "topic": "orders", "pattern": '{"x":[1]}', "columns": ["x"], "expires_s": 0},
        {"connection_id": "d", "topic": "orders", "pattern": "", "columns": [], "expires_s": 999},
    ]
    assert group_subscribers(items, 1_000.0) == [
        {
            "topic": "orders",
            "connections": 3,
            "wants": [
                {"pattern": None, "columns": [], "connections": 2},
                {"pattern": '{"x":[1]}', "columns": ["x"], "connections": 1},
            ],
        }
    ]


def test_minutes_are_summed_over_all_dimensions() -> None:
    """An average is of sums and numbers; a minute without rows is there with none."""

    def row(period: str, records: int, total: str | Decimal, values: int) -> Mapping[str, Value]:
        return {"period": period, "records": records, "metrics": {"heat": {"sum": total, "values": values}}}

    items = [
        row("minute#2027-01-15T08:01Z", 2, Decimal(30), 2),
        row("minute#2027-01-15T08:01Z", 1, "60", 1),
        {"period": "minute#2027-01-15T08:00Z", "records": 4, "metrics": {}},
    ]
    minutes = sum_minutes(items, ["2027-01-15T07:59Z", "2027-01-15T08:00Z", "2027-01-15T08:01Z"], ("heat",))
    assert minutes == [
        {"start": "2027-01-15T07:59Z", "records": 0, "rows": 0, "averages": {}},
        {"start": "2027-01-15T08:00Z", "records": 4, "rows": 1, "averages": {}},
        {"start": "2027-01-15T08:01Z", "records": 3, "rows": 2, "averages": {"heat": 30.0}},
    ]


# ---------------------------------------------------------------- letters


def test_a_letter_of_a_flow_says_its_reason_and_not_what_it_carries() -> None:
    """The attributes that flows write; the body is nobody's to look at here."""
    attributes = {
        "reason": {"StringValue": "invalid-json"},
        "detail": {"StringValue": "no object"},
        "shard_id": {"StringValue": shard_id(2)},
        "sequence_number": {"StringValue": "4967"},
    }
    message = {
        "MessageId": "m",
        "Body": "secret",
        "MessageAttributes": attributes,
        "Attributes": {"SentTimestamp": "5"},
    }
    assert describe_letter(message) == {
        "id": "m",
        "sent_ms": 5,
        "reason": "invalid-json",
        "detail": "no object",
        "shard": shard_id(2),
        "first": "4967",
        "records": 1,
    }


def test_a_letter_of_a_mapping_says_its_condition_and_its_batch() -> None:
    """The document that Lambda sends for a batch that it gave up."""
    body = {
        "requestContext": {"condition": "RetryAttemptsExhausted"},
        "responseContext": {"functionError": "Unhandled"},
        "KinesisBatchInfo": {"shardId": shard_id(1), "startSequenceNumber": "7", "batchSize": 12},
    }
    found = describe_letter({"MessageId": "m", "Body": json.dumps(body)})
    assert (found["reason"], found["detail"]) == ("RetryAttemptsExhausted", "Unhandled")
    assert (found["shard"], found["first"], found["records"]) == (shard_id(1), "7", 12)


@given(st.text(max_size=60))
def test_a_letter_of_any_other_form_is_shown_without_a_reason(body: str) -> None:
    """Also one whose body is JSON of another kind."""
    found = describe_letter({"MessageId": "m", "Body": body})
    assert (found["reason"], found["shard"]) == ("not said", None)


# ---------------------------------------------------------------- what is asked for


def test_a_replay_goes_by_its_mapping() -> None:
    """Batch, partial answers and filters are the mapping's."""
    route = read_route(MAPPING)
    assert (route.function, route.batch, route.reports, route.bisects) == (MAPPING["FunctionArn"], 100, True, False)
    assert route.criteria is not None
    assert read_wanted({"reader": "u", "since_ms": 5, "rate": 7}) == Wanted("u", 5, 7)
    assert read_wanted({"reader": "u"}) == Wanted("u", 0, 100)


def test_a_function_that_counts_in_windows_gets_no_replay() -> None:
    """A replay has no window's state to give; it is refused by name."""
    with pytest.raises(ApiError, match="windows") as caught:
        read_route(MAPPING | {"TumblingWindowInSeconds": 60})
    assert caught.value.status == 409


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reader": 5},
        {"reader": "u", "more": 1},
        {"reader": "u", "since_ms": -1},
        {"reader": "u", "since_ms": 1.5},
        {"reader": "u", "since_ms": True},
        {"reader": "u", "since_ms": 1 << 53},
        {"reader": "u", "rate": 0},
        {"reader": "u", "rate": 1_001},
        {"reader": "u", "rate": "5"},
        {"reader": "u", "rate": None},
    ],
)
def test_a_bad_replay_is_a_400(body: dict[str, Any]) -> None:
    """Members and ranges."""
    with pytest.raises(ApiError) as caught:
        read_wanted(body)
    assert (caught.value.status, str(caught.value)[-1]) == (400, ".")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"topic": 5},
        {"topic": "t", "more": 1},
        {"topic": "t", "rate": 0},
        {"topic": "t", "rate": 101},
        {"topic": "t", "rate": True},
        {"topic": "t", "seconds": 61},
        {"topic": "t", "seed": -1},
        {"topic": "t", "seed": "1"},
    ],
)
def test_a_bad_demo_is_a_400(body: dict[str, Any]) -> None:
    """Members and ranges: a minute and a hundred a second at most."""
    with pytest.raises(ApiError) as caught:
        read_demo(body)
    assert (caught.value.status, str(caught.value)[-1]) == (400, ".")


def test_demo_records_are_the_same_for_the_same_seed() -> None:
    """Orders and readings in turn, each with what the template's functions look for."""
    assert read_demo({"topic": "t"}) == DemoOrder("t", 5, 60, 1)
    first, again, other = (list(islice(draw_records(seed, FixedClock()), 20)) for seed in (1, 1, 2))
    assert first == again != other
    order, reading = first[0].data, first[1].data
    assert (order["order"], order["customer"]["name"]) == (1, first[0].key)
    assert (reading["device_id"], reading["timestamp"]) == (first[1].key, "2027-01-15T08:00:00.000Z")
    assert {"temperature", "humidity", "pressure", "battery"} <= reading.keys()
