"""The contract of FilterRuleStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from moto import mock_aws

from sluiceway.aws.filter_rules import TRACE_S, DynamoDbFilterRuleStore
from sluiceway.errors import Rejected, Retryable, ServiceRefused
from sluiceway.ports import Clock
from sluiceway.ports.filtering import FilterRuleStore, RuleChanges
from sluiceway.rules.filtering import FilterRule, parse_rule
from tests.contract.answer_tables import Post
from tests.contract.rule_tables import RULES, local_rules, moto_rules
from tests.fakes import EPOCH_MS
from tests.fakes_filtering import MemoryFilterRuleStore

ONE = parse_rule(
    {
        "topic": "orders",
        "rule_id": "large",
        "pattern": {"total": [{"numeric": [">", 100]}], "€": ["🌊"]},
        "columns": ["order", "customer"],
        "masks": {"customer.email": {"mask": "tokenise", "domain": "person"}, "customer.card": "redact"},
        "destination": {"type": "events", "bus": "mesh", "source": "shop", "detail_type": "Large order"},
    }
)


class FixedClock:
    def now_ms(self) -> int:
        return EPOCH_MS


@dataclass
class World:
    """One implementation, and the post to its table (None for memory)."""

    store: FilterRuleStore
    post: Post | None


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    kind, _, twice = request.param.partition(", ")
    clock: Clock = FixedClock()
    with mock_aws() if kind == "moto" else nullcontext():
        if kind == "memory":
            yield World(MemoryFilterRuleStore(), None)
            return
        post = _Twice(local_rules() if kind == "local" else moto_rules(), twice=bool(twice))
        yield World(DynamoDbFilterRuleStore(post, RULES, clock), post)


class _Twice(Post):
    """A Post whose first answer may be any refusal, since it is not looked at."""

    async def _ignore(self, operation: str, body: Any) -> None:
        try:
            await self.send(operation, body)
        except ServiceRefused:
            return


class _Moments(Random):
    """Every call lets the others run before it, and takes no time."""

    def random(self) -> float:
        return 0.0


@pytest.fixture
def store(world: World) -> FilterRuleStore:
    return world.store


async def test_a_rule_is_read_back_whole(store: FilterRuleStore) -> None:
    """Every member survives, and the version counts the writes."""
    assert await store.put(ONE) == ONE._replace(version=1)
    assert await store.get("orders", "large") == ONE._replace(version=1)
    assert await store.get("orders", "other") is None
    assert await store.get("returns", "large") is None
    off = ONE._replace(version=1, enabled=False, pattern="", columns=(), masks=())
    assert await store.put(off) == off._replace(version=2)
    assert await store.get("orders", "large") == off._replace(version=2)


async def test_changes_are_what_was_written_since(store: FilterRuleStore) -> None:
    """First everything, then what is new, then nothing; another topic's rules are none of them."""
    empty = await store.changes("orders", 0)
    assert (empty.version, empty.rules, empty.removed, empty.is_whole) == (0, (), (), True)
    await store.put(ONE)
    await store.put(ONE._replace(rule_id="other"))
    await store.put(ONE._replace(topic="returns"))
    first = await store.changes("orders", 0)
    assert {rule.rule_id for rule in first.rules} == {"large", "other"}
    assert first.is_whole
    assert await store.changes("orders", first.version) == RuleChanges(first.version)
    changed = await store.put(ONE._replace(version=1, enabled=False))
    await store.remove("orders", "other")
    await store.remove("orders", "other")
    second = await store.changes("orders", first.version)
    assert (second.rules, second.removed, second.is_whole) == ((changed,), ("other",), False)
    assert second.version > first.version
    assert (await store.changes("orders", second.version)).rules == ()


async def test_a_rule_that_was_removed_can_be_made_again(store: FilterRuleStore) -> None:
    """It is a new one; whoever had seen the removal sees it come."""
    await store.put(ONE)
    await store.remove("orders", "large")
    assert await store.get("orders", "large") is None
    gone = await store.changes("orders", 1)
    again = await store.put(ONE)
    assert again.version == 1
    assert (await store.changes("orders", gone.version)).rules == (again,)


async def test_a_write_over_what_was_not_seen_is_a_conflict(store: FilterRuleStore) -> None:
    """By version, and it says which is kept: nobody undoes what somebody else has written since."""
    await store.put(ONE)
    for stale in (ONE._replace(columns=()), ONE._replace(version=2), ONE._replace(version=7)):
        with pytest.raises(Rejected) as caught:
            await store.put(stale)
        told = f"version 1 of the rule is kept, and {stale.version} was to be replaced"
        assert (str(caught.value), caught.value.reason, caught.value.field) == (told, "conflict", "version")
    with pytest.raises(Rejected, match=r"^no such rule is kept$"):
        await store.put(ONE._replace(rule_id="other", version=1))
    assert await store.get("orders", "large") == ONE._replace(version=1)


