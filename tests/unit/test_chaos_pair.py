"""Plans over several Regions: what the host does itself, what it passes on, and that both ends are undone."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession

from localcloud.chaos.control import CHAOS_PATH, ChaosControl
from localcloud.chaos.engine import Busy, Tell
from localcloud.chaos.pair import PairChaos
from localcloud.chaos.plan import Plan, PlanError, read_plan
from localcloud.clock import run_virtual
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.links import Links

EAST, WEST = "us-east-1", "us-west-2"


@dataclass
class Region:
    """A Region's cloud that runs plans for as long as they say."""

    region: str
    refuses: Exception | None = None
    plans: list[Plan] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, plan: Plan, tell: Tell, *, is_part: bool = False) -> dict[str, Any]:
        assert is_part
        if self.refuses is not None:
            raise self.refuses
        self.plans.append(plan)
        try:
            await tell({"type": "begun", "region": self.region})
            await tell({"type": "counts", "region": self.region, "at_s": 0, "total": 1})
            try:
                async with asyncio.timeout(plan.ends_s):
                    await self.stopping.wait()
                self.ends.append("stopped")
            except TimeoutError:
                self.ends.append("ended")
        except asyncio.CancelledError:
            self.ends.append("cut off")
            raise
        return {"stopped": self.stopping.is_set(), "parts": [{"region": self.region, "steps": []}]}

    async def stop(self) -> None:
        self.stopping.set()

    def tell(self) -> dict[str, Any]:
        return {"on": False, "parts": []}


@dataclass
class Outages:
    """The host's control of its Regions."""

    links: Links
    did: list[tuple[str, str]] = field(default_factory=list)

    async def kill(self, region: str) -> None:
        self.did.append(("kill", region))
        self.links.darken(region)

    async def recover(self, region: str) -> None:
        self.did.append(("recover", region))
        self.links.light(region)


@dataclass
class World:
    chaos: PairChaos
    links: Links
    outages: Outages
    regions: Mapping[str, Region]
    group: asyncio.TaskGroup
    told: list[Mapping[str, Any]] = field(default_factory=list)

    async def tell(self, event: Mapping[str, Any]) -> None:
        self.told.append(event)

    def begin(self, *steps: dict[str, Any], seed: int | None = None) -> asyncio.Task[dict[str, Any]]:
        plan = read_plan({"steps": [{"for_s": 10, **step} for step in steps]}, seed=seed)
        return self.group.create_task(self.chaos.run(plan, self.tell))


@asynccontextmanager
async def open_world() -> AsyncGenerator[World]:
    regions = {name: Region(name) for name in (EAST, WEST)}
    addresses: dict[str, str] = {}
    links = Links(rng=random.Random(1))
    async with AsyncExitStack() as cleanup, asyncio.TaskGroup() as group:
        for name, region in regions.items():
            front = Front([], authorise=lambda _key, _needs: None, rng=random.Random(1))
            front.answer_own(ChaosControl(region).answer)
            addresses[name] = await cleanup.enter_async_context(front.serve(open_listener()))
        outages = Outages(links)
        chaos = PairChaos(addresses, links, outages, tables=lambda: ["Jobs"], channel=lambda table: f"t/{table}")
        yield World(chaos, links, outages, regions, group)


