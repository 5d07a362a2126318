"""How many posts may be under way at once, and who is left alone for a while.

All that posts shares one quota of requests a second, which nobody tells us: an answer of 429 says that it is used up,
or that one client does not read. So the window closes where many answers are 429 and opens again where few are, and a
client that has been given up is not tried again at once. Pure: times are seconds of one clock.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Rests", "Window"]

MIN_OPEN: Final = 2
SHRINK: Final = 0.6
GROW: Final = 2
THROTTLED_SHARE: Final = 0.25  # of the answers of one round: a few clients that do not read are not the gateway's limit
FIRST_REST_S: Final = 2.0
LONGEST_REST_S: Final = 30.0
MAX_RESTING: Final = 10_000


class Window:
    """The posts that may be under way: `size` of them, `most` at first. One round is as many answers as it has."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most
        self._answers = 0
        self._refusals = 0

    @property
    def is_throttled(self) -> bool:
        """Whether it is not wide open: a 429 is the gateway's then, rather than a client's."""
        return self.size < self._most

    def note(self, *, throttled: bool) -> None:
        """One post was answered."""
        self._answers += 1
        self._refusals += throttled
        if self._answers < self.size:
            return
        if self._refusals > THROTTLED_SHARE * self._answers:
            self.size = max(MIN_OPEN, int(self.size * SHRINK))
        else:
            self.size = min(self._most, self.size + GROW)
        self._answers = self._refusals = 0


class Rests:
    """Clients that are left alone: 2 s after they were given up, twice as long each time, up to 30 s."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, float]] = {}

    def is_resting(self, who: str, now: float) -> bool:
        """Whether it is not yet time to try again."""
        return bool(self._of) and now < self._of.get(who, (0.0, 0.0))[0]

    def give_up(self, who: str, now: float) -> None:
        """Let a client rest from `now` on."""
        if who not in self._of and len(self._of) >= MAX_RESTING:
            self._of.pop(next(iter(self._of)))
        rest_s = min(LONGEST_REST_S, self._of[who][1] * 2) if who in self._of else FIRST_REST_S
        self._of[who] = (now + rest_s, rest_s)

    def forget(self, who: str) -> None:
        """The client takes messages again, or is gone."""
        if self._of:
            self._of.pop(who, None)
