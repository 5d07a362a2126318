"""Clients of streamed answers over real sockets: one of a WebSocket, one of server-sent events.

What they make of the frames is `tests.answer_reader`; here is only how the frames come. Neither knows the local cloud.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.answer_reader import AnswerReader

WAIT_S = 20.0  # for the next frame: longer than any silence that is not a fault
SUBPROTOCOL = "sluiceway"


class SocketClient:
    """One WebSocket connection. `times` says when the first frame of each kind came, in milliseconds since 1970."""

    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened
        self.subprotocol = opened.protocol
        self.times: dict[str, float] = {}

    async def say(self, message: dict[str, Any] | str) -> None:
        """Send one message."""
        text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        await self._opened.send_str(text)

    async def receive(self, wait_s: float = WAIT_S) -> dict[str, Any]:
        """The next frame. Raises TimeoutError, or TypeError where the connection ends."""
        frame = json.loads(await self._opened.receive_str(timeout=wait_s))
        self.times.setdefault(frame["t"], time.time() * 1000)
        return frame

    async def follow(
        self,
        reader: AnswerReader,
        *,
        until: Callable[[AnswerReader], object] = lambda reader: reader.ended,
        wait_s: float = WAIT_S,
    ) -> AnswerReader:
        """Hand frames to the reader until it has what is asked for. Raises as `receive`."""
        while not until(reader):
            reader.take(await self.receive(wait_s))
        return reader

    async def see_through(self, reader: AnswerReader, *, patience_s: float = 30.0) -> AnswerReader:
        """Follow the answer to its end, resuming as the protocol says: at a gap, after an error, after a silence."""
        while not reader.ended or reader.is_resumable:
            try:
                await self.follow(reader, until=lambda reader: reader.ended or reader.gap, wait_s=patience_s)
            except TimeoutError:
                await self.say(reader.resume())
                continue
            if reader.gap or reader.is_resumable:
                await self.say(reader.resume())
        return reader

    async def ask(self, req: str, prompt: str, **members: Any) -> AnswerReader:
        """Ask, and a reader of the answer."""
        await self.say({"action": "ask", "req": req, "prompt": prompt, **members})
        return AnswerReader(req)

    def cut(self) -> None:
        """The connection breaks: no close frame, no word."""
        self._transport.abort()

    def look_away(self) -> None:
        """Read nothing from the socket any more."""
        self._transport.pause_reading()

    def look_back(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    @property
    def _transport(self) -> Any:
        return self._opened._conn.transport  # aiohttp has no public word for it


@asynccontextmanager
async def connect(url: str, token: str = "", *, in_subprotocol: bool = False) -> AsyncGenerator[SocketClient]:
    """A connection with a bearer token: in the header, or as a browser sends it. Raises WSServerHandshakeError."""
    headers = {"Authorization": f"Bearer {token}"} if token and not in_subprotocol else {}
    protocols = (SUBPROTOCOL, f"bearer.{token}") if in_subprotocol else (SUBPROTOCOL,)
    async with aiohttp.ClientSession() as session:
        opened = await session.ws_connect(url, headers=headers, protocols=protocols, max_msg_size=0)
        try:
            yield SocketClient(opened)
        finally:
            if not opened.closed and opened._conn is not None and not opened._conn.transport.is_closing():
                await opened.close()


@dataclass
class EventClient:
    """One response of server-sent events. `last_id` is what a client sends as Last-Event-ID when it comes again."""

    status: int
    headers: dict[str, str]
    _content: aiohttp.StreamReader
    last_id: str = ""
    comments: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)

    async def body(self) -> bytes:
        """All of it, where it is no stream."""
        return await self._content.read()

    async def follow(
        self, reader: AnswerReader, *, until: Callable[[AnswerReader], object] = lambda reader: reader.ended
    ) -> AnswerReader:
        """Hand events to the reader until it has what is asked for, or the stream ends.

        An event's id is the attempt and the length of the text after it.
        """
        kind, data = "", ""
        while not until(reader) and (line := (await self._content.readline()).decode()):
            name, _, value = line.rstrip("\n").partition(": ")
            if not name:
                if line.startswith(":"):
                    self.comments.append(line.strip())
                elif data:
                    self._dispatch(kind, json.loads(data), reader)
                    kind = data = ""
            elif name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
        return reader

    def _dispatch(self, kind: str, frame: dict[str, Any], reader: AnswerReader) -> None:
        assert frame["t"] == kind
        self.times.setdefault(kind, time.time() * 1000)
        reader.take(frame)
        if kind in {"delta", "reset"} and not reader.gap:
            assert self.last_id == f"{frame['try']}.{len(reader.text)}"


@asynccontextmanager
async def post_question(
    url: str, token: str, question: dict[str, Any], *, wait_s: float = WAIT_S
) -> AsyncGenerator[EventClient]:
    """`POST /answers`; leaving the block goes away, whatever still comes."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=wait_s)) as session,
        session.post(f"{url.rstrip('/')}/answers", headers=headers, json=question) as response,
    ):
        yield _event_client(response)
        response.close()


@asynccontextmanager
async def get_answer(url: str, token: str, req: str, *, last_id: str = "") -> AsyncGenerator[EventClient]:
    """`GET /answers/{req}`, after the event `last_id`; leaving the block goes away."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=WAIT_S)) as session,
        session.get(f"{url.rstrip('/')}/answers/{req}", headers=headers) as response,
    ):
        yield _event_client(response)
        response.close()


def _event_client(response: aiohttp.ClientResponse) -> EventClient:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return EventClient(response.status, headers, response.content)
