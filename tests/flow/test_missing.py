"""What a subscriber that missed something is told, and why posts are dropped: the rules of docs/subscriptions.md."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.errors import Gone, Rejected, Retryable, ServiceMisconfigured
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows import missing
from sluiceway.flows.missing import ALL, MAX_TOLD, TOLD_S, Losses
from sluiceway.flows.posting import POST_METRICS, Parcel, Posting, PostingDesk, PostTally
from sluiceway.ports import MAX_MESSAGE_BYTES, Subscription
from sluiceway.steps.metrics import _gathered, _gathered_of
from tests.fakes import EPOCH_MS, FixedChance, Trouble, unavailable
from tests.fan_out_world import FanOutWorld, make_record
from tests.flow.test_broadcast import EXPIRES_S, Forbidden, World, record

ODD = '{"order":[{"numeric":[">",100]}]}'


def play(scene: Callable[[World], Awaitable[None]]) -> tuple[World, Counter[str]]:
    """Run a scene on virtual time; what its metrics say of the topic's posts."""
    world, told = World(), Counter[str]()

    async def run() -> None:
        gathered: list[Any] = []
        token = _gathered_of.set(gathered)
        try:
            await scene(world)
        finally:
            _gathered_of.reset(token)
        for counts in gathered:
            assert counts.dimensions == {"topic": "orders"}
            told.update(counts.numbers)

    run_virtual(run)
    return world, told


def told(world: World, connection_id: str) -> list[tuple[str, str, int]]:
    """Shard, kind and number of each frame that a client got."""
    return [(frame["shard"], frame["t"], frame["n"]) for frame in world.messages(connection_id)]


def fail_next(world: World, connection_id: str, posts: int) -> None:
    world.line.troubles[connection_id] = Trouble()
    world.line.troubles[connection_id].next_before = posts


def elsewhere(number: int) -> KinesisRecord:
    return record(number)._replace(shard_id="shardId-1")


# ---------------------------------------------------------------- marks


def test_who_missed_the_last_message_is_told_with_the_environments_next_batch() -> None:
    """By a mark, whatever the batch is of and whether it wants anything of it; once, and nobody else. It says how far
    the numbers have come, and holds no record."""

    async def scene(world: World) -> None:
        await world.subscribe("slow", ODD)
        await world.subscribe("fast", ODD)
        await world.bring(record(101))
        fail_next(world, "slow", 3)
        await world.bring(record(102))
        await asyncio.sleep(2.1)
        await world.bring(elsewhere(1))
        await world.bring(elsewhere(2))

    world, posts = play(scene)
    assert told(world, "slow") == [("shardId-0", "records", 1), ("shardId-0", "mark", 2)]
    assert told(world, "fast") == [("shardId-0", "records", 1), ("shardId-0", "records", 2)]
    assert world.messages("slow")[1] == {
        "v": 2, "topic": "orders", "shard": "shardId-0", "epoch": world.desk.numbering.epoch, "n": 2, "t": "mark",
        "d": [],
    }  # fmt: skip
    assert len(world.desk.marks) == 0
    assert posts == {"PostsDroppedThrottled": 1}


def test_who_has_a_later_message_of_the_shard_needs_no_mark() -> None:
    """Its number tells; a mark of another shard comes before it."""

    async def scene(world: World) -> None:
        await world.subscribe("slow")
        for make in (record, elsewhere):
            fail_next(world, "slow", 3)
            await world.bring(make(1))
            await asyncio.sleep(4.1)
        fail_next(world, "slow", 3)
        await world.bring(record(2))
        await asyncio.sleep(8.1)
        await world.bring(record(3))
        await world.bring(record(4), elsewhere(5)._replace(shard_id="shardId-0"))

    world, _ = play(scene)
    assert told(world, "slow") == [
        ("shardId-1", "mark", 1),
        ("shardId-0", "records", 3),
        ("shardId-0", "records", 4),
    ]


def test_a_mark_that_is_not_taken_stays_owed() -> None:
    """While its client rests, and after it was tried."""

    async def scene(world: World) -> None:
        await world.subscribe("slow", ODD)
        fail_next(world, "slow", 6)
        await world.bring(record(101))
        await world.bring(record(1))
        assert len(world.desk.marks) == 1
        await asyncio.sleep(2.1)
        await world.bring(record(2))
        assert (len(world.desk.marks), told(world, "slow")) == (1, [])
        await asyncio.sleep(4.1)
        await world.bring(record(3))

    world, posts = play(scene)
    assert told(world, "slow") == [("shardId-0", "mark", 1)]
    assert posts == {"PostsDroppedThrottled": 2, "PostsDroppedResting": 1}


