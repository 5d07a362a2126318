"""Topics: subscribed over the socket, broadcast from a stream; each rule of docs/subscriptions.md once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.codec import kinesis
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceMisconfigured
from sluiceway.events.fan_out import PartReport
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.socket import SocketEvent
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.broadcast import BroadcastDesk, broadcast_records
from sluiceway.flows.posting import PostingDesk
from sluiceway.flows.stream.socket import serve_socket
from sluiceway.flows.subscribers import SubscriberCache
from sluiceway.ports import MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS, Subscription
from sluiceway.rules.access import NOBODY, AccessRules, Viewer, read_viewer
from sluiceway.rules.masking import MaskKey
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.views import TopicView
from sluiceway.steps.metrics import _gathered
from tests.fakes import EPOCH_MS, FixedChance, LoopClockMs, Trouble, unavailable
from tests.fakes_streaming import MemoryConnections, MemorySubscriptionStore
from tests.streaming_world import StreamWorld

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/Orders"
LARGE = '{"total":[{"numeric":[">=",100]}]}'
KEY = MaskKey("k1", bytes(32))
EXPIRES_S = EPOCH_MS // 1000 + 3600
EVENTS = Path(__file__).parents[2] / "events" / "broadcast_records"


def record(number: int, data: object = None) -> KinesisRecord:
    """A record of the shard; without `data` an order of that number."""
    body = {"order": number, "total": 10 * number, "customer": {"name": "Ann"}} if data is None else data
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return KinesisRecord(str(1000 + number), "ann", encoded, EPOCH_MS, "shardId-0", STREAM)


@dataclass
class World:
    """A stream's function over ports in memory."""

    store: MemorySubscriptionStore = field(default_factory=MemorySubscriptionStore)
    line: MemoryConnections = field(default_factory=MemoryConnections)
    access: Mapping[str, object] = field(default_factory=lambda: {"orders": "public"})

    def __post_init__(self) -> None:
        self.subscribers = SubscriberCache(self.store, LoopClockMs(), AccessRules(self.access, "ACCESS", key=KEY))
        self.desk = BroadcastDesk(
            self.subscribers,
            PostingDesk(self.line, self.subscribers, FixedChance()),
            {"Orders": "orders"},
            Numbering(FixedChance().draw),
        )
        self.counted: dict[str, float] = {}

    async def subscribe(
        self, connection_id: str, pattern: str = "", *columns: str, generation: int = 1, viewer: Viewer = NOBODY
    ) -> None:
        self.line.connect(connection_id)
        await self.store.put(
            Subscription(connection_id, "orders", generation, pattern, columns, EXPIRES_S, viewer=viewer.name)
        )

    async def bring(self, *records: KinesisRecord, timeout_s: float = 30.0) -> BatchReport | PartReport:
        """One invocation."""
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + timeout_s, grace_s=0.2)
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        try:
            return await broadcast_records(KinesisBatch(records), call, self.desk)
        finally:
            _gathered.reset(token)
            for name, value, _ in gathered:
                self.counted[name] = self.counted.get(name, 0) + value

    def messages(self, connection_id: str) -> list[dict[str, Any]]:
        """What a client got, frame by frame."""
        return [json.loads(message) for message in self.line.inboxes[connection_id]]

    def frames(self, connection_id: str) -> list[dict[str, Any]]:
        """What a client got, record by record."""
        return [shown for message in self.messages(connection_id) for shown in message["d"]]

    def numbers(self, connection_id: str) -> list[int]:
        return [message["n"] for message in self.messages(connection_id)]

    def orders(self, connection_id: str) -> list[int]:
        return [frame["d"]["order"] for frame in self.frames(connection_id)]


def play(scene: Callable[[World], Awaitable[None]], access: Mapping[str, object] | None = None) -> World:
    """Run a scene on virtual time."""
    world = World() if access is None else World(access=access)

    async def run() -> None:
        await scene(world)

    run_virtual(run)
    return world


class Forbidden:
    """A gateway that takes a moment to refuse the deployment."""

    def __init__(self, line: MemoryConnections) -> None:
        self._line = line

    async def post(self, connection_id: str, data: bytes) -> None:
        await self._line.post(connection_id, data)
        await asyncio.sleep(0.1)
        raise ServiceMisconfigured("no", service="execute-api", operation="PostToConnection", code="Forbidden")

    async def disconnect(self, connection_id: str) -> None:
        await self._line.disconnect(connection_id)


class Metered:
    """A gateway that takes `rate` posts a second, 25 ms each, and answers 429 to the rest."""

    def __init__(self, line: MemoryConnections, *, rate: float, burst: float) -> None:
        self._line = line
        self._rate = rate
        self._burst = self._tokens = burst
        self._at = 0.0
        self.refused = 0

    async def post(self, connection_id: str, data: bytes) -> None:
        await asyncio.sleep(0.025)
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            self.refused += 1
            raise unavailable("post")
        self._tokens -= 1
        await self._line.post(connection_id, data)

    async def disconnect(self, connection_id: str) -> None:
        await self._line.disconnect(connection_id)


