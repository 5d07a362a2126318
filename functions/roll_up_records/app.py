"""The streaming mesh's rollups: records of a stream to rows of minutes, hours and days, in a tumbling window."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.jobs import SqsDeadLetters
from sluiceway.aws.raw_objects import S3RawStore
from sluiceway.aws.rollups import DynamoDbRollupStore
from sluiceway.aws.sqs import Queue
from sluiceway.aws.wire import Wire
from sluiceway.codec import kinesis_window
from sluiceway.flows.roll_up import RollUpDesk, roll_up_records
from sluiceway.ports import SystemClock
from sluiceway.rules.rollups.definition import read_definition
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[RollUpDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, bucket = settings.text("ROLLUPS_TABLE"), settings.text("RAW_BUCKET")
    dead_letters = settings.url("DEAD_LETTERS_URL")
    definition = read_definition(settings.json_object("ROLLUP"), "ROLLUP")
    async with Wire.open(settings.environ()) as wire:
        yield RollUpDesk(
            definition=definition,
            store=DynamoDbRollupStore(Table(wire, table), definition, SystemClock()),
            raw=S3RawStore(wire, bucket),
            dead_letters=SqsDeadLetters(Queue(wire, dead_letters)),
        )


handler = App(roll_up_records, source=kinesis_window, steps=[log_context, metrics, trace], lifespan=lifespan)
