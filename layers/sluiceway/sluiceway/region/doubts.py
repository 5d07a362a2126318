"""What is in doubt between Regions, and how a doubt ends: by asking again once that is possible, or by a person.

Owns the list and the drain. Must not know traffic or alarms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Final, Literal, NamedTuple

from sluiceway import log
from sluiceway.errors import Rejected
from sluiceway.ports import Clock
from sluiceway.ports.regions import DoubtStore, RecordShelf
from sluiceway.region.home import Earlier, HomeStore
from sluiceway.rules.idempotency import IdempotencyRecord, is_free, is_lapsed
from sluiceway.rules.region_keys import read_item_key
from sluiceway.rules.terms import LATE_END_MS, Doubt, PastTerm, Term

__all__ = ["DrainReport", "drain", "list_doubts", "list_unfinished", "note_unfinished", "settle"]

PATIENCE: Final = 3  # questions in a row that a Region does not answer: each waits for its 2 s
LONGEST_KEEP_MS: Final = 10 * 366 * 86_400_000  # as `Options.keep_s` has it

Verdict = Literal["not-done", "open"]


class DrainReport(NamedTuple):
    """What became of the doubts: `done` have an end, `freed` were never begun, `fenced` stay, `parked` as well."""

    done: int = 0
    freed: int = 0
    fenced: int = 0
    parked: int = 0


async def list_doubts(doubts: DoubtStore, region: str) -> AsyncGenerator[Doubt]:
    """Every doubt that `region` noted, in the order of the keys."""
    after = ""
    while True:
        page = await doubts.page(region, after=after)
        for doubt in page.doubts:
            yield doubt
        after = page.after
        if not after:
            return


async def drain(doubts: DoubtStore, *, region: str, home: HomeStore, clock: Clock) -> DrainReport:
    """Ask about every doubt of `region` again. Those with an end, or never begun, are in doubt no longer.

    A late copy of a claim may stand in an earlier term than the one that ended the work: nobody waits for it. A Region
    that gave no answer three times in a row is asked no more. May be run at any time, and again. Raises what the stores
    raise.
    """
    counts = {"done": 0, "freed": 0, "fenced": 0, "parked": 0}
    silent: Counter[str] = Counter()
    async for doubt in list_doubts(doubts, region):
        if doubt.state == "released":
            continue
        earlier = await _ask(doubt, home, silent)
        if earlier.doubt and await home.find_end(doubt.key, keep_ms=LONGEST_KEEP_MS) is not None:
            counts["done"] += 1
            await doubts.remove(doubt)
            continue
        if earlier.doubt:
            counts[earlier.doubt] += 1
            if earlier.doubt != doubt.why and earlier.is_known:
                await doubts.put(doubt._replace(why=earlier.doubt))
            continue
        ended = earlier.record is not None and not is_free(earlier.record, clock.now_ms(), rerun=False)
        counts["done" if ended else "freed"] += 1
        await doubts.remove(doubt)
    report = DrainReport(**counts)
    log.info("region.drained", **counts)
    return report


async def _ask(doubt: Doubt, home: HomeStore, silent: Counter[str]) -> Earlier:
    """What the doubt's Region says; `silent` counts how often in a row each gave no answer."""
    where = doubt.home
    earlier = await home.ask(doubt.key, PastTerm(doubt.epoch, where, 0), reach=silent[where] < PATIENCE)
    if not earlier.is_known:
        silent[where] += 1
    elif earlier.record is None or not earlier.record.is_complete:  # its own word: an end may be a copy that is here
        silent[where] = 0
    return earlier


async def note_unfinished(shelf: RecordShelf, doubts: DoubtStore, *, term: Term, region: str, clock: Clock) -> int:
    """Note every record that an earlier term began and did not end, whether anybody asks for its key or not.

    `shelf` are the records of one Region: of this one after a hand-over, of the earlier home once it can be asked.
    Gives how many there are. Raises what the stores raise.
    """
    count, now_ms = 0, clock.now_ms()
    async for record in list_unfinished(shelf, now_ms):
        owner = record.owner
        if not 0 < owner.epoch < term.epoch:
            continue
        count += 1
        await doubts.note(
            Doubt(
                key=read_item_key(record.key, owner.epoch),
                why="fenced",
                epoch=owner.epoch,
                home=owner.region,
                region=region,
                noted_ms=now_ms,
                expires_s=record.expires_s + LATE_END_MS // 1000,
            )
        )
    return count


async def list_unfinished(shelf: RecordShelf, now_ms: int) -> AsyncGenerator[IdempotencyRecord]:
    """Every record whose owner had to stop and wrote no end: with `after_crash="doubt"` these are the keys in doubt."""
    after = ""
    while True:
        page = await shelf.unfinished(after=after)
        for record in page.records:
            if is_lapsed(record, now_ms):
                yield record
        after = page.after
        if not after:
            return


async def settle(doubts: DoubtStore, doubt: Doubt, *, verdict: Verdict) -> Doubt:
    """A person's word on a doubt: the work was not done (the home Region may begin it now), or it is open again.

    Work that was done needs no word: leave the doubt, or write its end through a guard once it was released. Raises
    Rejected (`parked`) while the Region that may have begun it was not asked.
    """
    if verdict == "not-done" and doubt.why == "parked":
        raise Rejected("the Region that may have begun this was not asked yet", reason="parked")
    settled = doubt._replace(state="released" if verdict == "not-done" else "open")
    await doubts.put(settled)
    log.warning("region.doubt_settled", verdict=verdict, epoch=doubt.epoch)
    return settled
