"""EventBridge against moto: the same generated calls of boto3 to both, the same answers, errors and messages.

Where the two differ on purpose, `EXPLAINED` says how and why; everything else must be equal.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.events_peers import ACCOUNT, REGION, Pair, open_pair

# Answers that differ on purpose: (action, our code, moto's code) -> why ("" for an answer that is no error).
_SHAPE = "moto does not hold the request against its shape, or does so last"
_BUS = "AWS wants the bus to be there"
_WORDS = "AWS names the bus in the message"
EXPLAINED = {
    ("create_event_bus", "ValidationException", ""): _SHAPE,
    ("delete_event_bus", "ValidationException", ""): "a bus with rules is not deleted",
    ("delete_rule", "ResourceNotFoundException", ""): _BUS,
    ("delete_rule", "ValidationException", ""): _SHAPE,
    ("describe_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("describe_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("disable_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("disable_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("enable_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("enable_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("list_targets_by_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("put_events", "", ""): "moto knows neither reserved sources nor entries without a detail type",
    ("put_events", "", "ResourceNotFoundException"): "AWS takes and drops events for a bus that is not there",
    ("put_events", "ValidationException", "ValidationException"): "AWS shows the entries in the message",
    ("put_rule", "InvalidEventPatternException", ""): "moto takes patterns that are none",
    ("put_rule", "InvalidEventPatternException", "InvalidEventPatternException"): "other words",
    ("put_rule", "ResourceNotFoundException", "InvalidEventPatternException"): "the bus is looked for first",
    ("put_rule", "ResourceNotFoundException", "ValidationException"): "the bus is looked for first",
    ("put_rule", "ValidationException", ""): "{} is no pattern; " + _SHAPE,
    ("put_rule", "ValidationException", "InvalidEventPatternException"): _SHAPE,
    ("put_rule", "ValidationException", "ValidationException"): _SHAPE,
    ("put_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("put_targets", "LimitExceededException", ""): "moto has no quotas",
    ("put_targets", "ValidationException", ""): _SHAPE,
    ("put_targets", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("remove_permission", "ResourceNotFoundException", "ResourceNotFoundException"): "AWS says the same either way",
    ("remove_targets", "ValidationException", ""): _SHAPE,
    ("remove_targets", "ValidationException", "ResourceNotFoundException"): _SHAPE,
}

BUSES = st.sampled_from(["default", "default", "one", "two"])
RULES = st.sampled_from(["r1", "r2", "r3", "x y"])
PATTERNS = st.sampled_from(
    [
        '{"source":["shop"]}',
        '{"source":["bank","shop"],"detail":{"n":[1,2]}}',
        '{"detail":{"n":[{"numeric":[">",1]}]}}',
        '{"detail":{"text":[{"prefix":"a"}]}}',
        '{"detail":{"text":[{"exists":false}]},"detail-type":["order"]}',
        '{"detail":{"text":[{"anything-but":["b"]}]}}',
        "{}",
        '{"source":"shop"}',
        '{"source":[]}',
        "no JSON",
    ]
)
SCHEDULES = st.sampled_from(["rate(5 minutes)", "rate(1 minutes)", "cron(0 12 * * ? *)", "cron(0 12 * * *)", "soon"])
TARGET_IDS = st.sampled_from(["t1", "t2", "t3", "t4", "t5", "t6", "t 7"])
DETAILS = st.sampled_from(['{"n":1}', '{"n":2,"text":"ab"}', '{"n":3,"text":"b"}', '{"text":"abc"}', "{}", "[]", "no"])
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "Source": st.sampled_from(["shop", "shop", "bank", "aws.s3"]),
            "DetailType": st.sampled_from(["order", "payment"]),
            "Detail": DETAILS,
            "EventBusName": BUSES,
            "Resources": st.just(["arn:a"]),
        },
    ),
    min_size=1,
    max_size=11,
)
GOOD_ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "Source": st.sampled_from(["shop", "bank"]),
            "DetailType": st.sampled_from(["order", "payment"]),
            "Detail": DETAILS.filter(lambda text: text.startswith("{")),
            "EventBusName": BUSES,
        }
    ),
    min_size=1,
    max_size=5,
)
OPERATION = st.one_of(
    st.tuples(st.just("create_bus"), st.sampled_from(["one", "two", "default", "a/b"])),
    st.tuples(st.just("delete_bus"), st.sampled_from(["one", "two", "default", "none"])),
    st.tuples(st.just("put_rule"), RULES, BUSES, PATTERNS, st.sampled_from(["ENABLED", "DISABLED", None])),
    st.tuples(st.just("put_rule"), RULES, st.just("default"), PATTERNS, st.none()),
    st.tuples(st.just("schedule"), RULES, BUSES, SCHEDULES),
    st.tuples(st.just("delete_rule"), RULES, BUSES),
    st.tuples(st.just("describe_rule"), RULES, BUSES),
    st.tuples(st.just("enable"), RULES, BUSES, st.booleans()),
    st.tuples(st.just("put_targets"), RULES, BUSES, st.lists(TARGET_IDS, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("put_targets"), st.just("r1"), st.just("default"), st.just(["t1"])),
    st.tuples(st.just("remove_targets"), RULES, BUSES, st.lists(TARGET_IDS, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("lists"), BUSES),
    st.tuples(st.just("tags"), st.dictionaries(st.sampled_from("xyz"), st.text("ab", max_size=2), max_size=2)),
    st.tuples(st.just("put_events"), ENTRIES),
    st.tuples(st.just("put_events"), GOOD_ENTRIES),
    st.tuples(st.just("permission"), st.sampled_from("ab"), st.booleans()),
)


def run(pair: Pair, operation: tuple[Any, ...]) -> None:
    """One operation on both."""
    kind, *rest = operation
    OPERATIONS[kind](pair, *rest)


def _put_rule(pair: Pair, name: str, bus: str, pattern: str, state: str | None) -> None:
    more = {} if state is None else {"State": state}
    pair.both("put_rule", Name=name, EventBusName=bus, EventPattern=pattern, **more)


def _put_targets(pair: Pair, rule: str, bus: str, ids: list[str]) -> None:
    targets = [{"Id": target_id, "Arn": pair.queue} for target_id in ids]
    pair.both("put_targets", Rule=rule, EventBusName=bus, Targets=targets)


def _enable(pair: Pair, rule: str, bus: str, enabled: bool) -> None:
    pair.both("enable_rule" if enabled else "disable_rule", Name=rule, EventBusName=bus)


def _lists(pair: Pair, bus: str) -> None:
    pair.both("list_event_buses")
    pair.both("list_rules", EventBusName=bus)
    pair.both("list_rule_names_by_target", TargetArn=pair.queue, EventBusName=bus)
    pair.both("list_targets_by_rule", Rule="r1", EventBusName=bus)
    pair.both("describe_event_bus", Name=bus)


def _tags(pair: Pair, tags: dict[str, str]) -> None:
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r1"
    given_tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    pair.both("tag_resource", ResourceARN=arn, Tags=given_tags)
    pair.both("list_tags_for_resource", ResourceARN=arn)
    pair.both("untag_resource", ResourceARN=arn, TagKeys=sorted(tags))


def _put_events(pair: Pair, entries: list[dict[str, Any]]) -> None:
    before = pair.deliveries()
    assert before[0] == before[1]
    code, _ = pair.both("put_events", Entries=entries)
    ours, theirs = pair.deliveries()
    there = {bus["Name"] for bus in pair.ours.client.list_event_buses()["EventBuses"]}
    clean = all(_is_clean(entry) and entry.get("EventBusName", "default") in there for entry in entries)
    if clean and not code:  # moto ends at an entry for a bus that is not there
        assert ours == theirs, entries


def _is_clean(entry: dict[str, Any]) -> bool:
    """Whether moto reads the entry as AWS does."""
    given_all = all(name in entry for name in ("Source", "DetailType", "Detail"))
    return given_all and not entry["Source"].startswith("aws.") and entry["Detail"].startswith("{")


def _permission(pair: Pair, statement: str, put: bool) -> None:
    principal = "111111111111" if statement == "a" else "222222222222"  # moto keeps one statement a principal
    if put:
        pair.both("put_permission", Action="events:PutEvents", Principal=principal, StatementId=statement)
    else:
        pair.both("remove_permission", StatementId=statement)


OPERATIONS = {
    "create_bus": lambda pair, name: pair.both("create_event_bus", Name=name),
    "delete_bus": lambda pair, name: pair.both("delete_event_bus", Name=name),
    "put_rule": _put_rule,
    "schedule": lambda pair, name, bus, text: pair.both(
        "put_rule", Name=name, EventBusName=bus, ScheduleExpression=text
    ),
    "delete_rule": lambda pair, name, bus: pair.both("delete_rule", Name=name, EventBusName=bus),
    "describe_rule": lambda pair, name, bus: pair.both("describe_rule", Name=name, EventBusName=bus),
    "enable": _enable,
    "put_targets": _put_targets,
    "remove_targets": lambda pair, rule, bus, ids: pair.both("remove_targets", Rule=rule, EventBusName=bus, Ids=ids),
    "lists": _lists,
    "tags": _tags,
    "put_events": _put_events,
    "permission": _permission,
}


@pytest.mark.filterwarnings("ignore:EventDetail should be:UserWarning")  # moto's, of a detail that is no object
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(OPERATION, min_size=10, max_size=30))
def test_generated_operations_answer_as_moto_does(operations: list[tuple[Any, ...]]) -> None:
    """Any sequence of actions gives the same answers, the same errors and the same messages on both sides."""
    play(operations)


def play(operations: list[tuple[Any, ...]]) -> None:
    """A sequence of operations on a new pair."""
    with open_pair(EXPLAINED) as pair:
        for operation in operations:
            run(pair, operation)
