"""Pays once for each Idempotency-Key, in the home Region. A header `slow` takes longer than it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.wire import Wire
from sluiceway.codec import rest
from sluiceway.errors import Misconfigured
from sluiceway.events.http import HttpReply, HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.idempotency import Options, idempotent_flow
from sluiceway.ports import IdempotencyStore
from sluiceway.region.records import Records, open_records


@asynccontextmanager
async def lifespan() -> AsyncGenerator[Records]:
    environ = settings.environ()
    async with Wire.open(environ) as wire, open_records(environ, wire) as records:
        yield records


def store_of(records: Records) -> IdempotencyStore:
    return records.store


@idempotent_flow(
    key="headers.idempotency-key",
    store=store_of,
    name="pay",
    options=Options(
        lease_s=2,
        skew_s=0.5,
        after_crash="doubt",
        dump=lambda reply: [reply.status, reply.body],
        load=lambda stored: HttpReply(*stored),
    ),
)
async def pay(request: HttpRequest, call: Invocation, records: Records) -> HttpReply:
    if "slow" in request.headers:
        await asyncio.sleep(60)
    if records.tenure is None:
        raise Misconfigured("the tier is not home", what="IDEMPOTENCY_TIER")
    records.tenure.check()
    return HttpReply(201, f"paid in {records.region} by {request.request_id}\n")


handler = App(pay, source=rest, lifespan=lifespan)
