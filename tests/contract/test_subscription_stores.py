"""The contract of SubscriptionStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
from moto import mock_aws

from sluiceway.aws.dynamodb import Table
from sluiceway.aws.subscriptions import DynamoDbSubscriptionStore
from sluiceway.errors import Rejected, Retryable
from sluiceway.ports import MAX_SUBSCRIPTIONS, Subscription, SubscriptionStore
from sluiceway.rules.topics import part_of
from tests.contract.answer_tables import SUBSCRIPTIONS, Post, local_tables, moto_tables
from tests.fakes import EPOCH_MS
from tests.fakes_streaming import MemorySubscriptionStore

ONE = Subscription(
    "c1",
    "orders",
    3,
    '{"total":[{"numeric":[">",100]}],"€":["🌊"]}',
    ("id", "total"),
    EPOCH_MS // 1000 + 600,
    viewer='{"groups":["a"],"tenant":"acme"}',
)


@dataclass
class World:
    """One implementation, and the post to its table (None for memory)."""

    store: SubscriptionStore
    post: Post | None


@pytest.fixture(params=["memory", "memory, 16 parts", "local", "local, 16 parts", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    kind, _, more = request.param.partition(", ")
    parts = 16 if "parts" in more else 1
    with mock_aws() if kind == "moto" else nullcontext():
        if kind == "memory":
            yield World(MemorySubscriptionStore(parts=parts), None)
            return
        post = Post(local_tables() if kind == "local" else moto_tables(), twice="twice" in more)
        yield World(DynamoDbSubscriptionStore(Table(post, SUBSCRIPTIONS), parts), post)


@pytest.fixture
def store(world: World) -> SubscriptionStore:
    return world.store


async def test_what_is_kept_is_read_back_whole_and_by_topic(store: SubscriptionStore) -> None:
    """Every member survives; a topic has its own, in the order of the connections."""
    plain = Subscription("c0", "orders", 1)
    for each in (ONE, plain, replace(ONE, topic="returns")):
        await store.put(each)
    assert await store.of_topic("orders") == (plain, ONE)
    assert await store.of_topic("returns") == (replace(ONE, topic="returns"),)
    assert await store.of_topic("nothing") == ()


async def test_the_later_subscription_of_a_topic_counts(store: SubscriptionStore) -> None:
    """A connection has one for a topic: a higher generation replaces it, a lower one comes too late."""
    later = replace(ONE, generation=4, pattern="", columns=())
    await store.put(ONE)
    await store.put(later)
    await store.put(ONE)
    assert await store.of_topic("orders") == (later,)


async def test_only_the_generation_that_is_gone_is_dropped(store: SubscriptionStore) -> None:
    """What was subscribed since stays; so do the connection's other topics, and other connections."""
    others = (replace(ONE, connection_id="c2"), replace(ONE, topic="returns"))
    for each in (ONE, *others):
        await store.put(each)
    await store.drop(replace(ONE, generation=2))
    assert await store.of_topic("orders") == (ONE, others[0])
    await store.drop(ONE)
    await store.drop(ONE)
    assert await store.of_topic("orders") == (others[0],)
    assert await store.of_topic("returns") == (others[1],)


async def test_a_connection_is_forgotten_with_all_it_had(store: SubscriptionStore) -> None:
    """One topic by `remove`, every topic by `forget`; what is not there is no fault."""
    other = replace(ONE, connection_id="c10")
    for each in (ONE, replace(ONE, topic="returns"), replace(ONE, topic="stock"), other):
        await store.put(each)
    await store.remove("c1", "stock")
    await store.remove("c1", "stock")
    assert await store.of_topic("stock") == ()
    await store.forget("c1")
    await store.forget("c1")
    assert await store.of_topic("orders") == (other,)
    assert await store.of_topic("returns") == ()


async def test_a_connection_has_so_many_topics_at_most(store: SubscriptionStore) -> None:
    """The next is refused and not kept; one that is there may be replaced, and one that is removed makes room."""
    for number in range(MAX_SUBSCRIPTIONS):
        await store.put(replace(ONE, topic=f"t{number}", generation=number))
    with pytest.raises(Rejected) as caught:
        await store.put(replace(ONE, topic="more", generation=90))
    assert caught.value.reason == "too-many-subscriptions"
    assert await store.of_topic("more") == ()
    await store.put(replace(ONE, topic="t1", generation=91))
    assert [each.generation for each in await store.of_topic("t1")] == [91]
    await store.put(replace(ONE, topic="more", connection_id="c2"))
    await store.remove("c1", "t1")
    await store.put(replace(ONE, topic="more", generation=92))
    assert [each.generation for each in await store.of_topic("more")] == [92, 3]


async def test_each_part_has_its_own(world: World) -> None:
    """A connection is in one part of a topic, whatever the topic; together the parts are the topic."""
    store = world.store
    assert isinstance(store, DynamoDbSubscriptionStore | MemorySubscriptionStore)
    many = tuple(replace(ONE, connection_id=f"c{number:02}") for number in range(40))
    for each in many:
        await store.put(each)
    found = [await store.of_part("orders", part) for part in range(store.parts)]
    assert await store.of_topic("orders") == many
    assert sorted((each for part in found for each in part), key=lambda each: each.connection_id) == list(many)
    assert [[part_of(each.connection_id, store.parts) for each in part] for part in found] == [
        [number] * len(part) for number, part in enumerate(found)
    ]
    assert len([part for part in found if part]) > store.parts // 2


