"""What POST /topics/{topic}/records answers: receipts in order, partial results, refusals, and repeats with a key."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceRefused
from sluiceway.events.http import HttpReply, HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.publish.http import PublishDesk, Topic, publish_records
from sluiceway.flows.publish.ledger import MAX_ROUNDS, PublishLedger
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.shards import Outlet
from sluiceway.idempotency import Options
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.publishing import Check, encode_data
from sluiceway.steps.metrics import _gathered
from tests.fakes import FixedChance, KilledError, Life, LoopClockMs, unavailable
from tests.producing_world import MemoryStream

ORIGIN = "http://127.0.0.1:4603"
SHARD = "shardId-000000000000"
TIMEOUT_S = 10.0


class Store(MemoryIdempotencyStore):
    """Records in memory; `away` fails every operation that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()

    async def claim(self, record: IdempotencyRecord, **more: Any) -> IdempotencyRecord | None:
        if "claim" in self.away:
            raise unavailable("PutItem")
        return await super().claim(record, **more)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        if "get" in self.away:
            raise unavailable("GetItem")
        return await super().get(key, deadline=deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        if "write" in self.away:
            raise unavailable("UpdateItem")
        return await super().write(record, deadline=deadline)


@dataclass
class World:
    """A topic `records` for everybody, and `secrets` for Bob; `check` is of both."""

    stream: MemoryStream = field(default_factory=MemoryStream)
    store: Store = field(default_factory=Store)
    check: Check = encode_data
    aggregate: bool = False

    def __post_init__(self) -> None:
        outlet = Outlet(self.stream)
        self.desk = PublishDesk(
            topics={
                "records": Topic(outlet, check=self.check),
                "secrets": Topic(outlet, frozenset({"bob"})),
            },
            ledger=PublishLedger(self.store, options=Options(clock=LoopClockMs())),
            chance=FixedChance(),
            origin=ORIGIN,
            options=ProducerOptions(aggregate=self.aggregate),
        )
        self.counted: Counter[str] = Counter()

    async def post(self, body: object, *, topic: str = "records", caller: str = "ann", **headers: str) -> HttpReply:
        """One invocation. Underscores in header names stand for hyphens."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = HttpRequest("POST", f"/topics/{topic}/records", named, {}, {"topic": topic}, sent, caller, "r")
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + TIMEOUT_S, grace_s=0.5)
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        try:
            return await publish_records(request, call, self.desk)
        finally:
            _gathered.reset(token)
            for name, value, _ in gathered:
                self.counted[name] += int(value)

    @property
    def data(self) -> list[Any]:
        """What stands in the stream, in order."""
        return [
            json.loads(each.data) for _, _, each in sorted(self.stream.stored(), key=lambda e: (e[1], e[2].sub or 0))
        ]


def records(*keys: str) -> dict[str, object]:
    return {"records": [{"key": key, "data": {"n": at}} for at, key in enumerate(keys)]}


def told(reply: HttpReply) -> Any:
    return json.loads(reply.body)


def entries(reply: HttpReply) -> list[Mapping[str, Any]]:
    assert reply.status == 200, reply
    return told(reply)["records"]


def kinds(reply: HttpReply) -> list[str]:
    """`stored`, or the type of each record's problem."""
    return [
        each["problem"]["type"].removeprefix("/problems/") if "problem" in each else "stored" for each in entries(reply)
    ]


def play(scene: Any, world: World | None = None) -> World:
    """Run a scene on virtual time."""
    made = world or World()

    async def run() -> None:
        await scene(made)

    run_virtual(run)
    return made


# ---------------------------------------------------------------- what is told


@pytest.mark.parametrize("aggregate", [False, True])
def test_every_record_has_its_receipt_in_order(aggregate: bool) -> None:
    """Shard and sequence number, in an aggregate the place too; the stream has the data as compact JSON."""

    async def scene(world: World) -> None:
        reply = await world.post(
            {"records": [{"key": "é", "data": {"b": [1.5, None], "a": "ü"}}, {"key": "é", "data": {}}]}
        )
        place = {"shard": SHARD, "seq": "101"}
        if aggregate:
            assert told(reply) == {"records": [{**place, "sub": 0}, {**place, "sub": 1}]}
        else:
            assert told(reply) == {"records": [place, {"shard": SHARD, "seq": "102"}]}
        assert dict(reply.headers) == {
            "content-type": "application/json",
            "cache-control": "no-store",
            "access-control-allow-origin": ORIGIN,
            "access-control-expose-headers": "retry-after,idempotent-replayed",
        }

    world = play(scene, World(aggregate=aggregate))
    (first, _second) = world.stream.stored()
    assert first[2].data == '{"b":[1.5,null],"a":"ü"}'.encode()
    assert world.counted == {"RecordsPublished": 2}


def test_five_hundred_records_are_one_call_where_keys_differ() -> None:
    """And a repeated key goes after it, in order."""

    async def scene(world: World) -> None:
        keys = [f"k{at}" for at in range(499)]
        assert set(kinds(await world.post(records(*keys, "k0")))) == {"stored"}
        assert [len(call) for call in world.stream.calls] == [499, 1]

    play(scene)


def test_some_may_be_stored_and_others_not() -> None:
    """A record that its shard does not take has a problem in its place; the answer comes before the deadline."""

    async def scene(world: World) -> None:
        world.stream.declined_keys = {"hot"}
        reply = await world.post(records("a", "hot", "b", "hot"))
        assert kinds(reply) == ["stored", "throttled", "stored", "not-stored"]
        assert entries(reply)[1]["problem"] == {
            "type": "/problems/throttled",
            "title": "The stream takes no more at the moment; the record is not stored",
        }
        assert asyncio.get_running_loop().time() < TIMEOUT_S

    world = play(scene)
    assert world.counted == {
        "RecordsPublished": 2,
        "RecordsNotPublished": 2,
        "RecordsDeclined": world.counted["RecordsDeclined"],
    }
    assert [each["n"] for each in world.data] == [0, 2]


def test_a_record_that_the_stream_refuses_has_its_problem() -> None:
    """No repeat stores it, so the answer is a 200 with problems."""

    async def scene(world: World) -> None:
        world.stream.refused_keys["bad"] = ServiceRefused(
            "no", service="kinesis", operation="PutRecords", code="Invalid"
        )
        assert kinds(await world.post(records("a", "bad"))) == ["stored", "refused"]
        assert kinds(await world.post(records("bad"))) == ["refused"]

    play(scene)


@pytest.mark.parametrize(
    ("trouble", "status", "kind"),
    [
        ("declined", 429, "throttled"),
        ("misconfigured", 503, "unavailable"),
        ("not listed", 503, "unavailable"),
        ("lost", 503, "perhaps-stored"),
    ],
)
def test_where_nothing_is_stored_the_whole_comes_again(trouble: str, status: int, kind: str) -> None:
    """429 or 503, with Retry-After, and what is known."""

    async def scene(world: World) -> None:
        if trouble == "declined":
            world.stream.declined_keys = {"a", "b"}
        elif trouble == "misconfigured":
            world.stream.refusal = Misconfigured("no", what="kinesis:PutRecords")
        elif trouble == "not listed":
            world.stream.listing = Misconfigured("no", what="kinesis:ListShards")
        else:
            world.stream.lose = 1.0
        reply = await world.post(records("a", "b"))
        assert (reply.status, told(reply)["type"], told(reply)["status"]) == (status, f"/problems/{kind}", status)
        assert reply.headers["retry-after"] == "2"
        assert reply.headers["content-type"] == "application/problem+json"

    play(scene, World(aggregate=trouble == "not listed"))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("body", "status", "kind", "detail"),
    [
        (b"no JSON", 400, "invalid-body", "body: must be JSON in UTF-8"),
        (records(), 400, "invalid-body", "records: must be an array of 1 to 500 records"),
        (records("a", ""), 400, "invalid-partition-key", "records[1].key: a partition key has 1 to 256 characters"),
        (
            records("a", "k" * 257),
            400,
            "invalid-partition-key",
            "records[1].key: a partition key has 1 to 256 characters",
        ),
        (
            {"records": [{"key": "a", "data": {"x": "y" * 1024 * 1024}}]},
            400,
            "record-too-large",
            "records[0].data: data and partition key have 1048576 bytes at most",
        ),
        (
            b'{"records":[{"key":"a","data":{"x":"\\ud800"}}]}',
            400,
            "invalid-data",
            "records[0].data: holds half of a surrogate pair, which is no character",
        ),
        (b" " * (4 * 1024 * 1024 + 1), 413, "body-too-large", "the body has 4194304 bytes at most"),
    ],
)
def test_what_is_wrong_is_named_with_its_limit_and_nothing_is_put(
    body: object, status: int, kind: str, detail: str
) -> None:
    """One bad record refuses the request: what was not put needs no repair."""

    async def scene(world: World) -> None:
        reply = await world.post(body)
        assert (reply.status, told(reply)["type"], told(reply)["detail"]) == (status, f"/problems/{kind}", detail)
        assert reply.headers["access-control-allow-origin"] == ORIGIN

    assert play(scene).stream.calls == []


