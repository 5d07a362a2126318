"""The contract of LeaseStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest
from moto import mock_aws

from sluiceway.aws.leases import DynamoDbLeaseStore
from sluiceway.errors import Retryable
from sluiceway.flows.consume import MemoryLeaseStore
from sluiceway.ports.consuming import LeaseStore
from sluiceway.rules.consuming.leases import Lease, ask, finish, hand_over, renew, take
from sluiceway.rules.consuming.spans import SHARD_END, Checkpoint, Span
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables

TABLE = "leases"
DEFINITION: dict[str, Any] = {
    "TableName": TABLE,
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}
NEW = Lease("shardId-000000000007", ("shardId-000000000001", "shardId-000000000002"))
NUMBER = "49682118769426125413943333555063375736686560644649975810"
MINE = take(NEW, "mine")


@dataclass
class World:
    """One implementation, another namespace of it, and the post to the table (None for memory)."""

    store: LeaseStore
    other: LeaseStore
    post: Post | None


def worlds(kind: str) -> Iterator[World]:
    kind, _, twice = kind.partition(", ")
    with mock_aws() if kind == "moto" else nullcontext():
        if kind == "memory":
            yield World(MemoryLeaseStore(), MemoryLeaseStore(), None)
            return
        send = local_tables([DEFINITION]) if kind == "local" else moto_tables(make_moto([DEFINITION]))
        post = Post(send, twice=bool(twice))
        stores = [DynamoDbLeaseStore(post, TABLE, namespace=name) for name in ("orders", "orders/replay")]
        yield World(*stores, post)


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


@pytest.fixture(params=["local", "moto"])
def table(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


@pytest.fixture
def store(world: World) -> LeaseStore:
    return world.store


async def test_a_lease_is_read_back_whole(store: LeaseStore) -> None:
    """Every member through every change of its life, as it was written."""
    assert await store.list() == ()
    await store.create(NEW)
    assert await store.list() == (NEW,)
    lease = NEW
    for later in (
        MINE,
        inside := renew(MINE, Checkpoint(NUMBER, 3)),
        whole := renew(inside, Checkpoint(NUMBER)),
        wished := ask(whole, "yours"),
        moved := hand_over(wished, Checkpoint(NUMBER)),
        finish(moved),
    ):
        assert await store.write(later, seen=lease) == later
        assert await store.list() == (later,)
        lease = later
    assert (lease.checkpoint, lease.owner, lease.parents) == (SHARD_END, "", NEW.parents)


async def test_a_shard_has_one_lease(store: LeaseStore) -> None:
    """Whoever comes second does not overwrite it."""
    await store.create(NEW)
    await store.write(MINE, seen=NEW)
    assert not await store.create(NEW)
    assert await store.list() == (MINE,)


async def test_of_two_that_take_a_lease_one_has_it(store: LeaseStore) -> None:
    """The other is told who."""
    await store.create(NEW)
    assert await store.write(MINE, seen=NEW) == MINE
    assert await store.write(take(NEW, "yours"), seen=NEW) == MINE
    assert await store.list() == (MINE,)


async def test_a_worker_that_lost_its_lease_writes_no_checkpoint(store: LeaseStore) -> None:
    """The fence: neither owner nor counter is what it saw; not even where it is handed the lease back later."""
    await store.create(NEW)
    await store.write(MINE, seen=NEW)
    yours = take(MINE, "yours")
    await store.write(yours, seen=MINE)
    late = renew(MINE, Checkpoint(NUMBER))
    assert await store.write(late, seen=MINE) == yours
    again = take(yours, "mine")
    await store.write(again, seen=yours)
    assert await store.write(late, seen=MINE) == again
    assert await store.list() == (again,)


async def test_the_same_counter_of_another_owner_is_another_state(store: LeaseStore) -> None:
    """Both are compared."""
    await store.create(NEW)
    yours = take(NEW, "yours")
    await store.write(yours, seen=NEW)
    assert await store.write(renew(MINE, Checkpoint(NUMBER)), seen=MINE) == yours


async def test_a_lease_that_is_gone_is_none(store: LeaseStore) -> None:
    """A write makes none."""
    assert await store.write(MINE, seen=NEW) is None
    assert await store.list() == ()


async def test_a_lease_is_deleted_as_it_was_seen(store: LeaseStore) -> None:
    """One that changed since stays; one that is gone is gone."""
    await store.create(NEW)
    await store.write(MINE, seen=NEW)
    await store.delete(NEW)
    assert await store.list() == (MINE,)
    await store.delete(MINE)
    await store.delete(MINE)
    assert await store.list() == ()


async def test_the_first_span_of_a_namespace_holds(world: World) -> None:
    """All its members; another namespace has its own, and its own leases, though its name begins alike."""
    first = Span(
        "AFTER_SEQUENCE_NUMBER", after={"shardId-1": NUMBER}, until_ms=1_800_000_000_123, last={"shardId-1": NUMBER}
    )
    assert await world.store.begin(first) == first
    assert await world.store.begin(Span()) == first
    second = Span("AT_TIMESTAMP", at_ms=1_800_000_000_123)
    assert await world.other.begin(second) == second
    assert await world.other.begin(first) == second
    await world.store.create(NEW)
    assert await world.other.list() == ()
    await world.other.create(MINE)
    assert (await world.store.list(), await world.other.list()) == ((NEW,), (MINE,))


async def test_leases_are_listed_by_shard(store: LeaseStore) -> None:
    """Whatever the order in which they were written."""
    leases = [replace(NEW, shard_id=f"shardId-{number:012d}") for number in (5, 1, 9, 3)]
    for lease in leases:
        await store.create(lease)
    assert [lease.shard_id[-1] for lease in await store.list()] == ["1", "3", "5", "9"]


async def test_more_than_a_page_of_leases_is_listed(table: World) -> None:
    """A scan stops after a megabyte, and goes on."""
    parents = ("p" * 100_000, "q" * 100_000)
    leases = [replace(NEW, shard_id=f"shardId-{number:012d}", parents=parents) for number in range(12)]
    for lease in leases:
        await table.store.create(lease)
    assert await table.store.list() == tuple(leases)
    assert table.post is not None
    assert [operation for operation, _ in table.post.calls].count("Scan") > 1


async def test_an_answer_that_was_lost_is_found_again(table: World) -> None:
    """The write was done: asked again, the store says that it is there."""
    assert table.post is not None
    await table.store.create(NEW)
    table.post.lose_after = 1
    with pytest.raises(Retryable):
        await table.store.write(MINE, seen=NEW)
    assert await table.store.write(MINE, seen=NEW) == MINE


async def test_a_copy_that_comes_late_changes_nothing(table: World) -> None:
    """A request that was under way for long is refused like its sender would be."""
    assert table.post is not None
    await table.store.create(NEW)
    await table.store.write(MINE, seen=NEW)
    sent = table.post.calls[-1]
    later = renew(MINE, Checkpoint(NUMBER))
    await table.store.write(later, seen=MINE)
    await table.post.deliver_again(*sent)
    assert await table.store.list() == (later,)


@pytest.mark.parametrize("namespace", ["", "a#b"])
def test_a_namespace_is_a_name(namespace: str) -> None:
    """With the separator in it, leases of two namespaces could not be told apart."""
    with pytest.raises(ValueError, match="namespace"):
        DynamoDbLeaseStore(Post(local_tables([])), TABLE, namespace=namespace)
