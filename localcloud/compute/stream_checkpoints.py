"""How far a mapping has come in each shard, and what it needs to go on from there. Pure.

A shard's checkpoint is its last record before the lowest one that is not settled: everything up to it is done, anything
after it may be delivered again. It is kept apart from the mapping's run, so that a mapping can be switched off and on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from localcloud.compute.stream_batches import Item
from localcloud.compute.stream_source import Shard, Start, StartKind

__all__ = ["Checkpoints", "OpenWindow", "Progress", "ShardCheckpoint"]


@dataclass(slots=True)
class OpenWindow:
    """A tumbling window of a shard: epoch seconds from `start_s` until before `end_s`, and its state as JSON.

    `overgrown`: the state is larger than Lambda keeps, so the window is to be terminated before anything else.
    """

    start_s: int
    end_s: int
    state: bytes = b"{}"
    overgrown: bool = False


@dataclass(slots=True)
class ShardCheckpoint:
    """`after` is the sequence number of the last record done, "" before the first; until then `cursor` or `start`.

    `cursor` is what LATEST meant when the mapping first ran.
    """

    start: Start
    cursor: object | None = None
    after: str = ""
    finished: bool = False
    window: OpenWindow | None = None


class Checkpoints:
    """The checkpoints of one mapping, by shard id; lives as long as the mapping is there, on or off."""

    def __init__(self) -> None:
        self._shards: dict[str, ShardCheckpoint] = {}
        self._begun = False

    def __getitem__(self, shard_id: str) -> ShardCheckpoint:
        return self._shards[shard_id]

    def after(self, shard_id: str) -> str:
        """The sequence number up to which everything in the shard is done, "" where nothing is."""
        known = self._shards.get(shard_id)
        return known.after if known else ""

    def finished(self, shard_id: str) -> bool:
        """Whether the shard was closed and every record of it is done."""
        known = self._shards.get(shard_id)
        return known is not None and known.finished

    def note(
        self,
        shards: Sequence[Shard],
        start: Start,
        *,
        place: Callable[[str, Start], object],
        running: Collection[str] = (),
    ) -> None:
        """Learn which shards there are: the first ones begin at `start`, later ones at their oldest record.

        `place` gives the cursor that LATEST means now, for every shard at once: what arrives while a shard waits for
        its parents is not lost. Shards that are gone are forgotten, except for those in `running`.
        """
        first, self._begun = not self._begun, True
        for shard in shards:
            if shard.shard_id not in self._shards:
                begin = start if first else Start(StartKind.TRIM_HORIZON)
                cursor = place(shard.shard_id, begin) if begin.kind is StartKind.LATEST else None
                self._shards[shard.shard_id] = ShardCheckpoint(begin, cursor)
        there = {shard.shard_id for shard in shards}
        for gone in [name for name in self._shards if name not in there and name not in running]:
            del self._shards[gone]

    def forget(self) -> None:
        """The stream is gone; should there be another of its name, every record of that is new."""
        self._shards.clear()

    def ready(self, shards: Sequence[Shard], running: Collection[str]) -> list[str]:
        """Shards that may be read now: not yet done, and no parent of them is there, or running, and not done."""
        there = {shard.shard_id for shard in shards} | set(running)
        return [
            shard.shard_id
            for shard in shards
            if shard.shard_id not in running
            and not self.finished(shard.shard_id)
            and all(parent not in there or self.finished(parent) for parent in shard.parent_ids)
        ]


class Progress:
    """Which records of a shard have been read and are not all settled; moves the shard's checkpoint."""

    def __init__(self, checkpoint: ShardCheckpoint) -> None:
        self.checkpoint = checkpoint
        self.ahead_bytes = 0
        self._ahead: deque[Item] = deque()

    @property
    def ahead(self) -> int:
        """How many records lie between the checkpoint and the last one read."""
        return len(self._ahead)

    def begin(self, item: Item) -> None:
        """A record was read, the next in order."""
        self._ahead.append(item)
        self.ahead_bytes += item.size_bytes

    def settle(self, items: Sequence[Item]) -> None:
        """These records need no more work; the checkpoint goes up to the lowest that does."""
        for item in items:
            item.settled = True
            self.ahead_bytes -= item.size_bytes
            item.events = ()
        while self._ahead and self._ahead[0].settled:
            self.checkpoint.after = self._ahead.popleft().sequence