# ---------------------------------------------------------------- who gets what


def test_each_client_gets_its_columns_of_what_its_pattern_matches() -> None:
    """Topic, shard and sequence number are in the frame; the rest of the record is not."""

    async def scene(world: World) -> None:
        await world.subscribe("all")
        await world.subscribe("large", LARGE, "order", "total")
        await world.subscribe("none", '{"total":[-1]}')
        assert await world.bring(record(9), record(10)) == BatchReport()

    world = play(scene)
    assert world.messages("large") == [
        {
            "v": 2,
            "topic": "orders",
            "shard": "shardId-0",
            "epoch": world.desk.numbering.epoch,
            "n": 1,
            "t": "records",
            "d": [{"seq": "1010", "d": {"order": 10, "total": 100}}],
        }
    ]
    assert [frame["d"] for frame in world.frames("all")] == [json.loads(record(n).data) for n in (9, 10)]
    assert world.frames("none") == []
    assert world.counted == {"MessagesPosted": 2}


def test_records_of_one_batch_come_in_order_in_few_messages() -> None:
    """A thousand frames are a few messages of at most 32 KB, their lines in the shard's order; none is under way with
    another of its connection."""

    async def scene(world: World) -> None:
        for number in range(5):
            await world.subscribe(f"c{number}")
            world.line.slow_s[f"c{number}"] = 0.01 * number
        await world.bring(*(record(number) for number in range(1000)))
        await world.bring(*(record(number) for number in range(1000, 1010)))

    world = play(scene)
    for number in range(5):
        assert world.orders(f"c{number}") == list(range(1010))
        sizes = [len(message) for message in world.line.inboxes[f"c{number}"]]
        assert max(sizes) <= 32_768
        assert len(sizes) <= sum(sizes) // 32_000 + 2
        assert world.line.most_under_way[f"c{number}"] == 1


@pytest.mark.parametrize(("more", "messages"), [(0, 1), (1, 2)])
def test_a_message_has_32_kb(more: int, messages: int) -> None:
    """Records go together in a frame of 32,768 bytes, its number taken as of twelve digits; of one more they do not."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        await world.bring(record(1), record(2, {"text": ""}))
        bare = sum(map(len, world.line.inboxes["c1"]))
        await world.bring(record(1), record(2, {"text": "x" * (32_768 - 11 - bare + more)}))

    assert len(play(scene).line.inboxes["c1"]) == 1 + messages


def test_records_of_an_aggregate_are_told_apart() -> None:
    """They share the sequence number; `sub` counts them. One that cannot be opened is skipped."""
    event = json.loads((EVENTS / "aggregate.json").read_text())
    batch = kinesis.decode(event)

    async def scene(world: World) -> None:
        await world.subscribe("c1", "", "order")
        opened = [each._replace(stream_arn=STREAM) for each in batch.records]
        await world.bring(*opened, opened[0]._replace(fault=Rejected("no", reason="malformed-aggregate")))

    world = play(scene)
    assert [(frame["sub"], frame["d"]) for frame in world.frames("c1")] == [(0, {"order": 8}), (1, {"order": 9})]
    assert len({frame["seq"] for frame in world.frames("c1")}) == 1
    assert world.counted["RecordsSkipped"] == 1


@pytest.mark.parametrize(
    "data", [b"no JSON", b"[1]", b'"text"', b"\xff", b"", b"[" * 5000, b'{"order": 1, "n": 1e400}']
)
def test_what_is_no_object_is_skipped_and_counted(data: bytes) -> None:
    """Not JSON, not an object, not Unicode, without end, a number that cannot be written: the others go on."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        await world.bring(record(1), record(2, data), record(3))

    world = play(scene)
    assert world.orders("c1") == [1, 3]
    assert world.counted["RecordsSkipped"] == 1


