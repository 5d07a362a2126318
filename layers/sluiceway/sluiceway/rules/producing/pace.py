"""How fast a producer goes: the pause of a key whose record was declined, and how much of a call's room is used.

A shard takes 1 MiB or 1,000 records a second: what it declines is welcome a moment later, and the rest of the stream
has nothing to do with it. So a key rests on its own; the window shrinks only where most of a call was declined, which
is when the stream as a whole is behind. Pure; chance is an argument.
Source: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
"""

from __future__ import annotations

from typing import Final

__all__ = ["Window", "choose_pause_s"]

FIRST_S: Final = 0.1  # a tenth of the second that a shard's limits count by
LONGEST_S: Final = 5.0
_MAX_STEPS: Final = 10  # from here on LONGEST_S bounds every pause
DECREASE: Final = 0.5
INCREASE: Final = 0.1
LEAST_SHARE: Final = 1 / 64


def choose_pause_s(*, attempts: int, chance: float, advice_s: float | None = None) -> float:
    """Seconds until the record's next attempt, after so many (1 or more): it doubles from 0.1 up to 5.

    `chance` (0 to 1) says where between half and all of that. `advice_s` is what somebody who knows asks for at least.
    """
    bound = min(FIRST_S * 2 ** min(attempts - 1, _MAX_STEPS), LONGEST_S)
    return max(bound * (0.5 + chance / 2), min(advice_s or 0.0, LONGEST_S))


class Window:
    """The share of a call's room that is used: additive increase, multiplicative decrease; 1/64 to 1."""

    __slots__ = ("share",)

    def __init__(self) -> None:
        self.share = 1.0

    def note(self, *, entries: int, declined: int) -> None:
        """Learn from one call's answer."""
        if declined * 2 > entries:
            self.share = max(LEAST_SHARE, self.share * DECREASE)
        elif not declined:
            self.share = min(1.0, self.share + INCREASE)