@pytest.mark.parametrize(
    ("topic", "caller", "status", "kind"),
    [
        ("nothing", "ann", 404, "topic-not-found"),
        ("", "ann", 404, "topic-not-found"),
        ("secrets", "ann", 403, "publishing-forbidden"),
        ("records", "", 403, "publishing-forbidden"),
        ("secrets", "bob", 200, ""),
    ],
)
def test_a_topic_has_its_publishers(topic: str, caller: str, status: int, kind: str) -> None:
    """404 where there is none, 403 for others; a caller that nobody knows is none of them."""

    async def scene(world: World) -> None:
        reply = await world.post(records("a"), topic=topic, caller=caller)
        assert (reply.status, told(reply).get("type", "")) == (status, f"/problems/{kind}" if kind else "")

    play(scene)


def test_a_check_frames_or_refuses() -> None:
    """Its bytes are put; a refusal names the path within the record; trouble of its own is a 503."""

    def check(topic: str, data: Mapping[str, object]) -> bytes:
        if data["n"] == 1:
            raise Rejected("must be text", reason="schema-mismatch", field="customer.name")
        if data["n"] == 2:
            raise Retryable("the registry is away")
        return b"\x03" + topic.encode()

    async def scene(world: World) -> None:
        assert kinds(await world.post(records("a"))) == ["stored"]
        reply = await world.post(records("a", "b"))
        assert (reply.status, told(reply)["type"]) == (400, "/problems/schema-mismatch")
        assert told(reply)["detail"] == "records[1].data.customer.name: must be text"
        reply = await world.post({"records": [{"key": "a", "data": {"n": 2}}]})
        assert (reply.status, reply.headers["retry-after"]) == (503, "2")

    world = play(scene, World(check=check))
    assert [each.data for _, _, each in world.stream.stored()] == [b"\x03records"]


