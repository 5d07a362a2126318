"""Regular expressions that a template brings, held against text that a client sends: bounded in computing time.

Python's matcher tries every way to match, and some patterns have more ways than there is time (`(a+)+$`). It looks for
signals while it tries, so a timer of this process's CPU time ends it. Signals are the main thread's: elsewhere nothing
is bounded.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

__all__ = ["LIMIT_S", "PatternTooSlow", "compile_pattern", "limit_matching"]

LIMIT_S: Final = 1.0  # ours: AWS names no limit; a pattern that does its work needs a thousandth of it


class PatternTooSlow(Exception):
    """A pattern has taken more than LIMIT_S of CPU time; what it was held against is neither match nor mismatch."""

    def __init__(self) -> None:
        super().__init__(f"the pattern takes more than {LIMIT_S:g} s on this text: it repeats what it repeats already")


def compile_pattern(text: str) -> re.Pattern[str]:
    """The expression in `text`. Raises ValueError that says why there is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression that is served here: {error}") from error


def match_runs(parts: Sequence[str], text: str) -> bool:
    """Whether `text` is `parts` in their order, with any characters between them: what `*` between them means.

    Each part is looked for once, its first place being the best: no number of parts makes it slow.
    """
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    at = len(first) if text.startswith(first) else -1
    for part in middle:
        found = text.find(part, at) if at >= 0 else -1
        at = found + len(part) if found >= 0 else -1
    return 0 <= at <= len(text) - len(last) and text.endswith(last)


@contextmanager
def limit_matching() -> Generator[None]:
    """Let the block take LIMIT_S of CPU time, not nested. Raises PatternTooSlow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _expire)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _expire(_number: int, _frame: object) -> None:
    raise PatternTooSlow
