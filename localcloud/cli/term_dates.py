"""When a term begins, and other dates of Regions, as lines of commands tell them."""

from __future__ import annotations

from datetime import UTC, datetime

from sluiceway.rules.terms import NOT_YET_MS

__all__ = ["tell_begin", "tell_date"]


def tell_begin(begins_ms: int, now_ms: int) -> str:
    """Since when a term's home begins work, or from when on; both in milliseconds since 1970.

    A term of `NOT_YET_MS` is one whose hand-over was broken off.
    """
    if begins_ms == NOT_YET_MS:
        return "begins no work: the hand-over was broken off; ask for it again with `sluiceway regions raise`"
    if begins_ms > now_ms:
        return f"begins work at {tell_date(begins_ms)}, in {(begins_ms - now_ms + 999) // 1000} s"
    return f"since {tell_date(begins_ms)}"


def tell_date(epoch_ms: int) -> str:
    """Milliseconds since 1970 as a date to the second, in UTC: `2026-11-28T05:30:56Z`."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
