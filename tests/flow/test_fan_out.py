"""A topic's subscribers in parts, each served by a worker, and its channel; each rule of docs/subscriptions.md once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable, SluicewayError
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.flows import parting
from sluiceway.flows.broadcast import broadcast_records
from sluiceway.flows.channels import ChannelDesk, TopicChannel
from sluiceway.ports.channels import FailedEvent, Publication
from sluiceway.rules.access import AccessRules, Viewer
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.topics import part_of
from sluiceway.steps.metrics import _gathered
from tests.fakes import EPOCH_MS, FixedChance, unavailable
from tests.fan_out_world import FanOutWorld, make_record


def play(scene: Callable[[FanOutWorld], Awaitable[None]], *, parts: int = 4, most: int = 10) -> dict[str, float]:
    """Run a scene on virtual time; the metrics that were counted."""
    counted: dict[str, float] = {}

    async def run() -> None:
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        try:
            await scene(FanOutWorld(1, parts=parts, most=most))
        finally:
            _gathered.reset(token)
        for name, value, _ in gathered:
            counted[name] = counted.get(name, 0) + value

    run_virtual(run)
    return counted


def had(world: FanOutWorld) -> dict[str, list[int]]:
    """What each client has of the first shard."""
    return {name: client.seqs["shardId-0"] for name, client in world.clients().items()}


# ---------------------------------------------------------------- who serves


def test_a_crowd_is_served_by_workers_until_it_is_half_as_large() -> None:
    """Ten are served here, eleven by a worker for each part, and so are six of them; five are served here again."""

    async def scene(world: FanOutWorld) -> None:
        desk = world.make_desk(world.workers)
        begun: list[int] = []
        for last in (10, 11, 6, 5, 10):
            for number in range(12):
                world.store.kept.pop((f"c{number:06}", "orders"), None)
            for number in range(last):
                world.subscribe(number)
            await asyncio.sleep(2.1)
            before = world.workers.begun
            await world.bring(desk, make_record(len(begun) + 1))
            begun.append(world.workers.begun - before)
        # with six the workers said so, with five too: the batch after that is served here
        assert begun == [0, 4, 4, 4, 0]
        assert had(world)["c000000"] == [1, 2, 3, 4, 5]
        assert had(world)["c000009"] == [1, 2, 5]

    assert play(scene)["MessagesPosted"] == 10 + 11 + 6 + 5 + 10


def test_a_worker_reads_its_own_part() -> None:
    """Each connection is posted to once, by the worker of the part that its id says."""

    async def scene(world: FanOutWorld) -> None:
        names = [world.subscribe(number) for number in range(40)]
        record = make_record(1)
        for part in range(4):
            order = PartOrder("orders", part, EPOCH_MS + 60_000, (record,))
            report = await world.workers.serve(order, deadline=60.0)
            its_own = {name for name in names if part_of(name, 4) == part}
            assert its_own
            assert report == PartReport(subscribers=len(its_own), posted=len(its_own))
            assert its_own <= world.gateway.inboxes.keys()
        assert had(world) == {name: [1] for name in names}

    play(scene)


def test_the_next_batch_waits_for_every_worker() -> None:
    """One slow client delays its shard, and nothing of the next batch comes before the last of this one."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        world.gateway.full = {"c000007"}
        desk = world.make_desk(world.workers)

        async def read_slowly() -> None:
            await asyncio.sleep(0.8)
            world.gateway.full = set()

        async with asyncio.TaskGroup() as group:
            group.create_task(read_slowly())
            await world.bring(desk, make_record(1), make_record(2))
            assert asyncio.get_running_loop().time() > 0.8
            assert set(map(len, had(world).values())) == {2}
            await world.bring(desk, make_record(3))
        assert set(map(tuple, had(world).values())) == {(1, 2, 3)}
        assert len(had(world)) == 40

    assert "MessagesDropped" not in play(scene)


# ---------------------------------------------------------------- workers that fail