# ---------------------------------------------------------------- repeats with a key


def test_a_repeat_gets_the_same_receipts() -> None:
    """Nothing is put again; the answer says that it is a repeat's. Another caller, topic or key is another request."""

    async def scene(world: World) -> None:
        first = await world.post(records("a", "b"), idempotency_key="k1")
        again = await world.post(records("a", "b"), idempotency_key="k1")
        assert again.body == first.body
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
        assert len(world.data) == 2
        await world.post(records("a", "b"), idempotency_key="k2")
        await world.post(records("a", "b"), idempotency_key="k1", caller="bob")
        await world.post(records("a", "b"), idempotency_key="k1", caller="bob", topic="secrets")
        await world.post(records("a", "b"))
        assert len(world.data) == 10

    play(scene)


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """By name, with the limit."""

    async def scene(world: World) -> None:
        reply = await world.post(records("a"), idempotency_key=key)
        assert (reply.status, told(reply)["type"]) == (400, "/problems/invalid-idempotency-key")
        assert told(reply)["detail"] == "Idempotency-Key has 1 to 128 characters"

    assert play(scene).data == []


def test_another_body_is_a_conflict() -> None:
    """409, whatever became of the first; bytes are compared, not meaning."""

    async def scene(world: World) -> None:
        await world.post(records("a"), idempotency_key="k1")
        for body in (records("b"), json.dumps(records("a")).encode() + b" "):
            reply = await world.post(body, idempotency_key="k1")
            assert (reply.status, told(reply)["type"]) == (409, "/problems/idempotency-key-reused")

    assert len(play(scene).data) == 1


