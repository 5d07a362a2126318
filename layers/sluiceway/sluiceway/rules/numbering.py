"""Numbers of messages, by which a client sees that it has missed one.

Whoever sends counts: for each series (a filter of a part, a shard) from 1, since an `epoch` that is made at random when
counting begins. A message that is not sent has its number all the same. Must not know what a message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

__all__ = ["Numbering"]

MAX_SERIES: Final = 100_000  # that are counted; then all begin anew, in another epoch
EPOCH_LETTERS: Final = 8
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Numbering:
    """The numbers of one execution environment. `draw` gives numbers from 0 to 1, evenly spread."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._last: dict[Hashable, int] = {}
        self.epoch = self._make_epoch()

    def next(self, series: Hashable) -> int:
        """The next number of a series, from 1. Read `epoch` afterwards: it may be another one."""
        number = self._last.get(series, 0) + 1
        if number == 1 and len(self._last) >= MAX_SERIES:
            self._last.clear()
            self.epoch = self._make_epoch()
        self._last[series] = number
        return number

    def _make_epoch(self) -> str:
        most = len(_LETTERS) - 1
        return "".join([_LETTERS[min(most, int(self._draw() * len(_LETTERS)))] for _ in range(EPOCH_LETTERS)])
