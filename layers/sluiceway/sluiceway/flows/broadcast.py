"""Records of a stream to whoever subscribed them, live: matched, projected, posted, and forgotten.

Owns who serves which subscribers. There is no replay: what cannot be posted is dropped, and never fails the batch,
since every other client would have the whole batch again; whoever has missed something is told (`missing`). The one
thing that does is that nobody knows who has subscribed. A topic with few subscribers is served by this invocation; one
with many by a worker for each part of them, which is waited for: so the shard's next batch overtakes nothing. Must not
know AWS, nor what a pattern means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sluiceway import log
from sluiceway.errors import Retryable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.channels import ChannelDesk, publish_records
from sluiceway.flows.missing import ALL, About, Losses, Marks
from sluiceway.flows.parting import PartDesk, give_parts
from sluiceway.flows.posting import POST_METRICS, Parcel, Posting, PostingDesk, PostTally
from sluiceway.flows.showing import Showing, Shown, ShowTally, write_messages
from sluiceway.flows.subscribers import SubscriberCache, Subscribers
from sluiceway.ports import Subscription
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.subscriptions import Filter
from sluiceway.rules.topics import find_topic, part_of
from sluiceway.steps.metrics import count, count_of

__all__ = ["BroadcastDesk", "broadcast_records"]

RESERVE_S: Final = 0.5  # of the invocation, for its end
RESERVE_SHARE: Final = 0.1  # never more than this share of a short one


@dataclass(frozen=True, slots=True)
class BroadcastDesk:
    """What broadcasting needs; lives as long as the execution environment.

    `topics`: topics by the name of the stream that carries them. `parting`: the workers for topics with many
    subscribers, None where this invocation serves them all. `channels`: of topics that are published there as well.
    """

    subscribers: SubscriberCache
    posting: PostingDesk
    topics: Mapping[str, str]
    numbering: Numbering
    parting: PartDesk | None = None
    channels: ChannelDesk | None = None
    marks: Marks = field(default_factory=Marks)
    losses: Losses = field(default_factory=Losses)


@dataclass(frozen=True, slots=True)
class _Tally:
    """What became of it all."""

    shown: ShowTally = field(default_factory=ShowTally)
    posts: PostTally = field(default_factory=PostTally)

    def tell(self, topic: str, records: int) -> None:
        """Metrics for what went wrong and what was done, and one line."""
        numbers = {
            "MessagesPosted": self.posts.posted,
            "MessagesDropped": self.posts.dropped,
            "RecordsTooLarge": self.shown.too_large,
            "ConnectionsGone": self.posts.gone,
            "ConnectionsExpired": self.posts.expired,
        }
        for name, number in numbers.items():
            if number:
                count(name, number)
        count_of({"topic": topic}, {POST_METRICS[reason]: number for reason, number in self.posts.drops.items()})
        log.info(
            "broadcast.done",
            records=records,
            posted=self.posts.posted,
            dropped=self.posts.dropped,
            skipped=self.shown.skipped,
            too_large=self.shown.too_large,
            gone=self.posts.gone,
            expired=self.posts.expired,
        )


async def broadcast_records(
    event: KinesisBatch | PartOrder, call: Invocation, desk: BroadcastDesk
) -> BatchReport | PartReport:
    """Post each record of a batch, or of an order, to whoever subscribed it; ends half a second before the deadline.

    Raises, for a batch, what the store raises, and Misconfigured for a stream that carries no topic: it comes again.
    """
    stop_at = call.deadline - call.keep_s(RESERVE_S, RESERVE_SHARE)
    if isinstance(event, PartOrder):
        return await _serve_part(event, desk, stop_at)
    if event.records:
        topic, is_served = find_topic(event.records[0].stream_name, desk.topics, "TOPICS"), False
        desk.losses.begin(topic, event.records, now=asyncio.get_running_loop().time())
        try:
            skipped = await _serve_batch(event.records, topic, desk=desk, stop_at=stop_at)
            is_served = True
        finally:
            desk.losses.end(topic, event.records, is_served=is_served)
        if skipped:
            count("RecordsSkipped", skipped)
    return BatchReport()


async def _serve_batch(records: tuple[KinesisRecord, ...], topic: str, *, desk: BroadcastDesk, stop_at: float) -> int:
    """Serve connections and the channel side by side; how many records were skipped."""
    work = [_serve_connections(records, topic, desk=desk, stop_at=stop_at)]
    if desk.channels is not None:
        work.append(publish_records(records, topic, desk=desk.channels, deadline=stop_at))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return max(task.result() for task in tasks)


async def _serve_connections(
    records: tuple[KinesisRecord, ...], topic: str, *, desk: BroadcastDesk, stop_at: float
) -> int:
    """Serve a topic with few subscribers here, one with many in parts; how many records were skipped."""
    parting = desk.parting
    if parting is not None and parting.crowds.is_large(topic):
        return await give_parts(records, topic, desk=parting, losses=desk.losses, stop_at=stop_at)
    subscribers = await desk.subscribers.read(topic, desk.subscribers.parts)
    if parting is not None and parting.crowds.note(topic, subscribers.number):
        return await give_parts(records, topic, desk=parting, losses=desk.losses, stop_at=stop_at)
    lost = desk.losses.find(topic, records[0].shard_id, ALL, now=asyncio.get_running_loop().time())
    showing = Showing(topic, desk.numbering)
    return (await _post_records(records, showing, subscribers, desk=desk, stop_at=stop_at, lost=lost)).shown.skipped


async def _serve_part(order: PartOrder, desk: BroadcastDesk, stop_at: float) -> PartReport:
    """What a worker does. Whoever ordered it knows no more than this of it, and nothing after the order's end."""
    stop_at = min(stop_at, desk.subscribers.to_loop_time(order.until_ms))
    try:
        async with asyncio.timeout_at(stop_at):
            subscribers = await desk.subscribers.read(order.topic, (order.part,))
    except (Retryable, TimeoutError) as error:
        log.failure("broadcast.part_not_begun", error)
        return PartReport(is_begun=False)
    showing = Showing(order.topic, desk.numbering, order.part)
    tally = await _post_records(order.records, showing, subscribers, desk=desk, stop_at=stop_at, lost=order.lost)
    return PartReport(
        subscribers=subscribers.number,
        posted=tally.posts.posted,
        dropped=tally.posts.dropped,
        skipped=tally.shown.skipped,
    )


