"""How the home Region is founded and moved: by conditional writes, with an approval in them.

Owns the order of things when an epoch is raised. Nothing is told to the Region that was home: it cannot read its term
any longer as its own, and its last reading runs out before the new term begins. Must not know alarms or traffic.
"""

from __future__ import annotations

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.ports import Clock
from sluiceway.ports.regions import TermStore
from sluiceway.rules.terms import NOT_YET_MS, Term, close_term, open_term

__all__ = ["found_group", "raise_epoch"]


async def found_group(terms: TermStore, first: Term) -> Term:
    """The group's term; `first` (`rules.terms.first_term`) where there is none yet. Raises what the store raises."""
    if await terms.replace(first, seen=None):
        return first
    found = await terms.get(first.group)
    if found is None:
        raise Retryable("the group's term was removed meanwhile")
    return found


async def raise_epoch(  # noqa: PLR0913 - the parts of one decision, keyword-only
    terms: TermStore, *, group: str, to: str, approval: str, clock: Clock, ends: int | None = None
) -> Term:
    """Make `to` the home Region: it begins work at the term's `begins_ms`.

    `approval` names the decision that allows it, and stays in the term. Two writes: after the first nobody begins work
    any more, and the second says from when on `to` does, counted from a time at which the first was known to be stored.
    A hand-over that was broken off between them is gone on with by asking for it again.

    `ends` is the epoch that the approval is about: the same asking again gives the term that it made, and one that is
    delivered again after a later hand-over moves nothing. Without it an approval that comes twice may count twice.

    Raises Rejected (`no-approval`, `already-home`, `stale-approval`), Misconfigured where the group has no term,
    Retryable where another hand-over was faster.
    """
    term = await terms.get(group)
    if term is None:
        raise Misconfigured(f"the group {group!r} has no term", what="REGION_GROUP")
    is_approved = bool(approval.strip())  # where it is not, closing the term says so
    if is_approved and ends not in {None, term.epoch}:
        if (term.epoch - 1, term.region, term.approval) != (ends, to, approval):
            raise Rejected(f"the approval is about epoch {ends}", reason="stale-approval", field="approval")
        if term.begins_ms != NOT_YET_MS:
            return term
    is_broken_off = is_approved and term.begins_ms == NOT_YET_MS and term.region == to
    closed = term if is_broken_off else close_term(term, to, now_ms=clock.now_ms(), approval=approval)
    if not is_broken_off and not await terms.replace(closed, seen=term):
        raise Retryable("another hand-over was faster")
    raised = open_term(closed, now_ms=clock.now_ms())._replace(approval=approval)
    if not await terms.replace(raised, seen=closed):
        raise Retryable("another hand-over was faster")
    log.warning("region.epoch_raised", group=group, epoch=raised.epoch, home=to, approval=approval)
    return raised
