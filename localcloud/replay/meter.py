"""What is shown of a replay while it runs: one line that is drawn over on a terminal, a line now and then elsewhere.

Knows counts and dates only. Times are seconds of the event loop's clock; dates epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from localcloud.replay.ports import Outlook

__all__ = ["Meter", "Tally"]

DRAWN_S: Final = 0.2
SAID_S: Final = 10.0
BAR: Final = 20  # characters


@dataclass(slots=True)
class Tally:
    """What was done so far, of all runs of one replay; `taken_now` and `refused_now` of this one."""

    taken: int = 0
    refused: int = 0
    taken_now: int = 0
    refused_now: int = 0
    size_bytes: int = 0
    first_ms: int = 0
    last_ms: int = 0

    @property
    def now(self) -> int:
        """Records of this run."""
        return self.taken_now + self.refused_now

    def add(self, *, taken: bool, size_bytes: int, arrived_ms: int) -> None:
        """One item more."""
        self.taken += taken
        self.taken_now += taken
        self.refused += not taken
        self.refused_now += not taken
        self.size_bytes += size_bytes
        self.first_ms = self.first_ms or arrived_ms
        self.last_ms = max(self.last_ms, arrived_ms)


class Meter:
    """Writes progress with `write`. `clock`: seconds that only grow. `is_terminal`: the line may be drawn over."""

    def __init__(self, write: Callable[[str], object], *, clock: Callable[[], float], is_terminal: bool) -> None:
        self._write = write
        self._clock = clock
        self._is_terminal = is_terminal
        self._began = clock()
        self._shown_at = self._began
        self._is_drawn = False

    @property
    def elapsed_s(self) -> float:
        """Since it was made."""
        return self._clock() - self._began

    def show(self, tally: Tally, outlook: Outlook) -> None:
        """Say how far it is, where that is due."""
        now = self._clock()
        if now - self._shown_at < (DRAWN_S if self._is_terminal else SAID_S):
            return
        self._shown_at = now
        line = self.describe(tally, outlook)
        if self._is_terminal:
            self._is_drawn = True
            self._write(f"\r{line}\x1b[K")
        else:
            self._write(f"{line}\n")

    def say(self, line: str) -> None:
        """A line of its own."""
        self.clear()
        self._write(f"{line}\n")

    def clear(self) -> None:
        """Take away what was drawn."""
        if self._is_drawn:
            self._write("\r\x1b[K")
            self._is_drawn = False

    def describe(self, tally: Tally, outlook: Outlook) -> str:
        """Records, records a second, the position by time, the time left as far as that is known."""
        elapsed = max(self.elapsed_s, 1e-9)
        parts = [f"{tally.taken + tally.refused} records", f"{tally.now / elapsed:.0f}/s"]
        if tally.refused:
            parts.append(f"{tally.refused} refused")
        if tally.last_ms:
            parts.append(f"at {_date(tally.last_ms)}")
        part = _part_done(tally, outlook)
        if part is None:
            return ", ".join(parts)
        if 0 < part < 1:
            parts.append(f"{_span(elapsed * (1 - part) / part)} left")
        full = round(BAR * part)
        bar = f"[{'#' * full}{'.' * (BAR - full)}] " if self._is_terminal else ""
        return f"{bar}{part:4.0%} {', '.join(parts)}"


def _part_done(tally: Tally, outlook: Outlook) -> float | None:
    """0 to 1, by the dates of records or by their number; None where neither tells."""
    whole_ms = outlook.end_ms - tally.first_ms
    if tally.first_ms and outlook.end_ms and whole_ms > 0:
        return min(1.0, max(0.0, (tally.last_ms - tally.first_ms) / whole_ms))
    if outlook.total:
        return min(1.0, tally.now / outlook.total)
    return None


def _date(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
