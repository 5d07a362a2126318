"""Terms and doubts in this process's memory: for tests, and as the model of what their stores do."""

from __future__ import annotations

from typing import Final

from sluiceway.ports.regions import DoubtPage
from sluiceway.rules.terms import Doubt, Term

__all__ = ["MemoryDoubtStore", "MemoryTermStore"]

PAGE: Final = 100


class MemoryTermStore:
    """Every group's term."""

    def __init__(self) -> None:
        self._terms: dict[str, Term] = {}

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        """As `TermStore.get`."""
        del deadline
        return self._terms.get(group)

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        """As `TermStore.replace`."""
        found = self._terms.get(term.group)
        if found == term:
            return True
        if (found is None) != (seen is None) or (found is not None and seen is not None and found.epoch != seen.epoch):
            return False
        self._terms[term.group] = term
        return True


class MemoryDoubtStore:
    """Every Region's doubts."""

    def __init__(self) -> None:
        self._doubts: dict[tuple[str, str, int], Doubt] = {}

    async def note(self, doubt: Doubt) -> Doubt:
        """As `DoubtStore.note`; an entry that had expired by `noted_ms` is none."""
        place = doubt.region, doubt.key, doubt.epoch
        kept = self._doubts.get(place)
        if kept is None or kept.expires_s < doubt.noted_ms // 1000:
            kept = self._doubts[place] = doubt
        return kept

    async def put(self, doubt: Doubt) -> None:
        """As `DoubtStore.put`."""
        self._doubts[doubt.region, doubt.key, doubt.epoch] = doubt

    async def remove(self, doubt: Doubt) -> None:
        """As `DoubtStore.remove`."""
        self._doubts.pop((doubt.region, doubt.key, doubt.epoch), None)

    async def page(self, region: str, *, after: str = "") -> DoubtPage:
        """As `DoubtStore.page`."""
        noted = {_place(key, epoch): doubt for (where, key, epoch), doubt in self._doubts.items() if where == region}
        behind = sorted(place for place in noted if place > after)
        shown = behind[:PAGE]
        return DoubtPage(tuple(noted[place] for place in shown), shown[-1] if len(behind) > PAGE else "")


def _place(key: str, epoch: int) -> str:
    return f"{key}@{epoch:010d}"