async def test_a_topic_may_be_parted_anew(world: World) -> None:
    """Whoever subscribes again has one subscription; whoever leaves or wants no more has none, in whatever part it
    was. Until then it is found where it was."""
    if world.post is None:
        pytest.skip("memory has no keys of its own for parts")
    before, after = world.store, DynamoDbSubscriptionStore(Table(world.post, SUBSCRIPTIONS), 64)
    names = [f"c{number}" for number in range(30)]
    for name in names:
        await before.put(replace(ONE, connection_id=name))
    assert {each.connection_id for part in range(16) for each in await after.of_part("orders", part)} == set(names)
    for name in names[:10]:
        await after.put(replace(ONE, connection_id=name, generation=4))
    for name in names[10:20]:
        await after.remove(name, "orders")
    for name in names[20:]:
        await after.forget(name)
    kept = [each for part in range(64) for each in await after.of_part("orders", part)]
    assert sorted((each.connection_id, each.generation) for each in kept) == sorted((name, 4) for name in names[:10])


async def test_asking_at_once_does_not_pass_the_bound(world: World) -> None:
    """Twice as many as allowed, side by side: never more than allowed are kept."""
    if world.post is not None:
        world.post.twice = False

    async def ask(number: int) -> None:
        try:
            await world.store.put(replace(ONE, topic=f"t{number}", generation=number))
        except Rejected as error:
            refused.append(error.reason)

    refused: list[str] = []
    async with asyncio.TaskGroup() as group:
        for number in range(2 * MAX_SUBSCRIPTIONS):
            group.create_task(ask(number))
    kept = [number for number in range(2 * MAX_SUBSCRIPTIONS) if await world.store.of_topic(f"t{number}")]
    assert len(kept) <= MAX_SUBSCRIPTIONS
    assert len(kept) + len(refused) == 2 * MAX_SUBSCRIPTIONS
    assert set(refused) == {"too-many-subscriptions"}


async def test_a_write_that_broke_off_is_told(world: World) -> None:
    """A table that is away is Retryable, whatever was asked of it."""
    if world.post is None:
        pytest.skip("memory is never away")
    for call in (
        lambda: world.store.put(ONE),
        lambda: world.store.drop(ONE),
        lambda: world.store.forget("c1"),
        lambda: world.store.of_topic("orders"),
        lambda: world.store.remove("c1", "orders"),
    ):
        world.post.break_before = 1
        with pytest.raises(Retryable):
            await call()


async def test_more_than_a_page_is_read_whole(world: World) -> None:
    """A page has 1 MB: a thousand large filters are on several."""
    if world.post is None or world.post.twice:
        pytest.skip("one table is enough")
    many = tuple(
        replace(ONE, connection_id=f"c{number:04}", pattern='{"a":["' + "x" * 4000 + '"]}') for number in range(300)
    )
    for each in many:
        await world.post.call(None, "PutItem", {"TableName": SUBSCRIPTIONS, "Item": _item(each)})  # type: ignore[arg-type]
    before = len(world.post.calls)
    assert await world.store.of_topic("orders") == many
    assert len(world.post.calls) - before > 1


async def test_an_item_whose_columns_cannot_be_told_is_passed_over(world: World) -> None:
    """Else somebody would be shown whole records: nothing is made of it."""
    if world.post is None:
        pytest.skip("memory holds subscriptions only")
    await world.store.put(ONE)
    for columns in ({"S": "id"}, {"L": [{"S": "id"}, {"N": "1"}]}, None):
        item = _item(replace(ONE, connection_id="c2"))
        del item["columns"]
        if columns is not None:
            item["columns"] = columns
        await world.post.call(None, "PutItem", {"TableName": SUBSCRIPTIONS, "Item": item})  # type: ignore[arg-type]
        assert await world.store.of_topic("orders") == (ONE,)
    odd = {**_item(replace(ONE, connection_id="c2")), "viewer": {"L": []}}
    await world.post.call(None, "PutItem", {"TableName": SUBSCRIPTIONS, "Item": odd})  # type: ignore[arg-type]
    assert await world.store.of_topic("orders") == (ONE,)


async def test_an_item_from_before_views_is_nobodys(world: World) -> None:
    """It has no viewer: it sees what everyone may."""
    if world.post is None:
        pytest.skip("memory holds subscriptions only")
    item = _item(ONE)
    del item["viewer"]
    await world.post.call(None, "PutItem", {"TableName": SUBSCRIPTIONS, "Item": item})  # type: ignore[arg-type]
    assert await world.store.of_topic("orders") == (replace(ONE, viewer=""),)


def _item(each: Subscription) -> dict[str, dict[str, object]]:
    return {
        "connection_id": {"S": each.connection_id},
        "topic": {"S": each.topic},
        "generation": {"N": str(each.generation)},
        "pattern": {"S": each.pattern},
        "columns": {"L": [{"S": column} for column in each.columns]},
        "expires_s": {"N": str(each.expires_s)},
        "viewer": {"S": each.viewer},
    }
