"""Several Regions under one eye: looked at once a second while somebody reads, and the story of what was seen.

Owns what is asked how often. What people do to the Regions is heard from the host, whoever looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, cast

from localcloud.clock import Clock
from localcloud.console.events import Events
from localcloud.console.regions.reading import Probed
from localcloud.console.regions.story import AlarmSeen, Entry, Sight, Story, compare
from localcloud.regions.control import Control
from localcloud.services.route53.answers import API_NAME
from localcloud.state import RunningState
from sluiceway.rules.terms import Term

__all__ = ["EVERY_S", "LINGER_S", "Host", "Reader", "Watch"]

EVERY_S: Final = 1.0
HEALTH_EVERY: Final = 5  # looks: each asks a function
DOUBTS_EVERY: Final = 2
WAY: Final = 2  # ends
LINGER_S: Final = 30.0  # after the last reader has gone, for a page that is loaded again
Json: TypeAlias = dict[str, Any]


class Reader(Protocol):
    """One Region, as `reading.RegionReader` asks it."""

    @property
    def region(self) -> str: ...
    @property
    def state(self) -> RunningState: ...
    async def settings(self) -> Mapping[str, str]: ...
    async def alarms(self, group: str) -> list[Json] | None: ...
    async def probed(self, other: str, now_s: float) -> Probed | None: ...
    async def doubts(self) -> Mapping[str, int] | None: ...
    async def health(self) -> Json | None: ...
    async def places(self, table: str) -> tuple[str, ...] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the host gives: `roles` by Region, Route 53's snapshot (`naming`), and the term by a Region's settings."""

    control: Control
    readers: Mapping[str, Reader]
    roles: Mapping[str, str]
    naming: Callable[[], Json]
    term: Callable[[Mapping[str, str]], Awaitable[Term | None]]
    clock: Clock


