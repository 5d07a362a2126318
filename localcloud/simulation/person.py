"""Who approves: a failover, then perhaps a failback, each a decision of its own; and the command that carries it out.

A command is tried until it is known to have worked, may be carried out twice, and may be delivered again long after.
Some are tried with no approval at all.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final

from localcloud.simulation.hosts import HostClock
from localcloud.simulation.network import TermPort
from localcloud.simulation.setting import EAST, GROUP, WEST
from sluiceway.errors import Rejected, Retryable, SluicewayError
from sluiceway.region import handover
from sluiceway.region.doubts import drain
from sluiceway.rules.terms import NOT_YET_MS

if TYPE_CHECKING:
    from localcloud.simulation.weather import Weather
    from localcloud.simulation.world import World

__all__ = ["Person"]

TRIES: Final = 8


class Operator:
    """Where the command runs: a process of one Region, whose clock differs as all do."""

    def __init__(self, world: World, region: str) -> None:
        self.region, self.slowness = region, 8.0
        rng, off_s = world.rng, world.setting.off_s / 2
        self.clock = HostClock(rng.uniform(-off_s, off_s), rng.uniform(-off_s, off_s))
        self.fuse: float = rng.randrange(6) if rng.random() < 0.15 else inf

    def pass_point(self) -> None:
        """Raises CancelledError where it is killed, once: the next try is another process."""
        self.fuse -= 1
        if self.fuse < 0:
            raise asyncio.CancelledError


class Person:
    """The decisions of one run."""

    def __init__(self, world: World, weather: Weather) -> None:
        self._world, self._weather = world, weather
        self._count = 0

    async def live(self, tasks: asyncio.TaskGroup) -> None:
        """Fail over, and back."""
        rng, weather = self._world.rng, self._weather
        wait_s = self._choose_wait_s()
        if wait_s is None:
            return
        await asyncio.sleep(wait_s)
        await self._change(WEST, tasks)
        if self._world.setting.mode == "home" and rng.random() < 0.6:
            tasks.create_task(self._drain(WEST))
        if rng.random() < 0.5:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, weather.ends_s - now) + 40 * rng.random() ** 2)
            await self._change(EAST, tasks)

    def _choose_wait_s(self) -> float | None:
        """How long until the failover; None where nobody decides on one."""
        rng, weather, given_s = self._world.rng, self._weather, self._world.setting.decides_s
        if given_s:
            return weather.begins_s + given_s
        if rng.random() < (0.5 if weather.kind == "calm" else 0.1):
            return None
        if rng.random() < 0.25:
            return weather.ends_s - 0.5 + rng.random()
        return weather.begins_s + 1 + 30 * rng.random()

    async def finish(self) -> None:
        """What was broken off is gone on with, by the approval that it had."""
        world = self._world
        term = await world.terms.get(GROUP)
        if term is not None and term.begins_ms == NOT_YET_MS:
            await self._carry_out(term.region, term.approval, term.epoch - 1)

    async def _drain(self, region: str) -> None:
        """At any time, and again: it may fail, and be killed, like everything else."""
        world = self._world
        for _ in range(2):
            await asyncio.sleep(60 * world.rng.random())
            host = world.host(region)
            try:
                await drain(host.doubts, region=region, home=host.home, clock=host.clock)
            except SluicewayError as error:
                world.note("drained", region, value=type(error).__name__)
            except asyncio.CancelledError:
                if not host.is_over:
                    raise
            else:
                world.note("drained", region, value="to its end")

    async def _change(self, region: str, tasks: asyncio.TaskGroup) -> None:
        world, rng = self._world, self._world.rng
        if rng.random() < 0.3 and world.setting.mode == "home":
            await self._carry_out(region, "", 1)
        self._count += 1
        approval, ends = f"decision {self._count}", world.latest_epoch()
        world.note("approve", region, value=approval)
        traffic_first = rng.random() < 0.5
        if traffic_first:
            world.turn_traffic(region, approval)
        if world.setting.mode == "home":
            if rng.random() < 0.4:
                tasks.create_task(self._carry_out_late(region, approval, ends))
            await self._carry_out(region, approval, ends)
        if not traffic_first:
            world.turn_traffic(region, approval)

    async def _carry_out_late(self, region: str, approval: str, ends: int) -> None:
        rng = self._world.rng
        await asyncio.sleep(rng.choice((0.5, 100.0)) * rng.random())
        await self._carry_out(region, approval, ends)

    async def _carry_out(self, region: str, approval: str, ends: int) -> None:
        world = self._world
        for _ in range(TRIES):
            operator = Operator(world, region)
            try:
                terms = TermPort(world.network, operator, world.terms)
                await handover.raise_epoch(
                    terms, group=GROUP, to=region, approval=approval, clock=operator.clock, ends=ends
                )
            except Rejected as error:
                world.note("refuse", region, value=error.reason)
            except Retryable:
                await asyncio.sleep(1 + world.rng.random())
                continue
            except asyncio.CancelledError:
                if operator.fuse >= 0:
                    raise
                await asyncio.sleep(5 * world.rng.random())
                continue
            return
