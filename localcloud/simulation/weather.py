"""How the links break and heal, and which tables are slow: decided by the seed before the run begins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from localcloud.simulation.setting import EAST, REGIONS, WEST, WITNESS

if TYPE_CHECKING:
    from localcloud.simulation.world import World

__all__ = ["KINDS", "Weather"]

KINDS: Final = ("isolate", "split", "one-way", "no-terms", "flaps", "calm")
PLACES: Final = (*REGIONS, WITNESS)


class Weather:
    """The weather of one run. It breaks at `begins_s` and is healed at `ends_s`; `kind` is one of KINDS.

    Raises ValueError for a setting that names none of them.
    """

    def __init__(self, world: World) -> None:
        rng, setting = world.rng, world.setting
        self._world = world
        self.kind = setting.weather or rng.choice(KINDS)
        if self.kind not in KINDS:
            raise ValueError(f"no weather: {self.kind!r}")
        self.begins_s = rng.uniform(0.1, 0.5) * setting.span_s
        self.ends_s = self.begins_s + (setting.outage_s or rng.choice((10.0, 60.0, 120.0)) * rng.uniform(0.3, 1.0))

    def blow(self) -> None:
        """Set everything going."""
        loop, rng = asyncio.get_running_loop(), self._world.rng
        for at_s, source, target in self._choose_cuts():
            loop.call_later(at_s, self._cut, source, target)
        loop.call_later(self.ends_s, self._heal)
        if rng.random() < 0.3:
            loop.call_later(rng.random() * self.ends_s, self._slow, rng.choice(PLACES), rng.uniform(2, 30))

    def _choose_cuts(self) -> list[tuple[float, str, str]]:
        rng, at_s = self._world.rng, self.begins_s
        match self.kind:
            case "isolate":
                return _both(at_s, EAST, WEST) + _both(at_s + rng.random(), EAST, WITNESS)
            case "split":
                return _both(at_s, EAST, WEST)
            case "one-way":
                return [self._choose_cut(at_s) for _ in range(rng.randrange(1, 3))]
            case "no-terms":
                return _both(at_s, rng.choice(REGIONS), WITNESS)
            case "flaps":
                lasts_s = self.ends_s - at_s
                return [self._choose_cut(at_s + rng.random() * lasts_s) for _ in range(rng.randrange(2, 9))]
            case _:
                return []

    def _choose_cut(self, at_s: float) -> tuple[float, str, str]:
        source, target = self._world.rng.sample(PLACES, 2)
        return at_s, source, target

    def _cut(self, source: str, target: str) -> None:
        self._world.links.cut(source, target)
        self._world.note("cut", value=f"{source} to {target}")
        if self.kind == "flaps":
            asyncio.get_running_loop().call_later(20 * self._world.rng.random(), self._heal_one, source, target)

    def _heal_one(self, source: str, target: str) -> None:
        self._world.links.heal(source, target)
        self._world.note("heal", value=f"{source} to {target}")

    def _heal(self) -> None:
        self._world.links.heal_all()
        self._world.note("heal", value="all")

    def _slow(self, place: str, for_s: float) -> None:
        self._world.network.slow_until[place] = asyncio.get_running_loop().time() + for_s
        self._world.note("slow", place, value=f"{for_s:.0f}")


def _both(at_s: float, one: str, other: str) -> list[tuple[float, str, str]]:
    return [(at_s, one, other), (at_s, other, one)]
