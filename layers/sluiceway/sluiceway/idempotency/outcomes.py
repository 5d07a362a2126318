"""What asking for a key's work can come to, and which error it is for callers that want the result or nothing.

Owns the five outcomes and each one's disposition: `Retryable` where the same ask may succeed later, `Rejected` where no
retry can help and a person has to look. Must not know stores or records.
"""

from __future__ import annotations

from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from sluiceway.errors import LeftInDoubt, NotRecorded, Parked, PayloadConflict, StillInProgress

__all__ = [
    "Conflict",
    "DoubtReason",
    "Fresh",
    "InDoubt",
    "InProgress",
    "LeftInDoubt",
    "NotRecorded",
    "Outcome",
    "Parked",
    "PayloadConflict",
    "Replayed",
    "StillInProgress",
    "result_of",
]

T = TypeVar("T")

PARKED_AFTER_S: Final = 30.0  # a Region comes back in minutes or hours

DoubtReason = Literal["lapsed", "lease-lost", "unrecorded", "parked", "fenced"]
"""`lapsed`: an earlier attempt began and nobody knows how far it came. `lease-lost`: this attempt was stopped, or had
finished, when the key was another's. `unrecorded`: this attempt finished and nobody knows whether that was written.
`parked`: another Region may have begun it and cannot be asked now. `fenced`: another Region began it under an earlier
term and wrote no end."""


class Fresh(NamedTuple, Generic[T]):
    """The work was done now. `recorded` is False where a repeat would not get `value`, or would do the work again."""

    value: T
    recorded: bool = True


class Replayed(NamedTuple, Generic[T]):
    """The work was done before; `value` is what it gave then, through JSON."""

    value: T


class InProgress(NamedTuple):
    """Another attempt holds the key, until `until_ms` (epoch milliseconds) at the latest."""

    until_ms: int


class Conflict(NamedTuple):
    """The key was used for an event whose validated part was another."""

    key: str


class InDoubt(NamedTuple):
    """The work was begun, and whether it was done is not known, or not to be had from the record.

    From `until_ms` (epoch milliseconds) on the record says what a repeat would come to; 0 where no time will tell.
    """

    key: str
    why: DoubtReason
    until_ms: int = 0


Outcome: TypeAlias = Fresh[T] | Replayed[T] | InProgress | Conflict | InDoubt


def result_of(outcome: Outcome[T], *, now_ms: int) -> T:
    """The value of an outcome that has one.

    Raises `StillInProgress`, `NotRecorded` and `Parked` (all Retryable), `PayloadConflict` and `LeftInDoubt` (both
    Rejected).
    """
    if isinstance(outcome, Fresh | Replayed):
        return outcome.value
    if isinstance(outcome, InProgress):
        raise StillInProgress("another attempt holds the key", after_s=_rest_s(outcome.until_ms, now_ms))
    if isinstance(outcome, Conflict):
        raise PayloadConflict("the key was used with another payload", reason="idempotency-key-reused")
    if outcome.why in {"lapsed", "fenced"}:
        raise LeftInDoubt("an earlier attempt began and never ended", reason="idempotency-in-doubt")
    if outcome.why == "parked":
        raise Parked("another Region may have begun this and cannot be asked", after_s=PARKED_AFTER_S)
    raise NotRecorded(_WHY[outcome.why], after_s=_rest_s(outcome.until_ms, now_ms))


def _rest_s(until_ms: int, now_ms: int) -> float | None:
    return max(0, until_ms + 1 - now_ms) / 1000 if until_ms else None


_WHY: Final = {
    "lease-lost": "the key was another's before the work had ended",
    "unrecorded": "the work is done, and its record could not be written",
}
