"""A plan that is on, in one cloud: its draws, its tally, and how long it has been on.

Knows no process and no wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.chaos.drawing import Draw, Tally, Verdict, draws_of, judge
from localcloud.chaos.plan import ANY, FUNCTIONS, PEOPLE, SERVICES, Plan, PlanError
from localcloud.compute.function import FunctionSpec

__all__ = ["Caller", "Run", "edges_of", "find_functions"]

MAX_LISTED: Final = 40  # names in an error


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `kind` is FUNCTIONS, SERVICES or PEOPLE, `name` a function's."""

    kind: str
    name: str = ""


@dataclass(slots=True)
class Run:
    """One run of `plan` in `region`. `functions` are the functions that each step of the plan is about, by its place.

    `stopping` is set when somebody asks for the end, `over` when it has come.
    """

    plan: Plan
    region: str
    functions: Mapping[int, Collection[str]]
    began: float
    tally: Tally = field(default_factory=Tally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    draws: list[Draw] = field(init=False)

    def __post_init__(self) -> None:
        self.draws = draws_of(self.plan, self.region)

    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    def touched(self) -> set[str]:
        """Every function that a fault may come to, by the Runtime API."""
        return {
            name for draw in self.draws if draw.step.kind == "function" for name in self.functions.get(draw.number, ())
        }

    def of_function(self, name: str) -> Verdict:
        """What becomes of the function's next invocation."""
        return self._judge(lambda draw: draw.step.kind == "function" and name in self.functions[draw.number])

    def of_call(self, service: str, operation: str, caller: Caller) -> Verdict:
        """What becomes of the caller's next call."""

        def concerns(draw: Draw) -> bool:
            step = draw.step
            is_about = step.kind == "call" and step.service == service
            is_about = is_about and (not step.operations or operation in step.operations)
            named = caller.name and caller.name in self.functions.get(draw.number, ())
            return is_about and bool(named or caller.kind in step.callers)

        return self._judge(concerns)

    def left_s(self, step: int) -> float:
        """How long a step is still on, 0.0 or more."""
        return max(0.0, self.plan.steps[step].ends_s - self.elapsed_s())

    def report(self) -> dict[str, Any]:
        """What was done until now: by step, how many it was about, and how many were hit, by target."""
        steps: list[dict[str, Any]] = []
        for draw in self.draws:
            hit = self.tally.of(draw.number)
            told = {
                "step": draw.number,
                "fault": draw.step.fault.name,
                "seen": draw.seen,
                "injected": sum(hit.values()),
            }
            steps.append({**told, "targets": hit})
        return {"region": self.region, "ran_s": round(self.elapsed_s(), 1), "steps": steps}

    def _judge(self, concerns: Callable[[Draw], bool]) -> Verdict:
        elapsed_s = self.elapsed_s()
        if self.over.is_set():
            return Verdict()
        return judge(draw for draw in self.draws if draw.step.is_on(elapsed_s) and concerns(draw))


def find_functions(plan: Plan, specs: Collection[FunctionSpec], region: str) -> dict[int, frozenset[str]]:
    """The names of the functions that each step means, by the step's place. Raises PlanError where one is none."""
    known = {spec.name: frozenset((spec.name,)) for spec in specs}
    known |= {spec.logical_id: frozenset((spec.name,)) for spec in specs if spec.logical_id}
    every = {ANY: frozenset(spec.name for spec in specs)}
    kinds = {each: frozenset[str]() for each in (FUNCTIONS, SERVICES, PEOPLE)}
    found: dict[int, frozenset[str]] = {}
    for number, step in enumerate(plan.steps):
        member, names = ("functions", step.functions) if step.kind == "function" else ("callers", step.callers)
        if step.is_for(region):
            there = {**known, **(every if step.kind == "function" else kinds)}
            found[number] = frozenset().union(*(_pick(there, name, f"steps[{number}].{member}") for name in names))
    return found


def _pick(there: Mapping[str, frozenset[str]], name: str, where: str) -> frozenset[str]:
    if name not in there:
        twice = {own for each, owns in there.items() for own in owns if own != each != ANY}  # by logical id too
        listed = ", ".join([each for each in sorted(there) if each not in twice][:MAX_LISTED])
        raise PlanError(f"{where}: there is no {name!r}; there are {listed}")
    return there[name]


def edges_of(plan: Plan) -> list[tuple[float, bool, int]]:
    """When each step begins and ends, in order; at the same moment ends come first."""
    begins = [(step.at_s, True, number) for number, step in enumerate(plan.steps)]
    return sorted([*begins, *((step.ends_s, False, number) for number, step in enumerate(plan.steps))])
