"""Numbers of messages, by which a client sees that it has missed one.

Whoever sends counts: for each series (a filter of a part, a shard) from 1, since an `epoch` that is made at random when
counting begins. A message that is not sent has its number all the same. Where nobody knows what a group of series has
missed, each of them leaves out a number. Must not know what a message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

__all__ = ["Numbering"]

MAX_SERIES: Final = 100_000  # that are counted; then all begin anew, in another epoch
MAX_GROUPS: Final = 10_000  # that have lost something; then those are forgotten
EPOCH_LETTERS: Final = 8
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Last(NamedTuple):
    """A number that was given, how many losses of its group have been told up to it, and its group's own epoch."""

    number: int = 0
    told: int = 0
    epoch: str = ""


class _Lost(NamedTuple):
    """How often a group has lost something, and its own epoch, "" where it has none."""

    times: int = 0
    epoch: str = ""


_NONE: Final = _Last()
_NOTHING: Final = _Lost()


class Numbering:
    """The numbers of one execution environment. `draw` gives numbers from 0 to 1, evenly spread."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._last: dict[Hashable, _Last] = {}
        self._lost: dict[Hashable, _Lost] = {}
        self.epoch = self._make_epoch()

    def next(self, series: Hashable, group: Hashable = None) -> int:
        """The next number of a series, from 1. Read `epoch_of` its group afterwards: it may be another one."""
        last = self._last.get(series, _NONE)
        if last is _NONE and len(self._last) >= MAX_SERIES:
            self._last.clear()
            self.epoch = self._make_epoch()
        lost = self._lost.get(group, _NOTHING) if self._lost else _NOTHING
        before = last.number if last.epoch == lost.epoch else 0
        number = before + (2 if lost.times > last.told else 1)
        self._last[series] = _Last(number, lost.times, lost.epoch)
        return number

    def epoch_of(self, group: Hashable) -> str:
        """The epoch in which the series of a group are counted."""
        return self._lost.get(group, _NOTHING).epoch or self.epoch

    def lose(self, group: Hashable, *, anew: bool = False) -> None:
        """Let each series of a group leave out one number: its next message is seen to follow a gap, its first too.

        `anew`: in another epoch, where what is missing lies before messages that have been counted in this one.
        """
        if group not in self._lost and len(self._lost) >= MAX_GROUPS:
            self._lost.pop(next(iter(self._lost)))
        times, epoch = self._lost.get(group, _NOTHING)
        self._lost[group] = _Lost(times + 1, self._make_epoch() if anew else epoch)

    def _make_epoch(self) -> str:
        most = len(_LETTERS) - 1
        return "".join([_LETTERS[min(most, int(self._draw() * len(_LETTERS)))] for _ in range(EPOCH_LETTERS)])
