"""The streaming mesh's rollup job, on a schedule: rows are counted again, and raw records go once that was right."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.raw_objects import S3RawStore
from sluiceway.aws.rollups import DynamoDbRollupJobStore, DynamoDbRollupStore
from sluiceway.aws.wire import Wire
from sluiceway.codec import eventbridge
from sluiceway.events.eventbridge import EventBridgeEvent
from sluiceway.events.invocation import Invocation
from sluiceway.flows.rollup_job import RollupJobDesk, explain_rollup_job, run_rollup_job
from sluiceway.ports import SystemClock
from sluiceway.rules.rollups.definition import read_definition
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[RollupJobDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, bucket = settings.text("ROLLUPS_TABLE"), settings.text("RAW_BUCKET")
    definition, clock = read_definition(settings.json_object("ROLLUP"), "ROLLUP"), SystemClock()
    async with Wire.open(settings.environ()) as wire:
        rows = Table(wire, table)
        yield RollupJobDesk(
            definition=definition,
            store=DynamoDbRollupStore(rows, definition, clock),
            raw=S3RawStore(wire, bucket),
            jobs=DynamoDbRollupJobStore(rows),
            clock=clock,
        )


async def verify_rollups(_event: EventBridgeEvent, call: Invocation, desk: RollupJobDesk) -> Mapping[str, object]:
    """Go on with the job as long as this invocation lasts; tell how it stands."""
    await run_rollup_job(desk, deadline=call.deadline)
    return await explain_rollup_job(desk)


handler = App(verify_rollups, source=eventbridge, steps=[log_context, metrics, trace], lifespan=lifespan)
