"""Keeping one lease: renewed and checkpointed in one conditional write, and given up in time where that fails.

The holder counts its lease from before it sent the last write that held, and stops a margin before it is over: whoever
takes it then has seen it unchanged for longer. A write that does not hold, or says that somebody else holds the lease,
is the end: nothing is written after it. Must not know records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sluiceway import log
from sluiceway.errors import SluicewayError
from sluiceway.ports.consuming import LeaseStore
from sluiceway.rules.consuming.leases import Lease, finish, hand_over, renew
from sluiceway.rules.consuming.spans import Checkpoint

__all__ = ["LeaseKeeper", "LeaseLost"]

RENEWALS: Final = 4  # in the time of a lease
MARGIN: Final = 0.1  # of a lease: for clocks that do not go at quite the same rate
PAUSE_S: Final = 0.5  # between two tries of a write that failed


class LeaseLost(Exception):
    """Somebody else holds the lease, or it could not be renewed in time."""


class LeaseKeeper:
    """One lease that is held. `sent_at`: when the write was sent that took it, on the loop's clock."""

    def __init__(self, store: LeaseStore, lease: Lease, *, lease_s: float, sent_at: float) -> None:
        self.lease = lease
        self._store = store
        self._lease_s = lease_s
        self._loop = asyncio.get_running_loop()
        self._held_until = sent_at + lease_s * (1 - MARGIN)
        self._hurry = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether nobody else can hold it now."""
        return self._loop.time() < self._held_until

    @property
    def is_wanted(self) -> bool:
        """Whether another worker has asked for it."""
        return bool(self.lease.wanted_by)

    def hurry(self) -> None:
        """Renew at once: somebody has changed the lease."""
        self._hurry.set()

    async def run(self, read_checkpoint: Callable[[], Checkpoint], on_wish: Callable[[], None]) -> None:
        """Renew until it is cancelled. `on_wish` is called when another worker asks for the lease. Raises LeaseLost."""
        while True:
            try:
                async with asyncio.timeout(self._lease_s / RENEWALS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()
            await self._write(lambda lease: renew(lease, read_checkpoint()))
            if self.is_wanted:
                on_wish()

    async def finish(self) -> None:
        """The shard is done. Raises LeaseLost."""
        await self._write(finish)

    async def hand_over(self, checkpoint: Checkpoint) -> None:
        """Let go, done up to `checkpoint`. Raises LeaseLost."""
        await self._write(lambda lease: hand_over(lease, checkpoint))

    async def _write(self, change: Callable[[Lease], Lease]) -> None:
        while self.is_held:
            seen, sent_at = self.lease, self._loop.time()
            lease = change(seen)
            try:
                async with asyncio.timeout_at(min(self._held_until, sent_at + self._lease_s / RENEWALS)):
                    stored = await self._store.write(lease, seen=seen)
            except (SluicewayError, TimeoutError) as error:
                log.warning("consume.lease_unwritten", shard_id=seen.shard_id, error_type=type(error).__name__)
                await asyncio.sleep(PAUSE_S)
                continue
            if stored == lease:
                self.lease = lease
                self._held_until = sent_at + self._lease_s * (1 - MARGIN)
                return
            if stored is None or stored.owner != seen.owner:
                raise LeaseLost(seen.shard_id)
            self.lease = stored  # somebody asked for it, or an answer of ours was lost
        raise LeaseLost(self.lease.shard_id)
