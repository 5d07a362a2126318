"""An invocation whose response streams: its chunks while it runs, its outcome after them.

Owns the moment at which the caller can be answered: when the response begins, or when the invocation ends without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from localcloud.compute.environment import Outcome
from localcloud.compute.function import LATEST
from localcloud.compute.response_stream import ResponseStream

__all__ = ["StreamedInvocation"]

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"  # the Node.js runtime's, where the handler sets none


class StreamedInvocation:
    """One running invocation. Whoever holds it calls `leave` in the end: the function runs on, to nobody.

    `version` is the function's that runs.
    `content_type` is the response's, as the runtime sent it; "" where the invocation failed before it answered.
    """

    def __init__(self, *, version: str = LATEST) -> None:
        self.version = version
        self.content_type = ""
        self._began: asyncio.Future[ResponseStream] = asyncio.get_running_loop().create_future()
        self._left = False
        self._task: asyncio.Task[Outcome | Exception] | None = None

    def take(self, stream: ResponseStream) -> None:
        """The runtime begins to answer: a `Request.on_stream`."""
        if self._left:
            stream.abandon()
        else:
            self.content_type = stream.content_type or DEFAULT_CONTENT_TYPE
            self._began.set_result(stream)

    async def begin(self, task: asyncio.Task[Outcome | Exception]) -> None:
        """Wait until the response begins or the invocation ends. Raises what kept it from running."""
        self._task = task
        waited = False
        try:
            await asyncio.wait({task, self._began}, return_when=asyncio.FIRST_COMPLETED)
            waited = True
        finally:
            if not waited:  # the caller was cancelled
                self.leave()
        if not self._began.done():
            outcome = await self.outcome()
            self.content_type = "" if outcome.error_type else outcome.content_type or DEFAULT_CONTENT_TYPE

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The response's bytes as they come, once; a response that does not stream is one chunk, an error is none."""
        if self._began.done():
            async with aclosing(self._began.result().chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        else:
            outcome = await self.outcome()
            if not outcome.error_type and outcome.payload:
                yield outcome.payload

    async def outcome(self) -> Outcome:
        """How it ended; `payload` is an error's JSON, or a response that did not stream. Raises what `begin` raises."""
        if self._task is None:
            raise asyncio.InvalidStateError
        outcome = await asyncio.shield(self._task)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def leave(self) -> None:
        """The caller is gone. Safe to repeat, and after the end."""
        self._left = True
        if self._began.done():
            self._began.result().abandon()
