"""One shard's pages, polled or pushed, whatever happens on the way: throttles, expired iterators, broken streams.

Owns how reading goes on after trouble. What another attempt may help is tried again after a back-off for as long as it
takes; what somebody has to mend is tried again as well, at longer intervals, and said each time. Must not know records,
leases or handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Retryable, SluicewayError
from sluiceway.flows.consume.options import Manner
from sluiceway.ports import Chance, Clock
from sluiceway.ports.consuming import IteratorExpired, Page, ShardGone, ShardReader
from sluiceway.rules.consuming.pacing import ReadPace
from sluiceway.rules.consuming.spans import Position

__all__ = ["ShardReading", "Turn"]

MENDING_S: Final = 60.0  # nobody mends a deployment in seconds
RENEWAL_S: Final = 5.0  # SubscribeToShard is refused for so long after the last one of consumer and shard


class Turn(NamedTuple):
    """A page, and a time (epoch milliseconds) at which it was not yet sent: all that it lacks arrived later than
    `behind_ms` before that.
    """

    page: Page
    asked_ms: int


class ShardReading:
    """One shard from `position` on. Its `turns` are read by one reader, once."""

    def __init__(  # noqa: PLR0913 - what is read, and what it is read with
        self, reader: ShardReader, shard_id: str, position: Position, *, manner: Manner, clock: Clock, chance: Chance
    ) -> None:
        self._reader = reader
        self._shard_id = shard_id
        self._position = position
        self._page = manner.page
        self._pace = ReadPace(share=manner.share, idle_s=manner.idle_s)
        self._clock = clock
        self._chance = chance
        self._loop = asyncio.get_running_loop()

    def turns(self) -> AsyncGenerator[Turn]:
        """Pages until the last of the shard, each when it is due. Close it where you leave early.

        Raises ShardGone.
        """
        return self._push() if self._reader.can_push else self._poll()

    async def _poll(self) -> AsyncGenerator[Turn]:
        iterator = ""
        while True:
            await asyncio.sleep(max(0.0, self._pace.next_at - self._loop.time()))
            asked_at, asked_ms = self._loop.time(), self._clock.now_ms()
            try:
                if not iterator:
                    iterator = await self._reader.find_iterator(self._shard_id, self._position)
                page = await self._reader.get_records(iterator, limit=self._page)
            except IteratorExpired as error:
                self._retry(error)
                iterator = ""
                continue
            except ShardGone:
                raise
            except SluicewayError as error:
                self._retry(error)
                continue
            iterator = page.going_on
            if page.records:
                self._position = Position("AFTER_SEQUENCE_NUMBER", page.records[-1].sequence_number)
            size = sum([len(record.data) + len(record.partition_key) for record in page.records])
            self._pace.note(asked_at, self._loop.time(), size_bytes=size, at_tip=page.behind_ms == 0)
            yield Turn(page, asked_ms)
            if page.is_last:
                return

    async def _push(self) -> AsyncGenerator[Turn]:
        while True:
            await asyncio.sleep(max(0.0, self._pace.next_at - self._loop.time()))
            began_at, began_ms = self._loop.time(), self._clock.now_ms()
            try:
                async with self._reader.subscribe(self._shard_id, self._position) as pages:
                    async for page in pages:
                        if page.going_on:
                            self._position = Position("AFTER_SEQUENCE_NUMBER", page.going_on)
                        yield Turn(page, began_ms)  # pages lie in buffers for who knows how long
                        if page.is_last:
                            return
            except ShardGone:
                raise
            except SluicewayError as error:
                self._retry(error)
            self._pace.next_at = max(self._pace.next_at, began_at + RENEWAL_S)

    def _retry(self, error: SluicewayError) -> None:
        after_s = error.after_s if isinstance(error, Retryable) else MENDING_S
        if isinstance(error, Retryable):
            log.debug("consume.read_again", shard_id=self._shard_id, error_type=type(error).__name__)
        else:
            log.failure("consume.unreadable", error, shard_id=self._shard_id)
        self._pace.note_refusal(self._loop.time(), chance=self._chance.draw(), after_s=after_s)