def test_a_record_that_no_message_holds_is_left_out() -> None:
    """More than 128 KB of it: counted, for who sees all of it; who sees a column gets that."""

    async def scene(world: World) -> None:
        await world.subscribe("all")
        await world.subscribe("column", "", "order")
        large = {"order": 1, "text": "x" * MAX_MESSAGE_BYTES}
        middle = {"order": 2, "text": "x" * (MAX_MESSAGE_BYTES // 2)}
        await world.bring(record(1, large), record(2, middle), record(3))

    world = play(scene)
    assert world.orders("all") == [2, 3]
    assert world.orders("column") == [1, 2, 3]
    assert world.counted["RecordsTooLarge"] == 1
    assert [len(message) > 32_768 for message in world.line.inboxes["all"]] == [True, False]


# ---------------------------------------------------------------- who may see what

LIMITED = Viewer(("limited",))
STATEMENTS = [
    {"allow": ["admin"]},
    {"allow": ["limited"], "columns": ["order", "total", "customer"], "rows": {"total": [{"numeric": ["<", 1000]}]}},
    {"deny": "*", "except": ["admin"], "masks": {"customer.name": "tokenise"}},
]


def test_a_subscriber_sees_what_its_groups_may_see() -> None:
    """Rows, columns and masks of its view, then its own columns; whoever may not read the topic gets nothing."""

    async def scene(world: World) -> None:
        await world.subscribe("admin", viewer=Viewer(("admin", "limited")))
        await world.subscribe("limited", viewer=LIMITED)
        await world.subscribe("names", "", "customer.name", "secret", viewer=LIMITED)
        await world.subscribe("nobody")
        await world.subscribe("stranger", viewer=Viewer(("sales",)))
        secret = {"order": 1, "total": 10, "customer": {"name": "Ann"}, "secret": "x"}
        await world.bring(record(1, secret), record(200))

    world = play(scene, {"orders": STATEMENTS})
    assert [frame["d"]["order"] for frame in world.frames("admin")] == [1, 200]
    assert world.frames("admin")[0]["d"]["secret"] == "x"
    [limited], [names] = world.frames("limited"), world.frames("names")
    token = limited["d"]["customer"].pop("name")
    assert token.startswith("tok_k1_")
    assert limited["d"] == {"order": 1, "total": 10, "customer": {}}
    assert names["d"] == {"customer": {"name": token}}
    assert world.frames("nobody") == world.frames("stranger") == []


def test_a_pattern_is_judged_on_what_its_subscriber_may_see() -> None:
    """What is hidden is not there, and what is masked is its mask: no pattern finds out more. A row that is hidden is
    no match of `exists: false` either."""
    token = '{"customer":{"name":[{"prefix":"tok_"}]}}'

    async def scene(world: World) -> None:
        for name, pattern in (
            ("secret", '{"secret":["x"]}'),
            ("absent", '{"secret":[{"exists":false}]}'),
            ("name", '{"customer":{"name":["Ann"]}}'),
            ("token", token),
            ("rich", '{"total":[{"numeric":[">=",1000]}]}'),
            ("nothing", '{"nothing":[{"exists":false}]}'),
        ):
            await world.subscribe(name, pattern, viewer=LIMITED)
            await world.subscribe(f"{name}, admin", pattern, viewer=Viewer(("admin",)))
        secret = {"order": 1, "total": 10, "customer": {"name": "Ann"}, "secret": "x"}
        await world.bring(record(1, secret), record(200))

    world = play(scene, {"orders": STATEMENTS})
    seen = {name: world.orders(name) for name in world.line.inboxes}
    assert {name: orders for name, orders in seen.items() if not name.endswith("admin")} == {
        "secret": [],
        "absent": [1],
        "name": [],
        "token": [1],
        "rich": [],
        "nothing": [1],
    }
    assert {name: orders for name, orders in seen.items() if name.endswith("admin")} == {
        "secret, admin": [1],
        "absent, admin": [200],
        "name, admin": [1, 200],
        "token, admin": [],
        "rich, admin": [200],
        "nothing, admin": [1, 200],
    }


def test_a_view_is_shown_once_however_many_look_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of two views, ten filters each: two looks a record, and the frames of a filter are made once."""
    looks: list[str] = []
    show = TopicView.show

    def count_show(view: TopicView, members: Mapping[str, object]) -> Any:
        looks.append(view.name)
        return show(view, members)

    monkeypatch.setattr(TopicView, "show", count_show)

    async def scene(world: World) -> None:
        for number in range(1000):
            groups = (("admin",) if number % 2 else ("limited",)) + (f"team-{number}",)
            await world.subscribe(
                f"c{number}", f'{{"order":[{{"numeric":[">",{number % 10}]}}]}}', viewer=Viewer(groups)
            )
        await world.bring(record(5), record(6))

    play(scene, {"orders": STATEMENTS})
    assert len(looks) == 4
    assert len(set(looks)) == 2


def test_a_subscription_whose_viewer_cannot_be_told_sees_nothing() -> None:
    """Nor does one of a topic that has no statements; the others go on."""

    async def scene(world: World) -> None:
        world.line.connect("odd")
        await world.store.put(Subscription("odd", "orders", 1, "", (), EXPIRES_S, viewer="admin"))
        await world.subscribe("admin", viewer=Viewer(("admin",)))
        await world.bring(record(1))

    assert play(scene, {"orders": STATEMENTS}).orders("admin") == [1]
    assert play(scene, {"orders": STATEMENTS}).frames("odd") == []
    assert play(scene, {"orders": "public"}).frames("odd") == []
    assert play(scene, {}).frames("admin") == []


# ---------------------------------------------------------------- clients that are gone or slow


def test_a_client_that_is_gone_loses_its_subscription_alone() -> None:
    """410 drops that subscription, by generation; it is not posted to again, and nobody else notices."""

    async def scene(world: World) -> None:
        await world.subscribe("gone")
        await world.subscribe("here")
        world.line.leave("gone")
        await world.bring(*(record(number, {"order": number, "text": "x" * 20_000}) for number in range(4)))
        assert [key[0] for key in world.store.kept] == ["here"]
        world.line.connect("gone")
        await world.bring(record(5))

    world = play(scene)
    assert world.orders("gone") == []
    assert world.orders("here") == [0, 1, 2, 3, 5]
    assert world.counted["ConnectionsGone"] == 1
    assert "MessagesDropped" not in world.counted


def test_a_subscription_made_since_survives_the_end_of_an_earlier_one() -> None:
    """The cache still has generation 1 when generation 2 is stored: the 410 takes the first."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        await world.bring(record(1))
        world.line.leave("c1")
        await world.store.put(Subscription("c1", "orders", 2, LARGE, (), EXPIRES_S))
        await world.bring(record(2))
        assert [each.generation for each in world.store.kept.values()] == [2]
        world.line.connect("c1")
        await asyncio.sleep(2.1)
        await world.bring(record(30))

    assert play(scene).orders("c1") == [1, 30]


def test_a_store_that_does_not_drop_is_no_failure() -> None:
    """It is not posted to until the subscribers are read again; then the next post finds out again."""

    async def scene(world: World) -> None:
        await world.subscribe("gone")
        await world.subscribe("here")
        await world.bring(record(1))
        world.line.leave("gone")
        world.store.trouble.refusal = unavailable("drop")
        assert await world.bring(record(2)) == BatchReport()
        world.store.trouble.refusal = None
        await world.bring(record(3))
        assert world.counted["ConnectionsGone"] == 1
        assert ("gone", "orders") in world.store.kept
        await asyncio.sleep(2.1)
        await world.bring(record(4))

    world = play(scene)
    assert world.orders("here") == [1, 2, 3, 4]
    assert world.counted["ConnectionsGone"] == 2
    assert ("gone", "orders") not in world.store.kept


def test_a_throttled_post_is_tried_again_after_a_pause() -> None:
    """Two 429s, 0.2 s and 0.8 s apart, then it is taken; the order stays."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        world.line.troubles["c1"] = Trouble()
        world.line.troubles["c1"].next_before = 2
        began = asyncio.get_running_loop().time()
        await world.bring(record(1), record(2))
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)

    world = play(scene)
    assert world.orders("c1") == [1, 2]
    assert world.counted == {"MessagesPosted": 1}


def test_a_client_that_does_not_keep_up_is_dropped_for_this_batch() -> None:
    """Three tries, then its rest is dropped and counted, though it would have been taken: a client that has a frame has
    all before it of its batch. It rests for two seconds, and has what comes then, by whose number it sees that it has
    missed four. Others have theirs at once."""

    async def scene(world: World) -> None:
        await world.subscribe("slow")
        await world.subscribe("fast")
        world.line.troubles["slow"] = Trouble()
        world.line.troubles["slow"].next_before = 3
        big = [record(number, {"order": number, "text": "x" * 20_000}) for number in range(3)]
        assert await world.bring(*big) == BatchReport()
        assert world.counted == {"MessagesPosted": 3, "MessagesDropped": 3}
        await world.bring(record(6))
        await asyncio.sleep(2.0)
        await world.bring(record(7))

    world = play(scene)
    assert (world.orders("slow"), world.numbers("slow")) == ([7], [5])
    assert (world.orders("fast"), world.numbers("fast")) == ([0, 1, 2, 6, 7], [1, 2, 3, 4, 5])
    assert ("slow", "orders") in world.store.kept


def test_a_gateway_that_asks_for_a_long_wait_is_not_waited_for() -> None:
    """A pause beyond the patience of 6 s drops the message at once."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        world.line.troubles["c1"] = Trouble()
        world.line.troubles["c1"].refusal = Retryable("throttled", after_s=20)
        began = asyncio.get_running_loop().time()
        await world.bring(record(1))
        assert asyncio.get_running_loop().time() == began

    assert play(scene).counted == {"MessagesDropped": 1}


def test_a_deployment_that_may_not_post_stops_and_says_so() -> None:
    """Every other post would be refused as well: one is tried for each that is under way, and the batch is done."""

    async def scene(world: World) -> None:
        for number in range(200):
            await world.subscribe(f"c{number}")
        world.desk = replace(world.desk, posting=replace(world.desk.posting, connections=Forbidden(world.line)))
        assert await world.bring(record(1)) == BatchReport()

    world = play(scene)
    assert world.counted == {"MessagesDropped": 200, "Misconfigured": 1}
    assert world.line.most_under_way.total() == 64


def test_what_the_gateway_refuses_of_one_client_is_dropped() -> None:
    """An id that the gateway does not know as one: logged, and the others have theirs."""

    async def scene(world: World) -> None:
        await world.subscribe("odd")
        await world.subscribe("c1")
        world.line.troubles["odd"] = Trouble()
        world.line.troubles["odd"].refusal = Rejected("bad", reason="execute-api-BadRequest")
        await world.bring(record(1))

    world = play(scene)
    assert world.orders("c1") == [1]
    assert world.counted == {"MessagesPosted": 1, "MessagesDropped": 1}


# ---------------------------------------------------------------- many, and time


def test_many_subscribers_are_posted_to_side_by_side() -> None:
    """A thousand clients at 50 ms a post, 64 at once: 0.8 s, not 50; each has its own, in order."""

    async def scene(world: World) -> None:
        for number in range(1000):
            await world.subscribe(f"c{number}", f'{{"order":[{{"numeric":[">=",{number % 10}]}}]}}')
            world.line.slow_s[f"c{number}"] = 0.05
        began = asyncio.get_running_loop().time()
        await world.bring(*(record(number) for number in range(10)))
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.8)

    world = play(scene)
    for number in range(1000):
        assert world.orders(f"c{number}") == list(range(number % 10, 10))
    assert world.counted == {"MessagesPosted": 1000}


def test_at_the_deadline_the_rest_is_dropped_and_the_batch_is_done() -> None:
    """It ends half a second before, whatever is under way; nothing is posted afterwards, and nothing fails."""

    async def scene(world: World) -> None:
        for number in range(100):
            await world.subscribe(f"c{number:02}")
            world.line.slow_s[f"c{number:02}"] = 3.0
        began = asyncio.get_running_loop().time()
        assert await world.bring(record(1), timeout_s=6.0) == BatchReport()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.5)
        await asyncio.sleep(60)

    world = play(scene)
    got = [connection_id for connection_id, inbox in world.line.inboxes.items() if inbox]
    assert got == [f"c{number:02}" for number in range(64)]
    assert world.counted == {"MessagesPosted": 64, "MessagesDropped": 36}