def drive(check: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(600), open_world() as world:
            await check(world)

    run_virtual(main)


KILL = {"fault": "region.kill", "region": EAST, "at_s": 1, "for_s": 3}


def test_a_region_is_lost_and_comes_back() -> None:
    """For the time of its step; no Region is told of a plan that it has no part in."""

    async def check(world: World) -> None:
        run = world.begin(KILL)
        await asyncio.sleep(2)
        assert world.links.dark == {EAST}
        await asyncio.sleep(3)
        assert world.links.dark == set()
        report = await run
        assert world.outages.did == [("kill", EAST), ("recover", EAST)]
        assert [region.plans for region in world.regions.values()] == [[], []]
        assert report["parts"] == [
            {
                "region": "",
                "ran_s": 4.0,
                "steps": [{"step": 0, "fault": "region.kill", "injected": 1, "targets": {EAST: 1}}],
            }
        ]

    drive(check)


@pytest.mark.parametrize("both", [True, False])
def test_a_partition_cuts_one_way_or_both(both: bool) -> None:
    """And heals what it cut."""

    async def check(world: World) -> None:
        run = world.begin({"fault": "region.partition", "source": EAST, "target": WEST, "both": both, "for_s": 2})
        await asyncio.sleep(1)
        assert world.links.cuts == ({(EAST, WEST), (WEST, EAST)} if both else {(EAST, WEST)})
        await run
        assert world.links.cuts == set()

    drive(check)


def test_a_tables_replication_pauses_for_the_step() -> None:
    """From and to the Region that the step names."""

    async def check(world: World) -> None:
        run = world.begin({"fault": "region.pause-replication", "table": "Jobs", "region": WEST, "for_s": 2})
        await asyncio.sleep(1)
        assert world.links.pauses == {("t/Jobs", WEST)}
        await run
        assert world.links.pauses == set()

    drive(check)


def test_what_a_person_did_before_is_left_as_it_was() -> None:
    """A plan undoes its own faults alone."""

    async def check(world: World) -> None:
        world.links.darken(EAST)
        world.links.cut(EAST, WEST)
        world.links.pause("t/Jobs", EAST)
        await world.begin(
            KILL,
            {"fault": "region.partition", "source": EAST, "target": WEST, "for_s": 2},
            {"fault": "region.pause-replication", "table": "Jobs", "region": EAST, "for_s": 2},
        )
        assert (world.links.dark, world.links.cuts) == ({EAST}, {(EAST, WEST)})
        assert world.links.pauses == {("t/Jobs", EAST)}
        assert world.outages.did == []

    drive(check)


def test_a_person_may_bring_a_region_back_before_the_plan_does() -> None:
    """Then there is nothing left to undo."""

    async def check(world: World) -> None:
        run = world.begin(KILL)
        await asyncio.sleep(2)
        world.links.light(EAST)
        await run
        assert world.outages.did == [("kill", EAST)]

    drive(check)


def test_each_region_gets_the_whole_plan_with_its_seed() -> None:
    """So its steps have the places that the host reports; what it tells comes through, with its report."""

    async def check(world: World) -> None:
        report = await world.begin(KILL, {"fault": "function.error", "for_s": 5}, seed=9)
        for region in world.regions.values():
            assert [(plan.seed, len(plan.steps)) for plan in region.plans] == [(9, 2)]
            assert region.ends == ["ended"]
        counts = [event["region"] for event in world.told if event["type"] == "counts"]
        assert sorted(counts) == [EAST, WEST]
        assert [part["region"] for part in report["parts"]] == ["", EAST, WEST]

    drive(check)


def test_a_region_without_a_step_of_its_own_is_left_out() -> None:
    """A step may name the Regions that it is about."""

    async def check(world: World) -> None:
        await world.begin({"fault": "function.error", "for_s": 1, "regions": [WEST]})
        assert [len(region.plans) for region in world.regions.values()] == [0, 1]

    drive(check)


def test_stop_ends_both_ends_at_once() -> None:
    """The Region that is dark is lit first, so that it can end its part."""

    async def check(world: World) -> None:
        run = world.begin(KILL, {"fault": "function.error", "for_s": 60})
        await asyncio.sleep(2)
        await world.chaos.stop()
        report = await run
        assert report["stopped"]
        assert world.links.dark == set()
        assert [region.ends for region in world.regions.values()] == [["stopped"], ["stopped"]]

    drive(check)


def test_a_run_that_is_cut_off_is_undone_in_every_region() -> None:
    """Whoever asked for it has gone."""

    async def check(world: World) -> None:
        run = world.begin({**KILL, "for_s": 60}, {"fault": "function.error", "for_s": 60})
        await asyncio.sleep(2)
        run.cancel()
        await asyncio.wait([run])
        await asyncio.sleep(2)
        assert world.outages.did == [("kill", EAST), ("recover", EAST)]
        assert [region.ends for region in world.regions.values()] == [["cut off"], ["cut off"]]
        assert not world.chaos.tell()["on"]

    drive(check)


@pytest.mark.parametrize(("refusal", "kind"), [(PlanError("no such function"), PlanError), (Busy("on"), Busy)])
def test_where_one_region_refuses_nothing_begins(refusal: Exception, kind: type[Exception]) -> None:
    """The others end what they had begun; the refusal names the Region."""

    async def check(world: World) -> None:
        world.regions[WEST].refuses = refusal
        plan = read_plan({"steps": [KILL, {"fault": "function.error", "for_s": 60}]})
        with pytest.raises(kind, match=WEST):
            await world.chaos.run(plan, world.tell)
        await asyncio.sleep(1)
        assert world.regions[EAST].ends == ["cut off"]
        assert (world.outages.did, world.told) == ([], [])
        world.regions[WEST].refuses = None
        await world.begin({"fault": "function.error", "for_s": 1})

    drive(check)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"fault": "region.kill", "region": "eu-west-1"}, "steps[0].region: there is no Region 'eu-west-1' here"),
        ({"fault": "region.partition", "source": EAST, "target": "x"}, "steps[0].target: there is no Region 'x' here"),
        ({"fault": "function.error", "regions": [EAST, "x"]}, "steps[0].regions[1]: there is no Region 'x' here"),
        ({"fault": "region.skew", "by_s": 3}, "steps[0].region: there is no Region '' here; there are us-east-1, "),
        ({"fault": "region.pause-replication", "table": "No", "region": EAST}, "steps[0].table: there is no 'No'; "),
    ],
)
def test_what_is_not_here_is_refused_by_name(step: dict[str, Any], said: str) -> None:
    """With what is."""

    async def check(world: World) -> None:
        with pytest.raises(PlanError) as refused:
            await world.chaos.run(read_plan({"steps": [{"for_s": 1, **step}]}), world.tell)
        assert str(refused.value).startswith(said)

    drive(check)


