"""An execution environment: the shipped App, guard, store and tenure on a clock of its own, until it is killed.

Everything here is put together as a function's lifespan does it. What the work does is one effect, with waits before
and after it; before it, it may raise an error of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf
from random import Random
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from localcloud.simulation.network import DoubtPort, Network, Process, TermPort
from localcloud.simulation.setting import EPOCH_MS, GROUP, REGIONS, Setting
from sluiceway.app import App
from sluiceway.events.invocation import Invocation
from sluiceway.idempotency import Options, idempotent_flow
from sluiceway.idempotency.decorators import Protected
from sluiceway.ports import IdempotencyStore
from sluiceway.ports.regions import DoubtStore, TermStore
from sluiceway.region.home import HomeStore, RegionDesk
from sluiceway.region.strong import StrongStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.idempotency import Owner

__all__ = ["BrokenError", "Host", "HostClock", "Key", "Land"]

DRIFT_S: Final = 400.0  # in which a clock moves from one end of its error to the other
PAUSES_S: Final = (0.02, 0.3, 2.0, 9.0)  # up to so long the work takes, before its effect and after it


class BrokenError(Exception):
    """The work's own failure, before its effect."""


class Key(NamedTuple):
    """A key as clients send it."""

    id: str
    is_minted: bool


class HostClock:
    """A date that is wrong by `first_s` to begin with, and by `last_s` in the end."""

    def __init__(self, first_s: float, last_s: float) -> None:
        self._first_s, self._drift = first_s, (last_s - first_s) / DRIFT_S
        self._loop = asyncio.get_running_loop()
        self._read_s, self._ms = -1.0, 0

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        true_s = self._loop.time()
        if true_s != self._read_s:
            date_s = true_s + self._first_s + self._drift * min(true_s, DRIFT_S)
            self._read_s, self._ms = true_s, EPOCH_MS + round(date_s * 1000)
        return self._ms


class Land(Protocol):
    """What all environments share."""

    setting: Setting
    rng: Random
    network: Network
    doubts: dict[str, DoubtStore]

    @property
    def terms(self) -> TermStore:
        """Where the group's term is."""
        ...

    def open_store(self, process: Process, region: str) -> IdempotencyStore:
        """The table in `region` as `process` reaches it."""
        ...

    def begin_work(self, host: Host, key: str) -> str:
        """The effect, now; gives the work's result."""
        ...

    def note(self, kind: str, region: str = "", key: str = "", *, value: str = "", epoch: int = 0) -> None:
        """Something happened."""
        ...


class _Plain:
    """A source whose events need no decoding."""

    def decode(self, event: object) -> dict[str, str]:
        return cast("dict[str, str]", event)

    def encode(self, reply: str) -> object:
        return reply

    def correlation_id(self, event: dict[str, str]) -> str:
        return event["id"]


_PLAIN: Final = _Plain()


class _Context:
    """What Lambda gives with an event; `ends` is on the loop's clock."""

    aws_request_id = "request"
    function_name = "pay"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:pay"

    def __init__(self, ends: float) -> None:
        self._ends = ends

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self._ends - asyncio.get_running_loop().time()) * 1000))


class _Draws:
    def __init__(self, rng: Random) -> None:
        self.draw: Callable[[], float] = rng.random


_Flow: TypeAlias = "Protected[dict[str, str], [Invocation, Host], str]"


class Host:
    """One environment. `fuse`: how many points it passes until it is killed."""

    def __init__(self, land: Land, region: str, *, is_calm: bool = False) -> None:
        self.region = region
        self.slowness = 1.0
        self.is_over = False
        self.fuse: float = inf
        self._land, self._is_calm = land, is_calm
        rng, off_s = land.rng, land.setting.off_s / 2
        self.clock = HostClock(rng.uniform(-off_s, off_s), rng.uniform(-off_s, off_s))
        self._name, self._attempts = f"{region[3:7]}{rng.randrange(1 << 30):08x}", 0
        overrun_ms = 0 if is_calm else round(land.setting.overrun_s * 1000)
        self.tenure = Tenure(
            TermPort(land.network, self, land.terms, overrun_ms=overrun_ms),
            group=GROUP,
            region=region,
            clock=self.clock,
            random=rng.randbytes,
        )
        self.doubts = DoubtPort(land.network, self, land.doubts[region])
        self.local = land.open_store(self, region)
        self.home = HomeStore(RegionDesk(self.tenure, self.local, self._others(), self.doubts, self.clock))
        self.store = self._choose_store()
        self._minted = self._make("minted")
        self._chosen = self._make("sha256")

    def pass_point(self) -> None:
        """Raises CancelledError once this environment is killed: nothing it asks for is done any more."""
        self.fuse -= 1
        if self.fuse < 0 and not self.is_over:
            self.is_over = True
            self._land.note("crash", self.region)
        if self.is_over:
            raise asyncio.CancelledError

    def stored_key(self, key: Key) -> str:
        """The key as the guard has it."""
        flow, _ = self._minted if key.is_minted else self._chosen
        return flow.guard.key_of({"id": key.id})

    async def serve(self, key: Key, lasts_s: float) -> str:
        """One invocation, with so much time left; gives the work's result. Raises as an App's invocation does."""
        reply = await self._app(key).invoke({"id": key.id}, _Context(asyncio.get_running_loop().time() + lasts_s))
        return str(reply)

    def _app(self, key: Key) -> App[dict[str, str], Host, str]:
        return self._minted[1] if key.is_minted else self._chosen[1]

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Host]:
        yield self

    def _others(self) -> dict[str, IdempotencyStore]:
        return {region: self._land.open_store(self, region) for region in REGIONS if region != self.region}

    def _choose_store(self) -> IdempotencyStore:
        mode = self._land.setting.mode
        if mode == "home":
            return self.home
        return StrongStore(self.local, self.region) if mode == "strong" else self.local

    def _make(self, digest: Any) -> tuple[_Flow, App[dict[str, str], Host, str]]:
        """A function of this environment, for keys of one kind."""
        setting = self._land.setting
        options = Options(
            lease_s=setting.lease_s,
            skew_s=setting.skew_s,
            after_crash="doubt",
            digest=digest,
            wait_s=self._land.rng.choice((0.0, 0.0, 4.0)),
            clock=self.clock,
            chance=_Draws(self._land.rng),
            new_owner=self._make_owner,
        )
        flow = idempotent_flow(key="id", store=_store_of, name="pay", options=options)(_work)
        return flow, App(flow, source=_PLAIN, lifespan=self._open)

    def _make_owner(self) -> Owner:
        self._attempts += 1
        return Owner(f"{self._name}-{self._attempts}")

    async def work(self, key: str) -> str:
        """The function's work: something before, the effect, something after."""
        land, rng = self._land, self._land.rng
        if self._is_calm:
            return land.begin_work(self, key)
        await self._pause()
        if rng.random() < land.setting.fails:
            land.note("fail", self.region, key)
            raise BrokenError
        value = land.begin_work(self, key)
        await self._pause()
        return value

    async def _pause(self) -> None:
        rng = self._land.rng
        await asyncio.sleep(rng.choice(PAUSES_S) * rng.random())
        self.pass_point()


async def _work(event: dict[str, str], call: Invocation, services: Host) -> str:
    del call
    return await services.work(event["id"])


def _store_of(services: Host) -> IdempotencyStore:
    return services.store
