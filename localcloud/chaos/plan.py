"""A plan: which faults, on what, when, and how often. Read from JSON, written as JSON; nothing is done here.

A step is on from `at_s` seconds after the plan's beginning for `for_s` seconds. While it is on, each invocation or call
that it is about is drawn for: it is hit with the probability `rate`, until `count` have been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from localcloud.chaos.faults import (
    MAX_DELAY_S,
    CallDelay,
    CallDrop,
    CallError,
    CallHang,
    CallThrottle,
    Change,
    Delay,
    Drop,
    Duplicate,
    Fail,
    Fault,
    Kill,
    Late,
    RegionKill,
    RegionPartition,
    RegionPause,
    RegionSkew,
    Spread,
)
from localcloud.chaos.fields import MISSING, Fields, PlanError

__all__ = ["ANY", "FUNCTIONS", "MAX_SEED", "PEOPLE", "SERVICES", "Plan", "PlanError", "Step", "read_plan"]

ANY: Final = "*"
FUNCTIONS: Final = "functions"  # callers: every function
SERVICES: Final = "services"  # callers: roles that API Gateway, EventBridge and Pipes call with
PEOPLE: Final = "people"  # callers: whoever signs with no role's key
MAX_STEPS: Final = 100
MAX_SPAN_S: Final = 86_400.0
MIN_FOR_S: Final = 0.1
MAX_COUNT: Final = 1_000_000
MAX_SEED: Final = 2**63 - 1
MAX_NAMES: Final = 50
MAX_NAME_CHARS: Final = 255  # a table's; a function's has 64
MAX_TEXT_CHARS: Final = 10_000
MAX_SKEW_S: Final = 86_400.0
_OVER_SOCKETS: Final = (CallDrop.name, CallHang.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault, when it is on, and what it is about. Which of the last four matter is the fault's kind to say.

    `functions` are logical ids or names, ANY for all; `callers` the same, or FUNCTIONS, SERVICES, PEOPLE; `operations`
    as the service's API names them, none for all; `regions` none for every one.
    """

    fault: Fault
    at_s: float
    for_s: float
    rate: float = 1.0
    count: int | None = None
    functions: tuple[str, ...] = ()
    service: str = ""
    operations: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`function`, `call` or `region`."""
        return self.fault.name.partition(".")[0]

    def is_for(self, region: str) -> bool:
        """Whether the cloud of `region` carries it out, by itself; what is between Regions is for none."""
        if isinstance(self.fault, RegionSkew):
            return self.fault.region in {"", region}
        return self.kind != "region" and (not self.regions or region in self.regions)

    @property
    def ends_s(self) -> float:
        """When it is over, in seconds after the plan's beginning."""
        return self.at_s + self.for_s

    def is_on(self, elapsed_s: float) -> bool:
        """Whether it is on so many seconds after the plan's beginning."""
        return self.at_s <= elapsed_s < self.ends_s


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `told` is the JSON that it was read from, with the seed that it is run with."""

    seed: int
    steps: tuple[Step, ...]
    told: Mapping[str, Any] = field(compare=False)

    @property
    def ends_s(self) -> float:
        """How long it takes."""
        return max(step.ends_s for step in self.steps)


def read_plan(document: str | bytes | Mapping[str, Any], *, seed: int | None = None) -> Plan:
    """The plan in a JSON document; `seed` stands above the plan's own. Raises PlanError, which names the field."""
    if isinstance(document, str | bytes):
        try:
            told: object = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise PlanError(f"the plan is no JSON: {error}") from None
    else:
        told = dict(document)
    fields = Fields(told)
    own = fields.whole("seed", 0, MAX_SEED, default=0)
    listed = fields.take("steps")
    if not isinstance(listed, list) or not 1 <= len(cast("list[Any]", listed)) <= MAX_STEPS:
        raise PlanError(f"steps: a list of 1 to {MAX_STEPS} steps")
    fields.close("a plan")
    steps = tuple(_read_step(each, f"steps[{index}]") for index, each in enumerate(cast("list[Any]", listed)))
    _check_overlaps(steps)
    chosen = own if seed is None else seed
    return Plan(chosen, steps, {"seed": chosen, "steps": listed})


def _read_step(value: object, path: str) -> Step:
    fields = Fields(value, path)
    name = fields.choice("fault", tuple(_READERS))
    fault = _READERS[name](fields)
    targets = _TARGETS[name.partition(".")[0]](fields)
    step = Step(
        fault=fault,
        at_s=fields.number("at_s", 0, MAX_SPAN_S, default=0),
        for_s=fields.number("for_s", MIN_FOR_S, MAX_SPAN_S),
        **targets,
    )
    fields.close(name)
    return step


def _read_delay(fields: Fields) -> Spread:
    inner = Fields(fields.take("delay"), fields.place("delay"))
    if inner.has("fixed_s"):
        seconds = inner.number("fixed_s", 0, MAX_DELAY_S)
        delay = Spread(seconds, seconds)
    elif inner.has("least_s"):
        least = inner.number("least_s", 0, MAX_DELAY_S)
        delay = Spread(least, inner.number("most_s", least, MAX_DELAY_S))
    elif inner.has("median_s"):
        median = inner.number("median_s", 0.001, MAX_DELAY_S)
        most = inner.number("most_s", median, MAX_DELAY_S, default=MAX_DELAY_S)
        delay = Spread(0.0, most, median, inner.number("spread", 0, 5, default=0.5))
    else:
        raise PlanError(
            f"{fields.place('delay')}: fixed_s, or least_s and most_s, or median_s with spread and most_s (log-normal)"
        )
    inner.close("a delay of this kind")
    return delay


