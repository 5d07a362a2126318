"""A question begins once for each caller and req: crashes on the way, other questions, other Regions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.errors import LeftInDoubt, NotHome, Withheld
from sluiceway.flows.stream.asking import KEEP_S, LEASE_S, make_ask_keys
from sluiceway.flows.stream.http import stream_answer_over_http
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import AnswerRecord
from sluiceway.region.home import HomeStore, RegionDesk
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import first_term
from tests.fakes import EPOCH_MS, FixedChance, KilledError, Life, LoopClockMs, unavailable
from tests.flow.test_job_keys import Withholding, hang, is_end
from tests.flow.test_stream_answers import ASK, SLOW, play, whole_text
from tests.flow.test_stream_http import ORIGIN, fetch, http_desk, request
from tests.streaming_world import CALLER, StreamWorld
from tests.unit.idempotency_setup import TroubledStore, together
from tests.unit.region_setup import next_term

AGAIN_S = LEASE_S + 6.0  # the lease and the clock margin are over


async def kill(world: StreamWorld, message: dict[str, Any] = ASK) -> None:
    with pytest.raises(KilledError):
        await Life(5).spend(world.send("c1", message))


def error_of(world: StreamWorld, connection_id: str) -> dict[str, Any]:
    frame = world.line.frames(connection_id)[-1]
    assert frame["t"] == "error"
    return frame["d"]


CRASHES: dict[str, Callable[[StreamWorld], None]] = {
    "with the key, before the record": lambda world: hang(world.answers, "create", after=False),
    "with the record": lambda world: hang(world.answers, "create", after=True),
    "before the worker is sent for": lambda world: hang(world.dispatcher, "dispatch", after=False),
    "with a worker": lambda world: hang(world.dispatcher, "dispatch", after=True),
    "before the key's end": lambda world: hang(world.keys, "write", after=False, when=is_end),
    "with the key's end": lambda world: hang(world.keys, "write", after=True, when=is_end),
}


@pytest.mark.parametrize("point", CRASHES)
def test_wherever_the_asking_dies_the_question_asked_again_is_answered_once(point: str) -> None:
    """Asked again after the key's lease: one record, one call of the model, the whole text."""

    async def scene(world: StreamWorld) -> None:
        CRASHES[point](world)
        await kill(world)
        await asyncio.sleep(AGAIN_S)
        await world.connect("c2")
        await world.send("c2", ASK)

    world = play(scene, script=SLOW)
    assert world.read("c2", "r1").text == whole_text(SLOW)
    assert (world.scripted.calls, world.record("r1").state) == (1, "finished")


@pytest.mark.parametrize("point", CRASHES)
def test_asked_again_at_once_it_is_answered_or_told_to_come_back(point: str) -> None:
    """While the dead one's lease runs, a record that is there is gone on with; without one nobody may begin."""

    async def scene(world: StreamWorld) -> None:
        CRASHES[point](world)
        await kill(world)
        await world.connect("c2")
        await world.send("c2", ASK)
        if point == "with the key, before the record":
            refused = error_of(world, "c2")
            assert (refused["type"], refused["resumable"]) == ("/problems/in-progress", True)
            assert 1 <= refused["retry_after_s"] <= 5
            await asyncio.sleep(AGAIN_S)
            await world.send("c2", ASK)

    world = play(scene, script=SLOW)
    assert world.read("c2", "r1").text == whole_text(SLOW)
    assert (world.scripted.calls, len(world.answers.records)) == (1, 1)


def test_two_that_ask_at_once_send_for_one_worker() -> None:
    """The second waits for the first to have begun, which takes half a second here, then reads along."""

    async def scene(world: StreamWorld) -> None:
        create = world.answers.create

        async def slowly(record: AnswerRecord, question: str) -> AnswerRecord | None:
            await asyncio.sleep(0.5)
            return await create(record, question)

        world.answers.create = slowly  # type: ignore[method-assign]
        await world.connect("c2")
        await together(world.send("c1", ASK), world.send("c2", ASK))

    world = play(scene, script=SLOW)
    assert [world.read(each, "r1").text for each in ("c1", "c2")] == [whole_text(SLOW)] * 2
    assert world.scripted.calls == 1


def test_another_question_under_the_req_is_a_conflict() -> None:
    """By its key, and by its record where the key is gone: the first question counts."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.connect("c2")
        for keys in (
            world.sockets.keys,
            make_ask_keys(MemoryIdempotencyStore(), clock=LoopClockMs(), chance=FixedChance()),
        ):
            world.sockets = replace(world.sockets, keys=keys)
            before = len(world.line.frames("c2"))
            await world.send("c2", {**ASK, "prompt": "Another?"})
            assert len(world.line.frames("c2")) == before + 1
            assert error_of(world, "c2")["type"] == "/problems/conflict"
        await world.idle()
        assert {frame["t"] for frame in world.line.frames("c2")} == {"error"}
        page = await fetch(world, request(body={"req": "r1", "prompt": "Another?"}))
        assert (page.status, json.loads(page.body)["type"]) == (409, "/problems/conflict")

    assert play(scene, script=SLOW).scripted.calls == 1


def test_without_keys_the_record_alone_says_that_it_has_begun() -> None:
    """As in one Region without a table of keys."""

    async def scene(world: StreamWorld) -> None:
        world.sockets = replace(world.sockets, keys=None)
        await world.send("c1", ASK)
        await world.send("c1", ASK)
        await world.connect("c2")
        await world.send("c2", {**ASK, "prompt": "Another?"})
        assert error_of(world, "c2")["type"] == "/problems/conflict"

    assert play(scene, script=SLOW).scripted.calls == 1


def test_an_end_that_cannot_be_written_under_the_key_does_not_matter() -> None:
    """The answer has begun, and is read; asked again it is the same."""

    class Endless(MemoryIdempotencyStore):
        async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
            if record.is_complete:
                raise unavailable("write")
            return await super().write(record, deadline=deadline)

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        await world.connect("c2")
        await world.send("c2", ASK)

    world = play(scene, script=SLOW, keys=Endless())
    assert [world.read(each, "r1").text for each in ("c1", "c2")] == [whole_text(SLOW)] * 2
    assert world.scripted.calls == 1


def test_a_key_that_outlives_its_record_lets_the_question_wait() -> None:
    """Between the two expiries the req is not free yet; some seconds later it is."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        await asyncio.sleep(KEEP_S - asyncio.get_running_loop().time() + 1)
        await world.connect("c2")
        await world.send("c2", ASK)
        assert error_of(world, "c2")["type"] == "/problems/unavailable"
        await asyncio.sleep(8)
        await world.send("c2", ASK)

    assert play(scene, script=SLOW).scripted.calls == 2


