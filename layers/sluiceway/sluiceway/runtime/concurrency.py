"""Many invocations at once on one event loop, where AWS_LAMBDA_MAX_CONCURRENCY asks for them.

As many workers ask for invocations as may run at once, each over a connection of its own. Every invocation is a task
with a context of its own, so context variables do not mix, and what one raises stays its own. An App and `async`
handlers share the loop; a plain function runs in a thread, and has to be thread-safe. `_X_AMZN_TRACE_ID` is not set: it
could name one invocation only; an App has the header in its Invocation.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html (concurrent `/next`)
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from sluiceway.runtime.answering import Answering
from sluiceway.runtime.channel import AsyncApi
from sluiceway.runtime.context import CURRENT, Call, LambdaContext
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.faults import RuntimeFault
from sluiceway.runtime.handler import Respond, has_coroutine, resolve
from sluiceway.runtime.marshal import read_event

__all__ = ["run_concurrently", "serve_concurrently"]


def run_concurrently(desk: Desk, *, workers: int) -> None:
    """Serve with `workers` at once until the process ends. Raises: RuntimeApiError, in a group."""
    work = serve_concurrently(desk, workers=workers)
    if desk.app is not None:
        desk.app.run(work)  # the lifespan was entered on that loop, and SIGTERM ends it there
        return
    with asyncio.Runner() as runner:
        runner.run(work)


async def serve_concurrently(desk: Desk, *, workers: int) -> None:
    """Serve with `workers` at once, until cancelled. Raises: RuntimeApiError, in a group."""
    threads = ThreadPoolExecutor(workers, thread_name_prefix="invocation")
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(_Worker(desk, threads, group).run())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """Asks, serves and answers, one invocation after the other."""

    def __init__(self, desk: Desk, threads: ThreadPoolExecutor, group: asyncio.TaskGroup) -> None:
        self._desk = desk
        self._threads = threads
        self._group = group
        self._api = AsyncApi(desk.address, desk.requests)

    async def run(self) -> None:
        try:
            while True:
                call = await self._api.next()
                request = await self._group.create_task(self._serve(call), context=copy_context())
                if request is not None:
                    await self._api.answer(call, request)
        finally:
            self._api.close()

    async def _serve(self, call: Call) -> bytes | None:
        answering = Answering(call, self._desk)
        return await answering.conclude(self._work(call, answering.send))

    async def _work(self, call: Call, respond: Respond) -> object:
        context = LambdaContext(call, self._desk.environ)
        CURRENT.set(context)
        event = read_event(call.payload, call.content_type)
        try:
            if self._desk.app is not None:
                return await self._desk.app.invoke(event, context, trace_header=call.trace_header, respond=respond)
            return await resolve(await self._start(event, context), respond)
        except SystemExit as error:  # of this invocation; the others go on
            raise RuntimeFault("Runtime.ExitError", f"The handler asked to exit with status {error.code}") from error

    async def _start(self, event: object, context: LambdaContext) -> object:
        handler = self._desk.handler
        if has_coroutine(handler):
            return handler(event, context)
        within = copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: within.run(handler, event, context))