def _read_kill(fields: Fields) -> Fault:
    when = fields.choice("when", ("before", "during", "after"), default="during")
    if when != "during":
        return Kill(when)
    return Kill(when, fields.number("after_s", 0, MAX_DELAY_S, default=0.1))


def _read_change(fields: Fields) -> Fault:
    status = fields.whole("status", 200, 599)
    return Change(status, fields.text("body", MAX_TEXT_CHARS, least=0) if fields.has("body") else None)


def _read_fail(fields: Fields) -> Fault:
    standard = Fail()
    kind = fields.text("error_type", 128, default=standard.error_type)
    if not kind.isascii() or not kind.isprintable():
        raise PlanError(f"{fields.place('error_type')}: printable ASCII: it is sent in a header")
    return Fail(kind, fields.text("message", MAX_TEXT_CHARS, default=standard.message))


def _read_partition(fields: Fields) -> Fault:
    source, target = fields.text("source", 32), fields.text("target", 32)
    if source == target:
        raise PlanError(f"{fields.place('target')}: another Region than source, not {target!r}")
    return RegionPartition(source, target, fields.flag("both", default=True))


def _table(fields: Fields) -> Fault:
    return RegionPause(fields.text("table", MAX_NAME_CHARS), fields.text("region", 32))


def _skew(fields: Fields) -> Fault:
    return RegionSkew(fields.text("region", 32, least=0, default=""), fields.number("by_s", -MAX_SKEW_S, MAX_SKEW_S))


_READERS: Final[Mapping[str, Callable[[Fields], Fault]]] = {
    Delay.name: lambda fields: Delay(_read_delay(fields)),
    Fail.name: _read_fail,
    Drop.name: lambda _fields: Drop(),
    Duplicate.name: lambda _fields: Duplicate(),
    Late.name: lambda fields: Late(fields.number("late_s", 0, MAX_DELAY_S, default=Late().late_s)),
    Change.name: _read_change,
    Kill.name: _read_kill,
    CallThrottle.name: lambda _fields: CallThrottle(),
    CallError.name: lambda fields: CallError(fields.choice("status", (500, 503), default=500)),
    CallDelay.name: lambda fields: CallDelay(_read_delay(fields)),
    CallDrop.name: lambda fields: CallDrop(fields.choice("when", ("before", "after"))),
    CallHang.name: lambda _fields: CallHang(),
    RegionKill.name: lambda fields: RegionKill(fields.text("region", 32)),
    RegionPartition.name: _read_partition,
    RegionPause.name: _table,
    RegionSkew.name: _skew,
}


def _read_often(fields: Fields) -> dict[str, Any]:
    regions = fields.texts("regions", 10, each=32, default=MISSING) if fields.has("regions") else ()
    count = fields.whole("count", 1, MAX_COUNT) if fields.has("count") else None
    fields.take("regions", ())
    fields.take("count", None)
    return {"rate": fields.number("rate", 0, 1, default=1), "count": count, "regions": regions}


def _of_function(fields: Fields) -> dict[str, Any]:
    functions = fields.texts("functions", MAX_NAMES, each=MAX_NAME_CHARS, default=(ANY,))
    return {"functions": functions, **_read_often(fields)}


def _of_call(fields: Fields) -> dict[str, Any]:
    callers = fields.texts("callers", MAX_NAMES, each=MAX_NAME_CHARS, default=(FUNCTIONS,))
    if SERVICES in callers and fields.take("fault") in _OVER_SOCKETS:
        raise PlanError(f"{fields.place('callers')}: services call without a connection that could be dropped")
    operations = fields.texts("operations", MAX_NAMES, each=64) if fields.has("operations") else ()
    fields.take("operations", ())
    return {
        "service": fields.text("service", 64),
        "operations": operations,
        "callers": callers,
        **_read_often(fields),
    }


_TARGETS: Final[Mapping[str, Callable[[Fields], dict[str, Any]]]] = {
    "function": _of_function,
    "call": _of_call,
    "region": lambda _fields: {},
}


def _check_overlaps(steps: tuple[Step, ...]) -> None:
    """A Region's fault ends once: two of a kind at the same time would leave open which of them ends it."""
    for late, step in enumerate(steps):
        for early, other in enumerate(steps[:late]):
            apart = step.ends_s <= other.at_s or other.ends_s <= step.at_s
            if step.kind == "region" and not apart and _same_place(step.fault, other.fault):
                raise PlanError(f"steps[{late}].at_s: {step.fault.name} of steps[{early}] is on there at that time")


def _same_place(one: Fault, other: Fault) -> bool:
    if isinstance(one, RegionPartition) and isinstance(other, RegionPartition):
        return not _ways(one).isdisjoint(_ways(other))
    if isinstance(one, RegionSkew) and isinstance(other, RegionSkew):
        return one.region == other.region
    return one == other


def _ways(fault: RegionPartition) -> set[tuple[str, str]]:
    there, back = (fault.source, fault.target), (fault.target, fault.source)
    return {there, back} if fault.both else {there}
