"""Who sends keys: once or again, to the Region that DNS says, said long ago, or to the other one."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final

from localcloud.simulation.hosts import BrokenError, Host, Key
from localcloud.simulation.setting import REGIONS
from sluiceway.errors import NotHome, SluicewayError
from sluiceway.idempotency import LeftInDoubt, NotRecorded, Parked

if TYPE_CHECKING:
    from localcloud.simulation.world import World

__all__ = ["Clients", "name_doubt"]

TTL_S: Final = 60.0
STALE_S: Final = 200.0  # of clients that keep an answer
TRIES: Final = 4
POINTS: Final = 24  # until an environment is killed: about as many as its work passes


class Clients:
    """All clients of a run; `keys` is what they sent."""

    def __init__(self, world: World) -> None:
        self.keys: list[Key] = []
        self._world = world

    def live(self, tasks: asyncio.TaskGroup) -> None:
        """Let every key come at its time."""
        world = self._world
        for number in range(world.setting.keys):
            tasks.create_task(self._live_one(number, tasks))

    async def _live_one(self, number: int, tasks: asyncio.TaskGroup) -> None:
        world, rng = self._world, self._world.rng
        await asyncio.sleep(rng.random() * world.setting.span_s)
        region = self._resolve(rng)
        key = await self._make_key(number, region)
        self.keys.append(key)
        if rng.random() < 0.15:  # the network had a second copy of the request
            where = region if rng.random() < 0.6 else self._resolve(rng)
            tasks.create_task(self._send_late(key, where, rng.choice((0.0, 0.1, 2.0, 40.0)) * rng.random()))
        await self._send(key, region)
        if rng.random() < world.setting.repeated:
            for _ in range(rng.randrange(1, 3)):
                await asyncio.sleep(rng.choice((1.0, 10.0, 60.0)) * rng.random())
                await self._send(key, rng.choice(REGIONS) if rng.random() < 0.5 else self._resolve(rng))

    def _resolve(self, rng: Random) -> str:
        now = asyncio.get_running_loop().time()
        is_stale = rng.random() < self._world.setting.stragglers
        return self._world.answer_dns(now - rng.random() * (STALE_S if is_stale else TTL_S))

    async def _make_key(self, number: int, region: str) -> Key:
        world = self._world
        key = Key(f"order-{number}", is_minted=False)
        host = world.host(region)
        if world.rng.random() >= world.setting.chosen:
            try:
                key = Key(await host.tenure.mint(), is_minted=True)
            except (SluicewayError, asyncio.CancelledError) as error:
                if not isinstance(error, SluicewayError) and not host.is_over:
                    raise
        world.names[host.stored_key(key)] = key.id
        return key

    async def _send_late(self, key: Key, region: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._send(key, region)

    async def _send(self, key: Key, region: str) -> None:
        """Until there is an answer, or patience ends."""
        rng, where = self._world.rng, region
        for _ in range(TRIES):
            error = await self._call(key, where)
            if error is None or rng.random() < 0.3:
                return
            if isinstance(error, NotHome) and error.home not in {"", where}:
                where = error.home
                await asyncio.sleep(rng.random())
            else:
                await asyncio.sleep(2 + 10 * rng.random())
                where = self._resolve(rng)

    async def _call(self, key: Key, region: str) -> Exception | None:
        """One invocation; the error where a client would try again."""
        world, rng = self._world, self._world.rng
        host = world.host(region)
        if rng.random() < world.setting.killed:
            host.fuse = min(host.fuse, rng.randrange(POINTS))
        world.note("send", region, key.id)
        try:
            value = await host.serve(key, rng.choice((4.0, 15.0, 25.0)))
        except (SluicewayError, BrokenError, asyncio.CancelledError) as error:
            return self._hear(host, key, error)
        if host.is_over:  # killed before the answer was out
            return ConnectionError()
        world.note("ack", region, key.id, value=value)
        return None

    def _hear(self, host: Host, key: Key, error: BaseException) -> Exception | None:
        if host.is_over:
            return ConnectionError()
        if not isinstance(error, SluicewayError | BrokenError):
            raise error
        why = name_doubt(error)
        self._world.note("doubt" if why else "error", host.region, key.id, value=why or type(error).__name__)
        return error if why in {"", "parked"} else None


def name_doubt(error: Exception) -> str:
    """In which way a key is in doubt, "" where it is not."""
    if isinstance(error, Parked):
        return "parked"
    if isinstance(error, LeftInDoubt):
        return "begun and not ended"
    return "not recorded" if isinstance(error, NotRecorded) else ""
