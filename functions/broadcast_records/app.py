"""The streaming mesh's fan-out, without replay: records of a stream to the WebSockets that subscribed its topic.

A topic with more subscribers than one invocation serves is shared out to other invocations of this function.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.subscriptions import DynamoDbSubscriptionStore
from sluiceway.aws.wire import Wire
from sluiceway.codec import fan_out
from sluiceway.flows.broadcast import BroadcastDesk, broadcast_records
from sluiceway.flows.channels import ChannelDesk, TopicChannel
from sluiceway.flows.parting import Crowds, PartDesk
from sluiceway.flows.posting import PostingDesk
from sluiceway.flows.subscribers import SubscriberCache
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.rules.access import AccessRules
from sluiceway.rules.masking import parse_mask_key
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.topics import MAX_PARTS, read_topics
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

FAN_OUT_FROM = 2_500  # subscribers of a topic: a second of posts of one invocation


@asynccontextmanager
async def lifespan() -> AsyncGenerator[BroadcastDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, url = settings.text("SUBSCRIPTIONS_TABLE"), settings.url("CONNECTIONS_URL")
    topics = read_topics(settings.json_object("TOPICS"), "TOPICS")
    secret = settings.text("MASK_KEY", default="")
    key = parse_mask_key(secret, "MASK_KEY") if secret else None
    access = AccessRules(settings.json_object("ACCESS"), "ACCESS", key=key)
    access.check(topics.values())
    parts = settings.integer("SUBSCRIBER_PARTS", minimum=1, maximum=MAX_PARTS, default=1)
    most = settings.integer("FAN_OUT_FROM", minimum=0, maximum=1_000_000, default=FAN_OUT_FROM)
    clock, chance = SystemClock(), SystemChance()
    numbering = Numbering(chance.draw)
    async with Wire.open(settings.environ()) as wire:
        subscribers = SubscriberCache(DynamoDbSubscriptionStore(Table(wire, table), parts), clock, access)
        parting = None
        if parts > 1:
            from sluiceway.aws.fan_out import LambdaPartWorkers  # noqa: PLC0415 - cold start: a crowd alone pays for it

            parting = PartDesk(LambdaPartWorkers(wire, _own_name()), Crowds(most), parts, clock, chance)
        yield BroadcastDesk(
            subscribers=subscribers,
            posting=PostingDesk(ApiConnections(wire, url), subscribers, chance),
            topics=topics,
            numbering=numbering,
            parting=parting,
            channels=_find_channels(wire, topics.values(), access=access, numbering=numbering),
        )


def _own_name() -> str:
    """This function, in the version that runs."""
    name, version = settings.text("AWS_LAMBDA_FUNCTION_NAME"), settings.text("AWS_LAMBDA_FUNCTION_VERSION", default="")
    return f"{name}:{version}" if version.isdigit() else name


def _find_channels(
    wire: Wire, topics: Iterable[str], *, access: AccessRules, numbering: Numbering
) -> ChannelDesk | None:
    """The channels of `CHANNELS`; None where it is not set."""
    if not settings.text("CHANNELS", default=""):
        return None
    from sluiceway.aws.channels import EventChannels  # noqa: PLC0415 - cold start: only who publishes there pays
    from sluiceway.rules.channels import read_channels  # noqa: PLC0415 - the same

    found = read_channels(settings.json_object("CHANNELS"), topics, "CHANNELS")
    of_topic = {
        topic: TopicChannel(EventChannels(wire, each.url), each.channel, each.viewer) for topic, each in found.items()
    }
    return ChannelDesk(of_topic, access, numbering, SystemChance())


handler = App(broadcast_records, source=fan_out, steps=[log_context, metrics, trace], lifespan=lifespan)