def test_a_worker_that_has_not_begun_is_ordered_again() -> None:
    """Throttled or its part not readable: again and again until its time is over; everyone has the batch once."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        desk = world.make_desk(world.workers)
        world.workers.refused = 0.7
        await world.bring(desk, make_record(1))
        await asyncio.sleep(2.1)
        world.store.trouble.next_before = 3
        await world.bring(desk, make_record(2))
        assert set(map(tuple, had(world).values())) == {(1, 2)}
        assert len(had(world)) == 40

    assert "PartsDropped" not in play(scene)


def test_where_no_part_has_begun_the_batch_comes_again() -> None:
    """Nobody has had anything: that is said, within the invocation."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        desk = world.make_desk(world.workers)
        world.workers.refused = 1.0
        with pytest.raises(Retryable):
            await world.bring(desk, make_record(1), timeout_s=10)
        assert asyncio.get_running_loop().time() <= 9.5
        assert world.gateway.posts == 0
        world.workers.refused = 0.0
        await world.bring(desk, make_record(1))
        assert len(had(world)) == 40

    play(scene)


def test_a_worker_whose_answer_is_lost_is_not_asked_again() -> None:
    """It may have posted: the part counts as dropped, and nobody has a record twice."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        desk = world.make_desk(world.workers)
        world.workers.lost = 1.0
        await world.bring(desk, make_record(1), timeout_s=10)
        assert world.workers.begun == 4
        assert asyncio.get_running_loop().time() == pytest.approx(9.5)
        world.workers.lost = 0.0
        await world.bring(desk, make_record(2))
        assert set(map(tuple, had(world).values())) == {(1, 2)}
        assert [client.twice for client in world.clients().values()] == [0] * 40

    assert play(scene)["PartsDropped"] == 4


def test_a_deployment_that_may_not_invoke_itself_fails_the_batch() -> None:
    """No worker has begun, for certain; it is told at once, not at the deadline."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)

        class Refused:
            async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
                raise Misconfigured("no permission", what="lambda:Invoke")

        desk = world.make_desk(Refused())
        with pytest.raises(Retryable):
            await world.bring(desk, make_record(1))
        assert asyncio.get_running_loop().time() == 0

    play(scene)


def test_an_order_that_comes_too_late_posts_nothing() -> None:
    """Its end has passed, or passes while clients are posted to: the shard's next batch may be on its way."""

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        environment = world.make_desk(None)
        await asyncio.sleep(10)
        late = PartOrder("orders", 0, EPOCH_MS + 10_000, (make_record(1),))
        reply = await broadcast_records(late, world.call(30), environment)
        assert isinstance(reply, PartReport)
        assert (reply.posted, world.gateway.inboxes) == (0, {})
        in_time = late._replace(until_ms=EPOCH_MS + 12_000)
        world.gateway.silent = set(world.gateway.open)
        began = asyncio.get_running_loop().time()
        reply = await broadcast_records(in_time, world.call(30), environment)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
        assert isinstance(reply, PartReport)
        assert (reply.posted, reply.dropped) == (0, reply.subscribers)

    play(scene)


def test_an_order_ends_before_whoever_gave_it() -> None:
    """A second for two clocks and the answer; of a short invocation a tenth."""
    given: list[tuple[float, float]] = []

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)

        class Noting:
            async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
                given.append(((order.until_ms - EPOCH_MS) / 1000, deadline))
                return PartReport(subscribers=10)

        for timeout_s in (30.0, 5.0):
            await world.bring(world.make_desk(Noting()), make_record(1), timeout_s=timeout_s)

    play(scene)
    assert given[::4] == [(28.5, 29.5), (4.05, 4.5)]