def test_a_repeat_while_the_first_is_under_way_is_told_to_wait() -> None:
    """409 with Retry-After, as the IETF's draft of the header says; afterwards it gets the first's answer."""

    async def scene(world: World) -> None:
        world.stream.latency_s = 4.0
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(world.post(records("a"), idempotency_key="k1"))
            await asyncio.sleep(0)
            reply = await world.post(records("a"), idempotency_key="k1")
            assert (reply.status, told(reply)["type"]) == (409, "/problems/in-progress")
            assert reply.headers["retry-after"] == "5"
        again = await world.post(records("a"), idempotency_key="k1")
        assert (again.status, again.body) == (200, first.result().body)

    assert len(play(scene).data) == 1


def test_a_repeat_puts_only_what_had_no_receipt() -> None:
    """The others keep theirs; a third time nothing is left to do. Every round is one: two at once put nothing twice."""

    async def scene(world: World) -> None:
        world.stream.declined_keys = {"hot"}
        first = await world.post(records("a", "hot", "b"), idempotency_key="k1")
        assert kinds(first) == ["stored", "throttled", "stored"]
        still = await world.post(records("a", "hot", "b"), idempotency_key="k1")
        assert entries(still) == entries(first)
        world.stream.declined_keys = set()
        world.stream.latency_s = 0.1
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(world.post(records("a", "hot", "b"), idempotency_key="k1")) for _ in range(2)]
        replies = sorted((task.result() for task in both), key=lambda reply: reply.status)
        assert [reply.status for reply in replies] == [200, 409]
        assert kinds(replies[0]) == ["stored"] * 3
        assert [entries(replies[0])[at] for at in (0, 2)] == [entries(first)[at] for at in (0, 2)]
        last = await world.post(records("a", "hot", "b"), idempotency_key="k1")
        assert (last.body, last.headers["idempotent-replayed"]) == (replies[0].body, "true")
        conflict = await world.post(records("a", "b"), idempotency_key="k1")
        assert conflict.status == 409

    assert sorted(each["n"] for each in play(scene).data) == [0, 1, 2]


def test_what_the_stream_refuses_is_not_tried_again() -> None:
    """No repeat would store it; the answer stays the first one."""

    async def scene(world: World) -> None:
        world.stream.refused_keys["bad"] = ServiceRefused(
            "no", service="kinesis", operation="PutRecords", code="Invalid"
        )
        first = await world.post(records("a", "bad"), idempotency_key="k1")
        before = len(world.stream.calls)
        again = await world.post(records("a", "bad"), idempotency_key="k1")
        assert kinds(first) == ["stored", "refused"]
        assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
        assert len(world.stream.calls) == before

    play(scene)


def test_where_nothing_was_stored_the_key_is_free() -> None:
    """Even another body may have it then."""

    async def scene(world: World) -> None:
        world.stream.declined_keys = {"hot"}
        for _ in range(MAX_ROUNDS + 1):
            assert (await world.post(records("hot"), idempotency_key="k1")).status == 429
        assert kinds(await world.post(records("cold"), idempotency_key="k1")) == ["stored"]

    play(scene)


def test_what_is_perhaps_stored_is_put_again_by_a_repeat() -> None:
    """The caller was told; whoever repeats wants it there rather once more than not at all."""

    async def scene(world: World) -> None:
        world.stream.lose = 1.0
        assert (await world.post(records("a"), idempotency_key="k1")).status == 503
        world.stream.lose = 0.0
        before = len(world.data)
        assert kinds(await world.post(records("a"), idempotency_key="k1")) == ["stored"]
        assert kinds(await world.post(records("a"), idempotency_key="k1")) == ["stored"]
        assert len(world.data) == before + 1

    play(scene)


def test_rounds_end() -> None:
    """A key has sixteen; what is left without a receipt then stays so."""

    async def scene(world: World) -> None:
        world.stream.lose = 1.0
        for _ in range(MAX_ROUNDS):
            assert (await world.post(records("a"), idempotency_key="k1")).status == 503
        before = len(world.stream.calls)
        assert (await world.post(records("a"), idempotency_key="k1")).status == 503
        assert len(world.stream.calls) == before

    play(scene)


