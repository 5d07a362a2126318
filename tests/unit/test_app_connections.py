"""An App with the wire client over a real socket: what an environment keeps from one invocation to the next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.wire import Wire
from sluiceway.codec import sqs
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch
from tests.unit.wire_server import RawServer, always, answer, environ, raw_server

EVENT: dict[str, Any] = {"Records": []}
CONTEXT = SimpleNamespace(
    aws_request_id="request-1",
    function_name="generate_answer",
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:generate_answer",
    get_remaining_time_in_millis=lambda: 60_000,
)


@contextmanager
def server_beside() -> Generator[RawServer]:
    """A server on a loop of its own: the App's stands still between invocations, as a frozen environment's does."""
    started: SimpleQueue[tuple[RawServer, asyncio.AbstractEventLoop, asyncio.Event]] = SimpleQueue()

    async def serve() -> None:
        end = asyncio.Event()
        async with raw_server(always(answer())) as server:
            started.put((server, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    server, loop, end = started.get(timeout=10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(timeout=10)


def test_three_warm_invocations_use_one_connection() -> None:
    """Two calls in each of three invocations: the service sees six requests and ONE connection."""

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[Table]:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
            yield Table(wire, "jobs")

    async def flow(_event: SqsBatch, _call: Invocation, table: Table) -> BatchReport:
        assert await table.get_item({"job_id": "a"}) is None
        await table.put_item({"job_id": "a"})
        return BatchReport()

    with server_beside() as server:
        handler = App(flow, source=sqs, lifespan=lifespan)
        try:
            assert [handler(EVENT, CONTEXT) for _ in range(3)] == [{"batchItemFailures": []}] * 3
        finally:
            handler.close()
        asked = [(request.connection, request.headers["x-amz-target"]) for request in server.requests]
    assert asked == [(1, "DynamoDB_20120810.GetItem"), (1, "DynamoDB_20120810.PutItem")] * 3
    assert server.connections == 1
