"""Whether this Region could serve: what `GET /health` answers.

Owns the bounds of a look (time, and how often dependencies are asked whoever calls) and what is told to strangers: the
names of what was looked at, and no error. Must not know what becomes of the answer: it moves nothing by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Misconfigured
from sluiceway.events.http import HttpReply, HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.ports import Clock
from sluiceway.ports.failover import Dependency, Drill, DrillStore
from sluiceway.ports.regions import TermStore
from sluiceway.rules.terms import Term
from sluiceway.steps.metrics import count

__all__ = ["Finding", "HealthDesk", "HealthWatch", "KnownTerm", "Look", "check_health"]

BOUND_S: Final = 1.5  # a health checker of Route 53 waits 2 s for the answer once it is connected
KEEP_S: Final = 2.0  # a look serves everybody who asks within it: two are made in each interval of a fast check
# Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html


class Finding(NamedTuple):
    """What came of asking one dependency; `took_ms`: milliseconds until it answered, failed, or time was up."""

    name: str
    is_well: bool
    took_ms: int


class Look(NamedTuple):
    """Everything that was found, and the drill that counts now, if there is one."""

    findings: tuple[Finding, ...]
    drill: Drill | None

    @property
    def is_well(self) -> bool:
        """Whether the Region says that it could serve."""
        return self.drill is None and all(finding.is_well for finding in self.findings)


class HealthWatch:
    """Looks at `dependencies`, at most once in `keep_s` seconds, and never for longer than `bound_s` seconds.

    A look is over as soon as one of two clocks says so: either can stand still while an environment is frozen.
    `drills`: where this Region's drill is told, None where there are none; it is one more thing that may be away.
    """

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        drills: DrillStore | None,
        clock: Clock,
        *,
        bound_s: float = BOUND_S,
        keep_s: float = KEEP_S,
    ) -> None:
        self._dependencies = tuple(dependencies)
        self._drills = drills
        self._clock = clock
        self._bound_s = bound_s
        self._keep_s = keep_s
        self._asking = asyncio.Lock()
        self._last: Look | None = None
        self._ended_s = 0.0
        self._ended_ms = 0

    async def look(self) -> Look:
        """What was found within the last `keep_s`, or is found now."""
        async with self._asking:
            if self._last is None or not self._lasts():
                self._last = await self._ask()
                self._ended_s = asyncio.get_running_loop().time()
                self._ended_ms = self._clock.now_ms()
            return self._last

    def _lasts(self) -> bool:
        by_loop_s = asyncio.get_running_loop().time() - self._ended_s
        by_clock_s = (self._clock.now_ms() - self._ended_ms) / 1000
        return by_loop_s < self._keep_s and 0 <= by_clock_s < self._keep_s

    async def _ask(self) -> Look:
        ends = asyncio.get_running_loop().time() + self._bound_s
        drilled = None if self._drills is None else _Drilled(self._drills)
        dependencies = self._dependencies if drilled is None else (*self._dependencies, drilled)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_find(each, ends)) for each in dependencies]
        drill = None if drilled is None else drilled.found
        counts = drill is not None and drill.until_ms > self._clock.now_ms()
        return Look(tuple(task.result() for task in asked), drill if counts else None)


class _Drilled:
    """The store of drills as one more thing to depend on: who cannot read it cannot tell."""

    def __init__(self, drills: DrillStore) -> None:
        self._drills = drills
        self.found: Drill | None = None

    @property
    def name(self) -> str:
        return "drills"

    async def ask(self) -> None:
        self.found = await self._drills.get()


class KnownTerm:
    """The group's term as one more thing to depend on: without one nobody may begin work. `found` is the last one."""

    def __init__(self, terms: TermStore, group: str) -> None:
        self._terms = terms
        self._group = group
        self.found: Term | None = None

    @property
    def name(self) -> str:
        """As `Dependency.name`."""
        return "term"

    async def ask(self) -> None:
        """As `Dependency.ask`. Raises Misconfigured where the group has none."""
        self.found = await self._terms.get(self._group)
        if self.found is None:
            raise Misconfigured(f"the group {self._group!r} has no term", what="REGION_GROUP")


async def _find(dependency: Dependency, ends: float) -> Finding:
    loop = asyncio.get_running_loop()
    began = loop.time()
    is_well = False
    try:
        async with asyncio.timeout_at(ends):
            await dependency.ask()
        is_well = True
    except Exception as error:  # noqa: BLE001 - once a dependency: whatever it says, it does not answer as it should
        log.failure("health.unwell", error, dependency=dependency.name)
    return Finding(dependency.name, is_well, round((loop.time() - began) * 1000))


@dataclass(frozen=True, slots=True)
class HealthDesk:
    """What answering needs. `region` is this one; `term` is told so that clients can make keys of it."""

    watch: HealthWatch
    region: str
    term: KnownTerm | None = None


def _sum_up(look: Look) -> tuple[int, str]:
    """The HTTP status and the word for it."""
    if look.is_well:
        return 200, "healthy"
    return (503, "unhealthy") if look.drill is None else (500, "drill")


async def check_health(_request: HttpRequest, _call: Invocation, desk: HealthDesk) -> HttpReply:
    """200 where everything is well, 503 where something is not, 500 in a drill; the body says what was looked at."""
    look = await desk.watch.look()
    if look.drill is not None:
        log.warning("health.drill", until_ms=look.drill.until_ms)
    count("Healthy", int(look.is_well))
    status, word = _sum_up(look)
    body: dict[str, object] = {
        "status": word,
        "region": desk.region,
        "checks": {finding.name: "ok" if finding.is_well else "failed" for finding in look.findings},
    }
    if desk.term is not None and desk.term.found is not None:
        body["term"] = {"home": desk.term.found.region, "epoch": desk.term.found.epoch}
    return HttpReply(status, json.dumps(body), {"content-type": "application/json", "cache-control": "no-store"})
