"""Functions that stream, on virtual time, with environments in the test's own process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from localcloud.clock import LoopClock
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.response_stream import ResponseStream
from localcloud.services.logs.model import Logs

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:f"
Handler = Callable[[Request], Awaitable[Outcome]]


class Room:
    """An environment that runs a coroutine function of the test."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.alive = True

    async def initialise(self) -> None:
        return None

    async def invoke(self, request: Request) -> Outcome:
        return await self._handler(request)

    async def stop(self) -> None:
        self.alive = False


class Writer:
    """What a runtime does with a streamed response: it stops where the stream is full."""

    def __init__(self, request: Request, content_type: str = "text/plain", **options: Any) -> None:
        self.stream = ResponseStream(content_type, **options)
        self._room = asyncio.Event()
        self.stream.on_drained = self._room.set
        assert request.on_stream is not None
        request.on_stream(self.stream)

    async def write(self, data: bytes) -> None:
        self.stream.feed(data)
        self._room.clear()
        if self.stream.is_full:
            await self._room.wait()

    def end(self, error_type: str = "") -> Outcome:
        self.stream.end()
        return Outcome(b'{"errorType":"%b"}' % error_type.encode() if error_type else b"", error_type, b"log")


@asynccontextmanager
async def functions_of(handler: Handler, **changes: Any) -> AsyncGenerator[Functions]:
    """One function `f` that runs `handler`."""
    clock = LoopClock(asyncio.get_running_loop())
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda _spec: Room(handler), group=group, clock=clock, logs=Logs(clock=clock), rng=random.Random(7)
        )
        functions.add(FunctionSpec(name="f", arn=ARN, handler="app.handler", code_dir=Path("/nowhere"), **changes))
        yield functions
        await functions.close()