async def _post_records(  # noqa: PLR0913 - what one call is about, keyword-only
    records: Sequence[KinesisRecord],
    showing: Showing,
    subscribers: Subscribers,
    *,
    desk: BroadcastDesk,
    stop_at: float,
    lost: Sequence[str],
) -> _Tally:
    tally = _Tally()
    held = subscribers.held
    if not len(held) and not subscribers.over:
        return tally
    desk.losses.tell(showing.group(records[0].shard_id), lost, served=records, numbering=desk.numbering)
    written = write_messages(records, held, showing=showing, tally=tally.shown, stop_at=stop_at) if len(held) else {}
    for wanted, shown in written.items():
        if shown.unjudged:
            tally.posts.pass_over(shown.unjudged * len(held.holders(wanted)))
    served = partial(_is_served, part=showing.series, parts=len(desk.subscribers.parts))
    parcels = desk.marks.add(showing.topic, _pack(written, held.holders), held.holders, is_served=served)
    posting = Posting(desk.posting, tally.posts, stop_at=stop_at)
    await posting.run([*parcels, *map(Parcel, subscribers.over)])
    desk.marks.learn(showing.topic, parcels, tally.posts.missed)
    tally.tell(showing.topic, len(records))
    return tally


def _pack(written: Mapping[Filter, Shown], holders: Callable[[Filter], Iterable[Subscription]]) -> list[Parcel]:
    """What each connection is due."""
    parcels: list[Parcel] = []
    for wanted, shown in written.items():
        about = About(wanted, shown.last)
        parcels += [Parcel(each, shown.messages, about) for each in holders(wanted)]
    return parcels


def _is_served(connection_id: str, *, part: Hashable, parts: int) -> bool:
    """Whether a call for this part, None for all, serves a connection where it has subscribed."""
    return part is None or part_of(connection_id, parts) == part
