"""What two Regions of a pair have alike, and what they do not: pure, over facts that somebody read.

A fact has a name that is the same in both Regions (`function read_job memory_mb`) and a value that can be shown. What
could not be read is no fact: it is told apart, for it says neither that Regions are alike nor that they are not. Where
one Region alone has a fact, that is a difference. Must not know AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Difference", "Facts", "Parity", "compare"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of one Region. `unread`: what could not be, each with its reason."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    unread: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not alike. `values` by Region, None where a Region has none."""

    name: str
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Parity:
    """`alike`: how many facts both have alike. `unread`: parts that some Region did not tell, by part and Region."""

    alike: int
    differences: tuple[Difference, ...]
    unread: Mapping[str, Mapping[str, str]]

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.alike > 0 and not self.differences

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "alike": self.alike,
            "differences": [{"name": each.name, **each.values} for each in self.differences],
            "unread": {part: dict(why) for part, why in self.unread.items()},
        }


def compare(facts: Mapping[str, Facts]) -> Parity:
    """Hold the facts of Regions, by their names, against one another.

    A part is the first word of a fact's name. Facts of a part that some Region did not tell are not compared: each of
    them would be missing there.
    """
    unread: dict[str, dict[str, str]] = {}
    for region, found in facts.items():
        for part, why in found.unread.items():
            unread.setdefault(part, {})[region] = why
    names = sorted({name for found in facts.values() for name in found.values if name.partition(" ")[0] not in unread})
    differences: list[Difference] = []
    for name in names:
        values = {region: found.values.get(name) for region, found in facts.items()}
        if len(set(values.values())) > 1:
            differences.append(Difference(name, values))
    return Parity(len(names) - len(differences), tuple(differences), unread)
