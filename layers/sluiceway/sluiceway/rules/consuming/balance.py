"""Which leases a worker takes, and which one it asks another worker for. Chance is an argument.

Every worker decides for itself, from the same leases: each wants its fair share, rounded up. Free leases are taken, a
few at a time and at random, so that workers that start together do not all want the same. Where none is free, a worker
asks the one with the most for one lease, and only where it will still have no more than the other afterwards: shares
meet, and nothing moves for ever. It has one wish at a time, and wishes count as if they were fulfilled, so that ten
idle workers do not empty one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from math import ceil
from typing import Final, NamedTuple

from sluiceway.rules.consuming.leases import Lease

__all__ = ["Moves", "choose_moves"]

FEWEST_AT_ONCE: Final = 4  # leases that a worker takes in one round at most, or
SHARE_AT_ONCE: Final = 0.25  # this part of all: shards of a stream may be thousands


class Moves(NamedTuple):
    """What to do in this round. `ask_for`: the lease to ask its owner for. `more`: free ones are left for the next."""

    take: tuple[Lease, ...]
    ask_for: Lease | None
    more: bool


def choose_moves(
    leases: Sequence[Lease], me: str, *, free: AbstractSet[str], most: int, draw: Callable[[], float]
) -> Moves:
    """What the worker `me` does about `leases`, those of all shards that may be read now.

    `free`: the shards whose lease nobody holds. `most`: how many `me` may have, 1 or more. `draw`: 0 to 1.
    """
    counts = Counter({me: 0})
    counts.update(lease.wanted_by or lease.owner for lease in leases if lease.shard_id not in free)
    share = min(ceil(len(leases) / len(counts)), most)
    short = share - counts[me]
    if short <= 0:
        return Moves((), None, more=False)
    untaken = [lease for lease in leases if lease.shard_id in free]
    if untaken:
        at_once = min(short, max(FEWEST_AT_ONCE, int(len(leases) * SHARE_AT_ONCE)))
        chosen = sorted(((draw(), lease.shard_id, lease) for lease in untaken), key=lambda each: each[:2])[:at_once]
        return Moves(tuple(lease for _, _, lease in chosen), None, more=len(untaken) > len(chosen) < short)
    return Moves((), _choose_wish(leases, me, counts=counts, draw=draw), more=False)


def _choose_wish(leases: Sequence[Lease], me: str, *, counts: Counter[str], draw: Callable[[], float]) -> Lease | None:
    if any(lease.wanted_by == me for lease in leases):
        return None
    largest = max(counts.values())
    if largest < counts[me] + 2:
        return None
    richest = sorted(worker for worker, count in counts.items() if count == largest)
    victim = richest[min(int(draw() * len(richest)), len(richest) - 1)]
    theirs = sorted((lease for lease in leases if _has(lease, victim)), key=lambda lease: lease.shard_id)
    return theirs[min(int(draw() * len(theirs)), len(theirs) - 1)] if theirs else None


def _has(lease: Lease, worker: str) -> bool:
    return lease.owner == worker and not lease.wanted_by
