"""Chaos in several Regions: a plan's faults between Regions are the host's, the others are passed on to the Regions.

A Region gets the whole plan and takes what is its own from it, so that its draws do not depend on the others'. It ends
its part when the host goes away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

from localcloud.chaos.control import CHAOS_PATH, PART
from localcloud.chaos.drawing import Tally
from localcloud.chaos.engine import Busy, Tell
from localcloud.chaos.faults import RegionKill, RegionPartition, RegionPause
from localcloud.chaos.plan import Plan, PlanError, Step
from localcloud.chaos.running import edges_of
from localcloud.regions.links import Links

__all__ = ["PairChaos"]

ANSWER_S: Final = 10.0  # for a Region's first line, and for its report after its part has ended
MAX_LINE_BYTES: Final = 1024 * 1024


class _Outages(Protocol):
    async def kill(self, region: str) -> None: ...

    async def recover(self, region: str) -> None: ...


@dataclass(slots=True)
class _Run:
    """One run. `undo` has, by step, what ends its fault; a step that changed nothing has none."""

    plan: Plan
    began: float
    tally: Tally = field(default_factory=Tally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    undo: dict[int, Callable[[], None]] = field(default_factory=dict[int, Callable[[], None]])
    lit: dict[int, str] = field(default_factory=dict[int, str])

    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    def report(self) -> dict[str, Any]:
        """What was done between Regions."""
        own = [(number, step) for number, step in enumerate(self.plan.steps) if _is_hosts(step)]
        steps = [
            {"step": number, "fault": step.fault.name, "injected": sum(hit.values()), "targets": hit}
            for number, step in own
            for hit in (self.tally.of(number),)
        ]
        return {"region": "", "ran_s": round(self.elapsed_s(), 1), "steps": steps}


class PairChaos:
    """The faults of a host. `addresses` are the AWS ports of its Regions, known when those run; `outages` kills them.

    `tables` gives the names of global tables, `channel` the links' channel of one.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        links: Links,
        outages: _Outages,
        *,
        tables: Callable[[], Collection[str]],
        channel: Callable[[str], str],
    ) -> None:
        self._addresses = addresses
        self._links = links
        self._outages = outages
        self._tables = tables
        self._channel = channel
        self._run: _Run | None = None

    async def run(self, plan: Plan, tell: Tell, *, is_part: bool = False) -> dict[str, Any]:  # noqa: ARG002 - a host is nobody's part
        """Run a plan to its end, or until `stop`; the report of every Region. Raises PlanError, Busy."""
        if self._run is not None:
            raise Busy("a plan is on; `sluiceway chaos stop` ends it")
        self._check(plan)
        run = self._run = _Run(plan, asyncio.get_running_loop().time())
        lock = asyncio.Lock()

        async def tell_one(event: Mapping[str, Any]) -> None:
            async with lock:
                await tell(event)

        try:
            async with AsyncExitStack() as cleanup:
                session = await cleanup.enter_async_context(ClientSession(timeout=ClientTimeout(total=None)))
                cleanup.push_async_callback(self._undo, run)
                parts = [await _open_part(session, plan, place=each, cleanup=cleanup) for each in self._parts_of(plan)]
                run.began = asyncio.get_running_loop().time()
                reports = await self._follow(run, parts, tell_one)
        finally:
            self._run = None
            run.over.set()
        return {"stopped": run.stopping.is_set(), "parts": [run.report(), *reports]}

    async def stop(self) -> None:
        """End the plan that is on, and wait until it has ended."""
        run = self._run
        if run is not None:
            run.stopping.set()
            await run.over.wait()

    def tell(self) -> dict[str, Any]:
        """Whether a plan is on, what the host has done of it, and the global tables. A Region tells of its part."""
        run = self._run
        return {"on": run is not None, "parts": [run.report()] if run else [], "tables": sorted(self._tables())}

    # ------------------------------------------------------------------ inside

    def _check(self, plan: Plan) -> None:
        for number, step in enumerate(plan.steps):
            for name, region in _regions_in(step):
                if region not in self._addresses:
                    listed = ", ".join(sorted(self._addresses))
                    raise PlanError(f"steps[{number}].{name}: there is no Region {region!r} here; there are {listed}")
            if isinstance(step.fault, RegionPause) and step.fault.table not in self._tables():
                listed = ", ".join(sorted(self._tables()))
                raise PlanError(f"steps[{number}].table: there is no {step.fault.table!r}; there are {listed}")

    def _parts_of(self, plan: Plan) -> list[tuple[str, str]]:
        return [
            (region, address)
            for region, address in sorted(self._addresses.items())
            if any(step.is_for(region) for step in plan.steps)
        ]

    async def _follow(self, run: _Run, parts: list[_Part], tell: Tell) -> list[dict[str, Any]]:
        await tell({"type": "begun", "region": "", "seed": run.plan.seed, "for_s": run.plan.ends_s})
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(part.read(tell)) for part in parts]
            await self._keep_time(run, tell)
            await self._undo(run)
            if run.stopping.is_set():
                for part in parts:
                    group.create_task(part.stop())
            if reading:
                await asyncio.wait(reading, timeout=ANSWER_S)
            for task in reading:
                task.cancel()
        return [part.report for part in parts]

    async def _keep_time(self, run: _Run, tell: Tell) -> None:
        edges = edges_of(run.plan)
        while edges and not run.stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(run.began + edges[0][0]):
                    await run.stopping.wait()
            while edges and edges[0][0] <= run.elapsed_s():
                at_s, begins, number = edges.pop(0)
                step = run.plan.steps[number]
                if not _is_hosts(step):
                    continue
                await (self._begin(run, number, step) if begins else self._undo_step(run, number))
                what = {"step": number, "fault": step.fault.name, "on": begins, "at_s": at_s}
                await tell({"type": "step", "region": "", **what})

    async def _begin(self, run: _Run, number: int, step: Step) -> None:
        fault, links = step.fault, self._links
        if isinstance(fault, RegionKill):
            run.tally.add(number, fault.region)
            if fault.region not in links.dark:
                run.lit[number] = fault.region
                await self._outages.kill(fault.region)
        elif isinstance(fault, RegionPartition):
            ways = [(fault.source, fault.target), (fault.target, fault.source)][: 2 if fault.both else 1]
            mine = [way for way in ways if way not in links.cuts]
            run.tally.add(number, f"{fault.source} {'and' if fault.both else 'to'} {fault.target}")
            run.undo[number] = lambda: _each(links.heal, mine)
            _each(links.cut, mine)
        elif isinstance(fault, RegionPause):
            place = (self._channel(fault.table), fault.region)
            run.tally.add(number, f"{fault.table} in {fault.region}")
            if place not in links.pauses:
                run.undo[number] = lambda: links.resume(*place)
                links.pause(*place)

    async def _undo(self, run: _Run) -> None:
        for number in [*run.lit, *run.undo]:
            await self._undo_step(run, number)

    async def _undo_step(self, run: _Run, number: int) -> None:
        region = run.lit.pop(number, "")
        if region and region in self._links.dark:  # a person may have lit it
            await self._outages.recover(region)
        undo = run.undo.pop(number, None)
        if undo is not None:
            undo()


