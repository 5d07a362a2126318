"""Idempotency: the work of a key is done once, by whoever owns the key, and its result is given again to repeats.

Start at `guard.py`. `decorators.py` wraps functions and flows, `outcomes.py` says what can come of it, `options.py`
what can be chosen, `keys.py` which part of an event is read, `lease.py` how an attempt keeps its key, `memory.py` and
`layered.py` are stores; the one for DynamoDB is `sluiceway.aws.idempotency`. docs/idempotency.md has the guarantees.
"""

from sluiceway.idempotency.decorators import idempotent, idempotent_flow
from sluiceway.idempotency.guard import Guard
from sluiceway.idempotency.options import Options
from sluiceway.idempotency.outcomes import (
    Conflict,
    Fresh,
    InDoubt,
    InProgress,
    LeftInDoubt,
    NotRecorded,
    Parked,
    PayloadConflict,
    Replayed,
    StillInProgress,
)

__all__ = [
    "Conflict",
    "Fresh",
    "Guard",
    "InDoubt",
    "InProgress",
    "LeftInDoubt",
    "NotRecorded",
    "Options",
    "Parked",
    "PayloadConflict",
    "Replayed",
    "StillInProgress",
    "idempotent",
    "idempotent_flow",
]
