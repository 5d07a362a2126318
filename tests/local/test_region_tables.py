"""The home tier over real sockets: two Regions of a global table whose replication is cut, opened by their settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import pytest

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.links import Lag, Links
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.wire import Wire
from sluiceway.errors import NotHome
from sluiceway.idempotency import Fresh, Guard, InDoubt, Options, Replayed
from sluiceway.region.doubts import drain, list_doubts, note_unfinished, settle
from sluiceway.region.handover import found_group
from sluiceway.region.records import Records, open_records
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.terms import first_term
from tests.contract.idempotency_tables import DEFINITION, TABLE
from tests.contract.test_region_stores import REGIONS
from tests.unit.region_setup import next_term
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

A, B, C = "us-east-1", "us-east-2", "us-west-2"
CLOCK = SystemClock()
SETTINGS = {
    "IDEMPOTENCY_TABLE": TABLE,
    "IDEMPOTENCY_TIER": "home",
    "REGION_GROUP": "shop",
    "REGIONS": f"{A},{B}",
    "REGIONS_TABLE": "regions",
    "TERMS_TABLE": "terms",
    "TERMS_REGION": C,
}
STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
PAY: Guard[int] = Guard("pay", key="id", options=Options(lease_s=10, after_crash="doubt"))


class Now:
    """The machine's clock in milliseconds."""

    def now_ms(self) -> int:
        return round(CLOCK.time() * 1000)


class World(NamedTuple):
    links: Links
    at: dict[str, Records]

    async def home_moves(self) -> None:
        """The B of a hand-over a minute ago: its term has begun."""
        terms = self.at[A].terms
        first = await terms.get("shop")
        assert first is not None
        moved = next_term(first, B, now_ms=Now().now_ms() - 120_000, approval="test")
        assert await terms.replace(moved, seen=first)


@asynccontextmanager
async def two_regions() -> AsyncGenerator[World]:
    links = Links(rng=Random(1), lag=Lag(0.01))
    front = Front([DynamoService(CLOCK, links=links)], authorise=lambda *_: None, rng=Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url, AsyncExitStack() as stack:
        at: dict[str, Any] = {}
        wires = {
            region: await stack.enter_async_context(Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=region)))
            for region in (A, B, C)
        }
        await wires[A].call(DYNAMODB, "CreateTable", DEFINITION | STREAM)
        replica = [{"Create": {"RegionName": B}}]
        await wires[A].call(DYNAMODB, "UpdateTable", {"TableName": TABLE, "ReplicaUpdates": replica})
        await wires[C].call(DYNAMODB, "CreateTable", REGIONS | {"TableName": "terms"})
        for region in (A, B):
            await wires[region].call(DYNAMODB, "CreateTable", REGIONS)
            settings = environ(AWS_ENDPOINT_URL=url, **SETTINGS, AWS_REGION=region)
            at[region] = await stack.enter_async_context(open_records(settings, wires[region]))
        long_ago = Now().now_ms() - 900_000
        await found_group(at[A].terms, first_term("shop", A, now_ms=long_ago))
        yield World(links, at)


async def pay() -> int:
    return 7


async def run(world: World, region: str, key: str) -> Any:
    return await PAY.run({"id": key}, pay, store=world.at[region].store)


async def test_the_home_begins_and_its_end_is_told_where_it_has_arrived() -> None:
    """Until then the other Region sends the caller to the home."""
    async with two_regions() as world:
        world.links.cut(A, B)
        assert await run(world, A, "k") == Fresh(7)
        with pytest.raises(NotHome) as caught:
            await run(world, B, "k")
        assert caught.value.home == A
        world.links.heal_all()
        await world.links.drained()
        assert await run(world, B, "k") == Replayed(7)


async def test_after_a_hand_over_the_earlier_homes_own_table_is_asked() -> None:
    """Nothing was replicated: an end there is replayed, what was left there is fenced, what was not begun is begun."""
    async with two_regions() as world:
        world.links.cut(A, B)
        assert await run(world, A, "done") == Fresh(7)
        now_ms = Now().now_ms()
        left = IdempotencyRecord(PAY.key_of({"id": "left"}), Owner("killed"), now_ms // 1000 + 900, now_ms + 500)
        assert await world.at[A].store.claim(left, now_ms=now_ms, rerun=False) is None
        await world.home_moves()
        assert await run(world, B, "done") == Replayed(7)
        assert await run(world, B, "left") == InDoubt(left.key, "fenced")
        assert await run(world, B, "new") == Fresh(7)
        (doubt,) = [each async for each in list_doubts(world.at[B].doubts, B)]
        assert (doubt.key, doubt.why, doubt.home, doubt.epoch) == (left.key, "fenced", A, 1)
        await settle(world.at[B].doubts, doubt, verdict="not-done")
        assert await run(world, B, "left") == Fresh(7)
        world.links.heal_all()
        await world.links.drained()
        assert await run(world, B, "left") == Replayed(7)


async def test_replication_that_comes_late_undoes_nothing() -> None:
    """What the old home wrote arrives after the new one's result: both items stand, and the result is the new one's."""
    async with two_regions() as world:
        world.links.cut(A, B)
        world.links.cut(B, A)
        now_ms = Now().now_ms()
        left = IdempotencyRecord(PAY.key_of({"id": "k"}), Owner("killed"), now_ms // 1000 + 900, now_ms + 500)
        await world.at[A].store.claim(left, now_ms=now_ms, rerun=False)
        await world.home_moves()
        await run(world, B, "k")
        (doubt,) = [each async for each in list_doubts(world.at[B].doubts, B)]
        await settle(world.at[B].doubts, doubt, verdict="not-done")
        assert await run(world, B, "k") == Fresh(7)
        assert await world.at[A].store.write(left._replace(is_complete=True, data="8"))
        world.links.heal_all()
        await world.links.drained()
        assert await run(world, B, "k") == Replayed(7)
        for region in (A, B):
            page = await world.at[region].shelf().expired(now_ms + 10**9)
            assert sorted((each.key[-2:], each.data) for each in page.records) == [("@1", "8"), ("@2", "7")]


async def test_a_drain_finds_what_nobody_asked_for() -> None:
    """The earlier home's table is looked along from the new one; its end frees the list."""
    async with two_regions() as world:
        here, now_ms = world.at[B], Now().now_ms()
        left = IdempotencyRecord(PAY.key_of({"id": "k"}), Owner("killed"), now_ms // 1000 + 900, now_ms + 500)
        await world.at[A].store.claim(left, now_ms=now_ms, rerun=False)
        await world.home_moves()
        term = await here.terms.get("shop")
        assert term is not None
        later = _Later()
        assert await note_unfinished(here.shelf(A), here.doubts, term=term, region=B, clock=later) == 1
        assert (await drain(here.doubts, region=B, home=here.home, clock=later)).fenced == 1
        assert await world.at[A].store.write(left._replace(is_complete=True, data="8"))
        assert (await drain(here.doubts, region=B, home=here.home, clock=later)).done == 1
        assert [each async for each in list_doubts(here.doubts, B)] == []
        assert await run(world, B, "k") == Replayed(8)


class _Later(Now):
    """A second on: the lease of what was left is over."""

    def now_ms(self) -> int:
        return super().now_ms() + 1_000
