"""The measured function on Sluiceway: for each message, read an item, send a message, write a log line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluiceway import log, settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.sqs import Queue
from sluiceway.aws.wire import Wire
from sluiceway.codec import sqs
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch
from sluiceway.steps.log_context import log_context


@dataclass(frozen=True, slots=True)
class Services:
    jobs: Table
    queue: Queue


@asynccontextmanager
async def lifespan() -> AsyncGenerator[Services]:
    async with Wire.open(settings.environ()) as wire:
        yield Services(Table(wire, settings.text("JOBS_TABLE")), Queue(wire, settings.url("QUEUE_URL")))


async def pass_on(batch: SqsBatch, call: Invocation, services: Services) -> BatchReport:
    for message in batch.messages:
        job = await services.jobs.get_item({"job_id": message.body}, deadline=call.deadline)
        state = str(job["state"]) if job else "unknown"
        message_id = await services.queue.send(f"{message.body} is {state}", deadline=call.deadline)
        log.info("job.passed_on", state=state, message_id=message_id)
    return BatchReport()


handler = App(pass_on, source=sqs, steps=[log_context], lifespan=lifespan)