class Watch:
    """Looks, and tells readers of `events` the whole of it when it has changed."""

    def __init__(self, host: Host, events: Events) -> None:
        self.host = host
        self._events = events
        self._story = Story()
        self._views: dict[str, Json] = {name: {} for name in host.readers}
        self._settings: Mapping[str, str] = {}
        self._places: tuple[str, ...] = ()
        self._term: Term | None = None
        self._sight: Sight | None = None
        self._count = 0
        self._looked_s = float("-inf")
        self._looking = asyncio.Lock()
        self._wanted = asyncio.Event()
        host.control.listen(self._hear)

    @property
    def places(self) -> tuple[str, ...]:
        """Every Region that counts: the pair's, and where the term is beside them."""
        return tuple(dict.fromkeys([*self.host.readers, *self._places]))

    def want(self) -> None:
        """Somebody reads from now on."""
        self._wanted.set()

    async def run(self) -> None:
        """Look while somebody reads, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            ends = loop.time() + LINGER_S
            while loop.time() < ends:
                await self.look()
                if self._events.readers:
                    ends = loop.time() + LINGER_S
                await asyncio.sleep(EVERY_S)

    async def told(self) -> Json:
        """What is so now, a second old at most."""
        if asyncio.get_running_loop().time() - self._looked_s > EVERY_S:
            await self.look()
        return self.tell()

    async def look(self) -> None:
        """Look at everything that answers, and tell it."""
        async with self._looking:
            await self._read()
            self._looked_s = asyncio.get_running_loop().time()
            self._count += 1
        self._events.tell("regions", self.tell)

    # ------------------------------------------------------------------ looking

    async def _read(self) -> None:
        dark = self.dark
        lit = [reader for name, reader in self.host.readers.items() if name not in dark]
        for reader in lit:
            self._settings = self._settings or await reader.settings()
        async with asyncio.TaskGroup() as group:
            for reader in lit:
                group.create_task(self._read_region(reader))
            group.create_task(self._read_group(dark, lit))
        for name in dark & set(self._views):
            self._views[name] |= {"health": {"status": 0, "said": "", "checks": {}}}
        sight = self._see()
        self._story.add(*compare(self._sight, sight))
        self._sight = sight

    async def _read_region(self, reader: Reader) -> None:
        """Each part as it was where the Region did not answer; `fresh` says whether it did."""
        group, view = self._settings.get("REGION_GROUP", ""), self._views[reader.region]
        found: Json = {}
        if group:
            alarms = await reader.alarms(group)
            others = [name for name in self.host.readers if name != reader.region]
            found |= {"alarms": alarms, "fresh": alarms is not None}
            for other in others[:1]:
                probed = await reader.probed(other, self.host.clock.time())
                seen = None if probed is None else {"well": probed.is_well, "at_ms": probed.at_ms, "by": reader.region}
                self._views[other]["seen"] = seen
            if self._count % DOUBTS_EVERY == 0:
                counts = await reader.doubts()
                found["doubts"] = None if counts is None else dict(counts)
        if self._count % HEALTH_EVERY == 0 or not view.get("health") or view["health"]["said"] != "healthy":
            found["health"] = await reader.health()
        if reader.region not in self.dark:
            view |= {name: value for name, value in found.items() if value is not None}

    async def _read_group(self, dark: frozenset[str], lit: list[Reader]) -> None:
        """The term, asked where it is; a table that is in several Regions is asked in one that is not dark."""
        if "TERMS_TABLE" not in self._settings:
            return
        for reader in lit:
            settings = {**self._settings, **await reader.settings()}
            if settings.get("TERMS_REGION", "") in dark:
                continue
            term = await self.host.term(settings)
            if term is not None:
                self._term = term
                break
        if not self._places:
            await self._read_places(lit)

    async def _read_places(self, lit: list[Reader]) -> None:
        table, where = self._settings["TERMS_TABLE"], self._settings.get("TERMS_REGION", "")
        for reader in lit:
            found = await reader.places(table)
            if found is not None:
                self._places = found
                return
        self._places = (where,) if where else ()

    @property
    def dark(self) -> frozenset[str]:
        """The Regions that are dark."""
        told = self.host.control.tell()
        return frozenset(each["region"] for each in told["regions"] if each["dark"])

    def _see(self) -> Sight:
        views = self._views
        alarms = {
            (region, str(alarm["name"])): AlarmSeen(alarm["state"], alarm["since_ms"])
            for region, view in views.items()
            for alarm in view.get("alarms") or ()
        }
        return Sight(
            now_ms=self.host.clock.time() * 1000,
            term=self._term,
            alarms=alarms,
            health={region: view["health"]["said"] for region, view in views.items() if view.get("health")},
            seen={region: view["seen"]["well"] for region, view in views.items() if view.get("seen")},
            doubts={
                region: sum(view["doubts"].values()) for region, view in views.items() if view.get("doubts") is not None
            },
            names={each["name"]: each["region"] for each in self._names()},
            regions=tuple(self.host.readers),
        )

    # ------------------------------------------------------------------ telling

    def tell(self) -> Json:
        """The whole of it, as the API's docstring has it."""
        told = self.host.control.tell()
        dark = self.dark
        home = self._term.region if self._term is not None else ""
        return {
            "now_ms": round(self.host.clock.time() * 1000),
            "regions": [self._tell_region(name, dark=name in dark, home=home) for name in self.host.readers],
            "beside": [{"region": name, "dark": name in dark} for name in self.places if name not in self.host.readers],
            "cuts": told["cuts"],
            "lags": told["lags"],
            "group": self._tell_group(),
            "names": self._names(),
            "checks": self.host.naming()["checks"],
            "asks": self._asks(dark),
            "story": self._story.tell(),
        }

    def _tell_region(self, name: str, *, dark: bool, home: str) -> Json:
        view, state = self._views[name], self.host.readers[name].state
        return {
            "region": name,
            "dark": dark,
            "role": self.host.roles.get(name, ""),
            "home": name == home,
            "console": state.endpoints.get("console", ""),
            "health": view.get("health"),
            "seen": view.get("seen"),
            "alarms": view.get("alarms") or [],
            "doubts": view.get("doubts"),
            "fresh": not dark and bool(view.get("fresh", True)),
        }

    def _tell_group(self) -> Json | None:
        group = self._settings.get("REGION_GROUP")
        if not group:
            return None
        term = self._term
        known = None if term is None else {**term._asdict(), "past": [past._asdict() for past in term.past]}
        return {"name": group, "term": known}

    def _names(self) -> list[Json]:
        """Names that lead to one of several records; a Region's own name says nothing of a failover."""
        found: list[Json] = []
        for zone in cast("list[Json]", self.host.naming()["zones"]):
            for name in cast("list[Json]", zone["names"]):
                if len(name["records"]) > 1:
                    target = API_NAME.fullmatch(str(name["target"]).lower())
                    said = {"name": str(name["name"]).rstrip("."), "region": target[2] if target is not None else ""}
                    found.append({**name, **said})
        return found

    def _asks(self, dark: frozenset[str]) -> list[Json]:
        """Where a person's word is wanted: `to`, and `why` (`failover`, `failback`, `home-is-dark`)."""
        home = self._term.region if self._term is not None else ""
        found: dict[str, str] = {}
        for region, view in self._views.items():
            others = [name for name in self._views if name != region]
            in_alarm = {alarm["name"] for alarm in view.get("alarms") or () if alarm["state"] == "ALARM"}
            if "failover-asked" in in_alarm and region not in dark:
                found.setdefault(region, "failover")
            if "failback-asked" in in_alarm and region not in dark and others:
                found.setdefault(others[0], "failback")
        if home in dark:
            for region in self._views:
                if region not in dark:
                    found.setdefault(region, "home-is-dark")
        return [{"to": to, "why": why} for to, why in found.items() if home and to != home]

    def _hear(self, what: str, regions: tuple[str, ...]) -> None:
        now_ms = self.host.clock.time() * 1000
        ways = " to ".join(regions)
        links = f"from {ways}" if len(regions) <= WAY else f"between {' and '.join(regions[:WAY])}"
        text, tone = {
            "killed": (f"{regions[0]} is lost", "bad"),
            "recovered": (f"{regions[0]} is back", "good"),
            "cut": (f"Nothing passes {links} any more", "bad"),
            "healed": (f"Everything passes {links} again", "good"),
        }[what]
        self._story.add(Entry(now_ms, what, text, tone))
        self._events.tell("regions", self.tell)
