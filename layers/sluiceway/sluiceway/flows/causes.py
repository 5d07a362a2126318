"""What a record's work failed with, whoever wrapped it. Must not know records."""

from __future__ import annotations

from typing import cast

__all__ = ["find_cause"]


def find_cause(error: Exception) -> Exception:
    """What a task group wrapped, where that is one error alone."""
    while isinstance(error, ExceptionGroup):
        first, *others = cast("ExceptionGroup[Exception]", error).exceptions
        if others:
            break
        error = first
    return cast("Exception", error)
