"""Pattern 4, buffered: `GET /jobs/{job_id}` answers a job's state, and its result or problem."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.jobs import DynamoDbJobStore, S3BlobStore
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.wire import Wire
from sluiceway.codec import rest
from sluiceway.flows.job_status import JobDesk, read_job
from sluiceway.ports import SystemClock
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MIN_RETENTION_S: Final = 60
MAX_RETENTION_S: Final = 1_209_600


@asynccontextmanager
async def lifespan() -> AsyncGenerator[JobDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, bucket = settings.text("JOBS_TABLE"), settings.text("RESULTS_BUCKET")
    retention_s = settings.integer("QUEUE_RETENTION_S", minimum=MIN_RETENTION_S, maximum=MAX_RETENTION_S)
    origin = settings.url("CONSOLE_ORIGIN")
    async with Wire.open(settings.environ()) as wire:
        yield JobDesk(
            store=DynamoDbJobStore(Table(wire, table)),
            blobs=S3BlobStore(Bucket(wire, bucket)),
            clock=SystemClock(),
            queue_retention_s=retention_s,
            origin=origin,
        )


handler = App(read_job, source=rest, steps=[log_context, metrics, trace], lifespan=lifespan)
