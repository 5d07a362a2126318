"""A lease: who may read a shard, and how far it is done. Pure: each change is a new lease for a conditional write.

A lease has no time in it. Its holder raises `counter` every few seconds; whoever sees the same owner and counter for
longer than a lease lasts, by his own clock, may take it. So clocks need not agree, only go at about the same rate.
Owner and counter together name one state and no other: every write is conditional on them, which is the fence. The
names of the fields are those of the Kinesis Client Library.
Source: https://docs.aws.amazon.com/streams/latest/dev/kcl-concepts.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sluiceway.rules.consuming.spans import NOTHING_DONE, SHARD_END, Checkpoint

__all__ = ["Lease", "Sightings", "ask", "finish", "hand_over", "renew", "take"]


@dataclass(frozen=True, slots=True)
class Lease:
    """One shard of a namespace. `owner` is "" where nobody holds it; it names one run of one worker and no other.

    `counter` is raised by every write. `wanted_by` is who has asked the owner for it. `switches` counts the owners.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    owner: str = ""
    counter: int = 0
    checkpoint: Checkpoint = NOTHING_DONE
    wanted_by: str = ""
    switches: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the shard was read to its end."""
        return self.checkpoint.is_end


def take(lease: Lease, owner: str) -> Lease:
    """The lease in the hands of `owner`."""
    return replace(
        lease, owner=owner, counter=lease.counter + 1, switches=lease.switches + (lease.owner != owner), wanted_by=""
    )


def renew(lease: Lease, checkpoint: Checkpoint) -> Lease:
    """The lease held on, done up to `checkpoint`."""
    return replace(lease, counter=lease.counter + 1, checkpoint=checkpoint)


def hand_over(lease: Lease, checkpoint: Checkpoint) -> Lease:
    """The lease in the hands of whoever asked for it, in nobody's where nobody did."""
    moved = lease.switches + bool(lease.wanted_by)
    return replace(renew(lease, checkpoint), owner=lease.wanted_by, wanted_by="", switches=moved)


def finish(lease: Lease) -> Lease:
    """The lease of a shard that is done."""
    return replace(renew(lease, SHARD_END), owner="", wanted_by="")


def ask(lease: Lease, wanted_by: str) -> Lease:
    """The lease with a request to its owner."""
    return replace(lease, counter=lease.counter + 1, wanted_by=wanted_by)


class Sightings:
    """When each lease was last seen to change, by one observer's own clock. Times are seconds that only grow."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: dict[str, tuple[str, int, float]] = {}

    def note(self, leases: Iterable[Lease], now: float) -> None:
        """These are all leases, as they were read before `now`."""
        before, self._seen = self._seen, {}
        for lease in leases:
            owner, counter, since = before.get(lease.shard_id, ("", -1, now))
            if (owner, counter) != (lease.owner, lease.counter):
                since = now
            self._seen[lease.shard_id] = (lease.owner, lease.counter, since)

    def is_free(self, lease: Lease, now: float) -> bool:
        """Whether nobody holds this lease, of those noted, at `now`."""
        if not lease.owner:
            return True
        owner, counter, since = self._seen.get(lease.shard_id, ("", -1, now))
        return (owner, counter) == (lease.owner, lease.counter) and now - since > self._lease_s
