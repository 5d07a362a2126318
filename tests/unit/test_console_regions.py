"""The console of Regions without sockets: what it looks at and when, what it tells, what it refuses to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.console.events import Events
from localcloud.console.refusals import ApiError
from localcloud.console.regions.reading import Probed, RegionReader
from localcloud.console.regions.server import Desk
from localcloud.console.regions.watch import EVERY_S, LINGER_S, Host, Watch
from localcloud.console.site import Asked
from localcloud.identity import IdentityProvider
from localcloud.regions.control import Control
from localcloud.regions.links import Links
from localcloud.regions.switching import Switch
from localcloud.state import RunningState
from sluiceway.errors import Misconfigured
from sluiceway.rules.terms import Term, close_term, first_term, open_term

EAST, WEST, THIRD = "us-east-1", "us-west-2", "us-east-2"
GROUP = {"REGION_GROUP": "shop", "TERMS_TABLE": "terms", "REGIONS_TABLE": "doubts"}
WELL = {"status": 200, "said": "healthy", "checks": {"keys": "ok"}}
TERM = first_term("shop", EAST, now_ms=0, lease_ms=5_000, skew_ms=1_000)


class Region:
    """A Region that says what the test says, and counts how often it is asked."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.state = RunningState(1, "t", region, "", {"aws": "a", "console": f"http://{region}"}, {}, {}, {})
        self.told: dict[str, Any] = {"alarms": [], "probed": Probed(True, 0.0), "doubts": {}, "health": WELL}
        self.asked: list[str] = []
        self.group: Mapping[str, str] = {**GROUP, "TERMS_REGION": region}

    def _answer(self, what: str) -> Any:
        self.asked.append(what)
        return self.told[what]

    async def settings(self) -> Mapping[str, str]:
        return self.group

    async def alarms(self, group: str) -> list[dict[str, Any]] | None:
        assert group == "shop"
        return self._answer("alarms")

    async def probed(self, other: str, now_s: float) -> Probed | None:
        assert other != self.region
        assert now_s >= 0
        return self._answer("probed")

    async def doubts(self) -> Mapping[str, int] | None:
        return self._answer("doubts")

    async def health(self) -> dict[str, Any] | None:
        return self._answer("health")

    async def places(self, table: str) -> tuple[str, ...] | None:
        assert table == "terms"
        return (EAST, THIRD, WEST)


class Orders(Switch):
    """Answers what the test says; keeps what was asked."""

    def __init__(self) -> None:
        super().__init__({}, usual="")
        self.answer: dict[str, Any] = {"home": WEST, "epoch": 2}
        self.asked: list[tuple[Any, ...]] = []

    async def look(self, to: str = "") -> Mapping[str, Any]:
        self.asked.append(("look", to))
        return self.answer

    async def approve(self, to: str, approval: str, *, force: bool = False) -> Mapping[str, Any]:
        self.asked.append(("approve", to, approval, force))
        return self.answer

    async def drill(self, region: str, approval: str, *, minutes: int) -> Mapping[str, Any]:
        self.asked.append(("drill", region, approval, minutes))
        return self.answer


class World:
    """A host of two Regions in one loop."""

    def __init__(self) -> None:
        self.regions = {EAST: Region(EAST), WEST: Region(WEST)}
        self.links = Links(rng=Random(1))
        self.control = Control({}, self.links, handlers={}, identity=IdentityProvider(Path()))
        self.term: Term | None = TERM
        self.term_asked: list[str] = []
        self.naming: dict[str, Any] = {"zones": [], "checks": []}
        self.events = Events()
        self.orders = Orders()
        host = Host(
            control=self.control,
            readers=self.regions,
            roles={EAST: "primary", WEST: "secondary"},
            naming=lambda: self.naming,
            term=self._read_term,
            clock=LoopClock(asyncio.get_running_loop()),
        )
        self.watch = Watch(host, self.events)
        self.routes = Desk(host, self.watch, audience="", switch=lambda: self.orders).routes()

    async def _read_term(self, settings: Mapping[str, str]) -> Term | None:
        self.term_asked.append(settings["TERMS_REGION"])
        return self.term

    async def get(self, path: str = "/api/regions", **query: str) -> Any:
        return await self.routes[path]["GET"](Asked(query, b"", ""))

    async def post(self, path: str, body: Any = None, tail: str = "") -> Any:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.routes[path]["POST"](Asked({}, sent, tail))


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene(World())

    run_virtual(main)


def alarm(name: str, state: str = "ALARM") -> dict[str, Any]:
    return {"name": name, "state": state, "since_ms": 7, "about": ""}


# ---------------------------------------------------------------- what is told


