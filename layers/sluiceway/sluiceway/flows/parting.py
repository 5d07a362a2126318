"""A batch for more subscribers than one invocation serves: each part of them to a worker, and all are waited for.

Owns when a topic is served so, and what becomes of a part whose worker does not answer. Order: a part gets a batch in
one order, and the next batch of the shard begins when every worker has ended, or may not post any more. Must not know
AWS, nor what a worker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.missing import Losses
from sluiceway.ports import Chance, Clock
from sluiceway.ports.fan_out import NotBegun, PartWorkers
from sluiceway.steps.metrics import count

__all__ = ["Crowds", "PartDesk", "give_parts"]

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, payload of a synchronous invocation
MAX_ORDER_BYTES: Final = 4_000_000  # of data, which base64 makes a third larger: 6 MB less what stands around it
RECORD_OVERHEAD: Final = 256
MARGIN_S: Final = 1.0  # between a worker's end and ours: for two clocks, and for the answer to come
MARGIN_SHARE: Final = 0.1
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
KEEP_SHARE: Final = 0.5  # of the bound: a topic that was served in parts is, until it has fewer than that


class Crowds:
    """Which topics have more subscribers than one invocation serves: more than `most`, until they are half of that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._large: set[str] = set()

    def is_large(self, topic: str) -> bool:
        """Whether it was so when it was last counted."""
        return topic in self._large

    def note(self, topic: str, subscribers: int) -> bool:
        """Whether it is so with that many."""
        bound = self._most * KEEP_SHARE if topic in self._large else self._most
        if subscribers > bound:
            self._large.add(topic)
        else:
            self._large.discard(topic)
        return topic in self._large


@dataclass(frozen=True, slots=True)
class PartDesk:
    """What giving parts needs; lives as long as the execution environment."""

    workers: PartWorkers
    crowds: Crowds
    parts: int
    clock: Clock
    chance: Chance


async def give_parts(
    records: Sequence[KinesisRecord], topic: str, *, desk: PartDesk, losses: Losses, stop_at: float
) -> int:
    """Let a worker serve each part; how many records were skipped. Returns at `stop_at` at the latest.

    Raises Retryable where no worker has begun, for certain: then nobody has had anything, and the batch comes again.
    Any other part that is not served is dropped and counted, since the others have the batch already; the next order
    for it says so.
    """
    skipped = 0
    for index, together in enumerate(_split(records)):
        reports = await _give(together, topic, desk=desk, losses=losses, stop_at=stop_at)
        begun = [report for report in reports if report is not None and report.is_begun]
        if not index and all(report is not None and not report.is_begun for report in reports):
            raise Retryable("no worker could begin")
        if len(begun) < len(reports):
            count("PartsDropped", len(reports) - len(begun))
            log.warning("broadcast.parts_dropped", parts=len(reports) - len(begun))
            for part, report in enumerate(reports):
                if report is None or not report.is_begun:
                    losses.note(topic, part, together, now=asyncio.get_running_loop().time())
        else:
            desk.crowds.note(topic, sum(report.subscribers for report in begun))
        skipped += max((report.skipped for report in begun), default=0)
        log.info(
            "broadcast.parts_done",
            records=len(together),
            subscribers=sum(report.subscribers for report in begun),
            posted=sum(report.posted for report in begun),
            dropped=sum(report.dropped for report in begun),
        )
    return skipped


def _split(records: Sequence[KinesisRecord]) -> Iterator[tuple[KinesisRecord, ...]]:
    """The records in order, as many at once as an order holds. What cannot be opened is counted by the first worker."""
    together: list[KinesisRecord] = []
    size = 0
    for record in records:
        grown = len(record.data) + RECORD_OVERHEAD
        if together and size + grown > MAX_ORDER_BYTES:
            yield tuple(together)
            together, size = [], 0
        together.append(record)
        size += grown
    if together:
        yield tuple(together)


async def _give(
    records: tuple[KinesisRecord, ...], topic: str, *, desk: PartDesk, losses: Losses, stop_at: float
) -> list[PartReport | None]:
    """What each worker says; None of one that did not."""
    now = asyncio.get_running_loop().time()
    until = stop_at - min(MARGIN_S, (stop_at - now) * MARGIN_SHARE)
    until_ms = desk.clock.now_ms() + int((until - now) * 1000)
    shard = records[0].shard_id
    orders = [
        PartOrder(topic, part, until_ms, records, losses.find(topic, shard, part, now=now))
        for part in range(desk.parts)
    ]
    async with asyncio.TaskGroup() as group:
        given = [group.create_task(_serve(order, desk, until=until, stop_at=stop_at)) for order in orders]
    return [each.result() for each in given]


async def _serve(order: PartOrder, desk: PartDesk, *, until: float, stop_at: float) -> PartReport | None:
    """One part: ordered again as long as no worker has begun. None where nobody knows what the worker did."""
    loop = asyncio.get_running_loop()
    bound_s = FIRST_PAUSE_S
    while True:
        try:
            report = await desk.workers.serve(order, deadline=stop_at)
        except NotBegun as error:
            report = PartReport(is_begun=False)
            log.debug("broadcast.part_refused", error_type=type(error).__name__)
        except (Retryable, Rejected, Misconfigured) as error:
            log.failure("broadcast.part_lost", error)
            return PartReport(is_begun=False) if isinstance(error, Misconfigured) else None
        pause_s = bound_s * (0.5 + desk.chance.draw() / 2)
        if report.is_begun or loop.time() + pause_s >= until:
            return report
        await asyncio.sleep(pause_s)
        bound_s = min(LONGEST_PAUSE_S, bound_s * 2)