def test_a_client_that_rests_is_tried_less_and_less() -> None:
    """2, 4, 8 s, up to 30 s after a second of tries: one that does not read delays the shard seldom. What it misses
    meanwhile has its numbers."""

    async def scene(world: World) -> None:
        await world.subscribe("slow")
        world.line.troubles["slow"] = Trouble()
        world.line.troubles["slow"].refusal = unavailable("post")
        tried: list[float] = []
        for _ in range(180):
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await world.bring(record(1))
            if asyncio.get_running_loop().time() > began:
                tried.append(began)
        pauses = [round(later - earlier) for earlier, later in itertools.pairwise(tried)]
        assert pauses[:5] == [3, 5, 9, 17, 31]
        assert set(pauses[5:]) == {31}
        del world.line.troubles["slow"]
        await asyncio.sleep(32)
        await world.bring(record(2))
        await world.bring(record(3))

    world = play(scene)
    assert (world.orders("slow"), world.numbers("slow")) == ([2, 3], [181, 182])


def test_a_throttled_gateway_is_posted_to_more_slowly_and_nobody_is_given_up() -> None:
    """400 posts a second for 2,000 clients: 64 at once would be 2,560. The window closes, no try counts against a
    client, and everyone has the record."""

    async def scene(world: World) -> None:
        for number in range(2_000):
            await world.subscribe(f"c{number}")
        metered = Metered(world.line, rate=400.0, burst=40.0)
        world.desk = replace(world.desk, posting=replace(world.desk.posting, connections=metered))
        began = asyncio.get_running_loop().time()
        await world.bring(record(1))
        assert asyncio.get_running_loop().time() - began < 12
        assert metered.refused < 500

    assert play(scene).counted == {"MessagesPosted": 2_000}


