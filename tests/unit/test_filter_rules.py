"""Filter rules: read, written and refused by member; and many at once, each as it would be alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Rejected
from sluiceway.rules import patterns
from sluiceway.rules.filtering import FilterRule, needs_key, parse_rule, write_rule
from sluiceway.rules.masking import Cell, MaskKey, Spec, Treatment, combine
from sluiceway.rules.rule_set import RuleSet
from sluiceway.rules.subscriptions import LIMITS
from tests.unit.test_masking import records
from tests.unit.test_subscriptions import trees

KEY = MaskKey("k1", bytes(32))
QUEUE = {"type": "sqs", "url": "https://sqs.eu-west-1.amazonaws.com/123456789012/large"}
TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:large"


def rule(**members: Any) -> FilterRule:
    return parse_rule({"topic": "orders", "rule_id": "r", "destination": QUEUE, **members})


# ---------------------------------------------------------------- one rule


@pytest.mark.parametrize(
    "destination",
    [
        QUEUE,
        {**QUEUE, "url": QUEUE["url"] + ".fifo"},
        {"type": "sns", "topic_arn": TOPIC_ARN},
        {"type": "sns", "topic_arn": TOPIC_ARN + ".fifo"},
        {"type": "stream", "name": "Filtered"},
        {"type": "stream", "name": "Filtered", "ordered": False},
        {"type": "events", "bus": "default"},
        {
            "type": "events",
            "bus": "arn:aws:events:eu-west-1:123456789012:event-bus/mesh",
            "source": "a",
            "detail_type": "b",
        },
        {"type": "s3", "bucket": "archive"},
        {"type": "s3", "bucket": "archive", "prefix": "orders/large/"},
    ],
)
def test_a_rule_is_read_as_it_is_written(destination: Any) -> None:
    """What `write_rule` gives is JSON that `parse_rule` reads as the same rule; order is kept where there is one."""
    made = rule(
        pattern={"total": [{"numeric": [">", 100]}]},
        columns=["b", "a.c", "a"],
        masks={"a": "hash", "b": {"mask": "tokenise", "domain": "person"}, "c": "drop"},
        destination=destination,
        enabled=False,
        version=3,
    )
    assert parse_rule(json.loads(json.dumps(write_rule(made)))) == made
    assert made.columns == ("a", "b")
    assert made.masks == (
        ("a", Cell(Treatment.HASH, "orders/a")),
        ("b", Cell(Treatment.TOKENISE, "person")),
        ("c", Cell(Treatment.DROP)),
    )
    assert made.destination.ordered is (destination["type"] == "stream" and "ordered" not in destination) or (
        made.destination.is_fifo
    )


def test_what_a_rule_may_leave_out() -> None:
    """Every record, whole, enabled, never written; an event says its topic."""
    bare = rule()
    assert (bare.pattern, bare.columns, bare.masks, bare.enabled, bare.version) == ("", (), (), True, 0)
    assert bare.shows_all
    events = rule(destination={"type": "events", "bus": "default"}).destination
    assert (events.source, events.detail_type) == ("sluiceway", "orders")


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"topic": ""}, "topic"),
        ({"topic": None}, "topic"),
        ({"rule_id": "a b"}, "rule_id"),
        ({"rule_id": "#head"}, "rule_id"),
        ({"rule_id": "x" * 41}, "rule_id"),
        ({"rows": {}}, "rows"),
        ({"pattern": []}, "pattern"),
        ({"pattern": "{"}, "pattern"),
        ({"pattern": '{"a":["' + "x" * 5000 + '"]}'}, "pattern"),
        ({"pattern": {"a": [{"sounds-like": "x"}]}}, "pattern.a"),
        ({"columns": []}, "columns"),
        ({"columns": ["a", 1]}, "columns[1]"),
        ({"masks": []}, "masks"),
        ({"masks": {"a": "scramble"}}, "masks.a"),
        ({"masks": {"a": {"mask": "hash", "domain": 1}}}, "masks.a.domain"),
        ({"enabled": 1}, "enabled"),
        ({"version": -1}, "version"),
        ({"version": True}, "version"),
        ({"destination": None}, "destination.type"),
        ({"destination": {"type": "smtp"}}, "destination.type"),
        ({"destination": {"type": ["sqs"]}}, "destination.type"),
        ({"destination": {"type": "sqs"}}, "destination.url"),
        ({"destination": {**QUEUE, "url": "https://evil.example/queue"}}, "destination.url"),
        ({"destination": {**QUEUE, "ordered": True}}, "destination.ordered"),
        ({"destination": {"type": "stream", "name": "x", "ordered": "no"}}, "destination.ordered"),
        ({"destination": {"type": "sns", "topic_arn": "large"}}, "destination.topic_arn"),
        ({"destination": {"type": "events", "bus": "default", "source": "aws.s3"}}, "destination.source"),
        ({"destination": {"type": "events", "bus": "default", "detail_type": "a\n"}}, "destination.detail_type"),
        ({"destination": {"type": "s3", "bucket": "No"}}, "destination.bucket"),
        ({"destination": {"type": "s3", "bucket": "archive", "prefix": "a b"}}, "destination.prefix"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_member(members: Any, field: str) -> None:
    """By name, whoever wrote it and wherever it is met; the reason is one of two."""
    with pytest.raises(Rejected) as caught:
        rule(**members)
    assert caught.value.field == field
    assert caught.value.reason in {"invalid-rule", "invalid-pattern"}
    assert str(caught.value).startswith(field)


def test_which_rules_need_a_key() -> None:
    """Pseudonyms, and what has an order but not the whole record: its key would tell what is hidden."""
    fifo, stream = {**QUEUE, "url": QUEUE["url"] + ".fifo"}, {"type": "stream", "name": "x"}
    assert [
        needs_key(rule(**members))
        for members in (
            {},
            {"destination": stream},
            {"masks": {"a": "redact"}},
            {"masks": {"a": "hash"}},
            {"masks": {"a": "tokenise"}},
            {"columns": ["a"]},
            {"columns": ["a"], "destination": stream},
            {"masks": {"a": "drop"}, "destination": fifo},
        )
    ] == [False, False, False, True, True, False, True, True]


# ---------------------------------------------------------------- many rules


def test_a_rule_takes_the_place_of_its_earlier_self() -> None:
    """Also where it can be used no more; what is removed twice is removed."""
    rules = RuleSet(own_stream="Orders", key=KEY)
    rules.put(rule(pattern={"a": [1]}))
    assert [match.rule.rule_id for match in rules.match({"a": 1})] == ["r"]
    rules.put(rule(pattern={"a": [2]}))
    assert list(rules.match({"a": 1})) == []
    rules.put(rule())
    assert len(list(rules.match({"a": 1}))) == 1
    rules.put(rule(destination={"type": "stream", "name": "Orders"}))
    assert rules.unusable == {"r": "feeds-itself"}
    assert list(rules.match({"a": 1})) == []
    rules.put(rule())
    rules.pass_over("r", "invalid-rule")
    assert (list(rules.match({"a": 1})), rules.unusable) == ([], {"r": "invalid-rule"})
    rules.put(rule(enabled=False))
    assert (rules.unusable, len(rules), rules.ids) == ({}, 0, set())
    rules.remove("r")
    rules.remove("r")


def test_a_pattern_of_another_version_is_passed_over() -> None:
    """A tuple that was never parsed: nothing is matched by it, and it is named."""
    rules = RuleSet()
    rules.put(rule(rule_id="good"))
    rules.put(rule()._replace(pattern='{"a":[{"sounds-like":"x"}]}'))
    assert rules.unusable == {"r": "invalid-pattern"}
    assert [match.rule.rule_id for match in rules.match({"a": 1})] == ["good"]


parts = st.fixed_dictionaries(
    {},
    optional={
        "pattern": trees,
        "columns": st.lists(st.sampled_from(["a", "b", "a.b", "c"]), min_size=1, max_size=2),
        "masks": st.dictionaries(st.sampled_from(["a", "b.c"]), st.sampled_from(["hash", "redact"]), min_size=1),
    },
)
writes = st.lists(st.tuples(st.sampled_from("rst"), st.none() | parts), max_size=8)


def test_what_a_record_matches_is_as_it_was_when_it_was_asked():
    """Messages are sent while matches are made, and another invocation may read the rules anew meanwhile."""
    rules = RuleSet()
    for rule_id in ("a", "b", "c"):
        rules.put(rule(rule_id=rule_id))
    matches = rules.match({"a": 1})
    first = next(matches)
    rules.remove("b")
    rules.put(rule(rule_id="c", enabled=False))
    assert [each.rule.rule_id for each in (first, *matches)] == ["a", "b", "c"]
    assert [each.rule.rule_id for each in rules.match({"a": 1})] == ["a"]


@given(writes, records)
def test_together_rules_do_what_each_would_do_alone(written: list[tuple[str, Any]], record: dict[str, Any]) -> None:
    """Whatever was put and removed before: by pattern on the whole record, by its own columns and masks."""
    rules = RuleSet(key=KEY)
    standing: dict[str, FilterRule] = {}
    for rule_id, members in written:
        if members is None:
            rules.remove(rule_id)
            standing.pop(rule_id, None)
        else:
            standing[rule_id] = rule(rule_id=rule_id, **members)
            rules.put(standing[rule_id])
    expected = {
        rule_id: combine([Spec(each.columns, each.masks)], [], KEY).show(record)
        for rule_id, each in standing.items()
        if not each.pattern or patterns.compile(each.pattern, limits=LIMITS).matches(record)
    }
    found = list(rules.match(record))
    assert {match.rule.rule_id: match.shown for match in found} == expected
    assert [match.rule.rule_id for match in found] == sorted(expected)
