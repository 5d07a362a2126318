"""How far a shard is done while its records end in any order: up to the first that is not done.

A record is an entry; what was read without a record (an empty aggregate, a pushed event that has only a number to go on
from) is an entry that is done at once. Memory: an entry for each record from the first unfinished one on.
"""

from __future__ import annotations

from collections import deque

from sluiceway.rules.consuming.spans import Checkpoint

__all__ = ["Entry", "Progress"]


class Entry:
    """One record: `checkpoint` is how far the shard is done with it, `number` its place in the order of reading."""

    __slots__ = ("checkpoint", "is_done", "number")

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.number = -1
        self.is_done = False


class Progress:
    """One shard from `checkpoint` on. Its length is how many entries are kept."""

    __slots__ = ("_entries", "_next", "checkpoint")

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._entries: deque[Entry] = deque()
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> int:
        """The number of the first entry that is not done; of the next one where all are."""
        return self._entries[0].number if self._entries else self._next

    def add(self, entry: Entry) -> None:
        """One more record was read."""
        entry.number = self._next
        self._next += 1
        self._entries.append(entry)

    def mark(self, checkpoint: Checkpoint) -> None:
        """Reading came as far as `checkpoint`, with no record to do."""
        entry = Entry(checkpoint)
        self.add(entry)
        self.settle(entry)

    def settle(self, entry: Entry) -> None:
        """The record is done."""
        entry.is_done = True
        entries = self._entries
        while entries and entries[0].is_done:
            self.checkpoint = entries.popleft().checkpoint
