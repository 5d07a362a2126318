"""The tables of the model, judged at one moment each: an eventually consistent one and a strongly consistent one.

Conditions are judged by the shipped memory store, whose answers are those of DynamoDB (tests/contract). Owned here is
what two Regions do to them: a replica for each Region, local conditions, replication item by item in any order, the
last writer wins and the other write is gone; or one truth behind a quorum of three, with conflicts. Source:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, Protocol, TypeVar

from localcloud.regions.links import Links, Route
from localcloud.simulation.setting import REGIONS, WITNESS
from sluiceway.errors import ServiceUnavailable
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord

__all__ = ["QuorumTable", "ReplicaTable", "Shelf", "Table", "finish", "unavailable"]

T = TypeVar("T")

CHANNEL: Final = "records"
PAGE: Final = 7  # few, so that every walk turns pages
COMMIT_S: Final = 0.12  # at most, until another Region's write of the same item is no conflict

_Changed = Callable[[str, IdempotencyRecord | None, IdempotencyRecord | None], None]


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing, as those of the memory stores."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("a memory store waited")


def unavailable(code: str) -> ServiceUnavailable:
    """A retryable answer, or none."""
    return ServiceUnavailable(code, service="dynamodb", operation="simulated", code=code)


class Shelf(MemoryIdempotencyStore):
    """A memory store that is told what another Region wrote."""

    def __init__(self) -> None:
        super().__init__(page_size=PAGE)

    def look(self, key: str) -> IdempotencyRecord | None:
        """The record as it is, without a request."""
        return self._records.get(key)

    def copy(self, key: str, record: IdempotencyRecord | None) -> None:
        """Take what was written elsewhere."""
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record


class Table(Protocol):
    """What hosts reach: `work` on the item of `key`, done at this moment in `region`."""

    def do(self, region: str, key: str, work: Callable[[Shelf], Coroutine[Any, Any, T]]) -> T:
        """Do it. Raises what the table answers."""
        ...

    def shelf(self, region: str) -> Shelf:
        """All that the Region's table holds."""
        ...


class ReplicaTable:
    """A replica for each Region; writes set out for the others, and the one with the latest time stays."""

    def __init__(self, links: Links, changed: Callable[[str], _Changed]) -> None:
        self._links = links
        self._shelves = {region: Shelf() for region in REGIONS}
        self._changed = {region: changed(region) for region in REGIONS}
        self._versions: dict[tuple[str, str], tuple[float, str, int]] = {}
        self._count = 0

    def shelf(self, region: str) -> Shelf:
        """The Region's replica."""
        return self._shelves[region]

    def do(self, region: str, key: str, work: Callable[[Shelf], Coroutine[Any, Any, T]]) -> T:
        """Do it in this Region; what it wrote sets out."""
        shelf = self._shelves[region]
        before = shelf.look(key)
        answer = finish(work(shelf))
        after = shelf.look(key)
        if after is not before:
            self._changed[region](key, before, after)
            self._send(region, key, after)
        return answer

    def _send(self, region: str, key: str, record: IdempotencyRecord | None) -> None:
        self._count += 1
        version = (asyncio.get_running_loop().time(), region, self._count)
        self._versions[region, key] = version
        for other in REGIONS:
            if other != region:
                self._links.send(
                    Route(region, other, CHANNEL), key, lambda other=other: self._take((other, key), record, version)
                )

    def _take(self, place: tuple[str, str], record: IdempotencyRecord | None, version: tuple[float, str, int]) -> None:
        if version > self._versions.get(place, (0.0, "", 0)):
            self._versions[place] = version
            self._shelves[place[0]].copy(place[1], record)


class QuorumTable:
    """One truth, for Regions that reach one of the two other voters both ways; conflicts where two write at once."""

    def __init__(self, links: Links, rng: Random, changed: Callable[[str], _Changed]) -> None:
        self._links = links
        self._rng = rng
        self._shelf = Shelf()
        self._changed = {region: changed(region) for region in REGIONS}
        self._writing: dict[str, tuple[str, float]] = {}

    def shelf(self, region: str) -> Shelf:
        """The same in every Region."""
        del region
        return self._shelf

    def do(self, region: str, key: str, work: Callable[[Shelf], Coroutine[Any, Any, T]]) -> T:
        """Do it. Raises ServiceUnavailable without a quorum, or while another Region writes the item."""
        if not any(self._reaches(region, other) for other in (*REGIONS, WITNESS) if other != region):
            raise unavailable("InternalServerError")
        now = asyncio.get_running_loop().time()
        writer, until = self._writing.get(key, (region, 0.0))
        if writer != region and now < until:
            raise unavailable("ReplicatedWriteConflictException")
        before = self._shelf.look(key)
        answer = finish(work(self._shelf))
        after = self._shelf.look(key)
        if after is not before:
            self._writing[key] = (region, now + self._rng.random() * COMMIT_S)
            self._changed[region](key, before, after)
        return answer

    def _reaches(self, one: str, other: str) -> bool:
        blocked = self._links.is_blocked
        return not (blocked(Route(one, other, CHANNEL)) or blocked(Route(other, one, CHANNEL)))
