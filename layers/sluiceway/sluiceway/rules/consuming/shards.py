"""Which shards a namespace has leases for, and which of them may be read now: every parent before its children.

A merge has two parents and both must be done; a split of a split has parents of parents. A parent that is not listed
any more has expired with all its records, and nobody waits for it; one that is listed and has no lease yet, somebody
does. So leases are read before shards are listed: what a lease names was there when the list was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.spans import Span

__all__ = ["Shard", "find_ready", "find_stale", "plan_leases"]


class Shard(NamedTuple):
    """A shard as it is listed. `parents`: none, one that was split, or two that were merged, expired ones too.

    `first_sequence` and `last_sequence` are its range, the latter "" while it is open.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    first_sequence: str = ""
    last_sequence: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still takes records."""
        return not self.last_sequence


def plan_leases(shards: Sequence[Shard], leases: Iterable[Lease], span: Span) -> tuple[Lease, ...]:
    """The leases that are missing for `shards`, all that the stream lists for the span, parents first."""
    there = {lease.shard_id for lease in leases}
    wanted = _select(shards, span)
    return tuple(
        Lease(shard.shard_id, shard.parents)
        for shard in shards
        if shard.shard_id in wanted and shard.shard_id not in there
    )


def find_ready(shards: Iterable[Shard], leases: Sequence[Lease], span: Span) -> tuple[Lease, ...]:
    """The leases of shards that are not done and may be read now. `shards` were listed after `leases` were read."""
    listed = tuple(shards)
    wanted = _select(listed, span)
    by_id = {lease.shard_id: lease for lease in leases}

    def is_over(parent: str) -> bool:
        lease = by_id.get(parent)
        return parent not in wanted if lease is None else lease.is_done

    return tuple(lease for lease in leases if not lease.is_done and all(map(is_over, lease.parents)))


def find_stale(shards: Iterable[Shard], leases: Iterable[Lease]) -> tuple[Lease, ...]:
    """The leases that nobody needs any more: done, and the shard is not listed any more."""
    listed = {shard.shard_id for shard in shards}
    return tuple(lease for lease in leases if lease.is_done and lease.shard_id not in listed)


def _select(shards: Iterable[Shard], span: Span) -> set[str]:
    """The shards that the span reads: all, or those that are named and all that descend from them."""
    by_id = {shard.shard_id: shard for shard in shards}
    if span.kind != "AFTER_SEQUENCE_NUMBER":
        return set(by_id)
    known = dict.fromkeys(span.after, True)
    return {shard_id for shard_id in by_id if _descends(shard_id, by_id, known)}


def _descends(shard_id: str, by_id: Mapping[str, Shard], known: dict[str, bool]) -> bool:
    """Whether a shard is one of those `known`, or comes from one; what is found out is kept there."""
    path = [shard_id]
    while path:
        current = path[-1]
        parents = by_id[current].parents if current in by_id else ()
        open_questions = [parent for parent in parents if parent not in known]
        if current in known or not open_questions:
            known.setdefault(current, any(known[parent] for parent in parents if parent in known))
            path.pop()
        else:
            path.extend(open_questions)
    return known[shard_id]
