"""One run: the parts put together, what they note, and the order of things from the first key to the last look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from localcloud.clock import run_virtual
from localcloud.regions.links import HOP, Lag, Links
from localcloud.simulation.clients import Clients
from localcloud.simulation.history import Event, History
from localcloud.simulation.hosts import Host
from localcloud.simulation.network import Network, Process, StorePort
from localcloud.simulation.person import Person
from localcloud.simulation.setting import EAST, EPOCH_MS, GROUP, REGIONS, Setting
from localcloud.simulation.settle import settle
from localcloud.simulation.tables import QuorumTable, ReplicaTable, Shelf, Table
from localcloud.simulation.weather import Weather
from sluiceway.ports import IdempotencyStore
from sluiceway.ports.regions import DoubtStore, TermStore
from sluiceway.region.handover import found_group
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import Term, first_term

__all__ = ["World", "live"]

TICK_MS: Final = 100  # that a clock may drift within a lease
REST_S: Final = 30.0  # after the last late copy: every lease and every term has run out


class World:
    """What all environments of a run share (`hosts.Land`)."""

    def __init__(self, seed: int, setting: Setting) -> None:
        self.setting = setting
        self.rng = Random(seed)  # noqa: S311 - a seed's, no secret
        self.history = History()
        self.links = Links(rng=self.rng, lag=Lag(setting.lag_s, spread=0.9, most_s=60.0), hop=HOP)
        self.network = Network(self.links, self.rng, setting)
        self._table: Table = (
            QuorumTable(self.links, self.rng, self._changed)
            if setting.mode == "strong"
            else ReplicaTable(self.links, self._changed)
        )
        self.terms: TermStore = _NotedTerms(self)
        self.doubts: dict[str, DoubtStore] = {region: MemoryDoubtStore() for region in REGIONS}
        self.names: dict[str, str] = {}
        self.traffic: list[tuple[float, str]] = [(0.0, EAST)]
        self.begun = 0
        self._hosts: dict[tuple[str, int], Host] = {}
        self._claimed: dict[tuple[str, str], IdempotencyRecord] = {}
        self._loop = asyncio.get_running_loop()

    def note(self, kind: str, region: str = "", key: str = "", *, value: str = "", epoch: int = 0) -> None:
        """Something happened."""
        self.history.events.append(Event(self._loop.time(), kind, region, key, value, epoch))

    async def prepare(self, copies: asyncio.TaskGroup) -> None:
        """Before anything happens. `copies` last until no late copy of a request is under way."""

    async def look(self) -> None:
        """When everything is healed and nothing is under way any more."""

    def open_store(self, process: Process, region: str) -> IdempotencyStore:
        """The table in `region` as `process` reaches it."""
        return StorePort(self.network, process, target=region, table=self._table)

    def shelf(self, region: str) -> Shelf:
        """All that the Region's table holds, for a walk along it."""
        return self._table.shelf(region)

    def host(self, region: str) -> Host:
        """Some environment of the Region; a new one where that one was killed."""
        place = (region, self.rng.randrange(self.setting.hosts))
        found = self._hosts.get(place)
        if found is None or found.is_over:
            found = self._hosts[place] = Host(self, region)
        return found

    def begin_work(self, host: Host, key: str) -> str:
        """The effect. Under terms, its event's `value` is the other Region if some environment there may begin work."""
        self.begun += 1
        held = self._find_other_home(host.region) if self.setting.mode == "home" else ""
        claim = self._claimed.get((host.region, key))
        self.note("begin", host.region, key, value=held, epoch=0 if claim is None else claim.owner.epoch)
        if claim is not None and host.clock.now_ms() > claim.lease_until_ms - self.setting.skew_s * 1000 + TICK_MS:
            self.note("overdue", host.region, key)
        return f"result {len(self.history.events)}"

    def _find_other_home(self, region: str) -> str:
        others = (other for other in self._hosts.values() if other.region != region and not other.is_over)
        return next((other.region for other in others if other.tenure.is_held()), "")

    def answer_dns(self, asked_s: float) -> str:
        """The Region that was answered at `asked_s`."""
        return next(region for since_s, region in reversed(self.traffic) if since_s <= max(0.0, asked_s))

    def latest_epoch(self) -> int:
        """What a console shows to who approves."""
        return max(event.epoch for event in self.history.of("term"))

    def turn_traffic(self, region: str, approval: str) -> None:
        """DNS answers `region` from now on."""
        self.traffic.append((self._loop.time(), region))
        self.note("traffic", region, value=approval)

    def _changed(self, region: str) -> Callable[[str, IdempotencyRecord | None, IdempotencyRecord | None], None]:
        def changed(item: str, before: IdempotencyRecord | None, after: IdempotencyRecord | None) -> None:
            key = self.names[item.partition("@")[0]]
            if after is None:
                self.note("free", region, key, epoch=0 if before is None else before.owner.epoch)
            elif after.is_complete:
                self.note("end", region, key, value=str(after.data).strip('"'), epoch=after.owner.epoch)
            else:
                self._claimed[region, key] = after
                if before is None or before.owner.token != after.owner.token:
                    self.note("claim", region, key, value=after.owner.token, epoch=after.owner.epoch)

        return changed


class _NotedTerms(MemoryTermStore):
    """Every term that is written is noted."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        """As `TermStore.replace`."""
        before = await self.get(term.group)
        done = await super().replace(term, seen=seen)
        if done and (before is None or before.epoch != term.epoch):
            self._world.note("term", term.region, value=term.approval, epoch=term.epoch)
        return done


async def _live(seed: int, setting: Setting, make_world: type[World]) -> History:
    world = make_world(seed, setting)
    first = first_term(
        GROUP,
        EAST,
        now_ms=EPOCH_MS,
        lease_ms=round(setting.term_lease_s * 1000),
        skew_ms=round(setting.skew_s * 1000),
    )
    await found_group(world.terms, first)
    weather = Weather(world)
    person = Person(world, weather)
    clients = Clients(world)
    async with asyncio.TaskGroup() as copies:
        await world.prepare(copies)
        async with asyncio.TaskGroup() as tasks:
            weather.blow()
            tasks.create_task(person.live(tasks))
            clients.live(tasks)
        world.network.is_calm = True
        await person.finish()
        rest_s = setting.late_s + REST_S + setting.off_s + setting.term_lease_s + setting.overrun_s
        await asyncio.sleep(max(rest_s, weather.ends_s + REST_S - asyncio.get_running_loop().time()))
    world.links.heal_all()
    await world.links.drained()
    await world.look()
    world.note("calm")
    await settle(world, clients.keys)
    return world.history


def live(seed: int, setting: Setting, *, make_world: type[World] = World) -> History:
    """Everything that a seed decides, to its end."""
    return run_virtual(lambda: _live(seed, setting, make_world))