def test_a_connection_has_ten_seconds_of_a_batch() -> None:
    """One whose every post takes 3 s has four of its messages, the last of which began before the ten seconds were
    over; what has to be tried again after them is dropped."""

    async def scene(world: World) -> None:
        await world.subscribe("slow")
        world.line.slow_s["slow"] = 3.0
        world.line.troubles["slow"] = Trouble()
        big = [record(number, {"order": number, "text": "x" * 20_000}) for number in range(5)]

        async def fail() -> None:
            await asyncio.sleep(11)
            world.line.troubles["slow"].refusal = unavailable("post")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await world.bring(*big, timeout_s=60)
        assert asyncio.get_running_loop().time() == pytest.approx(12)

    world = play(scene)
    assert world.orders("slow") == [0, 1, 2, 3]
    assert world.counted == {"MessagesPosted": 4, "MessagesDropped": 1}


# ---------------------------------------------------------------- numbers


def test_a_client_sees_by_the_numbers_that_it_has_missed_a_message() -> None:
    """Each filter and shard is counted from 1; a record that no message holds has its number too."""

    async def scene(world: World) -> None:
        await world.subscribe("all")
        await world.subscribe("column", "", "order")
        await world.bring(record(1), record(2, {"order": 2, "text": "x" * MAX_MESSAGE_BYTES}), record(3))
        await world.bring(record(4)._replace(shard_id="shardId-1"))
        await world.bring(record(5))

    world = play(scene)
    assert [(each["shard"], each["n"]) for each in world.messages("all")] == [
        ("shardId-0", 1),
        ("shardId-0", 3),
        ("shardId-1", 1),
        ("shardId-0", 4),
    ]
    assert [(each["shard"], each["n"]) for each in world.messages("column")] == [
        ("shardId-0", 1),
        ("shardId-1", 1),
        ("shardId-0", 2),
    ]
    assert len({each["epoch"] for each in world.messages("all")}) == 1


