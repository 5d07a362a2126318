"""An archive of EventBridge as a source: EventBridge itself replays it, to the bus that it came from.

A replay is started, watched, and cancelled where the command is stopped; no event passes through here.
Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from localcloud.replay.patience import keep_trying
from sluiceway.aws.events import EVENTS
from sluiceway.aws.wire import Caller
from sluiceway.errors import SluicewayError
from sluiceway.ports import Chance

__all__ = ["Archive", "ArchiveReplay", "Watched"]

LOOK_S: Final = 2.0  # DescribeReplay tells, nothing calls
_OVER: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED"})


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive. `bus_arn` is where its events came from; `events` how many it has about."""

    arn: str
    bus_arn: str
    events: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A replay as it is. `last_ms`: the date of the event that was replayed last, 0 before the first."""

    state: str
    reason: str
    last_ms: int

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in _OVER


class ArchiveReplay:
    """Replays of one archive. Raises what `Caller.call` raises."""

    def __init__(self, caller: Caller, archive: str, *, chance: Chance) -> None:
        self._caller = caller
        self._archive = archive
        self._chance = chance

    async def describe(self) -> Archive:
        """DescribeArchive."""
        told = await self._call("DescribeArchive", {"ArchiveName": self._archive})
        return Archive(
            str(told["ArchiveArn"]),
            str(told["EventSourceArn"]),
            int(told.get("EventCount") or 0),
            int(told.get("SizeBytes") or 0),
        )

    async def run(
        self,
        name: str,
        *,
        span_ms: tuple[int, int],
        rule_arns: Sequence[str] = (),
        show: Callable[[Watched], object] = lambda _: None,
    ) -> Watched:
        """Start a replay called `name` of the events from and to these dates (epoch milliseconds), to its end.

        Cancelled, it cancels the replay. `rule_arns`: only these rules of the bus, all where there are none.
        """
        archive = await self.describe()
        destination: dict[str, object] = {"Arn": archive.bus_arn}
        if rule_arns:
            destination["FilterArns"] = list(rule_arns)
        request = {
            "ReplayName": name,
            "EventSourceArn": archive.arn,
            "EventStartTime": span_ms[0] / 1000,
            "EventEndTime": span_ms[1] / 1000,
            "Destination": destination,
        }
        await self._caller.call(EVENTS, "StartReplay", request)
        try:
            while not (watched := await self._look(name)).is_over:
                show(watched)
                await asyncio.sleep(LOOK_S)
        except asyncio.CancelledError:
            await self._cancel(name)
            raise
        return watched

    async def _look(self, name: str) -> Watched:
        told = await self._call("DescribeReplay", {"ReplayName": name})
        last_ms = round(float(told.get("EventLastReplayedTime") or 0) * 1000)
        return Watched(str(told["State"]), str(told.get("StateReason") or ""), last_ms)

    async def _cancel(self, name: str) -> None:
        try:
            await self._call("CancelReplay", {"ReplayName": name})
        except SluicewayError:  # it is over already, or cannot be reached: DescribeReplay tells
            return

    async def _call(self, operation: str, request: Mapping[str, object]) -> Mapping[str, Any]:
        async def attempt() -> Mapping[str, Any]:
            return (await self._caller.call(EVENTS, operation, request)).json()

        return await keep_trying(attempt, chance=self._chance)
