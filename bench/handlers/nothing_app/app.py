"""An App that does nothing: what remains is the interpreter, the runtime client, and the App with its codec."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch


@asynccontextmanager
async def lifespan() -> AsyncGenerator[None]:
    yield


async def pass_by(_batch: SqsBatch, _call: Invocation, _services: None) -> BatchReport:
    return BatchReport()


handler = App(pass_by, source=sqs, lifespan=lifespan)