def test_both_regions_are_told_with_what_the_other_sees() -> None:
    """Health is their own word; `seen` is the other one's probe; the third Region of the term stands beside."""

    async def scene(world: World) -> None:
        world.regions[WEST].told |= {"probed": Probed(False, 3.0), "doubts": {"parked": 2}}
        told = await world.get()
        east, west = told["regions"]
        assert (east["region"], east["role"], east["home"], east["dark"]) == (EAST, "primary", True, False)
        assert (east["health"], east["seen"]) == (WELL, {"well": False, "at_ms": 3.0, "by": WEST})
        assert (west["home"], west["seen"]["well"], west["doubts"]) == (False, True, {"parked": 2})
        assert west["console"] == "http://us-west-2"
        assert told["beside"] == [{"region": THIRD, "dark": False}]
        assert (told["group"]["name"], told["group"]["term"]["epoch"]) == ("shop", 1)

    play(scene)


def test_a_name_of_several_records_says_which_region_it_answers() -> None:
    """By the name of API Gateway's that it leads to; a name of one record is not told."""

    async def scene(world: World) -> None:
        of_two = {
            "name": "api.example.com.", "ttl_s": 60, "records": [{}, {}],
            "target": "d-1.execute-api.us-west-2.amazonaws.com",
        }  # fmt: skip
        of_one = {**of_two, "name": "us-west-2.api.example.com.", "records": [{}]}
        world.naming = {"zones": [{"names": [of_two, of_one]}], "checks": [{"id": "1"}]}
        told = await world.get()
        assert [(name["name"], name["region"]) for name in told["names"]] == [("api.example.com", WEST)]
        assert told["checks"] == [{"id": "1"}]

    play(scene)


def test_without_a_group_there_are_regions_all_the_same() -> None:
    """Any template runs in several Regions; nothing is asked of tables or alarms then."""

    async def scene(world: World) -> None:
        for region in world.regions.values():
            region.group = {}
        told = await world.get()
        assert (told["group"], told["asks"], told["beside"]) == (None, [], [])
        assert [region["region"] for region in told["regions"]] == [EAST, WEST]
        assert world.regions[EAST].asked == ["health"]

    play(scene)


@pytest.mark.parametrize(
    ("home", "alarms", "dark", "asks"),
    [
        (EAST, [], (), []),
        (EAST, [alarm("failover-asked")], (), [(WEST, "failover")]),
        (EAST, [alarm("failover-asked", "OK")], (), []),
        (EAST, [alarm("failover-asked")], (WEST,), []),
        (EAST, [], (EAST,), [(WEST, "home-is-dark")]),
        (EAST, [alarm("failover-asked")], (EAST,), [(WEST, "failover")]),
        (WEST, [alarm("failover-asked")], (), []),
        (WEST, [alarm("failback-asked")], (), [(EAST, "failback")]),
        (WEST, [], (WEST,), [(EAST, "home-is-dark")]),
    ],
)
def test_when_a_persons_word_is_wanted(
    home: str, alarms: list[dict[str, Any]], dark: tuple[str, ...], asks: list[tuple[str, str]]
) -> None:
    """An alarm asks, or the home is dark; never for what is home already, nor on the word of a dark Region."""

    async def scene(world: World) -> None:
        world.term = TERM if home == EAST else open_term(close_term(TERM, WEST, now_ms=0, approval="x"), now_ms=0)
        world.regions[WEST].told["alarms"] = alarms
        await world.get()
        for region in dark:
            await world.post("/api/kill/", tail=region)
        told = await world.get()
        assert [(ask["to"], ask["why"]) for ask in told["asks"]] == asks

    play(scene)


def test_a_dark_region_is_asked_nothing_and_keeps_what_it_said() -> None:
    """Its alarms and doubts stay as last told, and are said not to be fresh; the term is read from the other one."""

    async def scene(world: World) -> None:
        world.regions[EAST].told |= {"alarms": [alarm("other-region-down")], "doubts": {"fenced": 1}}
        await world.get()
        await world.post("/api/kill/", tail=EAST)
        world.regions[EAST].asked.clear()
        world.term_asked.clear()
        await asyncio.sleep(2)
        [east, west] = (await world.get())["regions"]
        assert (east["dark"], east["fresh"], east["health"]["said"]) == (True, False, "")
        assert (east["alarms"], east["doubts"]) == ([alarm("other-region-down")], {"fenced": 1})
        assert (west["fresh"], world.regions[EAST].asked, world.term_asked) == (True, [], [WEST])

    play(scene)


def test_a_term_in_a_dark_region_is_not_waited_for() -> None:
    """Where the only table of terms is dark nobody is asked for it: what was read last is told."""

    async def scene(world: World) -> None:
        for region in world.regions.values():
            region.group = {**GROUP, "TERMS_REGION": THIRD}
        await world.get()
        await world.post("/api/kill/", tail=THIRD)
        world.term_asked.clear()
        await asyncio.sleep(2)
        told = await world.get()
        assert (world.term_asked, told["group"]["term"]["epoch"]) == ([], 1)
        assert told["beside"] == [{"region": THIRD, "dark": True}]

    play(scene)


