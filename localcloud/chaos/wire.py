"""One end of an HTTP/1.1 connection, parsed by h11 over asyncio's streams: messages in and out, as they come.

Knows no path and no fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeAlias

import h11

__all__ = ["Broken", "Headers", "Peer", "Read"]

MAX_HEADER_BYTES: Final = 2 * 1024 * 1024  # the official client sends X-Ray causes of up to 1 MB in a header
CHUNK_BYTES: Final = 65_536
Headers: TypeAlias = list[tuple[bytes, bytes]]
Read: TypeAlias = "h11.Event | type[h11.NEED_DATA | h11.PAUSED]"


class Broken(Exception):
    """The other end is gone, or says what is no HTTP."""


class Peer:
    """Speaks as `role` (`h11.CLIENT` or `h11.SERVER`). Not for use by several tasks at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, role: type[h11.CLIENT | h11.SERVER]
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._reader = reader
        self._writer = writer

    @property
    def is_gone(self) -> bool:
        """Whether the other end has closed, and all that it said was read."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def read(self) -> Read:
        """The next part of a message. Raises Broken."""
        try:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                if self.http.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                self.http.receive_data(await self._reader.read(CHUNK_BYTES))
        except (h11.RemoteProtocolError, OSError) as error:
            raise Broken(str(error)) from error
        return event

    async def head(self) -> h11.Response:
        """The head of the final response. Raises Broken."""
        while True:
            event = await self.read()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("the connection ended before the response")

    async def body(self, limit_bytes: int) -> tuple[bytes, Headers, bool]:
        """What is left of the message: its first bytes up to about `limit_bytes`, its trailers, whether that was all.

        Where it was not, the rest is still to be read. Raises Broken.
        """
        gathered = bytearray()
        while True:
            event = await self.read()
            if isinstance(event, h11.Data):
                gathered += event.data
                if len(gathered) > limit_bytes:
                    return bytes(gathered), [], False
            elif isinstance(event, h11.EndOfMessage):
                return bytes(gathered), event.headers.raw_items(), True
            else:
                raise Broken("the connection ended in the middle of a message")

    async def drop_body(self) -> None:
        """Read the rest of the message, and keep nothing of it. Raises Broken."""
        while not (await self.body(0))[2]:
            pass

    async def send(self, *events: h11.Event) -> None:
        """Write parts of a message, and wait until there is room for more. Raises Broken."""
        try:
            for event in events:
                self._writer.write(self.http.send(event) or b"")
            await self._writer.drain()
        except (h11.LocalProtocolError, OSError) as error:
            raise Broken(str(error)) from error

    async def reply(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """A whole response. Raises Broken."""
        length = (b"content-length", str(len(body)).encode())
        await self.send(
            h11.Response(status_code=status, headers=[*headers, length]), h11.Data(data=body), h11.EndOfMessage()
        )

    def renew(self) -> bool:
        """After a whole exchange: get ready for another; False where the connection cannot have one."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        return True

    def close(self) -> None:
        """End it; what was written goes out. Safe to repeat."""
        self._writer.close()

    def abort(self) -> None:
        """End it at once, in the middle of a message where it is in one. Safe to repeat."""
        self._writer.transport.abort()
