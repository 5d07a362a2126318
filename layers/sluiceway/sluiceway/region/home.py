"""The home Region's store: keys in an eventually consistent global table, begun by one Region at a time.

Owns what may be begun, and what another Region may have begun before. A conditional write of such a table holds in one
Region only, and the later of two writes wins without a word. So (1) only the Region whose term it is begins work, for
as long as its reading of the term holds; (2) each term has its own items, and no two Regions ever write the same one,
so that nothing is won or lost between them; (3) what an earlier term may have begun is asked of that term's own Region,
whose table knows all that it began, replicated or not; and (4) where it cannot be asked, or it began the work and wrote
no end, the key is noted among the doubts and nothing is run. A store over stores: guards know nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from sluiceway.errors import Misconfigured, NotHome, Rejected, Retryable, Withheld
from sluiceway.ports import Clock, IdempotencyStore
from sluiceway.ports.regions import DoubtStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.idempotency import IdempotencyRecord, Owner, is_free
from sluiceway.rules.region_keys import item_key, region_key_in
from sluiceway.rules.terms import LATE_END_MS, MAX_PAST, Doubt, PastTerm, Term, is_forgotten, started_under

__all__ = ["Earlier", "HomeStore", "RegionDesk"]

ASK_S: Final = 2.0  # for asking another Region about one key
MANY_ATTEMPTS: Final = 1_000  # beyond so many, those are forgotten that nobody ended
RECENT_MS: Final = 3_600_000  # a look goes back so far; a claim as far as ends are kept


class RegionDesk(NamedTuple):
    """What a home store works with.

    `local` are this Region's records, `others` those of each other Region, asked there.
    """

    tenure: Tenure
    local: IdempotencyStore
    others: Mapping[str, IdempotencyStore]
    doubts: DoubtStore
    clock: Clock


class Earlier(NamedTuple):
    """What an earlier term says of a key. `parked`: its Region cannot be asked, and `record` (if any) may be old."""

    term: PastTerm
    record: IdempotencyRecord | None
    is_known: bool

    @property
    def doubt(self) -> Literal["", "parked", "fenced"]:
        """Why nobody may begin; "" where the work is done, or was certainly not begun or freed again."""
        if not self.is_known:
            return "parked"
        return "" if self.record is None or self.record.is_complete else "fenced"


class HomeStore:
    """Records of one Region, as `IdempotencyStore`; of the tier `home`.

    A guard's lease and its skew are together shorter than a term's lease, so that no work outlasts a reading of it.

    Besides what the stores raise, `claim` raises NotHome (another Region begins), Withheld (nobody can tell, or a store
    is away: work without a claim would know neither term nor lease), Rejected (`invalid-idempotency-key`: of a term
    that there never was), Misconfigured (`lease_s`, `keep_s`, `REGION_GROUP`).
    """

    def __init__(self, desk: RegionDesk) -> None:
        self._desk = desk
        self._attempts: dict[str, IdempotencyRecord] = {}  # as stored, by token

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`, in this term's item and only if no earlier term may have begun the work."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._claim(record, now_ms=now_ms, rerun=rerun, deadline=deadline)
        except Withheld:
            raise
        except (Retryable, TimeoutError) as error:
            raise Withheld("a store of the group is away", after_s=getattr(error, "after_s", None)) from error

    async def _claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None
    ) -> IdempotencyRecord | None:
        desk = self._desk
        term = await self._read_term(record.key, deadline)
        if term.region != desk.tenure.region:
            return await self._replay_or_refuse(record, term, now_ms=now_ms, deadline=deadline)
        term = await desk.tenure.hold((record.lease_until_ms - now_ms) / 1000, deadline=deadline)
        keep_ms = max(record.expires_s * 1000 - now_ms, 0)
        past = _past_of(record.key, term, now_ms=now_ms, keep_ms=keep_ms)
        if is_forgotten(term, _minted_epoch(record.key), past):
            raise Misconfigured(f"ends are kept for longer than {MAX_PAST} hand-overs reach back", what="keep_s")
        if past:
            found = await self._find_earlier(record, past, term=term, now_ms=now_ms, deadline=deadline)
            if found is not None:
                return found
        stamped = record._replace(
            key=item_key(record.key, term.epoch), owner=Owner(record.owner.token, term.region, term.epoch)
        )
        self._remember(stamped, now_ms)
        found: IdempotencyRecord | None = stamped
        try:
            found = await desk.local.claim(stamped, now_ms=now_ms, rerun=rerun, deadline=deadline)
        finally:
            if found is not None:  # another's, or nobody knows whose: nothing is written by this token any more
                self._attempts.pop(stamped.owner.token, None)
        return None if found is None else found._replace(key=record.key)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`: what this Region's table has, of the latest term first."""
        term = await self._read_term(key, deadline)
        return await self._look(key, term, keep_ms=RECENT_MS, deadline=deadline)

    async def find_end(self, key: str, *, keep_ms: int) -> IdempotencyRecord | None:
        """The end of `key` that this Region's table has, of whichever term; None where it has none that counts.

        `keep_ms` is for how long ends are kept at most. Raises as `Tenure.read`, and what the store raises.
        """
        term, now_ms = await self._desk.tenure.read(), self._desk.clock.now_ms()
        for epoch in _epochs_of(key, term, now_ms=now_ms, keep_ms=keep_ms):
            found = await self._desk.local.get(item_key(key, epoch))
            if found is not None and _is_end(found, now_ms):
                return found._replace(key=key)
        return None

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`. An end may be written whenever it comes; a lease is renewed in its term only."""
        stamped = self._attempts.get(record.owner.token)
        if stamped is None:
            return False
        desk = self._desk
        if not record.is_complete and not await self._still_ours(stamped, record, deadline):
            return False
        written = record._replace(key=stamped.key, owner=stamped.owner)
        stored = await desk.local.write(written, deadline=deadline)
        if record.is_complete or not stored:
            self._attempts.pop(record.owner.token, None)
        else:
            self._attempts[record.owner.token] = written
        return stored

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        stamped = self._attempts.pop(record.owner.token, None)
        if stamped is not None:
            await self._desk.local.release(record._replace(key=stamped.key, owner=stamped.owner))

    async def ask(self, key: str, past: PastTerm, *, reach: bool = True, deadline: float | None = None) -> Earlier:
        """What an earlier term says of `key`: its own Region's word, or the local copy of an end that still counts.

        Until it has expired an end never changes; after that its key may have been begun again. `reach`: whether the
        Region is asked. Raises what this Region's own store raises.
        """
        desk, item = self._desk, item_key(key, past.epoch)
        local = await desk.local.get(item, deadline=deadline)
        if past.region == desk.tenure.region or (local is not None and _is_end(local, desk.clock.now_ms())):
            return Earlier(past, local, is_known=True)
        other = desk.others.get(past.region) if reach else None
        if other is None:
            return Earlier(past, local, is_known=False)
        limit = asyncio.get_running_loop().time() + ASK_S
        try:
            found = await other.get(item, deadline=limit if deadline is None else min(deadline, limit))
        except Retryable:
            return Earlier(past, local, is_known=False)
        return Earlier(past, found, is_known=True)

    # ------------------------------------------------------------ terms

    async def _read_term(self, key: str, deadline: float | None) -> Term:
        tenure, made = self._desk.tenure, region_key_in(key)
        term = await tenure.read(deadline=deadline)
        if made is None:
            return term
        if made.epoch > term.epoch:
            term = await tenure.read_newer(made.epoch, deadline=deadline)
        if made.region != _region_of(term, made.epoch):
            raise Rejected("the key is of no term of this group", reason="invalid-idempotency-key")
        return term

    async def _still_ours(self, stamped: IdempotencyRecord, record: IdempotencyRecord, deadline: float | None) -> bool:
        desk = self._desk
        lease_s = (record.lease_until_ms - desk.clock.now_ms()) / 1000
        try:
            term = await desk.tenure.hold(lease_s, deadline=deadline)
        except NotHome:
            return False
        return term.epoch == stamped.owner.epoch

    def _remember(self, stamped: IdempotencyRecord, now_ms: int) -> None:
        if len(self._attempts) >= MANY_ATTEMPTS:
            for token, other in tuple(self._attempts.items()):
                if other.lease_until_ms + LATE_END_MS < now_ms:
                    del self._attempts[token]
        self._attempts[stamped.owner.token] = stamped

    # ------------------------------------------------------------ what others may have begun

    async def _look(self, key: str, term: Term, *, keep_ms: int, deadline: float | None) -> IdempotencyRecord | None:
        for epoch in _epochs_of(key, term, now_ms=self._desk.clock.now_ms(), keep_ms=keep_ms):
            found = await self._desk.local.get(item_key(key, epoch), deadline=deadline)
            if found is not None:
                return found._replace(key=key)
        return None

    async def _replay_or_refuse(
        self, record: IdempotencyRecord, term: Term, *, now_ms: int, deadline: float | None
    ) -> IdempotencyRecord:
        """An end that is at hand can be told anywhere. Raises NotHome."""
        keep_ms = max(record.expires_s * 1000 - now_ms, RECENT_MS)
        found = await self._look(record.key, term, keep_ms=keep_ms, deadline=deadline)
        if found is not None and _is_end(found, now_ms):
            return found
        raise NotHome(f"{term.region} is the home Region", home=term.region)

    async def _find_earlier(
        self,
        record: IdempotencyRecord,
        past: tuple[PastTerm, ...],
        *,
        term: Term,
        now_ms: int,
        deadline: float | None,
    ) -> IdempotencyRecord | None:
        """An earlier end or a doubt, which keeps this term from beginning; None where the claim decides."""
        own = await self._desk.local.get(item_key(record.key, term.epoch), deadline=deadline)
        if own is not None and not is_free(own, now_ms, rerun=False):
            return None  # the claim finds it
        for each in past:
            earlier = await self.ask(record.key, each, deadline=deadline)
            found = earlier.record
            if earlier.is_known and (found is None or is_free(found, now_ms, rerun=False)):
                continue
            if found is not None and not earlier.doubt:
                return found._replace(key=record.key)
            if not await self._is_released(record, earlier, now_ms):
                return record._replace(owner=Owner("", each.region, each.epoch), doubt=earlier.doubt)
        return None

    async def _is_released(self, record: IdempotencyRecord, earlier: Earlier, now_ms: int) -> bool:
        """Whether a person let the work begin; the doubt is noted where it was not."""
        doubt = Doubt(
            key=record.key,
            why=earlier.doubt or "fenced",
            epoch=earlier.term.epoch,
            home=earlier.term.region,
            region=self._desk.tenure.region,
            noted_ms=now_ms,
            expires_s=record.expires_s + LATE_END_MS // 1000,
        )
        return (await self._desk.doubts.note(doubt)).state == "released"


def _region_of(term: Term, epoch: int) -> str:
    if epoch == term.epoch:
        return term.region
    return next((past.region for past in term.past if past.epoch == epoch), "")


def _past_of(key: str, term: Term, *, now_ms: int, keep_ms: int) -> tuple[PastTerm, ...]:
    made = region_key_in(key)
    made_ms = made.minted_ms if made is not None and not made.epoch else 0  # of another, the term itself is known
    return started_under(term, _minted_epoch(key), now_ms=now_ms, keep_ms=keep_ms, made_ms=made_ms)


def _minted_epoch(key: str) -> int:
    made = region_key_in(key)
    return 0 if made is None else made.epoch


def _epochs_of(key: str, term: Term, *, now_ms: int, keep_ms: int) -> tuple[int, ...]:
    return (term.epoch, *(past.epoch for past in _past_of(key, term, now_ms=now_ms, keep_ms=keep_ms)))


def _is_end(record: IdempotencyRecord, now_ms: int) -> bool:
    return record.is_complete and not is_free(record, now_ms, rerun=False)