# ---------------------------------------------------------------- tokens


def test_a_connection_whose_token_is_over_gets_nothing_and_is_closed() -> None:
    """At its second, also in the middle of a batch: what is under way is the last; its subscription goes with it."""

    async def scene(world: World) -> None:
        await world.subscribe("stays")
        world.line.connect("ends")
        await world.store.put(Subscription("ends", "orders", 1, "", (), EPOCH_MS // 1000 + 10))
        world.line.slow_s["ends"] = 3.0
        big = [record(number, {"order": number, "text": "x" * 20_000}) for number in range(9)]
        await world.bring(*big)
        assert ("ends", "orders") not in world.store.kept
        await world.bring(record(9))

    world = play(scene)
    assert world.orders("ends") == [0, 1, 2, 3]
    assert world.orders("stays") == list(range(10))
    assert world.line.disconnected == ["ends"]
    assert world.counted == {"MessagesPosted": 9 + 1 + 4, "ConnectionsExpired": 1}


def test_one_that_is_over_already_is_closed_with_the_next_batch() -> None:
    """Though nothing matches; a gateway that is away leaves it for the next read of the subscriptions."""

    async def scene(world: World) -> None:
        world.line.connect("ended")
        await world.store.put(Subscription("ended", "orders", 1, "", (), EPOCH_MS // 1000))
        world.line.trouble.refusal = unavailable("disconnect")
        await world.bring(record(1))
        assert ("ended", "orders") in world.store.kept
        world.line.trouble.refusal = None
        await world.bring(record(2))
        assert ("ended", "orders") in world.store.kept
        await asyncio.sleep(2)
        await world.bring(record(3))
        assert world.store.kept == {}

    world = play(scene)
    assert (world.frames("ended"), world.line.disconnected) == ([], ["ended"])
    assert world.counted == {"ConnectionsExpired": 1}


# ---------------------------------------------------------------- who has subscribed


def test_subscriptions_are_read_every_two_seconds_at_most() -> None:
    """Invocations in between share one read; a new subscription begins with the next one."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        for number in range(10):
            await world.bring(record(number))
        assert world.store.reads == 1
        await world.subscribe("c2")
        await world.bring(record(10))
        await asyncio.sleep(2.0)
        await world.bring(record(11))
        assert world.store.reads == 2

    world = play(scene)
    assert world.orders("c1") == list(range(12))
    assert world.orders("c2") == [11]


def test_a_store_that_is_away_fails_the_batch() -> None:
    """Nobody knows who has subscribed: the records come again, and then everybody has them once."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        world.store.trouble.next_before = 1
        with pytest.raises(Retryable):
            await world.bring(record(1))
        await world.bring(record(1))

    assert play(scene).orders("c1") == [1]


def test_a_subscription_that_has_expired_is_not_posted_to() -> None:
    """The table's TTL deletes days later; the connection was over before."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        await world.store.put(Subscription("c1", "orders", 2, "", (), EPOCH_MS // 1000 + 10))
        await world.bring(record(1))
        await asyncio.sleep(11)
        await world.bring(record(2))

    assert play(scene).orders("c1") == [1]


def test_a_stream_without_a_topic_and_a_batch_without_records() -> None:
    """The first is the deployment's fault, and named; the second is nothing."""

    async def scene(world: World) -> None:
        await world.subscribe("c1")
        assert await world.bring() == BatchReport()
        with pytest.raises(Misconfigured) as caught:
            await world.bring(record(1)._replace(stream_arn=STREAM + "s"))
        assert caught.value.what == "TOPICS"
        consumer = f"{STREAM}/consumer/fast:1795798800"
        await world.bring(record(2)._replace(stream_arn=consumer))

    assert play(scene).orders("c1") == [2]


def test_a_filter_that_this_version_does_not_take_disturbs_nobody() -> None:
    """It is stored, it matches nothing."""

    async def scene(world: World) -> None:
        await world.subscribe("old", '{"order":[{"sounds-like":"x"}]}')
        await world.subscribe("c1")
        await world.bring(record(1))

    world = play(scene)
    assert (world.orders("old"), world.orders("c1")) == ([], [1])


# ---------------------------------------------------------------- over the socket


def over_socket(scene: Callable[[StreamWorld], Awaitable[None]], **options: Any) -> StreamWorld:
    """Run a scene over the socket's flow, with one connection."""
    made: list[StreamWorld] = []

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            made.append(StreamWorld(group, **options))
            await made[0].connect("c1")
            await scene(made[0])

    run_virtual(run)
    return made[0]


def told(world: StreamWorld, connection_id: str = "c1") -> list[tuple[str, str, Mapping[str, Any]]]:
    return [(frame["t"], frame["req"], frame["d"]) for frame in world.line.frames(connection_id)]


def test_a_topic_that_the_callers_groups_may_not_read_is_forbidden() -> None:
    """403, by type and status, and nothing is kept; the groups are those of the event, however often it is asked."""
    access = AccessRules({"orders": [{"allow": ["analysts"]}], "returns": [{"allow": "*"}, {"deny": ["blocked"]}]}, "A")

    async def scene(world: StreamWorld) -> None:
        for topic, groups in (("orders", ()), ("orders", ("sales",)), ("returns", ("blocked", "analysts"))):
            await world.send("c1", {"action": "subscribe", "req": "s", "topic": topic}, groups=groups)
        assert world.subscriptions.kept == {}
        await world.send(
            "c1", {"action": "subscribe", "req": "s", "topic": "orders"}, groups=("b", "analysts"), tenant="t"
        )
        (kept,) = world.subscriptions.kept.values()
        assert read_viewer(kept.viewer) == Viewer(("analysts", "b"), "t")

    frames = told(over_socket(scene, access=access))
    assert [kind for kind, _, _ in frames] == ["error"] * 3 + ["subscribed"]
    assert frames[0][2] == {
        "type": "/problems/forbidden-topic",
        "title": "You may not read this topic",
        "detail": "none of your groups may read this topic",
        "status": 403,
        "field": "topic",
        "resumable": False,
    }


def test_without_statements_nobody_subscribes() -> None:
    """Deny by default: a topic that ACCESS does not name is read by nobody."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", {"action": "subscribe", "req": "s", "topic": "orders"}, groups=("admin",))

    (frame,) = told(over_socket(scene, access=AccessRules({"returns": "public"}, "ACCESS")))
    assert frame[2]["type"] == "/problems/forbidden-topic"


def test_a_hidden_field_is_no_error() -> None:
    """A pattern on it, and a column, are kept and find nothing: nobody learns from a refusal what there is."""
    access = AccessRules({"orders": [{"allow": "*", "columns": ["order"]}]}, "ACCESS")

    async def scene(world: StreamWorld) -> None:
        asked = {"action": "subscribe", "req": "s", "topic": "orders"}
        await world.send("c1", {**asked, "pattern": {"secret": ["x"]}, "columns": ["secret"]})
        await world.send("c1", {**asked, "pattern": {"nowhere": ["x"]}, "columns": ["nowhere"]})

    frames = told(over_socket(scene, access=access))
    assert [kind for kind, _, _ in frames] == ["subscribed", "subscribed"]


def test_a_subscription_is_kept_and_confirmed() -> None:
    """Pattern and columns in their canonical form; a second one of the topic replaces it; then it is taken back."""

    async def scene(world: StreamWorld) -> None:
        asked = {"action": "subscribe", "req": "s1", "topic": "orders", "pattern": {"b": [1], "a": [2]}}
        await world.send("c1", {**asked, "columns": ["b", "a"]})
        (first,) = world.subscriptions.kept.values()
        assert (first.topic, first.pattern, first.columns) == ("orders", '{"a":[2],"b":[1]}', ("a", "b"))
        assert first.expires_s * 1000 > EPOCH_MS + 7_200_000
        await world.send("c1", {**asked, "req": "s2"})
        (second,) = world.subscriptions.kept.values()
        assert (second.columns, second.generation) == ((), first.generation + 1)
        await world.send("c1", {"action": "unsubscribe", "req": "s3", "topic": "orders"})
        await world.send("c1", {"action": "unsubscribe", "req": "s4", "topic": "orders"})
        assert world.subscriptions.kept == {}

    topic = {"topic": "orders"}
    assert told(over_socket(scene)) == [
        ("subscribed", "s1", topic),
        ("subscribed", "s2", topic),
        ("unsubscribed", "s3", topic),
        ("unsubscribed", "s4", topic),
    ]


@pytest.mark.parametrize(
    ("members", "problem", "field"),
    [
        ({"topic": "secrets"}, "unknown-topic", "topic"),
        ({"pattern": {"a": {"b": [{"numeric": [">"]}]}}}, "invalid-pattern", "pattern.a.b"),
        ({"columns": ["x"] * 33}, "invalid-body", "columns"),
    ],
)
def test_a_refusal_names_the_field(members: dict[str, Any], problem: str, field: str) -> None:
    """An error frame with the message's req, the problem's type, the path and the rule; nothing is kept."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", {"action": "subscribe", "req": "s1", "topic": "orders", **members})
        assert world.subscriptions.kept == {}

    ((kind, req, said),) = told(over_socket(scene))
    assert (kind, req, said["type"], said["field"]) == ("error", "s1", f"/problems/{problem}", field)
    assert said["resumable"] is False
    assert said["detail"]


def test_a_connection_subscribes_so_much_at_most() -> None:
    """Twenty topics; the next is told so. A topic that it has already may be subscribed anew."""
    topics = [f"t{number}" for number in range(MAX_SUBSCRIPTIONS + 1)]

    async def scene(world: StreamWorld) -> None:
        for topic in [*topics, topics[0]]:
            await world.send("c1", {"action": "subscribe", "req": "s", "topic": topic})

    frames = told(over_socket(scene, topics=frozenset(topics)))
    assert [kind for kind, _, _ in frames] == ["subscribed"] * MAX_SUBSCRIPTIONS + ["error", "subscribed"]
    assert frames[-2][2]["type"] == "/problems/too-many-subscriptions"


def test_a_connection_that_ends_has_no_subscriptions() -> None:
    """$disconnect forgets them; who is not connected cannot subscribe."""

    async def scene(world: StreamWorld) -> None:
        for connection_id in ("c1", "c2"):
            await world.connect(connection_id)
            for topic in ("orders", "returns"):
                await world.send(connection_id, {"action": "subscribe", "req": "s", "topic": topic})
        await world.disconnect("c1")
        assert {key[0] for key in world.subscriptions.kept} == {"c2"}
        await world.send("c1", {"action": "subscribe", "req": "s", "topic": "orders"})
        assert {key[0] for key in world.subscriptions.kept} == {"c2"}

    over_socket(scene)


def test_a_table_that_is_away_is_told_as_such() -> None:
    """The client may try again; a service's own words are not for it."""

    async def scene(world: StreamWorld) -> None:
        world.subscriptions.trouble.next_before = 1
        await world.send("c1", {"action": "subscribe", "req": "s1", "topic": "orders"})

    ((kind, _, said),) = told(over_socket(scene))
    assert (kind, said["type"], said["resumable"]) == ("error", "/problems/unavailable", True)


def test_a_message_after_the_tokens_end_is_refused_and_the_connection_closed() -> None:
    """An error frame with 401, then the end; nothing is kept. Until then what is kept ends with the token."""
    end_s = EPOCH_MS // 1000 + 600
    asked = {"action": "subscribe", "req": "s1", "topic": "orders"}

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", asked, expires_s=end_s)
        (kept,) = world.subscriptions.kept.values()
        assert kept.expires_s == end_s
        await asyncio.sleep(599)
        await world.send("c1", {**asked, "req": "s2"}, expires_s=end_s)
        await asyncio.sleep(1)
        await world.send("c1", {**asked, "req": "s3", "topic": "returns"}, expires_s=end_s)
        assert [key[1] for key in world.subscriptions.kept] == ["orders"]
        assert world.line.disconnected == ["c1"]

    world = over_socket(scene)
    assert told(world)[:2] == [("subscribed", "s1", {"topic": "orders"}), ("subscribed", "s2", {"topic": "orders"})]
    ((kind, req, said),) = told(world)[2:]
    assert (kind, req) == ("error", "s3")
    assert said == {
        "type": "/problems/token-expired",
        "title": "The token is over: connect with a new one",
        "status": 401,
        "resumable": True,
    }


def test_a_client_that_is_not_told_is_closed_all_the_same() -> None:
    """Its buffer is full, or the connection has just gone: no frame, and the end."""

    async def scene(world: StreamWorld) -> None:
        world.line.trouble.next_before = 1
        await world.send("c1", {"action": "cancel", "req": "s3"}, expires_s=EPOCH_MS // 1000)

    world = over_socket(scene)
    assert (told(world), world.line.disconnected) == ([], ["c1"])


def test_a_connection_is_not_opened_with_a_token_that_is_over() -> None:
    """Nor does one that is opened outlive it in the table of connections."""

    async def scene(world: StreamWorld) -> None:
        late = SocketEvent("CONNECT", "$connect", "late", "ann", "", 0, "r", expires_s=EPOCH_MS // 1000)
        assert (await serve_socket(late, world.call(), world.sockets)).status == 401
        soon = late._replace(connection_id="soon", expires_s=EPOCH_MS // 1000 + 60)
        assert (await serve_socket(soon, world.call(), world.sockets)).status == 200
        assert world.known.connections.keys() == {"c1", "soon"}
        assert world.known.connections["soon"].expires_s == EPOCH_MS // 1000 + 60

    over_socket(scene)