# ---------------------------------------------------------------------- over HTTP


@asynccontextmanager
async def served(world: World) -> AsyncGenerator[tuple[ClientSession, str]]:
    front = Front([], authorise=lambda _key, _needs: None, rng=random.Random(1))
    front.answer_own(ChaosControl(world.chaos).answer)
    async with front.serve(open_listener()) as root, ClientSession() as session:
        yield session, f"{root}{CHAOS_PATH}"


def test_a_plan_over_http_is_lines_that_end_with_the_report() -> None:
    """The last one is of type report."""

    async def check(world: World) -> None:
        async with served(world) as (session, url), session.post(f"{url}?seed=5", json={"steps": [KILL]}) as answer:
            lines = [json.loads(line) async for line in answer.content]
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        assert [line["type"] for line in lines] == ["begun", "step", "step", "report"]
        assert (lines[0]["seed"], lines[-1]["seed"], lines[-1]["stopped"]) == (5, 5, False)

    drive(check)


def test_whoever_goes_away_has_ended_the_plan() -> None:
    """A command that is killed leaves no Region dark."""

    async def check(world: World) -> None:
        async with served(world) as (session, url):
            async with session.post(url, json={"steps": [{**KILL, "for_s": 500}]}) as answer:
                await answer.content.readline()
                await asyncio.sleep(2)
                assert world.links.dark == {EAST}
                answer.close()
            await asyncio.sleep(2)
            assert world.links.dark == set()
            assert not world.chaos.tell()["on"]

    drive(check)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "", "{}", 400, "steps: is missing"),
        ("POST", "", "\x00", 400, "the plan is no JSON"),
        ("POST", "?seed=-1", json.dumps({"steps": [KILL]}), 400, "seed: a whole number from 0"),
        ("POST", "", " " * (1024 * 1024 + 1), 413, "a plan has 1048576 bytes at most"),
        ("GET", "/nothing", "", 404, "there is no GET"),
    ],
)
def test_bad_requests_are_told_why(method: str, path: str, body: str, status: int, said: str) -> None:
    """As JSON, with a status that says whose fault it is."""

    async def check(world: World) -> None:
        async with (
            served(world) as (session, url),
            session.request(method, url + path, data=io.BytesIO(body.encode())) as answer,
        ):
            assert answer.status == status
            assert (await answer.json())["error"].startswith(said)

    drive(check)


def test_a_second_plan_is_refused_and_stop_ends_the_first() -> None:
    """409 while one is on; after stop, nothing is."""

    async def check(world: World) -> None:
        long = {"steps": [{**KILL, "for_s": 500}]}
        async with served(world) as (session, url), session.post(url, json=long) as first:
            await first.content.readline()
            async with session.post(url, json={"steps": [KILL]}) as second:
                assert (second.status, "a plan is on" in (await second.json())["error"]) == (409, True)
            async with session.get(url) as status:
                assert (await status.json())["on"]
            async with session.post(f"{url}/stop") as stopped:
                assert (await stopped.json()) == {"on": False, "parts": [], "tables": ["Jobs"]}
            *_, report = [json.loads(line) async for line in first.content]
            assert report["stopped"]

    drive(check)
