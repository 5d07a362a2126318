"""Patterns 2 and 3 over a WebSocket: connections, and what is asked for over them; a worker makes the answers.

Topics are subscribed here; `broadcast_records` brings their records.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.answers import DynamoDbAnswerStore, DynamoDbConnectionStore
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.functions import LambdaDispatcher
from sluiceway.aws.subscriptions import DynamoDbSubscriptionStore
from sluiceway.aws.wire import Wire
from sluiceway.codec import socket
from sluiceway.flows.stream.asking import make_ask_keys
from sluiceway.flows.stream.socket import SocketDesk, serve_socket
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.region.records import open_records
from sluiceway.rules.access import AccessRules
from sluiceway.rules.topics import MAX_PARTS, read_topics
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[SocketDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    conversations, connections = settings.text("CONVERSATIONS_TABLE"), settings.text("CONNECTIONS_TABLE")
    subscriptions, topics = settings.text("SUBSCRIPTIONS_TABLE"), read_topics(settings.json_object("TOPICS"), "TOPICS")
    parts = settings.integer("SUBSCRIBER_PARTS", minimum=1, maximum=MAX_PARTS, default=1)
    url, worker = settings.url("CONNECTIONS_URL"), settings.text("WORKER_FUNCTION")
    model_id = settings.text("MODEL_ID")
    access = AccessRules(settings.json_object("ACCESS"), "ACCESS")
    clock = SystemClock()
    environ = settings.environ()
    async with Wire.open(environ) as wire, open_records(environ, wire) as records:
        yield SocketDesk(
            answers=DynamoDbAnswerStore(Table(wire, conversations), clock),
            known=DynamoDbConnectionStore(Table(wire, connections)),
            subscriptions=DynamoDbSubscriptionStore(Table(wire, subscriptions), parts),
            connections=ApiConnections(wire, url),
            dispatcher=LambdaDispatcher(wire, worker),
            clock=clock,
            models=frozenset({model_id}),
            topics=frozenset(topics.values()),
            access=access,
            keys=make_ask_keys(records.store, clock=clock, chance=SystemChance()),
        )


handler = App(serve_socket, source=socket, steps=[log_context, metrics, trace], lifespan=lifespan)
