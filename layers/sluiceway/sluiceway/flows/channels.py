"""Messages of a topic to the channel that its deployment names, beside those to connections.

Owns how often a publication is tried. Who listens, and whether they keep up, is the channels' own matter. Must not know
AWS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sluiceway import log
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable, SluicewayError
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.showing import Showing, ShowTally, write_messages
from sluiceway.ports import Chance
from sluiceway.ports.channels import Channels
from sluiceway.rules.access import AccessRules, Viewer
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.subscriptions import Filter, SubscriptionSet
from sluiceway.steps.metrics import count

__all__ = ["ChannelDesk", "TopicChannel", "publish_records"]

TRIES: Final = 3
FIRST_PAUSE_S: Final = 0.2
GROWTH: Final = 4


@dataclass(frozen=True, slots=True)
class TopicChannel:
    """Where a topic is published, and as whom one looks who listens there."""

    channels: Channels
    name: str
    viewer: Viewer


@dataclass(frozen=True, slots=True)
class ChannelDesk:
    """The channels of topics, and who may see what. Lives as long as the execution environment."""

    of_topic: Mapping[str, TopicChannel]
    access: AccessRules
    numbering: Numbering
    chance: Chance
    held: dict[str, SubscriptionSet[None]] = field(default_factory=dict[str, SubscriptionSet[None]])

    def look(self, topic: str) -> SubscriptionSet[None]:
        """One that wants every record, as far as the channel's viewer may see it."""
        if topic not in self.held:
            view = self.access.view(topic, self.of_topic[topic].viewer)
            seeing = [] if view is None else [(Filter(view=view.name), None)]
            self.held[topic] = SubscriptionSet(seeing, {} if view is None else {view.name: view})
        return self.held[topic]


async def publish_records(records: Sequence[KinesisRecord], topic: str, *, desk: ChannelDesk, deadline: float) -> int:
    """Publish what the topic's channel may be shown, in order; nothing for a topic without one.

    What cannot be judged or published in a few tries, or until `deadline` (of the event loop's clock), is dropped and
    counted.
    Returns how many records could not be read.
    """
    channel, tally = desk.of_topic.get(topic), ShowTally()
    if channel is None:
        return 0
    showing = Showing(topic, desk.numbering, "channel")
    written = write_messages(records, desk.look(topic), showing=showing, tally=tally, stop_at=deadline)
    events = [message.decode() for shown in written.values() for message in shown.messages]
    failed = await _publish(channel, events, desk=desk, deadline=deadline) if events else 0
    if failed < len(events):
        count("ChannelEventsPublished", len(events) - failed)
    failed += sum(shown.unjudged for shown in written.values())
    if failed:
        count("ChannelEventsFailed", failed)
    return tally.skipped


async def _publish(channel: TopicChannel, events: Sequence[str], *, desk: ChannelDesk, deadline: float) -> int:
    """How many of the events were not published. What was not taken is sent again; what was refused is not."""
    failed, pause_s = 0, FIRST_PAUSE_S
    for tries_left in reversed(range(TRIES)):
        error: SluicewayError | None
        try:
            done = await channel.channels.publish(channel.name, events, deadline=deadline)
        except (Retryable, Misconfigured, Rejected) as refusal:
            error = refusal
        else:
            failed += len(done.failed)
            events, error = events[len(events) - done.unsent :], done.error
        if not events:
            return failed
        wait_s = max(pause_s * (0.5 + desk.chance.draw() / 2), getattr(error, "after_s", None) or 0.0)
        if not _may_retry(error) or not tries_left or asyncio.get_running_loop().time() + wait_s >= deadline:
            log.failure("channel.not_published", error) if error else log.warning("channel.not_published")
            break
        await asyncio.sleep(wait_s)
        pause_s *= GROWTH
    return failed + len(events)


def _may_retry(error: SluicewayError | None) -> bool:
    return isinstance(error, Retryable) and not isinstance(error, DeadlineExceeded)