@pytest.mark.parametrize("how", ["left", "subscribed anew", "gone", "over"])
def test_who_is_not_there_any_more_is_owed_nothing(how: str) -> None:
    """It left, or began anew, or its connection is gone or over: no mark, and it is forgotten."""

    async def scene(world: World) -> None:
        await world.subscribe("c1", ODD)
        await world.subscribe("other")
        fail_next(world, "c1", 3)
        await world.bring(record(101))
        assert len(world.desk.marks) == 1
        if how == "left":
            await world.store.remove("c1", "orders")
        elif how == "subscribed anew":
            await world.store.put(Subscription("c1", "orders", 2, ODD, (), EXPIRES_S))
        elif how == "gone":
            world.line.open.discard("c1")
        else:
            await asyncio.sleep(EXPIRES_S - EPOCH_MS / 1000)
        await asyncio.sleep(2.1)
        await world.bring(record(1))
        await asyncio.sleep(2.1)
        await world.bring(record(2))
        assert len(world.desk.marks) == 0

    world, _ = play(scene)
    assert world.line.inboxes.get("c1", []) == []


def test_a_record_larger_than_a_message_is_missed_at_once_where_it_is_the_last() -> None:
    """By a mark; where another message follows, its number tells."""
    large = {"order": 1, "text": "x" * MAX_MESSAGE_BYTES}

    async def scene(world: World) -> None:
        await world.subscribe("all")
        await world.bring(record(1), record(2, large))
        await world.bring(record(3, large), record(4))

    world, _ = play(scene)
    assert [(kind, number) for _, kind, number in told(world, "all")] == [("records", 1), ("mark", 2), ("records", 4)]


def test_marks_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes, and is counted: that one may never know."""
    monkeypatch.setattr(missing, "MAX_MARKED", 2)

    async def scene(world: World) -> None:
        for number in range(5):
            await world.subscribe(f"c{number}", ODD)
            fail_next(world, f"c{number}", 3)
        await world.bring(record(101))
        await asyncio.sleep(2.1)
        await world.bring(record(1))

    world, _ = play(scene)
    assert [len(told(world, f"c{number}")) for number in range(5)] == [0, 0, 0, 1, 1]
    assert world.counted["MarksForgotten"] == 3


# ---------------------------------------------------------------- parts and batches


def test_a_batch_that_was_given_up_is_seen_with_the_next_one() -> None:
    """The first batch beyond one that failed here leaves out a number; the same one again does not."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        await world.bring(record(1))
        for number in (2, 4):
            await asyncio.sleep(2.1)
            world.store.trouble.next_before = 1
            with pytest.raises(Retryable):
                await world.bring(record(number), record(number + 1))
            if number == 4:
                await world.bring(record(4))
                await world.bring(record(5))
        await world.bring(record(6))

    world, _ = play(scene)
    assert (world.orders("c1"), world.numbers("c1")) == ([1, 4, 5, 6], [1, 3, 4, 5])


def test_a_part_that_was_lost_is_seen_with_its_next_message() -> None:
    """Whichever environment serves it; those of other parts see nothing."""

    class Losing:
        def __init__(self, world: FanOutWorld) -> None:
            self.world = world
            self.orders: list[PartOrder] = []

        async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
            self.orders.append(order)
            if order.records[0].sequence_number == "2" and order.part == 1:
                raise Retryable("the worker broke off")
            return await self.world.workers.serve(order, deadline=deadline)

    async def run() -> None:
        world = FanOutWorld(1, parts=4, most=10)
        for number in range(40):
            world.subscribe(number)
        losing = Losing(world)
        desk = world.make_desk(losing)
        for number in (1, 2, 3, 4):
            await world.bring(desk, make_record(number))
        assert {(order.part, order.lost) for order in losing.orders if order.lost} == {(1, ("2",))}
        seqs = {name: client.seqs["shardId-0"] for name, client in world.clients().items()}
        of_part = {name for name, had in seqs.items() if had == [1, 3, 4]}
        assert {name for name, client in world.clients().items() if client.sees_gap} == of_part
        assert 0 < len(of_part) < 40

    run_virtual(run)


def test_losses_are_told_for_as_long_as_a_connection_lives() -> None:
    """By topic, shard and part, the newest eight; a batch that was given up is every part's."""
    losses = Losses()
    for number in range(1, 11):
        losses.note("t", 3, [make_record(number, "s")], now=float(number))
    assert losses.find("t", "s", 3, now=10.0) == ("3", "4", "5", "6", "7", "8", "9", "10")
    assert losses.find("t", "s", 2, now=10.0) == losses.find("t", "other", 3, now=10.0) == ()
    losses.end("t", [make_record(20, "s")], is_served=False)
    losses.begin("t", [make_record(21, "s")], now=30.0)
    assert losses.find("t", "s", 2, now=30.0) == ("20",)
    assert losses.find("t", "s", ALL, now=30.0)[-2:] == ("10", "20")
    assert losses.find("t", "s", 3, now=10.0 + TOLD_S) == ("20",)
    assert len(losses.find("t", "s", ALL, now=30.0)) == MAX_TOLD
    assert losses.find("t", "s", ALL, now=30.0 + TOLD_S) == ()


