"""The loopback listener of one environment: HTTP/1.1 on an asyncio Protocol, parsed by h11, answered by RuntimeApi.

h11 because it gives a request's trailers, which a streamed response needs. The official client takes `host:port` and
no path, so each environment has a listener of its own, which answers no browser's page. Knows nothing of processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import h11

from localcloud.compute.response_stream import ResponseStream
from localcloud.compute.runtime_api import MAX_PAYLOAD_BYTES, Call, Reply, RuntimeApi
from localcloud.listening import HOST, Listener
from localcloud.sites import is_from_page

__all__ = ["RuntimeServer"]

MAX_HEADER_BYTES: Final = 2 * 1024 * 1024  # the official client sends X-Ray causes of up to 1 MB in a header

MAX_CONNECTIONS: Final = 16  # ours: the runtime has one; each may hold a head and a body that are not whole

FORBIDDEN: Final = Reply(
    403, b"The Runtime API answers no web pages.\n", (("content-type", "text/plain"), ("connection", "close"))
)


class RuntimeServer:
    """Listens on a free loopback port from `open()` until `close()`; its last connection is gone at `wait_closed()`."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._listener = Listener()
        self._live: set[_Connection] = set()
        self.address = ""

    async def open(self) -> str:
        """Start to listen; the answer is `host:port`, the value of AWS_LAMBDA_RUNTIME_API."""
        port = await self._listener.open(lambda: _Connection(self._api, self._listener, self._live))
        self.address = f"{HOST}:{port}"
        return self.address

    def close(self) -> None:
        """Stop listening and drop every connection; a runtime that waits in `next` sees its connection end."""
        self._listener.close()

    async def wait_closed(self) -> None:
        """After `close()`: wait until every connection is gone."""
        await self._listener.wait_closed()


class _Connection(asyncio.Protocol):
    """One keep-alive connection of a runtime client."""

    def __init__(self, api: RuntimeApi, listener: Listener, live: set[_Connection]) -> None:
        self._api = api
        self._listener = listener
        self._live = live
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._stream: ResponseStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._listener.enter(self)
        self._live.add(self)
        if len(self._live) > MAX_CONNECTIONS:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._listener.leave(self)
        self._live.discard(self)
        self._transport = None
        self._api.forget_waiter(self._answer)
        if self._stream is not None:
            self._api.break_off(self._stream)

    def drop(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        self._http.receive_data(b"")
        return False

    def _advance(self) -> None:
        try:
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _take(self, event: type[h11.NEED_DATA | h11.PAUSED] | h11.Event) -> bool:
        """Handle one parsed event; False where there is nothing more to parse now."""
        if isinstance(event, h11.Request):
            self._request, self._chunks, self._size = event, [], 0
            if is_from_page(_decode(event.headers)):
                self._send(FORBIDDEN)  # and closes, whatever body would follow
                return False
            self._stream = self._api.begin(_read_call(event))
            if self._stream is not None:
                self._stream.on_drained = self._resume
            if self._http.they_are_waiting_for_100_continue:
                self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            return True
        if isinstance(event, h11.Data):
            self._gather(bytes(event.data))
            return True
        if isinstance(event, h11.EndOfMessage):
            self._dispatch(event)
            return True
        return False

    def _gather(self, data: bytes) -> None:
        if self._stream is None:
            self._size += len(data)
            if self._size <= MAX_PAYLOAD_BYTES:
                self._chunks.append(data)
            return
        self._stream.feed(data)
        if self._stream.is_full and self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _dispatch(self, end: h11.EndOfMessage) -> None:
        request = self._request
        if request is None:
            return
        trailers = _decode(end.headers)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.on_drained = None
            self._send(self._api.finish(stream, trailers))
            return
        reply = self._api.call(
            replace(
                _read_call(request),
                content=b"".join(self._chunks),
                oversized=self._size > MAX_PAYLOAD_BYTES,
                trailers=trailers,
            )
        )
        self._chunks = []
        if reply is None:
            self._api.wait(self._answer)
        else:
            self._send(reply)

    def _answer(self, reply: Reply) -> None:
        """Answer the `next` that waited, then read on where the client has sent more meanwhile."""
        self._send(reply)
        self._advance()

    def _send(self, reply: Reply) -> None:
        headers = [*reply.headers, ("content-length", str(len(reply.body)))]
        head = h11.Response(
            status_code=reply.status, headers=[(name.encode(), value.encode()) for name, value in headers]
        )
        out = self._http.send(head) or b""
        if reply.body and not (self._request is not None and self._request.method == b"HEAD"):
            out += self._http.send(h11.Data(data=reply.body)) or b""
        self._write(out + (self._http.send(h11.EndOfMessage()) or b""))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._request = None
            self._http.start_next_cycle()
        elif self._transport is not None:
            self._transport.close()

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [("content-type", "text/plain"), ("connection", "close")]
            self._send(Reply(error.error_status_hint, str(error).encode(), tuple(headers)))
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


def _read_call(request: h11.Request) -> Call:
    """The head of a request."""
    return Call(
        method=request.method.decode("latin-1"),
        path=request.target.decode("latin-1").partition("?")[0],
        headers=_decode(request.headers),
    )


def _decode(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