def test_the_last_doubt_that_ends_is_told() -> None:
    """None left is something that was seen, and no lack of an answer."""

    async def scene(world: World) -> None:
        west = world.regions[WEST]
        for counts in ({"parked": 1}, None, {}):
            west.told["doubts"] = counts
            await asyncio.sleep(2)
            await world.watch.look()
            await world.watch.look()
        texts = [entry["text"] for entry in world.watch.tell()["story"] if entry["kind"] == "doubts"]
        assert texts == ["1 key in doubt no longer in us-west-2", "us-west-2 notes 1 key in doubt"]

    play(scene)


def test_a_region_that_hangs_keeps_what_it_said() -> None:
    """No answer is no news: alarms stay, and are not fresh."""

    async def scene(world: World) -> None:
        world.regions[WEST].told["alarms"] = [alarm("failover-asked")]
        await world.get()
        world.regions[WEST].told |= {"alarms": None, "doubts": None, "probed": None}
        await asyncio.sleep(2)
        west = (await world.get())["regions"][1]
        assert (west["alarms"], west["fresh"]) == ([alarm("failover-asked")], False)

    play(scene)


# ---------------------------------------------------------------- when it looks


def test_nobody_is_asked_while_nobody_reads() -> None:
    """Once a second while a page is open, health once in five; a while after the last page it stops."""

    async def scene(world: World) -> None:
        west = world.regions[WEST]
        async with asyncio.TaskGroup() as group:
            running = group.create_task(world.watch.run())
            await asyncio.sleep(100)
            assert west.asked == []
            with world.events.read() as reader:
                world.watch.want()
                await asyncio.sleep(10 * EVERY_S - 0.5)
                assert (west.asked.count("alarms"), west.asked.count("health")) == (10, 2)
                assert (await reader.take(1)).count(b"event: regions") == 10
            await asyncio.sleep(LINGER_S + 2)
            west.asked.clear()
            await asyncio.sleep(100)
            assert west.asked == []
            running.cancel()

    play(scene)


def test_what_people_do_is_in_the_story_although_nobody_looks() -> None:
    """Kill, recover, cut and heal are heard from the host, whoever did them."""

    async def scene(world: World) -> None:
        await world.control.kill(EAST)
        await asyncio.sleep(3)
        world.control.link(EAST, WEST, cut=True, both=True)
        world.control.link(EAST, THIRD, cut=False, both=False)
        await world.control.recover(EAST)
        told = world.watch.tell()["story"]
        assert [(entry["kind"], entry["text"]) for entry in told] == [
            ("recovered", "us-east-1 is back"),
            ("healed", "Everything passes from us-east-1 to us-east-2 again"),
            ("cut", "Nothing passes between us-east-1 and us-west-2 any more"),
            ("killed", "us-east-1 is lost"),
        ]
        assert [entry["since_ms"] for entry in told] == [3000, 3000, 3000, 0]

    play(scene)


# ---------------------------------------------------------------- what may be done


def test_links_are_cut_one_way_or_both() -> None:
    """Between any two that count, the third Region of the term too."""

    async def scene(world: World) -> None:
        told = await world.post("/api/links", {"source": EAST, "target": THIRD, "cut": True, "both": False})
        assert told["cuts"] == [[EAST, THIRD]]
        told = await world.post("/api/links", {"source": EAST, "target": WEST, "cut": True})
        assert told["cuts"] == [[EAST, THIRD], [EAST, WEST], [WEST, EAST]]
        told = await world.post("/api/links", {"source": THIRD, "target": EAST, "cut": False, "both": True})
        assert told["cuts"] == [[EAST, WEST], [WEST, EAST]]

    play(scene)


def test_an_approval_names_who_and_why() -> None:
    """As the term keeps it; forced only where it was said."""

    async def scene(world: World) -> None:
        told = await world.post("/api/approve", {"to": WEST, "name": " R. Roe ", "reason": "incident 4711"})
        assert told == {"home": WEST, "epoch": 2}
        await world.post("/api/approve", {"to": WEST, "name": "R. Roe", "reason": "x", "force": True})
        await world.post("/api/drill", {"region": EAST, "name": "R. Roe", "reason": "to see", "minutes": 5})
        assert world.orders.asked == [
            ("approve", WEST, "incident 4711, R. Roe", False),
            ("approve", WEST, "x, R. Roe", True),
            ("drill", EAST, "to see, R. Roe", 5),
        ]

    play(scene)