def test_a_batch_larger_than_an_order_goes_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in order; what cannot be read is counted once, whatever the number of parts."""
    monkeypatch.setattr(parting, "MAX_ORDER_BYTES", 3_000)
    aggregate = make_record(5)._replace(fault=Rejected("no", reason="malformed-aggregate"))

    async def scene(world: FanOutWorld) -> None:
        for number in range(40):
            world.subscribe(number)
        records = [make_record(number, data=json.dumps({"n": number, "x": "y" * 500}).encode()) for number in range(10)]
        records[4:6] = [make_record(4, data=b"no JSON"), aggregate]
        await world.bring(world.make_desk(world.workers), *records)
        assert world.workers.begun == 3 * 4
        assert set(map(tuple, had(world).values())) == {(0, 1, 2, 3, 6, 7, 8, 9)}

    assert play(scene)["RecordsSkipped"] == 2


# ---------------------------------------------------------------- channels


class Channel:
    """An Event API's channels: what was published, and what each request is answered, the last answer for ever."""

    def __init__(self, *answers: Publication | SluicewayError) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, int]] = []
        self.events: list[str] = []

    async def publish(self, channel: str, events: Sequence[str], *, deadline: float | None = None) -> Publication:
        self.requests.append((channel, len(events)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, SluicewayError):
            raise answer
        self.events += events[: len(events) - answer.unsent]
        return answer


def channelled(world: FanOutWorld, channel: Channel, access: AccessRules) -> ChannelDesk:
    names = {"orders": TopicChannel(channel, "/orders/live", Viewer(("public",)))}
    return ChannelDesk(names, access, Numbering(world.rng.random), FixedChance())


def test_a_topic_is_published_to_its_channel_as_its_viewer_sees_it() -> None:
    """Whether connections are served here or by workers, or there are none: once a batch, in numbered frames."""
    channel = Channel(Publication())
    access = AccessRules({"orders": [{"allow": ["public"], "columns": ["order"]}]}, "ACCESS")

    async def scene(world: FanOutWorld) -> None:
        world.channels = channelled(world, channel, access)
        desk = world.make_desk(world.workers)
        await world.bring(desk, make_record(1), make_record(2, data=b"no JSON"), make_record(3))
        for number in range(40):
            world.subscribe(number)
        await asyncio.sleep(2.1)
        await world.bring(desk, make_record(4))
        assert world.workers.begun == 4

    counted = play(scene)
    frames = [json.loads(event) for event in channel.events]
    assert [(frame["n"], frame["d"]) for frame in frames] == [
        (1, [{"seq": "1", "d": {"order": 1}}, {"seq": "3", "d": {"order": 3}}]),
        (2, [{"seq": "4", "d": {"order": 4}}]),
    ]
    assert {name for name, _ in channel.requests} == {"/orders/live"}
    assert counted["ChannelEventsPublished"] == 2
    assert counted["RecordsSkipped"] == 1


def test_a_channel_whose_viewer_may_not_read_the_topic_gets_nothing() -> None:
    """Deny by default holds there as well."""
    channel = Channel(Publication())

    async def scene(world: FanOutWorld) -> None:
        world.channels = channelled(world, channel, AccessRules({"orders": [{"allow": ["staff"]}]}, "ACCESS"))
        await world.bring(world.make_desk(None), make_record(1))

    play(scene)
    assert channel.requests == []


BIG = [make_record(number, data=json.dumps({"order": number, "x": "y" * 30_000}).encode()) for number in range(6)]


@pytest.mark.parametrize(
    ("answers", "requests", "counted"),
    [
        ([Publication()], [6], {"ChannelEventsPublished": 6}),
        (
            [Publication((FailedEvent(1, "handler"),))],
            [6],
            {"ChannelEventsPublished": 5, "ChannelEventsFailed": 1},
        ),
        (
            [Publication((FailedEvent(0, "no"),), unsent=1, error=unavailable("publish")), Publication()],
            [6, 1],
            {"ChannelEventsPublished": 5, "ChannelEventsFailed": 1},
        ),
        ([unavailable("publish"), Publication()], [6, 6], {"ChannelEventsPublished": 6}),
        ([unavailable("publish")], [6, 6, 6], {"ChannelEventsFailed": 6}),
        ([Misconfigured("no", what="appsync")], [6], {"ChannelEventsFailed": 6}),
        ([Rejected("no", reason="invalid-channel")], [6], {"ChannelEventsFailed": 6}),
        (
            [Publication(unsent=4, error=Rejected("no", reason="x"))],
            [6],
            {"ChannelEventsPublished": 2, "ChannelEventsFailed": 4},
        ),
    ],
)
def test_what_a_channel_does_not_take(
    answers: list[Publication | SluicewayError], requests: list[int], counted: dict[str, float]
) -> None:
    """What was not taken is sent again, from there on, where that can help; a refused event is not. No batch fails."""
    channel = Channel(*answers)

    async def scene(world: FanOutWorld) -> None:
        world.channels = channelled(world, channel, AccessRules({"orders": "public"}, "ACCESS"))
        await world.bring(world.make_desk(None), *BIG)

    assert play(scene) == counted
    assert [number for _, number in channel.requests] == requests


def test_a_channel_is_not_waited_for_beyond_the_invocation() -> None:
    """A pause that would end after it is not begun."""
    channel = Channel(Retryable("throttled", after_s=20))

    async def scene(world: FanOutWorld) -> None:
        world.channels = channelled(world, channel, AccessRules({"orders": "public"}, "ACCESS"))
        await world.bring(world.make_desk(None), make_record(1), timeout_s=10)
        assert asyncio.get_running_loop().time() == 0

    assert play(scene) == {"ChannelEventsFailed": 1}
