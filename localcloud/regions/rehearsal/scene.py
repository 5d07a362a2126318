"""The scene of a rehearsal: a pair that runs on this machine, asked as its clients and its people ask it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from aiohttp import ClientError, ClientSession, ClientTimeout

from localcloud.front import OWN_PATHS
from localcloud.regions.rehearsal.load import Load
from localcloud.regions.rehearsal.story import Broken
from localcloud.regions.switching import LOCAL_KEYS, switch_of
from localcloud.state import RunningState, read_state
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Wire
from sluiceway.errors import SluicewayError
from sluiceway.ports import SystemClock
from sluiceway.rules.region_keys import RANDOM_BYTES, mint_key

__all__ = ["RunningPair"]

CLOUDWATCH: Final = ServiceSpec(
    "monitoring", "monitoring", "json-1.0", "CLOUDWATCH", target_prefix="GraniteServiceVersion20100801"
)
ANSWER_S: Final = 2.0


class RunningPair:
    """The pair whose host's state is `host`. `name` is what clients call it by; the first Region is the home."""

    load: Load

    def __init__(self, host: RunningState, session: ClientSession, *, name: str) -> None:
        self._term = (next(iter(host.regions)), 1)
        self.home, self.other = host.regions
        self.name = name
        self._host = host
        self._session = session
        self._switch = switch_of(host)

    def folder(self, region: str) -> Path:
        """Where the cloud of a Region has its state."""
        return Path(self._host.regions[region])

    def environ(self, region: str) -> dict[str, str]:
        """The settings with which AWS's APIs of a Region are asked."""
        state = read_state(self.folder(region))
        return {**LOCAL_KEYS, "AWS_REGION": region, "AWS_ENDPOINT_URL": state.endpoints["aws"]}

    async def serving(self) -> str:
        """As `Scene.serving`: by what the health check says of itself."""
        try:
            async with self._session.get(
                f"{self._host.endpoints[self.name]}/health", timeout=ClientTimeout(total=ANSWER_S)
            ) as answer:
                told = await answer.json(content_type=None)
        except (ClientError, TimeoutError, ValueError):
            return ""
        found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        if "term" in found:
            self._term = (str(found["term"]["home"]), int(found["term"]["epoch"]))
        return str(found.get("region", ""))

    def make_key(self) -> str:
        """A key of the term that was told last, as a client makes one."""
        home, epoch = self._term
        return mint_key(home, epoch, now_ms=SystemClock().now_ms(), random=os.urandom(RANDOM_BYTES))

    async def is_asked(self, to: str) -> bool:
        """As `Scene.is_asked`."""
        what = "failover" if to == self.other else "failback"
        async with Wire.open(self.environ(self.other)) as wire:
            asked = {"AlarmTypes": ["CompositeAlarm"], "StateValue": "ALARM"}
            told: Mapping[str, Any] = (await wire.call(CLOUDWATCH, "DescribeAlarms", asked)).json()
        return any(alarm["AlarmName"].endswith(f"-{what}-asked") for alarm in told.get("CompositeAlarms", ()))

    async def against(self, to: str) -> tuple[str, ...]:
        """As `Scene.against`."""
        try:
            told = await self._switch.look(to)
        except SluicewayError as error:
            return (str(error),)
        return tuple(told["readiness"]["against"]) if "readiness" in told else (json.dumps(told),)

    async def approve(self, to: str, approval: str) -> None:
        """As `Scene.approve`."""
        told = await self._switch.approve(to, approval)
        if "refused" in told:
            raise Broken(f"{to} was not approved: {told['message']}")

    async def kill(self, region: str) -> None:
        """As `Scene.kill`."""
        await self._control(f"regions/{region}/kill")

    async def recover(self, region: str) -> None:
        """As `Scene.recover`."""
        await self._control(f"regions/{region}/recover")

    async def is_warm(self) -> bool:
        """As `Scene.is_warm`: a tenth of them have."""
        await asyncio.sleep(0)
        return self.load.done >= len(self.load.asks) / 10

    async def stored_since(self, at_s: float) -> bool:
        """As `Scene.stored_since`."""
        await asyncio.sleep(0)
        return any(ask.told == "stored" and ask.ended_s > at_s for ask in self.load.asks)

    async def _control(self, what: str) -> None:
        async with self._session.post(f"{self._host.endpoints['aws']}{OWN_PATHS}{what}") as answer:
            if answer.status != 200:
                raise Broken(f"{what}: {await answer.text()}")
