"""A client that costs little: requests that are bytes already, on connections that stay open, and how long each took.

Signatures are not made: neither the local cloud nor its peers verify them, and a request only says whose it is.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

LIMIT_S = 60.0
SCOPE = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
)


class Failed(Exception):
    """An answer that is none of the expected."""


def write_request(
    url: str, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None
) -> bytes:
    """A request as it goes over the wire; `url` gives the host where no header does."""
    given = {"host": urlsplit(url).netloc, **(headers or {}), "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def write_call(url: str, service: str, target: str, body: dict[str, Any]) -> bytes:
    """A request of AWS JSON 1.0: `write_call(url, "sqs", "AmazonSQS.SendMessage", {...})`."""
    return write_request(
        url,
        "POST",
        "/",
        json.dumps(body).encode(),
        headers={
            "authorization": SCOPE.format(service=service),
            "content-type": "application/x-amz-json-1.0",
            "x-amz-date": "20261128T100000Z",
            "x-amz-target": target,
        },
    )


class Connection:
    """One connection with blocking reads: the least that a client can add to what a server takes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. A connection that the server has closed is opened again, once."""
        for attempt in range(2):
            try:
                return self._exchange(request)
            except (ConnectionError, EOFError):
                self.close()
                if attempt:
                    raise
        raise AssertionError

    def call(self, request: bytes) -> dict[str, Any]:
        """The JSON of an answer. Raises Failed where it is an error."""
        status, body = self.ask(request)
        if status != 200:
            raise Failed(f"{status} {body[:300]!r}")
        return json.loads(body or b"{}")

    def time(self, request: bytes) -> float:
        """Seconds of one request that succeeds."""
        begun = time.perf_counter()
        status, body = self.ask(request)
        took_s = time.perf_counter() - begun
        if status >= 300:
            raise Failed(f"{status} {body[:300]!r}")
        return took_s

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, LIMIT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        buffer = b""
        while (answer := split_answer(buffer)) is None:
            data = self._socket.recv(262_144)
            if not data:
                raise EOFError
            buffer += data
        if b"connection: close" in buffer[: buffer.find(b"\r\n\r\n")].lower():
            self.close()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def split_answer(buffer: bytes) -> tuple[int, bytes] | None:
    """Status and body of a whole answer, None where it is not whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = buffer[:end].lower(), buffer[end + 4 :]
    status = int(head[9:12])
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return (status, body) if len(body) >= int(head[at + 17 :].split(b"\r\n", 1)[0]) else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return (status, _join(body)) if body.endswith(b"0\r\n\r\n") else None
    return status, b""


def _join(chunks: bytes) -> bytes:
    joined = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        joined, chunks = joined + rest[:length], rest[length + 2 :] if length else b""
    return joined


class Caller(asyncio.Protocol):
    """One of many clients: asks again as soon as it has an answer, until `done` says so."""

    def __init__(self, request: bytes, done: Callable[[], bool]) -> None:
        self._request = request
        self._done = done
        self._buffer = b""
        self.answered = 0
        self.failed = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answer = split_answer(self._buffer)
        if answer is None:
            return
        self._buffer = b""
        self.answered += 1
        self.failed += answer[0] >= 300
        if self._done():
            self._transport.close()
        else:
            self._transport.write(self._request)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if not self.ended.done():
            self.ended.set_result(None)


async def count_requests(url: str, request: bytes, *, clients: int, round_s: float) -> tuple[float, int]:
    """Answers a second to `clients` who ask at once, for `round_s` seconds; and how many were errors."""
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    begun = loop.time()

    def done() -> bool:
        return loop.time() - begun >= round_s

    callers = []
    for _ in range(clients):
        _, caller = await loop.create_connection(lambda: Caller(request, done), parts.hostname, parts.port)
        callers.append(caller)
    async with asyncio.timeout(LIMIT_S):
        for caller in callers:
            await caller.ended
    spent_s = loop.time() - begun
    return sum(each.answered for each in callers) / spent_s, sum(each.failed for each in callers)