def test_a_crash_leaves_the_key_in_doubt_and_says_so() -> None:
    """Between the put and its record: while the lease lasts it is in progress, then a problem of its own, for good."""

    async def scene(world: World) -> None:
        world.stream.latency_s = 2.0
        with pytest.raises(KilledError):
            await Life(1.9).spend(world.post(records("a"), idempotency_key="k1"))
        for key in [*world.store._records]:  # what a killed process asks for is not done, its release neither
            assert not world.store._records[key].is_complete
        reply = await world.post(records("a"), idempotency_key="k1")
        assert told(reply)["type"] == "/problems/in-progress"
        await asyncio.sleep(60)
        for _ in range(2):
            reply = await world.post(records("a"), idempotency_key="k1")
            assert (reply.status, told(reply)["type"]) == (409, "/problems/idempotency-in-doubt")
            assert told(reply)["detail"] == "Its records may be stored, all, some or none; the key stays in doubt"
            assert "retry-after" not in reply.headers
        assert kinds(await world.post(records("a"), idempotency_key="k2")) == ["stored"]

    play(scene)


def test_a_store_that_is_away_lets_nothing_begin() -> None:
    """503; nothing was put, and the problem says so."""

    async def scene(world: World) -> None:
        world.store.away = {"claim"}
        reply = await world.post(records("a"), idempotency_key="k1")
        assert (reply.status, told(reply)["type"]) == (503, "/problems/unavailable")
        assert reply.headers["retry-after"] == "2"
        assert kinds(await world.post(records("a"))) == ["stored"]

    assert len(play(scene).data) == 1


def test_an_end_that_cannot_be_written_is_told() -> None:
    """The records are there, their receipts are nowhere: 503 now, and in doubt for every repeat."""

    async def scene(world: World) -> None:
        world.store.away = {"write", "get"}
        reply = await world.post(records("a"), idempotency_key="k1")
        assert (reply.status, told(reply)["type"]) == (503, "/problems/not-recorded")
        world.store.away = set()
        await asyncio.sleep(60)
        reply = await world.post(records("a"), idempotency_key="k1")
        assert (reply.status, told(reply)["type"]) == (409, "/problems/idempotency-in-doubt")

    assert len(play(scene).data) == 1


def test_receipts_that_are_gone_are_told() -> None:
    """A result that the store did not keep: 410, since the records are stored."""

    async def scene(world: World) -> None:
        await world.post(records("a"), idempotency_key="k1")
        for key, record in world.store._records.items():
            world.store._records[key] = record._replace(data="[1]")
        reply = await world.post(records("a"), idempotency_key="k1")
        assert (reply.status, told(reply)["type"]) == (410, "/problems/result-gone")

    play(scene)


@pytest.mark.parametrize("seed", range(20))
def test_repeats_with_a_key_store_every_record_once(seed: int) -> None:
    """Shards that decline most of the time, and a client that repeats until every record has its receipt: a record
    is stored once, and once more at most for each time that the client was told that it may be.
    """

    async def scene(world: World) -> None:
        world.stream.decline, world.stream.latency_s = 0.9, 0.5
        body = records(*(f"k{at % 5}" for at in range(20)))
        receipts: dict[int, Mapping[str, Any]] = {}
        perhaps: Counter[int] = Counter()
        while len(receipts) < 20:
            reply = await world.post(body, idempotency_key="k1")
            if reply.status != 200:
                assert reply.status in {429, 503}
                perhaps.update(range(20) if told(reply)["type"] == "/problems/perhaps-stored" else ())
                continue
            for at, each in enumerate(entries(reply)):
                if "problem" in each:
                    assert at not in receipts
                    perhaps[at] += each["problem"]["type"] == "/problems/perhaps-stored"
                else:
                    assert receipts.setdefault(at, each) == each
        stored = Counter(each["n"] for each in world.data)
        assert set(stored) == set(range(20))
        assert all(stored[at] <= 1 + perhaps[at] for at in stored)
        assert perhaps or set(stored.values()) == {1}

    play(scene, World(MemoryStream(random.Random(seed), shards=2)))
