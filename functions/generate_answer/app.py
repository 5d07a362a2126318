"""Pattern 4, buffered: answers the jobs that `POST /jobs` put on the queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.jobs import DynamoDbJobStore, S3BlobStore, SqsDeadLetters, SqsRedelivery
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.sqs import Queue
from sluiceway.aws.wire import Wire
from sluiceway.codec import sqs
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.flows.job import JobWorker
from sluiceway.flows.job_end import AfterCrash, make_job_guard
from sluiceway.flows.job_news import run_job_and_tell
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.ports import Connections, SystemChance, SystemClock
from sluiceway.region.records import open_records
from sluiceway.rules.jobs import MAX_TOKENS
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_VISIBILITY_S: Final = 43_200
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
MAX_RECEIVES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the execution environment."""

    worker: JobWorker
    desk: BatchDesk
    connections: Connections


@asynccontextmanager
async def lifespan() -> AsyncGenerator[Services]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, bucket = settings.text("JOBS_TABLE"), settings.text("RESULTS_BUCKET")
    queue_url, dead_letters_url = settings.url("JOBS_QUEUE_URL"), settings.url("DEAD_LETTERS_URL")
    connections_url = settings.url("CONNECTIONS_URL")
    visibility_s = settings.integer("QUEUE_VISIBILITY_S", minimum=0, maximum=MAX_VISIBILITY_S)
    model_id = settings.text("MODEL_ID")
    max_output_tokens = settings.integer("MAX_OUTPUT_TOKENS", minimum=1, maximum=MAX_TOKENS)
    max_receives = settings.integer("MAX_RECEIVES", minimum=1, maximum=MAX_RECEIVES)
    after_crash: AfterCrash = settings.choice("JOB_AFTER_CRASH", ("rerun", "doubt"))
    clock = SystemClock()
    environ = settings.environ()
    async with Wire.open(environ) as wire, open_records(environ, wire) as records:
        worker = JobWorker(
            store=DynamoDbJobStore(Table(wire, table)),
            blobs=S3BlobStore(Bucket(wire, bucket)),
            provider=BedrockProvider(wire, model_id),
            clock=clock,
            max_output_tokens=max_output_tokens,
            max_receives=max_receives,
            keys=records.store,
            guard=make_job_guard(clock=clock, after_crash=after_crash),
        )
        desk = BatchDesk(
            dead_letters=SqsDeadLetters(Queue(wire, dead_letters_url)),
            redelivery=SqsRedelivery(Queue(wire, queue_url)),
            chance=SystemChance(),
            visibility_s=visibility_s,
        )
        yield Services(worker, desk, ApiConnections(wire, connections_url))


async def generate_answer(batch: SqsBatch, call: Invocation, services: Services) -> BatchReport:
    """Answer each job of the batch; report the messages that go back to the queue."""

    async def one(message: SqsMessage) -> None:
        await run_job_and_tell(message, call=call, worker=services.worker, connections=services.connections)

    return await process_batch(batch, one, desk=services.desk, deadline=call.deadline)


handler = App(generate_answer, source=sqs, steps=[log_context, metrics, trace], lifespan=lifespan)
