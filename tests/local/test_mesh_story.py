"""The streaming mesh as one story: one stream of orders, three readers who may know different things of it.

Orders are put by a producer that is not told of some, and over HTTP by clients that repeat themselves. Meanwhile the
source's shard is split, and one of the two workers of analytics is killed. In the end each reader has exactly its
records. `ORDERS` says how many (10,000 where it is not set).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.wire import Wire
from tests.answer_clients import connect
from tests.local.conftest import start_cloud
from tests.local.mesh_story import orders as shop
from tests.local.mesh_story.orders import Stored
from tests.local.mesh_story.publishers import ForgetfulStream, Publishers
from tests.local.mesh_story.ticker import Ticker
from tests.local.mesh_story.workers import Workers
from tests.local.mesh_story.world import HALF, PATIENCE_S, World, write_template

pytestmark = pytest.mark.local

ORDERS = int(os.environ.get("ORDERS", "10000"))
SEED = 20261128
PROBES = ((0, -1), (HALF, -2))  # a hash key of each shard, and a customer who has no other orders
MASK_KEY = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mesh")
    template = str(write_template(folder))
    cloud = start_cloud(
        folder / "state", "--template", template, "--model", "scripted", "--parameter-overrides", f"MaskKey={MASK_KEY}"
    )
    try:
        yield World(cloud)
    finally:
        cloud.sluiceway("down")


@pytest.fixture
def workers(world: World, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(world, tmp_path)
    try:
        yield started
    finally:
        started.kill()


@asynccontextmanager
async def tickers(world: World, *asked: dict[str, Any]) -> AsyncGenerator[list[Ticker]]:
    """Connections that read from now on, each with its subscription."""
    token = world.cloud.token("somebody")
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(world.outputs["SocketUrl"], token)) for _ in asked]
        found = [Ticker(client) for client in clients]
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(each.read()) for each in found]
            for each, members in zip(found, asked, strict=True):
                await each.subscribe(PATIENCE_S, **members)
            yield found
            for task in reading:
                task.cancel()


async def find_shards(world: World, *found: Ticker) -> dict[str, int]:
    """Put an order into each shard, and again, until everyone has one; where each shard began to be heard."""
    orders = {str(at): shop.write_order(-1, customer, 0, region="nowhere", total=999) for at, customer in PROBES}
    entries = [
        {"Data": json.dumps(order).encode(), "PartitionKey": shop.key_of(order), "ExplicitHashKey": hash_key}
        for hash_key, order in orders.items()
    ]

    def hears_all(ticker: Ticker) -> bool:
        return len({shard for shard, _ in ticker.kept}) == len(entries)

    async with asyncio.timeout(PATIENCE_S):
        while not all(map(hears_all, found)):
            put = await asyncio.to_thread(world.kinesis.put_records, StreamName=world.source, Records=entries)
            assert put["FailedRecordCount"] == 0
            for each in found:
                with contextlib.suppress(TimeoutError):
                    await each.until(lambda each=each: hears_all(each), 2.0)
    first = [dict(reversed(each.kept)) for each in found]
    return {shard: max(each[shard] for each in first) for shard in first[0]}


def judge_source(
    stored: list[Stored], orders: list[dict[str, Any]], publishers: Publishers, untold: Counter[int]
) -> None:
    """Every order stands there as often as it was put, each where its receipt says, in the order of its key."""
    found = Counter(record.order["order"] for record in stored if record.order["order"] >= 0)
    assert found == Counter(order["order"] for order in orders) + untold
    assert publishers.told <= {record.place for record in stored}
    assert len(publishers.told) == len(orders)
    assert untold.total() > 0
    assert {record.shard[-1] for record in stored} == set("0123")
    for records in shop.order_by_key(record for record in stored if record.order["order"] >= 0).values():
        turns = [record.order["turn"] for record in records]
        assert turns == sorted(turns)  # what is put again is, before anything later of its key
        assert set(turns) == set(range(1, turns[-1] + 1))


def judge_fraud(messages: list[dict[str, Any]], stored: list[Stored]) -> None:
    """Each suspect record, the same whenever it came, and nothing else."""
    wanted = {
        record.id_for("fraud"): shop.for_fraud(record.order) for record in stored if shop.is_suspect(record.order)
    }
    found: dict[str, dict[str, Any]] = {}
    hashes: dict[str, set[str]] = {}
    for message in messages:
        body = json.loads(message["Body"])
        hashes.setdefault(body["customer"]["id"], set()).add(body["card"])
        found[message["MessageAttributes"]["message_id"]["StringValue"]] = {**body, "card": "hash"}
    assert found == wanted
    assert all(len(each) == 1 for each in hashes.values())
    assert len({one for each in hashes.values() for one in each}) == len(hashes)
    assert shop.SECRET not in json.dumps(messages)


def judge_analytics(lines: list[dict[str, Any]], stored: list[Stored]) -> dict[str, str]:
    """Each record, in the order of its customer where it came first; the token of each customer."""
    first: dict[str, dict[str, Any]] = {}
    keys: dict[str, str] = {}
    for line in lines:
        name = line["message"]["metadata"]["message_id"]
        assert first.setdefault(name, line["message"]) == line["message"]
        keys[name] = line["key"]
    tokens = {
        record.key: first[record.id_for("analytics")]["data"]["customer"]["id"]
        for record in stored
        if record.id_for("analytics") in first
    }
    assert {name: message["data"] for name, message in first.items()} == {
        record.id_for("analytics"): shop.for_analytics(record.order, tokens[record.key]) for record in stored
    }
    came: dict[str, list[str]] = {}
    for name in first:
        came.setdefault(keys[name], []).append(name)
    in_source = [[one.id_for("analytics") for one in records] for records in shop.order_by_key(stored).values()]
    assert sorted(came.values()) == sorted(in_source)
    assert len(set(tokens.values())) == len(tokens)
    assert all(token.startswith("tok_k1_") for token in tokens.values())
    said = json.dumps(lines)
    assert shop.SECRET not in said
    assert "customer-" not in said
    return tokens


def judge_ticker(
    ticker: Ticker, stored: list[Stored], tokens: dict[str, str], columns: Sequence[str]
) -> set[tuple[str, int]]:
    """Each record that it got, once and as everyone may see it; the places of those that it did not get."""
    wanted = {record.place: record for record in stored}
    assert set(ticker.kept) - wanted.keys() == set()
    assert len(ticker.kept) == len(set(ticker.kept))
    assert set(ticker.raw) == set(ticker.kept)  # what the protocol calls a repeat is one
    for shard in {shard for shard, _ in ticker.kept}:
        numbers = [number for at, number in ticker.kept if at == shard]
        assert numbers == sorted(numbers)
    emails = {wanted[place].key: record["customer"]["email"] for place, record in ticker.shown.items()}
    assert len(set(emails.values())) == len(emails)
    assert {place: wanted[place].order["order"] for place in ticker.shown} == {
        place: shown["order"] for place, shown in ticker.shown.items()
    }
    for place, shown in ticker.shown.items():
        record = wanted[place]
        full = shop.for_ticker(record.order, tokens[record.key], emails[record.key])
        assert shown == {name: value for name, value in full.items() if name in columns}
    said = "".join(ticker.texts)
    assert shop.SECRET not in said
    assert "customer-" not in said
    return wanted.keys() - ticker.shown.keys()


async def publish(world: World, publishers: Publishers, workers: Workers, orders: list[dict[str, Any]]) -> None:
    """In three parts: the split is during the second, the kill during the third."""
    third = len(orders) // 3
    await publishers.put(orders[:third])
    async with asyncio.TaskGroup() as group:
        group.create_task(world.split())
        group.create_task(publishers.put(orders[third : 2 * third]))
    async with asyncio.TaskGroup() as group:
        group.create_task(workers.kill_one())
        group.create_task(publishers.put(orders[2 * third :]))


async def test_three_readers_have_exactly_their_records(
    world: World, workers: Workers, record_property: Callable[[str, object], None]
) -> None:
    """After repeats, lost answers, a split and a kill: none is missing, none too many, and no column that is hidden."""
    orders = shop.make_orders(ORDERS, SEED)
    columns = [name for name in shop.SHOWN if name != "note"]
    large = {"pattern": shop.LARGE, "columns": columns}
    async with Wire.open(world.settings) as wire, tickers(world, {}, large) as (everything, some):
        await world.write_rules(wire)
        stream = ForgetfulStream(KinesisStream(wire, world.source), random.Random(SEED))
        publishers = Publishers(world, stream)
        since = await find_shards(world, everything, some)
        begun, begun_ms = time.monotonic(), time.time() * 1000
        await publish(world, publishers, workers, orders)
        put_s = time.monotonic() - begun
        stored = await world.read_source(wire)
        judge_source(stored, orders, publishers, stream.untold)
        over = [record for record in stored if record.order["total"] >= shop.ENOUGH]
        due, due_over = (
            [record.place for record in records if int(record.number) >= since.get(record.shard, 0)]
            for records in (stored, over)
        )
        await everything.cover(due, PATIENCE_S)
        await some.cover(due_over, PATIENCE_S)
        ticked_s = time.monotonic() - begun
        lines = await workers.wait_for({record.id_for("analytics") for record in stored})
        suspects = {record.id_for("fraud") for record in stored if shop.is_suspect(record.order)}
        messages = await world.drain(world.fraud, suspects)
    await workers.end()
    judge_fraud(messages, stored)
    tokens = judge_analytics(lines, stored)
    noted = {record.place for record in stored if "note" in record.order}
    assert judge_ticker(everything, stored, tokens, shop.SHOWN) & set(due) == noted
    assert judge_ticker(some, over, tokens, columns) & set(due_over) == set()
    letters = [world.outputs["FilterDeadLettersUrl"], world.outputs["BroadcastDeadLettersUrl"], world.letters]
    assert [await world.drain(url, set()) for url in letters] == [[], [], []]
    logs = world.read_logs()
    assert "filter.done" in logs
    assert "broadcast.done" in logs
    assert shop.SECRET not in logs
    for name, number in {
        "records": len(stored),
        "put_s": put_s,
        "filtered_s": (max(line["arrived_ms"] for line in lines) - begun_ms) / 1000,
        "analysed_s": max(line["at"] for line in lines) / 1e9 - begun,
        "ticked_s": ticked_s,
        "filtered_twice": len(messages) - len(suspects),
        "analysed_twice": len(lines) - len(stored),
    }.items():
        record_property(name, number)
        print(name, number)
