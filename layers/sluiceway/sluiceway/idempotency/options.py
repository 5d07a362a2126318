"""What a user can choose about a function's idempotency, with the bounds of each choice.

Must not know stores or handlers. All of it is frozen: two functions never share what one of them changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sluiceway.idempotency.keys import Digest, Part
from sluiceway.ports import Chance, Clock, SystemChance, SystemClock
from sluiceway.rules.idempotency import Owner

__all__ = ["Options"]

MAX_KEEP_S: Final = 10 * 366 * 86_400
MAX_LEASE_S: Final = 900.0  # Lambda's longest invocation
TOKEN_BYTES: Final = 16


def new_owner() -> Owner:
    """An owner that nobody else is."""
    return Owner(os.urandom(TOKEN_BYTES).hex())


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Options:
    """`keep_s`: how long a result is replayed. `validate`: the part of the event that a repeat must bring unchanged.

    `lease_s`: how long a claim, and each renewal of it, lasts at most; a call's deadline shortens it. `skew_s`: by how
    much two clocks may differ. `wait_s`: how long a caller waits for another's result (0: it is told at once).

    `made`: the part of the event that says when its key was made, for the tier `home` (`sluiceway.region`): a key that
    a Region made, or epoch milliseconds by a clock of this stack, never a client's; anything else says nothing.

    `when_away`: while the store cannot be reached, `fail` (Retryable) or `run` without protection. `store_timeout_s`:
    after which time without an answer it counts as away. `after_crash`: an attempt that never ended is run again
    (`rerun`), or never (`doubt`: the key is in doubt until its record expires).

    `dump` and `load` turn a result into JSON values and back. The rest is what makes tests deterministic. All times are
    seconds. Raises ValueError out of bounds.
    """

    keep_s: float = 3_600.0
    lease_s: float = 60.0
    skew_s: float = 5.0
    wait_s: float = 0.0
    when_away: Literal["fail", "run"] = "fail"
    after_crash: Literal["rerun", "doubt"] = "rerun"
    store_timeout_s: float = 5.0
    validate: Part | None = None
    digest: Digest = "sha256"
    made: Part | None = None
    dump: Callable[[Any], object] = _as_it_is
    load: Callable[[Any], Any] = _as_it_is
    clock: Clock = field(default_factory=SystemClock)
    chance: Chance = field(default_factory=SystemChance)
    new_owner: Callable[[], Owner] = new_owner

    def __post_init__(self) -> None:
        bounds = {
            "keep_s": (1.0, MAX_KEEP_S),
            "lease_s": (0.5, MAX_LEASE_S),
            "skew_s": (0.0, MAX_LEASE_S),
            "wait_s": (0.0, MAX_LEASE_S),
            "store_timeout_s": (0.05, MAX_LEASE_S),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {least:g} to {most:g}")
        choices = {
            "when_away": ("fail", "run"),
            "after_crash": ("rerun", "doubt"),
            "digest": ("sha256", "md5", "minted"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {', '.join(allowed)}")
