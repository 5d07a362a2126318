"""A replay as it runs: items are read, gathered into batches, sent, settled where they came from, and written down.

1. A batch is settled and written down before the next one is sent. So a run that ends anywhere, killed or not, repeats
   one batch at most, and loses nothing: what was not written down is read again.
2. `stop()` lets the batch that is being sent come to its end; what was read and not sent is left where it is.
3. What cannot be edited, or has a fault, is refused without being sent.

Must not know what a source or a target is. Times are those of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from localcloud.replay.edits import Editor
from localcloud.replay.items import Item, Outcome
from localcloud.replay.meter import Meter, Tally
from localcloud.replay.ports import Source, Target
from sluiceway.errors import Rejected

__all__ = ["Pace", "Report", "Run"]

MAX_REASONS: Final = 100  # different ones that are counted
MAX_SHOWN: Final = 20  # refused items that are named

Note = Callable[[Mapping[str, Any], Mapping[str, Any], Tally], None]
"""Writes down a source's cursor, a target's mark and the counts."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`batch`: items that are sent together, 1 or more. `rate`: items a second at most, None for as many as can be."""

    batch: int = 100
    rate: float | None = None

    @property
    def together(self) -> int:
        """Items of one batch: no more than a second has of them."""
        return self.batch if self.rate is None else max(1, min(self.batch, int(self.rate)))


@dataclass(slots=True)
class Report:
    """What came of it. `reasons`: why items were refused, with how many were."""

    tally: Tally
    reasons: Counter[str] = field(default_factory=Counter[str])
    interrupted: bool = False


class Run:
    """One run. `note` is called after each batch, with what makes another run go on behind it."""

    def __init__(self, source: Source, target: Target, *, pace: Pace, meter: Meter, note: Note) -> None:
        self._source = source
        self._target = target
        self._pace = pace
        self._meter = meter
        self._note = note
        self._next_at = 0.0
        self._stopped = False
        self._waiting: asyncio.Timeout | None = None
        self.report = Report(Tally())

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """End it after the batch that is being sent, at once where none is."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def run(self, editor: Editor | None = None) -> Report:
        """To the end, or until it is stopped. Raises SluicewayError: what was noted before holds."""
        while not self._stopped:
            batch, is_last = await self._gather()
            if self._stopped:
                break
            if batch:
                await self._work_off(batch, editor)
                self._meter.show(self.report.tally, self._source.outlook)
            if is_last:
                return self.report
        self.report.interrupted = True
        return self.report

    async def _gather(self) -> tuple[list[Item], bool]:
        """The next batch, and whether it is the last. Nothing of use once the run is stopped."""
        batch: list[Item] = []
        try:
            async with asyncio.timeout(None) as waiting:
                self._waiting = waiting
                while len(batch) < self._pace.together and not self._stopped:
                    item = await self._source.next()
                    if item is None:
                        return batch, True
                    batch.append(item)
                await self._wait_turn(len(batch))
        except TimeoutError:
            if not self._stopped:
                raise
        finally:
            self._waiting = None
        return batch, False

    async def _wait_turn(self, count: int) -> None:
        if self._pace.rate is None:
            return
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_at - loop.time()))
        self._next_at = max(self._next_at, loop.time()) + count / self._pace.rate

    async def _work_off(self, batch: Sequence[Item], editor: Editor | None) -> None:
        edited = [await _edit(item, editor) for item in batch]
        sendable = [at for at, item in enumerate(edited) if not item.fault]
        reasons = [item.fault for item in edited]
        if sendable:
            answers = await self._target.send([edited[at] for at in sendable])
            for at, reason in zip(sendable, answers, strict=True):
                reasons[at] = reason
        outcomes: list[Outcome] = list(zip(batch, reasons, strict=True))
        await self._source.settle(outcomes)
        for item, reason in outcomes:
            self._count(item, reason)
        self._note(self._source.cursor(), self._target.mark(), self.report.tally)

    def _count(self, item: Item, reason: str) -> None:
        report = self.report
        report.tally.add(taken=not reason, size_bytes=len(item.content), arrived_ms=item.arrived_ms)
        if not reason:
            return
        if reason in report.reasons or len(report.reasons) < MAX_REASONS:
            report.reasons[reason] += 1
        if report.tally.refused_now <= MAX_SHOWN:
            self._meter.say(f"refused: {item.key}: {reason}")


async def _edit(item: Item, editor: Editor | None) -> Item:
    if editor is None or item.fault:
        return item
    try:
        return replace(item, content=await editor(item.content))
    except Rejected as error:
        return replace(item, fault=f"{error.reason}: {error}")
