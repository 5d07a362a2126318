"""A worker's hold on one answer: its claim, what it stores as it goes, and the record as its channel of control.

Owns the lease and the order of writes. Text is stored about every second or 2 KB, never for each token; a lease that
cannot be renewed is given up before it ends. Must not know models or connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sluiceway import log
from sluiceway.errors import Retryable, SluicewayError
from sluiceway.flows.stream.transcript import Ending, Transcript
from sluiceway.ports import AnswerRecord, AnswerStore, Clock, Reader

__all__ = ["LEASE_MS", "Keeper", "LeaseLost"]

LEASE_MS: Final = 10_000
LEASE_MARGIN_MS: Final = 2_000  # clocks of two workers differ; and a post under way needs a moment to end
RENEW_S: Final = 3.0
STORE_EVERY_S: Final = 1.0
STORE_AT_CHARACTERS: Final = 2_048
LAST_WRITES: Final = 6
LAST_PAUSE_S: Final = 0.1  # doubled each time: 3 s in all


class LeaseLost(Exception):
    """Somebody else works on this answer, or nobody can tell that we do."""


class Keeper:
    """Holds `record`, which this worker has claimed, and stores `transcript` into it. `spent` tells what it cost."""

    def __init__(self, record: AnswerRecord, transcript: Transcript, *, store: AnswerStore, clock: Clock) -> None:
        self.record = record
        self.spent: Callable[[], Mapping[str, int]] = dict[str, int]
        self._transcript = transcript
        self._store = store
        self._clock = clock
        self._spent_before = record.usage
        self._lock = asyncio.Lock()
        self._doubtful: tuple[AnswerRecord, str] | None = None
        self._stored_at = asyncio.get_running_loop().time()

    async def look(self) -> AnswerRecord:
        """Store what is due, else look at the record: either tells cancel and readers. Raises LeaseLost."""
        async with self._lock:
            try:
                return await (self._write(self._progress()) if self._is_due() else self._read())
            except Retryable as error:
                log.warning("answer.unwritten", error_type=type(error).__name__)
                if self._clock.now_ms() >= self.record.lease_until_ms - LEASE_MARGIN_MS:
                    raise LeaseLost from error
                return self.record

    async def begin_attempt(self, at: int) -> None:
        """Store what this attempt has said, then claim the next one, which goes on at `at`. Raises LeaseLost."""
        async with self._lock:
            await self._insist(self._progress)
            starts = (*self.record.starts, at)
            await self._insist(lambda: replace(self._progress(), attempt=len(starts), starts=starts, off=at))
            self._transcript.go_on(at)

    async def finish(self, ending: Ending) -> AnswerRecord:
        """Write the end and let the lease go. Raises LeaseLost, also where it cannot be written."""
        async with self._lock:
            if ending.retracted:
                await self._insist(self._progress)
            return await self._insist(lambda: self._end(ending))

    async def let_go(self, ending: Ending) -> None:
        """As `finish`, once, and without a word where it fails: the lease ends by itself.

        What has ended stays as it is: a worker may be stopped while a reader is slow to take the last frame.
        """
        try:
            async with self._lock:
                record = await self._settle_doubt()
                if record.state == "running":
                    await self._write(self._end(ending))
        except (LeaseLost, SluicewayError) as error:
            log.warning("answer.unwritten", error_type=type(error).__name__)

    async def detach(self, reader: Reader) -> None:
        """This reader is served no more. Raises what the store raises."""
        await self._store.detach(self.record.caller, self.record.req, reader)

    def _is_due(self) -> bool:
        if self._doubtful is not None:
            return True
        waited_s = asyncio.get_running_loop().time() - self._stored_at
        fresh = self._transcript.length - self.record.off
        return waited_s >= RENEW_S or fresh >= STORE_AT_CHARACTERS or (fresh > 0 and waited_s >= STORE_EVERY_S)

    def _progress(self) -> AnswerRecord:
        """The record as it should be stored now."""
        now_ms = self._clock.now_ms()
        return replace(
            self.record,
            off=self._transcript.length,
            updated_ms=now_ms,
            lease_until_ms=now_ms + LEASE_MS,
            usage=_add_usage(self._spent_before, self.spent()),
        )

    def _end(self, ending: Ending) -> AnswerRecord:
        ended = replace(
            self._progress(),
            state=ending.state,
            stop_reason=ending.stop_reason,
            problem=ending.problem,
            lease_until_ms=0,
        )
        if not ending.retracted:
            return ended
        starts = (*self.record.starts, 0)
        return replace(ended, attempt=len(starts), starts=starts, off=0)

    async def _insist(self, make: Callable[[], AnswerRecord]) -> AnswerRecord:
        """Write, and again where the store is away. Raises LeaseLost."""
        pause_s = LAST_PAUSE_S
        for write in range(LAST_WRITES):
            try:
                return await self._write(make())
            except Retryable as error:
                if write == LAST_WRITES - 1:
                    raise LeaseLost from error
                await asyncio.sleep(pause_s)
                pause_s *= 2
        raise LeaseLost

    async def _write(self, record: AnswerRecord) -> AnswerRecord:
        """Store `record`. Raises LeaseLost; Retryable where it is stored or not: the next write makes sure."""
        await self._settle_doubt()
        text = self._transcript.text(self.record.off, record.off) if record.off > self.record.off else ""
        self._doubtful = (record, text)
        return await self._settle_doubt()

    async def _settle_doubt(self) -> AnswerRecord:
        """Make sure of the write whose answer was lost, by the very same write: another would look like somebody's."""
        if self._doubtful is not None:
            record, text = self._doubtful
            stored = await self._store.replace(record, seen=self.record, text=text)
            if stored is None:
                raise LeaseLost
            self.record, self._doubtful = stored, None
            self._stored_at = asyncio.get_running_loop().time()
        return self.record

    async def _read(self) -> AnswerRecord:
        found = await self._store.get(self.record.caller, self.record.req)
        if found is None or found.lease_owner != self.record.lease_owner or found.attempt != self.record.attempt:
            raise LeaseLost
        self.record = replace(self.record, readers=found.readers, cancel=found.cancel)
        return self.record


def _add_usage(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    """Both together; `estimated` is 1 where either is."""
    summed = {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
    return summed | ({"estimated": min(1, summed["estimated"])} if "estimated" in summed else {})
