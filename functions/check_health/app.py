"""Multi-Region: `GET /health` says whether this Region could serve. It asks what requests need, and moves nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.failover import Asked, DynamoDbDrillStore
from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.sqs import Queue
from sluiceway.aws.wire import Wire
from sluiceway.codec import rest
from sluiceway.errors import Retryable
from sluiceway.flows.health import HealthDesk, HealthWatch, KnownTerm, check_health
from sluiceway.ports import SystemClock
from sluiceway.region.records import open_records
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

OPEN = frozenset({"ACTIVE", "UPDATING"})
NOBODYS_KEY = "health"  # an item that nobody writes: reading it is asking the table


@asynccontextmanager
async def lifespan() -> AsyncGenerator[HealthDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    environ, clock = settings.environ(), SystemClock()
    keys, queue, stream = settings.text("IDEMPOTENCY_TABLE"), settings.url("JOBS_QUEUE_URL"), settings.text("STREAM")
    async with Wire.open(environ) as wire, open_records(environ, wire, clock=clock) as records:
        dependencies = [
            Asked("keys", partial(Table(wire, keys).get_item, {"id": NOBODYS_KEY})),
            Asked("jobs", Queue(wire, queue).depth),
            Asked("records", partial(_ask_stream, KinesisStream(wire, stream))),
        ]
        drills = term = None
        if records.tier == "home":
            term = KnownTerm(records.terms, records.group)
            table = Table(wire, settings.text("REGIONS_TABLE"))
            drills = DynamoDbDrillStore(table, group=records.group, region=records.region)
        known = [term] if term is not None else []
        yield HealthDesk(HealthWatch([*dependencies, *known], drills, clock), records.region, term)


async def _ask_stream(stream: KinesisStream) -> None:
    """A stream that is made or deleted takes no records. Raises Retryable there."""
    status = await stream.status()
    if status not in OPEN:
        raise Retryable(f"the stream is {status or 'none'}")


handler = App(check_health, source=rest, steps=[log_context, metrics, trace], lifespan=lifespan)
