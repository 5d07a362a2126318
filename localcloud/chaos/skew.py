"""A clock that can be set wrong, for what a Region's services stamp."""

from __future__ import annotations

from localcloud.clock import Clock

__all__ = ["ShiftedClock"]


class ShiftedClock:
    """`clock`, `by_s` seconds ahead of it."""

    def __init__(self, clock: Clock) -> None:
        self.true = clock
        self.by_s = 0.0

    def time(self) -> float:
        """Epoch seconds, as this clock has them."""
        return self.true.time() + self.by_s
