"""Doing the work of a key once: claim, work, complete, and what to say where another has it.

Owns the order of things and which outcome each turn comes to. A Guard is of one function and never changes; what is of
one call lives in that call: guards nest, share stores, and run at once. Must not know AWS.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from sluiceway import log
from sluiceway.cancellation import is_being_cancelled
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable, Withheld
from sluiceway.idempotency.keys import KeyMaker, Part
from sluiceway.idempotency.lease import Attempt, LeaseOver, begin, complete, is_in_time, let_go, work_on
from sluiceway.idempotency.options import Options
from sluiceway.idempotency.outcomes import Conflict, Fresh, InDoubt, InProgress, Outcome, Replayed, result_of
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, is_free, is_lapsed

__all__ = ["Guard"]

T = TypeVar("T")
E = TypeVar("E")

FIRST_LOOK_S: Final = 0.05  # of a caller that waits; the pause doubles
LONGEST_LOOK_S: Final = 1.0

_write_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_DEFAULTS: Final = Options()

_Found: TypeAlias = Replayed[T] | InProgress | Conflict | InDoubt


class _Ask(NamedTuple):
    """What one call wants; it waits for another until `give_up_at` (the loop's clock)."""

    key: str
    payload_hash: str
    store: IdempotencyStore
    give_up_at: float


class Guard(Generic[T]):
    """The idempotency of one function whose results are `T`.

    `name` begins its keys: functions of one name share keys, so it is the function's own and outlives a renaming. `key`
    is the part of the event that makes two events the same.
    """

    __slots__ = ("_keys", "_options")

    def __init__(self, name: str, *, key: Part, options: Options = _DEFAULTS) -> None:
        self._keys = KeyMaker(name, key=key, validate=options.validate, digest=options.digest, made=options.made)
        self._options = options

    def key_of(self, event: object) -> str:
        """The key of `event` in a store. Raises Rejected (`no-idempotency-key`, `invalid-idempotency-key`)."""
        return self._keys.key_of(event)

    async def run(
        self,
        event: object,
        work: Callable[[], Awaitable[T]],
        *,
        store: IdempotencyStore,
        deadline: float | None = None,
    ) -> Outcome[T]:
        """Do `work` if nobody did or does it for the key of `event`, and say what came of that.

        `deadline` is on the event loop's clock (`loop.time()`), seconds: work is stopped there. Without one it may take
        as long as its lease can be renewed.

        Raises what `work` raises, after the key was freed; `Rejected` (`no-idempotency-key`, `invalid-idempotency-key`,
        and `result-gone` where the work was done and its result is no more); `DeadlineExceeded`; what the store raises
        (`Retryable` while it is away, unless `when_away` is `run`, and `Withheld` where it says that this Region may
        not begin); `Misconfigured` for a result that is not JSON.
        """
        options, end = self._options, math.inf if deadline is None else deadline
        key, payload_hash = self._keys.key_of(event), self._keys.payload_hash_of(event)
        give_up_at = self._give_up_at(end) if options.wait_s else -math.inf
        while True:
            attempt = begin(key, payload_hash, store=store, options=options, deadline=end)
            if attempt is None:
                raise DeadlineExceeded("no time is left to begin")
            try:
                found = await store.claim(
                    attempt.record,
                    now_ms=options.clock.now_ms(),
                    rerun=options.after_crash == "rerun",
                    deadline=min(end, asyncio.get_running_loop().time() + options.store_timeout_s),
                )
            except Retryable as error:
                if options.when_away == "fail" or isinstance(error, Withheld):
                    raise
                log.failure("idempotency.unprotected", error)
                return await self._work_unprotected(attempt, work)
            if found is None:
                return await self._work(attempt, work)
            outcome = await self._wait_for(found, _Ask(key, payload_hash, store, give_up_at))
            if outcome is not None:
                return outcome

    async def value(
        self,
        event: object,
        work: Callable[[], Awaitable[T]],
        *,
        store: IdempotencyStore,
        deadline: float | None = None,
    ) -> T:
        """As `run`, for callers that want the result or an error: what `outcomes.result_of` raises, and what `run`."""
        outcome = await self.run(event, work, store=store, deadline=deadline)
        if isinstance(outcome, Fresh):
            return outcome.value
        return result_of(outcome, now_ms=self._options.clock.now_ms())

    def each(
        self, work: Callable[[E], Awaitable[T]], *, store: IdempotencyStore, deadline: float | None = None
    ) -> Callable[[E], Awaitable[None]]:
        """The batch form: what `process_batch` takes as `one`. Each record has its own key, claim and end."""

        async def one(record: E) -> None:
            await self.value(record, lambda: work(record), store=store, deadline=deadline)

        return one

    # ------------------------------------------------------------ another has the key

    def _give_up_at(self, end: float) -> float:
        """The loop time until which a caller waits for another."""
        return min(asyncio.get_running_loop().time() + self._options.wait_s, end)

    async def _wait_for(self, found: IdempotencyRecord, ask: _Ask) -> _Found[T] | None:
        """What another's record comes to, at once or after waiting for it; None where the key can be claimed."""
        outcome: _Found[T] | None = self._judge(found, ask.payload_hash)
        pause_s = FIRST_LOOK_S
        while isinstance(outcome, InProgress):
            left_s = ask.give_up_at - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await asyncio.sleep(min(pause_s * (0.5 + self._options.chance.draw() / 2), left_s))
            pause_s = min(pause_s * 2, LONGEST_LOOK_S)
            outcome = await self._look(ask, outcome)
        return outcome

    async def _look(self, ask: _Ask, last: InProgress) -> _Found[T] | None:
        """How it stands by now; as `last` said where the store does not say."""
        try:
            found = await ask.store.get(ask.key, deadline=ask.give_up_at)
        except Retryable:
            return last
        rerun = self._options.after_crash == "rerun"
        if found is None or is_free(found, self._options.clock.now_ms(), rerun=rerun):
            return None
        return self._judge(found, ask.payload_hash)

    def _judge(self, found: IdempotencyRecord, payload_hash: str) -> _Found[T]:
        if found.doubt:
            return _tell_doubt(InDoubt(found.key, found.doubt))
        if payload_hash not in {"", found.payload_hash}:
            return Conflict(found.key)
        if found.is_complete:
            if found.data is None:
                raise Rejected("the work is done, and its result was not kept", reason="result-gone")
            return Replayed(self._read(found.data))
        if self._options.after_crash == "doubt" and is_lapsed(found, self._options.clock.now_ms()):
            # with `rerun` it lapsed since the claim was refused: a repeat has it
            return _tell_doubt(InDoubt(found.key, "lapsed"))
        return InProgress(found.lease_until_ms or found.expires_s * 1000)

    def _read(self, data: str) -> T:
        try:
            return self._options.load(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise Rejected("the stored result cannot be read", reason="result-gone") from error

    # ------------------------------------------------------------ the key is ours

    async def _work(self, attempt: Attempt, work: Callable[[], Awaitable[T]]) -> Outcome[T]:
        options = self._options
        reruns = options.after_crash == "rerun"
        if not is_in_time(attempt):  # a timer would let the work's first step through
            await let_go(attempt)
            raise DeadlineExceeded("the claim's answer came after its lease")
        try:
            value = await work_on(attempt, work)
        except LeaseOver as over:
            if reruns:
                await let_go(attempt)
            if over.lost:
                return _tell_doubt(InDoubt(attempt.record.key, "lease-lost"))
            raise DeadlineExceeded("the deadline came before the work was done") from over
        except asyncio.CancelledError:
            if reruns or not is_being_cancelled():
                await let_go(attempt)
            raise
        except Exception:
            await let_go(attempt)
            raise
        return await self._settle(attempt, value)

    async def _settle(self, attempt: Attempt, value: T) -> Outcome[T]:
        """The end of work that was done: whatever happens from here on, it is not done again if that can be helped."""
        data, mistake = self._dump(value)
        end = await complete(attempt, data)
        if mistake is not None:
            raise Misconfigured("the result is not JSON: name a `dump` for it", what="dump") from mistake
        return Fresh(value) if end == "kept" else self._settle_else(attempt, value, end)

    def _settle_else(self, attempt: Attempt, value: T, end: str) -> Outcome[T]:
        key, options = attempt.record.key, self._options
        if end == "lost":
            return _tell_doubt(InDoubt(key, "lease-lost"))
        if end == "unknown" and options.when_away == "fail":
            until_ms = options.clock.now_ms() + math.ceil((options.lease_s + options.skew_s) * 1000)
            return _tell_doubt(InDoubt(key, "unrecorded", until_ms))
        log.warning("idempotency.result_not_recorded", end=end)
        return Fresh(value, recorded=False)

    async def _work_unprotected(self, attempt: Attempt, work: Callable[[], Awaitable[T]]) -> Fresh[T]:
        """The store is away. The claim may be stored all the same, with its answer lost: then the end is written."""
        value = await work()
        data, _ = self._dump(value)
        done = attempt.record._replace(is_complete=True, data=data)
        limit = asyncio.get_running_loop().time() + self._options.store_timeout_s
        try:
            recorded = data is not None and await attempt.store.write(done, deadline=limit)
        except (Retryable, Rejected):
            recorded = False
        return Fresh(value, recorded=recorded)

    def _dump(self, value: T) -> tuple[str | None, Exception | None]:
        try:
            return _write_json(self._options.dump(value)), None
        except (TypeError, ValueError, RecursionError) as error:
            return None, error


def _tell_doubt(doubt: InDoubt) -> InDoubt:
    """Say which record it is: whoever called is not told, and a person has to find it."""
    log.warning("idempotency.in_doubt", key=doubt.key, why=doubt.why)
    return doubt
