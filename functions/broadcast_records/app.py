"""The streaming mesh's fan-out, without replay: records of a stream to the WebSockets that subscribed its topic."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.subscriptions import DynamoDbSubscriptionStore
from sluiceway.aws.wire import Wire
from sluiceway.codec import kinesis
from sluiceway.flows.broadcast import BroadcastDesk, SubscriptionRoll, broadcast_records
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.rules.access import AccessRules
from sluiceway.rules.masking import parse_mask_key
from sluiceway.rules.topics import read_topics
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[BroadcastDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, url = settings.text("SUBSCRIPTIONS_TABLE"), settings.url("CONNECTIONS_URL")
    topics = read_topics(settings.json_object("TOPICS"), "TOPICS")
    secret = settings.text("MASK_KEY", default="")
    key = parse_mask_key(secret, "MASK_KEY") if secret else None
    access = AccessRules(settings.json_object("ACCESS"), "ACCESS", key=key)
    access.check(topics.values())
    async with Wire.open(settings.environ()) as wire:
        yield BroadcastDesk(
            roll=SubscriptionRoll(DynamoDbSubscriptionStore(Table(wire, table)), SystemClock(), access),
            connections=ApiConnections(wire, url),
            topics=topics,
            chance=SystemChance(),
        )


handler = App(broadcast_records, source=kinesis, steps=[log_context, metrics, trace], lifespan=lifespan)