class _Part:
    """A Region's part of a plan; `report` is what it said last."""

    def __init__(self, session: ClientSession, response: ClientResponse, *, region: str, address: str) -> None:
        self.report: dict[str, Any] = {"region": region, "steps": [], "error": "it gave no report"}
        self._session = session
        self._address = address
        self._response = response

    async def read(self, tell: Tell) -> None:
        """Pass on what it tells, until its report."""
        with suppress(ClientError, OSError, ValueError):
            async for line in self._response.content:
                event = cast("dict[str, Any]", json.loads(line))
                if event["type"] == "report":
                    self.report = event["parts"][0]
                elif event["type"] != "begun":
                    await tell(event)

    async def stop(self) -> None:
        """Ask it to end; a Region that is dark does not answer."""
        with suppress(ClientError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S), self._session.post(f"{self._address}{CHAOS_PATH}/stop"):
                pass


async def _open_part(session: ClientSession, plan: Plan, *, place: tuple[str, str], cleanup: AsyncExitStack) -> _Part:
    """Let a Region begin. Raises PlanError, Busy as it does."""
    region, address = place
    asked = session.post(f"{address}{CHAOS_PATH}?{PART}=1", json=dict(plan.told), read_bufsize=MAX_LINE_BYTES)
    try:
        async with asyncio.timeout(ANSWER_S):
            response = await cleanup.enter_async_context(asked)
            said = cast("dict[str, Any]", json.loads(await response.content.readline() or b"{}"))
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        raise Busy(f"{region} does not answer: {error or 'it is dark'}") from error
    if "error" in said:
        kind = PlanError if response.status == 400 else Busy
        raise kind(f"{said['error']} ({region})")
    return _Part(session, response, region=region, address=address)


def _is_hosts(step: Step) -> bool:
    return isinstance(step.fault, RegionKill | RegionPartition | RegionPause)


def _regions_in(step: Step) -> list[tuple[str, str]]:
    """Every Region that a step names, with the member that names it."""
    fault = step.fault
    if isinstance(fault, RegionPartition):
        return [("source", fault.source), ("target", fault.target)]
    if step.kind == "region":
        region = str(getattr(fault, "region", ""))
        return [("region", region)]
    return [(f"regions[{index}]", region) for index, region in enumerate(step.regions)]


def _each(change: Callable[[str, str], None], ways: list[tuple[str, str]]) -> None:
    for source, target in ways:
        change(source, target)
