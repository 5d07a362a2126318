"""One connection to the Runtime API on asyncio: for streamed answers, and where several invocations run at once.

A BufferedProtocol without streams: a request is written whole, or as parts with back-pressure, and its reply awaited.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sluiceway.aws.http1 import ProtocolViolationError, ReplyParser
from sluiceway.runtime.context import Call
from sluiceway.runtime.outcome import (
    BROKEN,
    DELAYS_S,
    Reply,
    RuntimeApiError,
    check_answer,
    expect_call,
)
from sluiceway.runtime.requests import Requests

__all__ = ["AsyncApi", "Channel"]

RECEIVE_BYTES: Final = 64 * 1024


class Channel(asyncio.BufferedProtocol):
    """One connection; one request at a time. Made by `open`, closed by its owner."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._reply: asyncio.Future[Reply] | None = None
        self._room: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, address: str) -> Channel:
        """Connect to `host:port`. Raises: OSError."""
        host, _, port = address.rpartition(":")
        _, channel = await asyncio.get_running_loop().create_connection(cls, host.strip("[]"), int(port))
        return channel

    @property
    def usable(self) -> bool:
        """Whether another request can go out."""
        return self._transport is not None and not self._transport.is_closing() and self._reply is None

    @property
    def settled(self) -> bool:
        """Whether the reply to what is being sent is there already, or will never come: nobody reads on."""
        return self._transport is None or self._reply is None or self._reply.done()

    def _begin(self) -> asyncio.Future[Reply]:
        self._parser = ReplyParser()
        self._reply = reply = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._fail(ConnectionResetError("the connection is gone"))
        return reply

    async def send(self, data: bytes) -> None:
        """Send a part of a request and wait until there is room for more. Nothing happens once it is settled."""
        reply = self._reply or self._begin()
        if self._transport is None or reply.done():
            return
        self._transport.write(data)
        if self._room is not None:
            await self._room

    async def finish(self) -> Reply:
        """Wait for the reply. Raises: OSError, ProtocolViolationError where none comes."""
        try:
            return await (self._reply or self._begin())
        finally:
            self._reply = None
            if not (self._parser.complete and self._parser.keep_alive):
                self.close()

    async def exchange(self, request: bytes) -> Reply:
        """Send a whole request and wait for its reply, however long. Raises: as `finish`."""
        reply = self._begin()
        if self._transport is not None and not reply.done():
            self._transport.write(request)
        return await self.finish()

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._advance(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        self._advance(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        self._fail(exc or ConnectionResetError("the connection ended without a reply"))

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _advance(self, data: bytes) -> None:
        reply = self._reply
        if reply is None or reply.done():
            self.close()  # bytes that nobody asked for, or the end of an idle connection
            return
        try:
            if data:
                self._parser.feed(data)
            else:
                self._parser.end()
        except ProtocolViolationError as cause:
            self._fail(cause)
            self.close()
            return
        head = self._parser.head
        if self._parser.complete and head is not None:
            reply.set_result(Reply(head.status, head.headers, self._parser.take_body()))
            self.resume_writing()  # who still sends need not

    def _fail(self, cause: Exception) -> None:
        reply = self._reply
        if reply is not None and not reply.done():
            reply.set_exception(cause)
            reply.exception()  # seen: a stream may never ask


class AsyncApi:
    """A client of the Runtime API for one worker of several: `next` and answers over a connection of its own."""

    def __init__(self, address: str, requests: Requests) -> None:
        self._address = address
        self._requests = requests
        self._channel: Channel | None = None

    async def next(self) -> Call:
        """Wait for the next invocation, however long. Raises: RuntimeApiError."""
        return expect_call((await self._ask(self._requests.next))[0])

    async def answer(self, call: Call, request: bytes) -> None:
        """Send the answer to an invocation. Raises: RuntimeApiError where the process must end."""
        reply, again = await self._ask(request)
        check_answer(reply, call, again=again)

    def close(self) -> None:
        """Drop the connection."""
        if self._channel is not None:
            self._channel.close()

    async def _ask(self, request: bytes) -> tuple[Reply, bool]:
        again = False
        for delay_s in DELAYS_S:
            try:
                channel = await self._connected()
                return await channel.exchange(request), again
            except BROKEN as cause:
                self.close()
                again = again or not isinstance(cause, ConnectionRefusedError)
                await asyncio.sleep(delay_s)
        try:
            return await (await self._connected()).exchange(request), again
        except BROKEN as cause:
            raise RuntimeApiError(f"the runtime API cannot be reached: {cause}") from cause

    async def _connected(self) -> Channel:
        channel = self._channel
        if channel is None or not channel.usable:
            self._channel = channel = await Channel.open(self._address)
        return channel
