"""When a shard may be read again with GetRecords: the shard's limits, and which part of them is this reader's.

Five calls and 2 MiB a second are allowed for each shard, to all of its readers together; after an answer of 10 MiB the
calls of the next five seconds are refused. A reader that keeps to its share leaves the others theirs. Times are seconds
on a clock that only grows.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
"""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_ANSWER_BYTES", "ReadPace"]

CALLS_S: Final = 5
BYTES_S: Final = 2 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 10 * 1024 * 1024
FULL_PAUSE_S: Final = 5.0
FIRST_BACK_OFF_S: Final = 0.5
LONGEST_BACK_OFF_S: Final = 10.0
_MAX_STEPS: Final = 8


class ReadPace:
    """The pace of one reader of one shard. `share`: its part of the shard's limits, more than 0 and at most 1.

    `idle_s` is the pause after an answer that reached the tip of the shard.
    """

    def __init__(self, *, share: float, idle_s: float) -> None:
        if not 0 < share <= 1:
            raise ValueError("a share is more than 0 and at most 1")
        self._share = share
        self._idle_s = idle_s
        self._refusals = 0
        self.next_at = 0.0  # the next call is due then

    def note(self, asked_at: float, now: float, *, size_bytes: int, at_tip: bool) -> None:
        """An answer of `size_bytes` (data and keys) came `now`. `asked_at`: when it was asked for."""
        self._refusals = 0
        due = max(asked_at + 1 / (CALLS_S * self._share), now + size_bytes / (BYTES_S * self._share))
        if size_bytes >= MAX_ANSWER_BYTES:
            due = max(due, now + FULL_PAUSE_S)
        if at_tip:
            due = max(due, asked_at + self._idle_s)
        self.next_at = due

    def note_refusal(self, now: float, *, chance: float, after_s: float | None = None) -> None:
        """A call was refused `now`, or had no answer; `after_s` is what the service asks for. `chance`: 0 to 1.

        Waits double, up to ten seconds, and lie between half and all of that: readers that were refused together do not
        come back together.
        """
        longest = min(FIRST_BACK_OFF_S * 2.0 ** min(self._refusals, _MAX_STEPS), LONGEST_BACK_OFF_S)
        self._refusals += 1
        self.next_at = now + max(longest * (0.5 + chance / 2), after_s or 0.0)
