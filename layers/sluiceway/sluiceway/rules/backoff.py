"""How long a message that goes back to its queue waits before it is delivered again.

Pure decisions; chance is an argument. The queue is the slow one of three layers of retry: the first wait is seconds,
since most trouble is over then; each next one is four times as long, since what lasts often lasts long, and the
deliveries of a message are few. Must not know queues or errors.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["FIRST_S", "MENDING_FIRST_S", "choose_return_s"]

FIRST_S: Final = 2.0
MENDING_FIRST_S: Final = 60.0  # nobody mends a deployment in seconds
GROWTH: Final = 4
SHORTEST_S: Final = 1
LONGEST_S: Final = 300
_MAX_STEPS: Final = 10  # from here on LONGEST_S bounds every wait


def choose_return_s(
    *, receive_count: int, chance: float, longest_s: float, after_s: float | None = None, first_s: float = FIRST_S
) -> int:
    """Whole seconds until a message comes back: 1 to 300, and at most `longest_s` (the queue's visibility timeout).

    Between half and all of `first_s` after the first delivery (`receive_count` 1), and of four times as much after each
    further one; `chance` (0 to 1) says where between, so that messages that failed together do not come back together.
    `after_s` is what somebody who knows asks for at least: a longer back-off goes before it, or a service that always
    says "in a second" would use up a message's deliveries in seconds.
    """
    bound = min(first_s * GROWTH ** min(max(receive_count, 1) - 1, _MAX_STEPS), LONGEST_S)
    wait_s = max(bound * (0.5 + chance / 2), after_s or 0.0)
    longest = max(0, math.floor(min(LONGEST_S, longest_s)))
    return min(max(SHORTEST_S, math.ceil(wait_s)), longest)