async def test_a_wrong_rule_is_refused_when_it_is_written(store: FilterRuleStore) -> None:
    """Whoever makes the tuple by hand is told the member as well."""
    for wrong, field in (
        (ONE._replace(rule_id="#head"), "rule_id"),
        (ONE._replace(pattern='{"a":[{"sounds-like":"x"}]}'), "pattern.a"),
        (ONE._replace(destination=ONE.destination._replace(source="aws.x")), "destination.source"),
    ):
        with pytest.raises(Rejected) as caught:
            await store.put(wrong)
        assert caught.value.field == field
    assert (await store.changes("orders", 0)).rules == ()


async def test_writers_side_by_side_lose_nothing(world: World) -> None:
    """Eight rules at once: each is kept, each is among the changes, and a reader in between misses none later."""
    if world.post is not None:
        world.post.twice = False
        world.post.waits = _Moments()
    seen: dict[str, FilterRule] = {}
    since = 0

    async def write(number: int) -> None:
        rule = ONE._replace(rule_id=f"r{number}")
        while True:
            try:
                await world.store.put(rule)
            except Retryable:
                continue
            return

    async def read() -> None:
        nonlocal since
        for _ in range(20):
            changes = await world.store.changes("orders", since)
            since = changes.version
            seen.update({rule.rule_id: rule for rule in changes.rules})
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for number in range(8):
            group.create_task(write(number))
    await read()
    assert seen.keys() == {f"r{number}" for number in range(8)}
    assert since == 8  # each write has a version of its own, so that none hides behind another's


async def test_a_table_that_was_made_anew_is_read_whole(store: FilterRuleStore) -> None:
    """Its version is below the one that is known: all that is known is put aside."""
    await store.put(ONE)
    changes = await store.changes("orders", 99)
    assert changes.is_whole
    assert changes.version == 1
    assert [rule.rule_id for rule in changes.rules] == ["large"]


async def test_a_lost_answer_is_no_conflict(world: World) -> None:
    """The transaction was made, its answer was lost and it is asked for again: the rule is as it was wanted."""
    if world.post is None:
        pytest.skip("memory loses no answers")
    world.post.twice = True
    assert (await world.store.put(ONE)).version == 1
    assert (await world.store.put(ONE._replace(version=1, columns=()))).version == 2
    assert (await world.store.changes("orders", 0)).version == 2


async def test_a_table_that_is_away_is_told(world: World) -> None:
    """Whatever was asked of it."""
    if world.post is None:
        pytest.skip("memory is never away")
    for call in (
        lambda: world.store.put(ONE),
        lambda: world.store.remove("orders", "large"),
        lambda: world.store.get("orders", "large"),
        lambda: world.store.changes("orders", 0),
    ):
        world.post.break_before = 1
        with pytest.raises(Retryable):
            await call()


async def test_what_somebody_wrote_around_the_port_is_named(world: World) -> None:
    """By id and reason, beside the rules that can be read; a removed one leaves a trace for two days."""
    if world.post is None:
        pytest.skip("memory holds rules only")
    await world.store.put(ONE)
    await world.store.put(ONE._replace(rule_id="gone"))
    await world.store.remove("orders", "gone")
    wrong = {
        "topic": {"S": "orders"},
        "rule_id": {"S": "bad"},
        "changed": {"N": "4"},
        "pattern": {"S": "{"},
        "destination": {"M": {"type": {"S": "sqs"}, "url": {"S": "https://q/123456789012/x"}}},
    }
    await world.post.send("PutItem", {"TableName": RULES, "Item": wrong})
    changes = await world.store.changes("orders", 0)
    assert [rule.rule_id for rule in changes.rules] == ["large"]
    assert changes.wrong == {"bad": "invalid-pattern pattern"}
    assert changes.version == 4
    item = (
        await world.post.send(
            "GetItem", {"TableName": RULES, "Key": {"topic": {"S": "orders"}, "rule_id": {"S": "gone"}}}
        )
    )["Item"]
    assert item["expires_s"] == {"N": str(EPOCH_MS // 1000 + TRACE_S)}


async def test_many_rules_are_read_over_pages(world: World) -> None:
    """A page has 1 MB: three hundred large rules are on several."""
    if world.post is None or world.post.twice:
        pytest.skip("one table is enough")
    kept = await world.store.put(ONE._replace(pattern='{"a":["' + "x" * 4000 + '"]}'))
    key = {"topic": {"S": "orders"}, "rule_id": {"S": kept.rule_id}}
    item = (await world.post.send("GetItem", {"TableName": RULES, "Key": key}))["Item"]
    for number in range(299):
        await world.post.send("PutItem", {"TableName": RULES, "Item": {**item, "rule_id": {"S": f"r{number}"}}})
    before = len(world.post.calls)
    assert len((await world.store.changes("orders", 0)).rules) == 300
    assert len(world.post.calls) - before > 2
