"""A file lock that is waited for: what several local clouds may make at once is made by one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["hold_lock"]


@contextmanager
def hold_lock(path: Path) -> Generator[None]:
    """Hold the lock for the length of the block; the end of the process lets it go. Blocks until it is free."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