# ---------------------------------------------------------------- why posts are dropped


@pytest.mark.parametrize(
    ("refusal", "timeout_s", "reason"),
    [
        (unavailable("post"), 30.0, "throttled"),
        (Retryable("silent"), 30.0, "unanswered"),
        (Rejected("bad", reason="execute-api-BadRequest"), 30.0, "refused"),
        (None, 5.0, "deadline"),
        ("forbidden", 30.0, "misconfigured"),
    ],
)
def test_each_reason_for_a_drop_is_told_by_its_name(refusal: Any, timeout_s: float, reason: str) -> None:
    """With the topic as dimension; the message and what is behind it, two here."""
    big = [record(number, {"order": number, "text": "x" * 20_000}) for number in range(2)]

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        if refusal == "forbidden":
            world.desk = replace(world.desk, posting=replace(world.desk.posting, connections=Forbidden(world.line)))
        elif refusal is None:
            world.line.slow_s["c1"] = 60.0
        else:
            world.line.troubles["c1"] = Trouble()
            world.line.troubles["c1"].refusal = refusal
        await world.bring(*big, timeout_s=timeout_s)

    _, posts = play(scene)
    assert posts == {POST_METRICS[reason]: 2}


class Rough:
    """A gateway that answers as it is drawn, a moment later."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.taken = 0

    async def post(self, connection_id: str, data: bytes) -> None:
        await asyncio.sleep(0.1 * self.rng.random())
        match self.rng.randrange(12):
            case 0 | 1:
                raise unavailable("post")
            case 2:
                await asyncio.sleep(5)
                raise Retryable("silent")
            case 3:
                raise Gone("gone")
            case 4:
                raise Rejected("bad", reason="execute-api-BadRequest")
            case 5 if self.rng.random() < 0.05:
                raise ServiceMisconfigured("no", service="execute-api", operation="PostToConnection", code="Forbidden")
            case _:
                self.taken += 1

    async def disconnect(self, connection_id: str) -> None:
        await self.post(connection_id, b"")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.integers(1, 4), max_size=60), st.sampled_from([0.0, 0.4, 3.0, 60.0]))
def test_messages_are_what_was_posted_dropped_and_unwanted(seed: int, sizes: Sequence[int], time_s: float) -> None:
    """Exactly, whatever the gateway answers and whenever the call ends, over three calls whose connections rest and go;
    and of what is missed the places add up to what was dropped."""
    rng = random.Random(seed)

    async def run() -> None:
        world = World()
        gateway = Rough(rng)
        desk = PostingDesk(gateway, world.subscribers, FixedChance())
        now_s = EPOCH_MS // 1000
        parcels = [
            Parcel(
                Subscription(f"c{at}", "orders", 1, "", (), now_s + rng.choice([1, 2, 7200])),
                tuple(b"%d" % number for number in range(size)),
            )
            for at, size in enumerate(sizes)
        ]
        for _ in range(3):
            tally, before = PostTally(), gateway.taken
            token = _gathered.set([])
            await Posting(desk, tally, stop_at=asyncio.get_running_loop().time() + time_s).run(parcels)
            _gathered.reset(token)
            assert tally.due == sum(sizes)
            assert tally.due == tally.posted + tally.unwanted + tally.dropped
            assert tally.posted <= gateway.taken - before
            assert sum(len(parcel.messages) - at for parcel, at in tally.missed) == tally.dropped
            names = [parcel.subscription.connection_id for parcel, _ in tally.missed]
            assert len(names) == len(set(names))
            assert tally.drops.keys() <= POST_METRICS.keys()
            await asyncio.sleep(rng.random() * 3)

    run_virtual(run)


def test_the_page_has_every_reason_and_bound() -> None:
    """The reasons and their metrics, how many connections are owed marks, how long losses are told and how many."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "subscriptions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(PostsDropped\w+)`", page)) == set(POST_METRICS.values())
    assert all(f"`{reason}`" in page for reason in POST_METRICS)
    assert f"more than {missing.MAX_MARKED:,} connections of a topic are owed marks" in page
    assert TOLD_S == (2 * 60 + 10) * 60
    assert "for two hours and ten minutes" in page
    assert (MAX_TOLD, "the last eight" in page) == (8, True)
