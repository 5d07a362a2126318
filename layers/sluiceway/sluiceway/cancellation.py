"""Whose a cancellation is: this task's own, or one that strayed in from a task it awaited.

A `CancelledError` says neither. Its own must go on; a stray one is one piece of work's trouble, and left alone would
pass every `except Exception` and end the environment.
Source: https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.cancelling
"""

from __future__ import annotations

import asyncio

__all__ = ["is_being_cancelled"]


def is_being_cancelled() -> bool:
    """True where somebody asked the current task to stop, so that its `CancelledError` must be raised on."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
