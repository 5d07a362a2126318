"""Which problem an error of guarded work is, and when to ask again: in HTTP replies and in frames alike.

Owns statuses, names and hints of what `sluiceway.idempotency` and `sluiceway.region` raise (docs/idempotency.md has the
table). Must not know what was asked for: a problem says nothing of keys, results or Regions.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from sluiceway.errors import NotHome, NotRecorded, Parked, Rejected, Retryable, StillInProgress, Withheld
from sluiceway.events.http import Problem

__all__ = ["Refusal", "explain"]

LONGEST_BUSY_S: Final = 5  # of another attempt a lease is known, and it is mostly over long before


class Refusal(NamedTuple):
    """A problem, and after how many seconds (1 and more) the same ask may succeed; None where it never will."""

    problem: Problem
    retry_after_s: int | None = None


def explain(error: Exception) -> Refusal | None:
    """What guarded work refuses with `error`; None for any other error."""
    if isinstance(error, Rejected):
        problem = _REJECTED.get(error.reason)
        return None if problem is None else Refusal(problem)
    for kind, (problem, usual_s) in _RETRYABLE.items():
        if isinstance(error, kind):
            after_s = usual_s if error.after_s is None else max(1, math.ceil(error.after_s))
            return Refusal(problem, min(after_s, LONGEST_BUSY_S) if kind is StillInProgress else after_s)
    return None


def _problem(reason: str, title: str, status: int) -> Problem:
    return Problem(f"/problems/{reason}", title, status)


_RETRYABLE: Final[dict[type[Retryable], tuple[Problem, int]]] = {
    NotHome: (_problem("not-home", "Another Region serves this", 503), 5),
    Withheld: (_problem("withheld", "Nobody can tell now whether this may begin here", 503), 2),
    Parked: (_problem("parked", "Another Region may have begun this, and cannot be asked", 503), 30),
    NotRecorded: (_problem("not-recorded", "Whether this was done is not known yet", 503), 1),
    StillInProgress: (_problem("in-progress", "The same request is being served", 409), 1),
}
_REJECTED: Final = {
    "idempotency-key-reused": _problem("idempotency-key-reused", "The key was used for another request", 409),
    "idempotency-in-doubt": _problem(
        "idempotency-in-doubt", "An earlier attempt began, and nobody knows whether it ended", 409
    ),
    "no-idempotency-key": _problem("no-idempotency-key", "The request has no idempotency key", 400),
    "invalid-idempotency-key": _problem("invalid-idempotency-key", "The idempotency key cannot be used", 400),
    "result-gone": _problem("result-gone", "This was done, and its result is no longer kept", 410),
}
