"""Terms of ownership: which Region may begin work, under which epoch, and what became of those before it.

Owns the arithmetic of a hand-over. A Region may begin work while it has read, within the last `lease_ms`, that the term
is its own; the next term begins once such a reading, made just before the change, has run out on every clock. Pure: the
time is an argument. Must not know stores or keys.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from sluiceway.errors import Rejected

__all__ = [
    "NOT_YET_MS",
    "Doubt",
    "DoubtState",
    "PastTerm",
    "Term",
    "close_term",
    "first_term",
    "is_forgotten",
    "open_term",
    "started_under",
]

LEASE_MS: Final = 30_000  # as founded: so long a reading lets a Region begin work, and so long a hand-over waits
SKEW_MS: Final = 5_000
MAX_PAST: Final = 256  # hand-overs are made by people; an item has room for some thousands
LATE_END_MS: Final = 900_000  # an end is written by the invocation that worked: 15 minutes at most after its lease

NOT_YET_MS: Final = 8_640_000_000_000_000  # a `begins_ms` that never comes: the term's beginning is still to be said

DoubtState = Literal["open", "released"]


class PastTerm(NamedTuple):
    """A term that is over: from `ended_ms` (epoch milliseconds) on nothing begins under it."""

    epoch: int
    region: str
    ended_ms: int


class Term(NamedTuple):
    """The term of a group of Regions. Times are epoch milliseconds, on the clock of whoever began it.

    From `begins_ms` on `region` may begin work. `lease_ms`: for how long a reading of the term lets a Region begin
    work. `skew_ms`: by how much two clocks may differ. `approval` names who let the term begin. `past` are the terms
    before it, the latest last.
    """

    group: str
    epoch: int
    region: str
    begins_ms: int
    lease_ms: int
    skew_ms: int
    approval: str
    past: tuple[PastTerm, ...] = ()


class Doubt(NamedTuple):
    """A key whose work was perhaps begun under an earlier term.

    `why`: `parked` (the Region that may have begun it could not be asked), `fenced` (it began it, and no end is
    written). `epoch` and `home` are that term's. `region` is who noted it, at `noted_ms`. `released`: a person found
    that the work was not done, and lets it begin. `expires_s` is epoch seconds after which the entry counts as gone.
    """

    key: str
    why: Literal["parked", "fenced"]
    epoch: int
    home: str
    region: str
    noted_ms: int
    expires_s: int
    state: DoubtState = "open"


def first_term(group: str, region: str, *, now_ms: int, lease_ms: int = LEASE_MS, skew_ms: int = SKEW_MS) -> Term:
    """The term with which a group begins; its lease and skew are every later one's. Raises ValueError out of bounds."""
    if not (1_000 <= lease_ms <= 900_000 and 0 <= skew_ms <= 900_000):
        raise ValueError("a lease is 1 to 900 s, a skew 0 to 900 s")
    return Term(group, 1, region, now_ms, lease_ms, skew_ms, "founding")


def close_term(term: Term, region: str, *, now_ms: int, approval: str) -> Term:
    """The term after `term`, of `region`, under which nobody may begin work until it is opened.

    It is written first: the last reading of `term` was made before that, so whoever has seen it written knows a time
    from which such readings run out, however long the writing took. Raises Rejected (`no-approval`, `already-home`).
    """
    if not approval.strip():
        raise Rejected("a term begins with an approval", reason="no-approval", field="approval")
    if region == term.region:
        raise Rejected(f"{region} is the home Region already", reason="already-home", field="region")
    begun_ms = 0 if term.begins_ms == NOT_YET_MS else term.begins_ms
    ended_ms = max(now_ms, begun_ms) + term.lease_ms + term.skew_ms + 1
    before = term.past
    if begun_ms == 0 and before:  # `term` was never opened: the one before it ended as late as `term` was seen written
        before = (*before[:-1], before[-1]._replace(ended_ms=max(before[-1].ended_ms, ended_ms)))
    past = (*before, PastTerm(term.epoch, term.region, ended_ms))[-MAX_PAST:]
    return term._replace(epoch=term.epoch + 1, region=region, begins_ms=NOT_YET_MS, approval=approval, past=past)


def open_term(closed: Term, *, now_ms: int) -> Term:
    """`closed`, which was seen written by `now_ms`: it begins once no earlier reading holds any more."""
    last = closed.past[-1]
    begins_ms = max(now_ms + closed.lease_ms + closed.skew_ms + 1, last.ended_ms)
    return closed._replace(begins_ms=begins_ms, past=(*closed.past[:-1], last._replace(ended_ms=begins_ms)))


def started_under(
    term: Term, minted_epoch: int, *, now_ms: int, keep_ms: int, made_ms: int = 0
) -> tuple[PastTerm, ...]:
    """The earlier terms under which a key may have been begun, the latest first.

    `minted_epoch` is the one under which the key was made, 0 where the key does not say. `made_ms` is when it was made,
    on a clock of ours (epoch milliseconds, 0: nobody knows): what had ended by then, on every clock, did not begin it.
    `keep_ms` is how long an end is kept: what ended longer ago counts as gone, as it does in one Region.
    """
    longest_ms = keep_ms + LATE_END_MS + term.skew_ms
    return tuple(
        past
        for past in reversed(term.past)
        if past.epoch >= minted_epoch
        and past.ended_ms + term.skew_ms >= made_ms
        and now_ms <= past.ended_ms + longest_ms
    )


def is_forgotten(term: Term, minted_epoch: int, started: tuple[PastTerm, ...]) -> bool:
    """Whether terms of which nothing is remembered (MAX_PAST) may count beside those that `started_under` gave."""
    return bool(started) and started[-1].epoch == term.past[0].epoch > max(1, minted_epoch)
