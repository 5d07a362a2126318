"""The keys of one issuer, read when `KeyCache` says so: one reading at a time, whoever waits for it.

A reading is a task of the ring and of no invocation: it may go on beside the next one. It is begun in a context of its
own, ends within 3 s of the loop's time, and a frozen one hurts nobody: the date of its keys is from before it began,
whoever has to wait begins anew, and only a reading that somebody waited for, so that the loop ran, says anything about
the issuer where it fails. Metrics of a reading are counted by the next invocation. Must not know tokens or HTTP.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Final

from sluiceway import log
from sluiceway.errors import Retryable
from sluiceway.ports import Chance, Clock
from sluiceway.ports.keys import KeySource
from sluiceway.rules.tokens.caching import Fetch, KeyCache, Moment
from sluiceway.rules.tokens.compact import parse_object
from sluiceway.rules.tokens.keys import KeySet, sift_keys
from sluiceway.rules.tokens.refusals import InvalidKeys, InvalidToken
from sluiceway.steps.metrics import count

__all__ = ["FETCH_LIMIT_S", "KeyRing", "KeysUnavailable"]

FETCH_LIMIT_S: Final = 3.0  # for one reading; API Gateway waits 29 s at most, callers less
FROZEN_AFTER_S: Final = FETCH_LIMIT_S + 1.0  # no reading that was let run takes so long


class KeysUnavailable(Retryable):
    """Nobody can say whether the token is good: the issuer cannot be read, and no key at hand is the token's."""

    def __init__(self, issuer: str) -> None:
        super().__init__(f"the keys of {issuer} cannot be read", after_s=1.0)
        self.issuer = issuer


class KeyRing:
    """The keys of `issuer`. Without a `source` they are the cache's own for good. Close it with the lifespan."""

    def __init__(self, issuer: str, cache: KeyCache, *, source: KeySource | None, clock: Clock, chance: Chance) -> None:
        self._issuer = issuer
        self._cache = cache
        self._source = source
        self._clock = clock
        self._chance = chance
        self._flight: asyncio.Task[None] | None = None
        self._asked = Moment(0.0, 0.0)
        self._awaited = False  # somebody waits for the reading, or did
        self._read = self._missed = 0  # readings that nobody has counted yet

    async def keys_for(self, key_id: str, *, deadline: float) -> KeySet:
        """The keys that decide about a token of `key_id`. `deadline` is on the event loop's clock.

        Raises: KeysUnavailable where it cannot be known whether the issuer has such a key.
        """
        now = self._now()
        if self._source is not None:
            fetch = self._cache.plan(key_id, now)
            if fetch is not Fetch.NO:
                is_begun = self._fly(self._source, now, is_awaited=fetch is Fetch.NOW)
                if fetch is Fetch.SOON:
                    await asyncio.sleep(0)  # the request goes out, wherever the loop stands still next
                elif is_begun or not self._cache.goes_on(key_id, now):
                    await self._join(min(deadline, self._asked.loop_s + FROZEN_AFTER_S))
                    now = self._now()
            self._count(now)
        elif self._cache.answer(key_id, now) is None:
            return KeySet()  # no source: what is not in the deployment does not exist
        keys = self._cache.answer(key_id, now)
        if keys is None:
            raise KeysUnavailable(self._issuer)
        return keys

    def close(self) -> None:
        """End a reading that goes on."""
        if self._flight is not None:
            self._flight.cancel()

    def _now(self) -> Moment:
        return Moment(self._clock.now_ms() / 1000, asyncio.get_running_loop().time())

    def _fly(self, source: KeySource, now: Moment, *, is_awaited: bool) -> bool:
        """Begin a reading; False where one goes on already that is as good."""
        if self._flight is not None and not self._flight.done():
            if now.since(self._asked) < FROZEN_AFTER_S and self._awaited >= is_awaited:
                return False
            self._flight.cancel()
        self._asked, self._awaited = now, is_awaited
        work = self._fetch(source, now)
        self._flight = asyncio.get_running_loop().create_task(work, name="keys", context=Context())
        return True

    async def _join(self, until: float) -> None:
        """Wait for a reading that others may wait for too: to be cancelled here does not end it."""
        if self._flight is not None:
            await asyncio.wait({self._flight}, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    async def _fetch(self, source: KeySource, asked: Moment) -> None:
        limit = asked.loop_s + FETCH_LIMIT_S
        try:
            async with asyncio.timeout_at(limit):
                published = await source.fetch(deadline=limit)
            keys = sift_keys(parse_object(published.body))
        except Exception as error:  # noqa: BLE001 - nobody awaits it: whatever goes wrong, the keys were not read
            self._fail(error, asked)
        else:
            self._read += 1
            self._cache.learn(keys, asked=asked, max_age_s=published.max_age_s)
            log.info("keys.read", issuer=self._issuer, keys=len(keys.keys), unusable=len(keys.unusable))

    def _fail(self, error: Exception, asked: Moment) -> None:
        now = self._now()
        if self._awaited and now.since(asked) >= FROZEN_AFTER_S:
            self._cache.miss(now)
            return
        self._missed += 1
        if self._awaited:
            self._cache.fail(now, chance=self._chance.draw())
        why = "no-key-set" if isinstance(error, InvalidKeys | InvalidToken) else type(error).__name__
        log.warning("keys.not_read", issuer=self._issuer, why=why, detail=str(error))

    def _count(self, now: Moment) -> None:
        if self._read:
            count("KeysRead", self._read)
        if self._missed:
            count("KeysNotRead", self._missed)
        self._read = self._missed = 0
        if self._cache.is_stale(now):
            count("KeysStale")
        if self._cache.is_bundle(now):
            count("KeysBundled")
