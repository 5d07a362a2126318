"""A plan made by a seed over what runs: a few faults, each for a part of the time, none so heavy that nothing works.

The same seed, length and targets give the same plan; it is an ordinary plan that can be kept and run again. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

__all__ = ["MAX_FOR_S", "MIN_FOR_S", "Targets", "draw_plan"]

MIN_FOR_S: Final = 5
MAX_FOR_S: Final = 3_600
_STEPS: Final = (4, 9)
_RARE: Final = 3  # how often what costs an invocation its whole timeout is done at most
_CALLED: Final = ("bedrock", "dynamodb", "events", "execute-api", "kinesis", "lambda", "s3", "sns", "sqs")
_Made: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Targets:
    """What runs: functions by logical id or name, services by signing name, Regions and global tables of a pair."""

    functions: tuple[str, ...]
    services: tuple[str, ...]
    regions: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


def draw_plan(seed: int, for_s: float, targets: Targets) -> Mapping[str, Any]:
    """A plan of `for_s` seconds. Raises ValueError where nothing runs that could be broken."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secret
    services = tuple(each for each in sorted(targets.services) if each in _CALLED)
    functions = tuple(sorted(targets.functions))
    if not functions:
        message = "no function runs here: there is nothing to break"
        raise ValueError(message)
    makers: list[Callable[[], _Made]] = [lambda: _break_function(rng, functions)] * 3
    makers += [lambda: _break_call(rng, services)] * 2 if services else []
    steps = [_place(rng, rng.choice(makers)(), for_s) for _ in range(rng.randint(*_STEPS))]
    steps += [_place(rng, made, for_s) for made in _break_regions(rng, targets)]
    return {"seed": seed, "steps": sorted(steps, key=lambda step: (step["at_s"], step["fault"]))}


def _place(rng: random.Random, made: _Made, for_s: float) -> _Made:
    lasts = made.pop("share", 0.0) or rng.uniform(0.2, 0.5)
    at_s = round(rng.uniform(0.0, 1.0 - lasts) * for_s, 1)
    return {"at_s": at_s, "for_s": round(max(0.5, min(lasts * for_s, for_s - at_s)), 1), **made}


def _break_function(rng: random.Random, functions: tuple[str, ...]) -> _Made:
    often, rare = {"rate": _rate(rng, 0.1, 0.5)}, {"rate": _rate(rng, 0.1, 0.3), "count": rng.randint(1, _RARE)}
    made = rng.choice((
        {"fault": "function.latency", "delay": _delay(rng), **often},
        {"fault": "function.error", **often},
        {"fault": "function.drop-response", **rare},
        {"fault": "function.late-response", **rare},
        {"fault": "function.duplicate", **often},
        {"fault": "function.change-response", "status": rng.choice((429, 500, 502, 503)), **often},
        {"fault": "function.kill", "when": rng.choice(("before", "after")), **often},
        {"fault": "function.kill", "when": "during", "after_s": round(rng.uniform(0.0, 0.5), 2), **often},
    ))  # fmt: skip
    chosen = rng.sample(functions, rng.randint(1, min(3, len(functions))))
    return {**made, "functions": sorted(chosen)}


def _break_call(rng: random.Random, services: tuple[str, ...]) -> _Made:
    often, rare = {"rate": _rate(rng, 0.05, 0.4)}, {"rate": _rate(rng, 0.05, 0.2), "count": rng.randint(1, _RARE)}
    made = rng.choice(
        (
            {"fault": "call.throttle", **often},
            {"fault": "call.error", "status": rng.choice((500, 503)), **often},
            {"fault": "call.latency", "delay": _delay(rng), **often},
            {"fault": "call.drop", "when": "before", **often},
            {"fault": "call.drop", "when": "after", **often},
            {"fault": "call.hang", "share": 0.1, **rare},
        )
    )
    return {**made, "service": rng.choice(services)}


def _break_regions(rng: random.Random, targets: Targets) -> list[_Made]:
    """At most one fault of each kind: two of them could leave no Region that works."""
    if len(targets.regions) < 2:
        return []
    regions = sorted(targets.regions)
    source, target = rng.sample(regions, 2)
    made: list[_Made] = [
        {"fault": "region.kill", "region": rng.choice(regions), "share": 0.2},
        {"fault": "region.partition", "source": source, "target": target, "both": rng.random() < 0.5},
        {"fault": "region.skew", "region": rng.choice(regions), "by_s": round(rng.uniform(-30.0, 30.0), 1)},
    ]
    if targets.tables:
        table = rng.choice(sorted(targets.tables))
        made.append({"fault": "region.pause-replication", "table": table, "region": rng.choice(regions)})
    return rng.sample(made, rng.randint(1, 2))


def _rate(rng: random.Random, least: float, most: float) -> float:
    return round(rng.uniform(least, most), 2)


def _delay(rng: random.Random) -> Mapping[str, float]:
    least = round(rng.uniform(0.05, 0.5), 2)
    return rng.choice((
        {"fixed_s": least},
        {"least_s": least, "most_s": round(least + rng.uniform(0.1, 1.5), 2)},
        {"median_s": least, "spread": round(rng.uniform(0.2, 1.0), 2), "most_s": 5.0},
    ))  # fmt: skip