# ---------------------------------------------------------------- several Regions


@pytest.mark.parametrize(
    ("error", "problem", "after_s"),
    [
        (NotHome("elsewhere", home="eu-west-1"), "/problems/not-home", 5),
        (NotHome("soon", home="eu-west-1", after_s=12.2), "/problems/not-home", 13),
        (Withheld("nobody knows"), "/problems/withheld", 2),
    ],
)
def test_a_region_that_may_not_begin_says_when_to_ask_again(error: Exception, problem: str, after_s: int) -> None:
    """An error frame with a hint; over HTTP 503 with `Retry-After`. Nothing was begun."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        refused = error_of(world, "c1")
        assert (refused["type"], refused["resumable"], refused["retry_after_s"]) == (problem, True, after_s)
        assert "eu-west-1" not in str(refused)
        page = await fetch(world, request())
        assert (page.status, json.loads(page.body)["type"]) == (503, problem)
        assert world.answers.records == {}

    play(scene, script=SLOW, keys=Withholding(error))


def test_the_http_refusal_has_a_browsers_headers() -> None:
    """`Retry-After`, and the origin for a caller that an authorizer let in."""

    async def scene(world: StreamWorld) -> None:
        reply = await stream_answer_over_http(request(caller=CALLER), world.call(), http_desk(world))
        assert reply.headers["retry-after"] == "5"
        assert reply.headers["access-control-allow-origin"] == ORIGIN

    play(scene, script=SLOW, keys=Withholding(NotHome("elsewhere")))


def test_what_is_refused_for_good_has_its_status_over_http() -> None:
    """A doubt is 409, and nothing was begun."""

    async def scene(world: StreamWorld) -> None:
        page = await fetch(world, request())
        assert (page.status, json.loads(page.body)["type"]) == (409, "/problems/idempotency-in-doubt")
        assert world.answers.records == {}

    play(scene, script=SLOW, keys=Withholding(LeftInDoubt("k", reason="idempotency-in-doubt")))


def test_what_an_earlier_home_began_is_never_begun_again() -> None:
    """Done there: begun elsewhere. Cut there: in doubt. Not to be asked: parked. New: begun here."""
    terms, doubts = MemoryTermStore(), MemoryDoubtStore()
    tables = {region: TroubledStore(MemoryIdempotencyStore()) for region in ("eu-west-1", "eu-central-1")}

    def open_home(region: str) -> HomeStore:
        others = {other: table for other, table in tables.items() if other != region}
        tenure = Tenure(terms, group="asks", region=region, clock=LoopClockMs())
        return HomeStore(RegionDesk(tenure, tables[region], others, doubts, LoopClockMs()))

    async def scene(world: StreamWorld) -> None:
        first = first_term("asks", "eu-west-1", now_ms=EPOCH_MS)
        await terms.replace(first, seen=None)
        west, central = (
            make_ask_keys(open_home(region), clock=LoopClockMs(), chance=FixedChance()) for region in tables
        )
        world.sockets = replace(world.sockets, keys=west)
        await world.send("c1", ASK)
        await world.idle()
        hang(world.answers, "create", after=False)
        await kill(world, {**ASK, "req": "cut"})
        now_ms = LoopClockMs().now_ms()
        await terms.replace(next_term(first, "eu-central-1", now_ms=now_ms, approval="a person"), seen=first)
        await asyncio.sleep(36)
        world.answers.records.clear()  # another Region's table
        world.sockets = replace(world.sockets, keys=central)
        seen: list[str] = []
        for asked in (ASK, {**ASK, "prompt": "Another?"}, {**ASK, "req": "cut"}):
            await world.send("c1", asked)
            seen.append(error_of(world, "c1")["type"])
        tables["eu-west-1"].trouble.rate = 2.0
        await world.send("c1", {**ASK, "req": "later"})
        seen.append(error_of(world, "c1")["type"])
        assert error_of(world, "c1")["retry_after_s"] == 30
        tables["eu-west-1"].trouble.rate = 0.0
        await world.send("c1", {**ASK, "req": "later"})
        await world.idle()
        assert world.record("later").state == "finished"
        told = ["begun-elsewhere", "conflict", "idempotency-in-doubt", "parked"]
        assert seen == [f"/problems/{each}" for each in told]

    play(scene, script=SLOW)
