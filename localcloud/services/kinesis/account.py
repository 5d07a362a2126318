"""What the account has agreed to: On-demand Advantage, by its minimum throughput billing commitment. No protocol.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateAccountSettings.html
"""

from __future__ import annotations

from typing import Final

from localcloud.clock import Clock
from localcloud.services.kinesis.errors import invalid
from localcloud.services.kinesis.limits import CALLS, CallMeter

__all__ = ["Account"]

COMMITTED_S: Final = 86_400.0  # on-demand advantage: for at least 24 hours


class Account:
    """The commitment, and the meters of operations that are limited for the whole account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s: float | None = None
        self._ended_s: float | None = None
        self._meters: dict[tuple[str, str], CallMeter] = {}

    @property
    def has_advantage(self) -> bool:
        """Whether the commitment holds now."""
        return self._started_s is not None and (self._ended_s is None or self._clock.time() < self._ended_s)

    def commit(self) -> None:
        """Begin the commitment, or take back its end."""
        if not self.has_advantage:
            self._started_s = self._clock.time()
        self._ended_s = None

    def release(self) -> None:
        """End the commitment, 24 hours after it began at the earliest. Raises KinesisError where there is none."""
        if self._started_s is None or not self.has_advantage:
            raise invalid("The account has no minimum throughput billing commitment.")
        self._ended_s = max(self._clock.time(), self._started_s + COMMITTED_S)

    def describe(self) -> dict[str, object]:
        """The commitment as the API has it."""
        if self._started_s is None:
            return {"Status": "DISABLED"}
        dates: dict[str, object] = {"StartedAt": round(self._started_s, 3)}
        if self._ended_s is not None:
            dates["EndedAt"] = round(self._ended_s, 3)
        if not self.has_advantage:
            return {"Status": "DISABLED", **dates}
        dates["EarliestAllowedEndAt"] = round(self._started_s + COMMITTED_S, 3)
        return {"Status": "ENABLED" if self._ended_s is None else "ENABLED_UNTIL_EARLIEST_ALLOWED_END", **dates}

    def meter(self, operation: str, region: str) -> CallMeter:
        """The account's meter of a control operation in a Region."""
        return self._meters.setdefault((operation, region), CallMeter(CALLS[operation][0]))
