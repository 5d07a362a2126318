"""The answer to an invocation that runs on the event loop: whole, or a stream that leaves as it is made.

The rules:
1. A stream's head leaves with its first part: a failure before it is an ordinary function error.
2. The next part is asked for when there is room for it: a slow reader slows the generator.
3. Where the Runtime API reads no more (the client is gone), the generator is closed, and nobody is told of the rest.
4. A failure after the first part ends the stream with trailers that say so.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing

from sluiceway import log
from sluiceway.cancellation import is_being_cancelled
from sluiceway.codec.stream import CONTENT_TYPE, encode_prelude, read_parts
from sluiceway.events.stream import ByteStream, HttpStream
from sluiceway.runtime.channel import Channel
from sluiceway.runtime.context import Call
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.faults import Failure
from sluiceway.runtime.outcome import BROKEN, check_answer
from sluiceway.runtime.requests import LAST_CHUNK, chunk, failed_end

__all__ = ["Answering"]


class Answering:
    """One invocation's answer. `send` is what a stream is given to."""

    def __init__(self, call: Call, desk: Desk) -> None:
        self._call = call
        self._desk = desk
        self._channel: Channel | None = None
        self._head = b""  # and the prelude; "" until there is a stream

    async def conclude(self, work: Awaitable[object]) -> bytes | None:
        """Await the handler's `work`; the request that answers, None where a stream did. Raises: RuntimeApiError."""
        request, failure = b"", None
        try:
            reply = await work
            if not self._head:
                request = self._desk.encode(self._call, reply)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                self._drop()
                raise
            failure = self._desk.fail(self._call, error)
        except Exception as error:  # noqa: BLE001 - the outermost edge: whatever it is, the caller is told
            failure = self._desk.fail(self._call, error)
        if self._channel is not None or (self._head and failure is None):
            await self._finish(failure)
            return None
        return request if failure is None else self._desk.requests.error(self._call, failure)

    async def send(self, stream: ByteStream | HttpStream) -> None:
        """Send every part; returns early where nobody reads any more. Raises: what makes the parts; OSError."""
        if self._head:
            raise RuntimeError("an invocation has one answer")
        if isinstance(stream, HttpStream):
            prelude = chunk(encode_prelude(stream))
            self._head = self._desk.requests.stream_head(self._call, CONTENT_TYPE) + prelude
        else:
            self._head = self._desk.requests.stream_head(self._call, stream.content_type)
        async with aclosing(read_parts(stream)) as parts:
            async for part in parts:
                if not await self._write(chunk(part)):
                    log.info("runtime.stream_abandoned", request_id=self._call.request_id)
                    return

    async def _write(self, data: bytes) -> bool:
        """Whether somebody still reads."""
        if self._channel is None:
            self._channel = await Channel.open(self._desk.address)
            data = self._head + data
        await self._channel.send(data)
        return not self._channel.settled

    async def _finish(self, failure: Failure | None) -> None:
        try:
            await self._write(LAST_CHUNK if failure is None else failed_end(failure))
            if self._channel is not None:
                check_answer(await self._channel.finish(), self._call)
        except BROKEN as cause:  # cut: what was sent cannot be sent again
            log.warning("runtime.stream_cut", request_id=self._call.request_id, error_type=type(cause).__name__)
        finally:
            self._drop()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
