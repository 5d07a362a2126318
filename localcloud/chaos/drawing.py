"""Which invocations and calls a plan hits: decided by the seed, and by the order in which they come.

Each step has a random generator of its own, made of the seed, the Region and the step's place in the plan. It draws
once for each invocation or call that the step is about while it is on: whatever else goes on does not move it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from localcloud.chaos.faults import CallDelay, CallFault, Delay, FunctionFault, RegionFault
from localcloud.chaos.plan import Plan, Step

__all__ = ["Draw", "Tally", "Verdict", "draws_of", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one invocation or call: first the delays that hit it, then `fault`, the first other one."""

    delay_s: float = 0.0
    delays: tuple[int, ...] = ()
    fault: FunctionFault | CallFault | None = None
    step: int = -1


class Tally:
    """What was done, by step and what it was done to."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()

    def add(self, step: int, target: str) -> None:
        """Once more."""
        self._counts[step, target] += 1

    def of(self, step: int) -> dict[str, int]:
        """By target, sorted."""
        return {target: count for (number, target), count in sorted(self._counts.items()) if number == step}

    @property
    def total(self) -> int:
        """Everything."""
        return self._counts.total()


class Draw:
    """One step's draws. `number` is its place in the plan."""

    def __init__(self, step: Step, number: int, *, seed: int, region: str) -> None:
        self.step = step
        self.number = number
        self.seen = 0
        self._left = step.count
        self._rng = random.Random(f"{seed}/{region}/{number}")  # noqa: S311 - repeatable, no secret

    def hits(self) -> float | None:
        """Whether the next one is hit: the seconds of its delay, 0.0 for a fault without; None where it is not."""
        self.seen += 1
        is_hit = self._rng.random() < self.step.rate
        fault = self.step.fault
        delay_s = fault.delay.draw(self._rng) if isinstance(fault, Delay | CallDelay) else 0.0
        if not is_hit or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        return delay_s


def draws_of(plan: Plan, region: str) -> list[Draw]:
    """The draws of the steps that the cloud of `region` carries out."""
    return [
        Draw(step, number, seed=plan.seed, region=region)
        for number, step in enumerate(plan.steps)
        if step.is_for(region)
    ]


def judge(draws: Iterable[Draw]) -> Verdict:
    """The verdict on the next one: `draws` are those of the steps that are on and about it."""
    delay_s, delays = 0.0, list[int]()
    chosen: FunctionFault | CallFault | None = None
    at = -1
    for draw in draws:
        hit, fault = draw.hits(), draw.step.fault
        if hit is None:
            continue
        if isinstance(fault, Delay | CallDelay):
            delay_s += hit
            delays.append(draw.number)
        elif chosen is None and not isinstance(fault, RegionFault):
            chosen, at = fault, draw.number
    return Verdict(delay_s, tuple(delays), chosen, at)