def test_a_refusal_is_in_words() -> None:
    """What speaks against it, from the function itself; and what keeps it from being asked."""

    async def scene(world: World) -> None:
        world.orders.answer = {"refused": "not-ready", "message": "not handed over to us-west-2: replication-lags"}
        with pytest.raises(ApiError, match=r"^Refused: .*replication-lags \(not-ready\)\.$") as caught:
            await world.post("/api/approve", {"to": WEST, "name": "R", "reason": "x"})
        assert caught.value.status == 409

        def fail() -> Switch:
            raise Misconfigured("the stack has no output", what="SwitchRegionName")

        desk = Desk(world.watch.host, world.watch, audience="", switch=fail)
        with pytest.raises(ApiError, match="the stack has no output"):
            await desk.routes()["/api/look"]["GET"](Asked({"to": WEST}, b"", ""))

    play(scene)


@pytest.mark.parametrize(
    ("path", "body", "tail", "status"),
    [
        ("/api/kill/", None, "eu-north-1", 404), ("/api/recover/", None, EAST, 409), ("/api/links", b"{", "", 400),
        ("/api/links", {"source": EAST, "target": EAST}, "", 400), ("/api/links", {"source": EAST}, "", 400),
        ("/api/links", {"source": EAST, "target": "eu-north-1"}, "", 404),
        ("/api/links", {"source": EAST, "target": WEST, "cut": "yes"}, "", 400),
        ("/api/links", {"source": EAST, "target": WEST, "more": 1}, "", 400),
        ("/api/approve", {"to": WEST, "name": "", "reason": "x"}, "", 400),
        ("/api/approve", {"to": WEST, "name": " ", "reason": "x"}, "", 400),
        ("/api/approve", {"to": WEST, "name": "x" * 129, "reason": "x"}, "", 400),
        ("/api/approve", {"to": WEST, "name": "x", "reason": "x" * 513}, "", 400),
        ("/api/approve", {"to": WEST, "name": "x", "reason": "a\nb"}, "", 400),
        ("/api/approve", {"to": WEST, "name": "x"}, "", 400),
        ("/api/approve", {"to": WEST, "name": "x", "reason": "x", "force": 1}, "", 400),
        ("/api/approve", {"to": THIRD, "name": "x", "reason": "x"}, "", 404),
        ("/api/approve", [], "", 400),
        ("/api/drill", {"region": EAST, "name": "x", "reason": "x"}, "", 400),
        ("/api/drill", {"region": EAST, "name": "x", "reason": "x", "minutes": True}, "", 400),
        ("/api/drill", {"region": EAST, "name": "x", "reason": "x", "minutes": 1441}, "", 400),
        ("/api/drill", {"region": "nowhere", "name": "x", "reason": "x", "minutes": 1}, "", 404),
    ],
)  # fmt: skip
def test_what_is_malformed_or_nowhere_changes_nothing(path: str, body: Any, tail: str, status: int) -> None:
    """A sentence and a 4xx; nothing is cut, killed or ordered."""

    async def scene(world: World) -> None:
        with pytest.raises(ApiError) as caught:
            await world.post(path, body, tail)
        assert (caught.value.status, str(caught.value)[-1]) == (status, ".")
        assert (world.orders.asked, world.links.cuts, world.links.dark) == ([], frozenset(), frozenset())

    play(scene)


def test_a_dark_region_takes_no_orders() -> None:
    """Its function would never answer: it is said so at once."""

    async def scene(world: World) -> None:
        await world.post("/api/kill/", tail=EAST)
        with pytest.raises(ApiError, match="is dark") as caught:
            await world.post("/api/drill", {"region": EAST, "name": "x", "reason": "x", "minutes": 1})
        assert (caught.value.status, world.orders.asked) == (409, [])

    play(scene)


async def test_of_a_stack_called_like_the_group_only_what_is_wrong_is_told() -> None:
    """The pair's own alarms always; those that CloudFormation named, where they are in ALARM."""

    class Cloud:
        async def ask(self, _service: object, _operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
            assert asked["AlarmNamePrefix"] == "shop-"
            named = {
                "failover-asked": "OK",
                "ErrorsAlarm": "OK",
                "ThrottlesAlarm": "ALARM",
                "AgeAlarm": "INSUFFICIENT_DATA",
            }
            alarms = [
                {"AlarmName": f"shop-{name}", "StateValue": state, "StateUpdatedTimestamp": 1}
                for name, state in named.items()
            ]
            return {"CompositeAlarms": alarms[:1], "MetricAlarms": alarms[1:]}

    reader = RegionReader(Region(WEST).state, Cloud(), None)  # pyright: ignore[reportArgumentType] - asks nothing else
    told = await reader.alarms("shop")
    assert [(alarm["name"], alarm["state"]) for alarm in told or ()] == [
        ("ThrottlesAlarm", "ALARM"),
        ("failover-asked", "OK"),
    ]
