"""How one attempt keeps its key: for how long it may work, renewing that, writing its end, letting go.

Owns the one rule that everything hangs on: work is stopped before anybody else may begin. The lease is counted on the
event loop's clock from before the claim was sent; what others read is on the wall clock, later by the clock margin. A
lease that cannot be renewed runs out, and the work with it. Whatever is written carries the owner, so what comes late
changes nothing of another's. Must not know keys, events or outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil, inf
from typing import Final, Literal, NamedTuple, TypeVar

from sluiceway import log
from sluiceway.errors import Rejected, Retryable, SluicewayError
from sluiceway.idempotency.options import Options
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord

__all__ = ["Attempt", "LeaseOver", "begin", "complete", "is_in_time", "let_go", "work_on"]

T = TypeVar("T")
End = Literal["kept", "not-kept", "unknown", "lost"]

RENEW_AFTER: Final = 1 / 3  # of a lease: two more tries fit before it runs out
RETRY_SHARE: Final = 1 / 12  # of a lease, between tries of a renewal that the store did not take
LET_GO_S: Final = 0.25  # for a stopped attempt to let its key go; its caller waits for it
SETTLE_S: Final = 5.0  # for writing the end, where the call has no deadline of its own
FIRST_PAUSE_S: Final = 0.05  # between tries of writing the end; it doubles
LONGEST_PAUSE_S: Final = 1.0


class LeaseOver(SluicewayError):
    """The work was stopped. `lost`: because the key is another's; else the time was over."""

    def __init__(self, *, lost: bool) -> None:
        super().__init__("the lease is over")
        self.lost = lost


class Attempt(NamedTuple):
    """One attempt at a key. `until` and `deadline` are on the loop's clock; without a deadline that is infinite."""

    record: IdempotencyRecord
    store: IdempotencyStore
    options: Options
    until: float
    deadline: float


def begin(key: str, payload_hash: str, *, store: IdempotencyStore, options: Options, deadline: float) -> Attempt | None:
    """An attempt that begins now, with a new owner; None where no time is left."""
    now = asyncio.get_running_loop().time()
    until = min(now + options.lease_s, deadline)
    if until <= now:
        return None
    lease_until_ms, expires_s = _lease(until - now, options)
    record = IdempotencyRecord(key, options.new_owner(), expires_s, lease_until_ms, payload_hash=payload_hash)
    return Attempt(record, store, options, until, deadline)


def _lease(lease_s: float, options: Options) -> tuple[int, int]:
    """`lease_until_ms` and `expires_s` from now on. None expires before its lease, however short results are kept."""
    now_ms = options.clock.now_ms()
    until_ms = now_ms + ceil((lease_s + options.skew_s) * 1000)
    return until_ms, max(_expires_s(now_ms, options), until_ms // 1000 + 1)


def _expires_s(now_ms: int, options: Options) -> int:
    return ceil(now_ms / 1000 + options.keep_s + options.skew_s)


def is_in_time(attempt: Attempt) -> bool:
    """Whether the work may begin: the loop's clock may have stood while the claim was under way, so both decide."""
    begins_ms = attempt.options.clock.now_ms()
    return asyncio.get_running_loop().time() < attempt.until and begins_ms < attempt.record.lease_until_ms


async def work_on(attempt: Attempt, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, as long as the lease lasts. Raises LeaseOver where it was stopped, and what `work` raises."""
    limit = asyncio.timeout_at(attempt.until)
    try:
        async with limit:
            if attempt.until >= attempt.deadline:
                return await work()
            return await _work_renewing(attempt, work, limit)
    except TimeoutError as error:
        if limit.expired():
            raise LeaseOver(lost=(limit.when() or 0.0) < attempt.deadline) from error
        raise


async def _work_renewing(attempt: Attempt, work: Callable[[], Awaitable[T]], limit: asyncio.Timeout) -> T:
    """A task for renewals is made only once the work has taken a third of its lease."""
    renewals: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as tasks:
        timer = asyncio.get_running_loop().call_at(
            attempt.until - attempt.options.lease_s * (1 - RENEW_AFTER),
            lambda: renewals.append(tasks.create_task(_renew(attempt, limit))),
        )
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
            failure = error
        finally:
            timer.cancel()
            for renewal in renewals:
                renewal.cancel()
    raise failure


async def _renew(attempt: Attempt, limit: asyncio.Timeout) -> None:
    loop, options = asyncio.get_running_loop(), attempt.options
    while True:
        begun = loop.time()
        until = min(begun + options.lease_s, attempt.deadline)
        try:
            lease_until_ms, expires_s = _lease(until - begun, options)
            renewed = attempt.record._replace(lease_until_ms=lease_until_ms, expires_s=expires_s)
            held = await attempt.store.write(renewed, deadline=limit.when())
        except SluicewayError as error:
            log.failure("idempotency.not_renewed", error)
            await asyncio.sleep(options.lease_s * RETRY_SHARE)
            continue
        if limit.expired():
            return
        limit.reschedule(until if held else begun)
        if not held or until >= attempt.deadline:
            return
        await asyncio.sleep(begun + options.lease_s * RENEW_AFTER - loop.time())


async def complete(attempt: Attempt, data: str | None) -> End:
    """Write the result, again and again until it is known to be stored or not, or the time is over.

    `unknown` where it never came to be known, `lost` where the key is another's, `not-kept` where there is no result or
    one too large for the store: the work counts as done, and no repeat gets its result.
    """
    record, options = attempt.record, attempt.options
    expires_s = _expires_s(options.clock.now_ms(), options)
    done = IdempotencyRecord(
        record.key, record.owner, expires_s, record.lease_until_ms, True, data, record.payload_hash
    )
    give_up_at = attempt.deadline if attempt.deadline < inf else asyncio.get_running_loop().time() + SETTLE_S
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            stored = await attempt.store.write(done, deadline=give_up_at)
        except Rejected as error:
            if error.reason != "result-too-large" or done.data is None:
                raise
            done = done._replace(data=None)
            continue
        except Retryable as error:
            log.failure("idempotency.not_completed", error)
            stored = await _read_back(attempt, done, give_up_at)
        if stored is not None:
            return ("not-kept" if done.data is None else "kept") if stored else "lost"
        wait_s = pause_s * (0.5 + options.chance.draw() / 2)
        if asyncio.get_running_loop().time() + wait_s >= give_up_at:
            return "unknown"
        await asyncio.sleep(wait_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def _read_back(attempt: Attempt, done: IdempotencyRecord, give_up_at: float) -> bool | None:
    """Whether a write whose answer was lost is stored; None where that is not known, or it may still be made."""
    try:
        found = await attempt.store.get(done.key, deadline=give_up_at)
    except Retryable:
        return None
    if found is None or found.owner.token != done.owner.token:
        return False
    return found.data == done.data if found.is_complete else None


async def let_go(attempt: Attempt) -> None:
    """Free the key after work that failed. What fails here must not hide why: then the lease runs out by itself."""
    try:
        async with asyncio.timeout(LET_GO_S):
            await attempt.store.release(attempt.record)
    except (SluicewayError, TimeoutError) as error:
        log.failure("idempotency.not_released", error)
