"""Where the mesh of a stack is: its functions' settings say it, by the names that the application gives them.

Pure. Of all settings these are the only ones that are ever looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from localcloud.compute.function import FunctionSpec

__all__ = ["Places", "Rollup", "find_places"]


@dataclass(frozen=True, slots=True)
class Rollup:
    """A rollup: its id, its table, the fields that it sums up."""

    rollup_id: str
    table: str
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """What was found.

    `topics`: streams by topic. `channels`: of an Event API, by topic. `rules`, `subscriptions`: tables. `filters`: log
    groups.
    """

    topics: Mapping[str, str] = field(default_factory=dict[str, str])
    channels: Mapping[str, str] = field(default_factory=dict[str, str])
    rules: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    rollups: tuple[Rollup, ...] = ()
    filters: frozenset[str] = frozenset()


def find_places(functions: Iterable[FunctionSpec]) -> Places:
    """What these functions are told. A setting that is not of its form is passed over: the function says so itself."""
    topics: dict[str, str] = {}
    channels: dict[str, str] = {}
    rules: dict[str, None] = {}
    subscriptions: dict[str, None] = {}
    rollups: dict[str, Rollup] = {}
    filters: set[str] = set()
    for spec in functions:
        told = spec.environment
        named = _read(told, "TOPICS").items()
        topics |= {topic: stream.rpartition("stream/")[2] for topic, stream in named if isinstance(stream, str)}
        channels |= _channels_of(_read(told, "CHANNELS"))
        if told.get("RULES_TABLE"):
            rules[told["RULES_TABLE"]] = None
            filters.add(spec.group)
        if told.get("SUBSCRIPTIONS_TABLE"):
            subscriptions[told["SUBSCRIPTIONS_TABLE"]] = None
        rollup = _read(told, "ROLLUP")
        if told.get("ROLLUPS_TABLE") and isinstance(rollup.get("rollup_id"), str):
            found = Rollup(rollup["rollup_id"], told["ROLLUPS_TABLE"], _fields_of(rollup))
            rollups[found.rollup_id] = found
    return Places(topics, channels, tuple(rules), tuple(subscriptions), tuple(rollups.values()), frozenset(filters))


def _read(told: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found: object = json.loads(told.get(name) or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _channels_of(told: Mapping[str, Any]) -> dict[str, str]:
    given = {topic: cast("dict[str, object]", each) for topic, each in told.items() if isinstance(each, dict)}
    return {topic: str(each["channel"]) for topic, each in given.items() if isinstance(each.get("channel"), str)}


def _fields_of(rollup: Mapping[str, Any]) -> tuple[str, ...]:
    metrics: object = rollup.get("metrics")
    given = cast("list[object]", metrics) if isinstance(metrics, list) else []
    members = [cast("dict[str, object]", each) for each in given if isinstance(each, dict)]
    return tuple(str(each["source_field"]) for each in members if "source_field" in each)
