"""The streaming mesh's producer: `POST /topics/{topic}/records` puts records into the topic's stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.wire import Wire
from sluiceway.codec import rest
from sluiceway.flows.publish.http import PublishDesk, Topic, publish_records
from sluiceway.flows.publish.ledger import PublishLedger
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports import SystemChance
from sluiceway.region.records import open_records
from sluiceway.rules.publishing import Check, encode_data, read_publishers
from sluiceway.rules.topics import read_topics
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

# A REST API waits for 29 s: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_GIVE_UP_S: Final = 28


@asynccontextmanager
async def lifespan() -> AsyncGenerator[PublishDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    streams = {topic: stream for stream, topic in read_topics(settings.json_object("TOPICS"), "TOPICS").items()}
    publishers = read_publishers(settings.json_object("PUBLISHERS"), streams, "PUBLISHERS")
    checks = _find_checks(streams)
    origin = settings.url("CONSOLE_ORIGIN")
    options = ProducerOptions(
        aggregate=settings.choice("AGGREGATE", ("true", "false")) == "true",
        give_up_s=settings.integer("GIVE_UP_S", minimum=1, maximum=MAX_GIVE_UP_S),
    )
    environ = settings.environ()
    async with Wire.open(environ) as wire, open_records(environ, wire) as records:
        yield PublishDesk(
            topics={
                topic: Topic(
                    Outlet(KinesisStream(wire, stream), name=stream), publishers[topic], checks.get(topic, encode_data)
                )
                for topic, stream in streams.items()
            },
            ledger=PublishLedger(records.store),
            chance=SystemChance(),
            origin=origin,
            options=options,
        )


def _find_checks(topics: Collection[str]) -> Mapping[str, Check]:
    """The checks of `SCHEMAS`, by topic; none where it is not set."""
    if not settings.text("SCHEMAS", default=""):
        return {}
    from sluiceway.flows.publish.topic_schemas import read_checks  # noqa: PLC0415 - cold start: who has schemas pays

    return read_checks(settings.json_object("SCHEMAS"), topics, "SCHEMAS", beside=__file__)


handler = App(publish_records, source=rest, steps=[log_context, metrics, trace], lifespan=lifespan)
