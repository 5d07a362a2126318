"""A Runtime API for tests of its clients: hands out events, keeps every byte it got, and fails as it is told.

It runs in a thread, so that a blocking client, an asyncio client and a process may all speak to it.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
DEADLINE_MS = 4_102_444_800_000
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
RESTORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Reply = bytes | None
"""What is sent; None closes the connection without a byte."""


def event(payload: bytes, request_id: str = "r-1", **headers: str) -> bytes:
    """A reply to `next`; underscores in the names of further headers stand for hyphens."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {DEADLINE_MS}\r\nLambda-Runtime-Invoked-Function-Arn: {ARN}\r\n{lines}"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def refusal(status: int) -> bytes:
    """A reply with an error status."""
    return f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n".encode()


@dataclass(frozen=True)
class Received:
    """One request: its first line, its head with lower-case names, its body as it came (chunks and trailers too)."""

    line: str
    headers: dict[str, str]
    body: bytes
    raw: bytes
    connection: int

    @property
    def route(self) -> str:
        """What follows the version in the path: `invocation/next`, `invocation/r-1/response`, ..."""
        return self.line.split(" ")[1].removeprefix("/2018-06-01/runtime/")


@dataclass
class FakeApi:
    """`decide(request)` answers; until it is given, events are handed out in turn and answers accepted."""

    address: str
    events: list[bytes] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    closing: list[int] = field(default_factory=list)
    """Connections that are closed once the reply is out."""
    decide: Callable[[Received], Reply] | None = None
    idle: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    settled: threading.Condition = field(default_factory=threading.Condition)

    def answers(self) -> list[Received]:
        """Requests but for `next`."""
        return [request for request in self.received if request.route != "invocation/next"]

    def reply(self, request: Received) -> Reply:
        """As `decide` says, or as a Runtime API would."""
        with self.settled:
            self.received.append(request)
            self.settled.notify_all()
        return self.decide(request) if self.decide is not None else self.usual(request)

    def usual(self, request: Received) -> Reply:
        """The next event, or 202; without an event left, `next` waits for the end of the test."""
        if request.route != "invocation/next":
            return RESTORED if request.route == "restore/next" else ACCEPTED
        with self.settled:
            if self.events:
                return self.events.pop(0)
        self.idle.set()
        self.ended.wait(30)
        return None

    def wait_for(self, count: int, *, timeout_s: float = 20) -> list[Received]:
        """The answers, once there are `count`."""
        with self.settled:
            assert self.settled.wait_for(lambda: len(self.answers()) >= count, timeout_s), self.received[-3:]
        return self.answers()


class _Connection(threading.Thread):
    def __init__(self, api: FakeApi, connection: socket.socket, number: int) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._socket = connection
        self._number = number
        self._buffer = b""

    def run(self) -> None:
        with self._socket, suppress(OSError):
            while (request := self._read()) is not None:
                reply = self._api.reply(request)
                if reply is None:
                    return
                self._socket.sendall(reply)
                if self._number in self._api.closing:
                    return

    def _read(self) -> Received | None:
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._take(int(headers.get("content-length", "0")))
        return None if body is None else Received(line, headers, body, head + body, self._number)

    def _chunks(self) -> bytes | None:
        read = b""
        while True:
            line = self._until(b"\r\n")
            if line is None:
                return None
            read += line
            size = int(line, 16)
            if not size:
                break
            part = self._take(size + 2)
            if part is None:
                return None
            read += part
        while True:
            line = self._until(b"\r\n")
            if line is None:
                return None
            read += line
            if line == b"\r\n":
                return read

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            if not self._more():
                return None
        end = self._buffer.index(mark) + len(mark)
        taken, self._buffer = self._buffer[:end], self._buffer[end:]
        return taken

    def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._more():
                return None
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> bool:
        data = self._socket.recv(65536)
        self._buffer += data
        return bool(data)


@contextmanager
def fake_api(*events: bytes) -> Iterator[FakeApi]:
    """A Runtime API on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        api = FakeApi(f"{host}:{port}", events=list(events))
        accepting = threading.Thread(target=_accept, args=(server, api), daemon=True)
        accepting.start()
        try:
            yield api
        finally:
            api.ended.set()
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            accepting.join(5)


def _accept(server: socket.socket, api: FakeApi) -> None:
    number = 0
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            number += 1
            _Connection(api, connection, number).start()


def chunks(body: bytes) -> list[bytes]:
    """The data of a chunked body, chunk by chunk."""
    found: list[bytes] = []
    while (match := re.match(rb"([0-9a-f]+)\r\n", body)) and int(match[1], 16):
        begin = match.end()
        end = begin + int(match[1], 16)
        found.append(body[begin:end])
        body = body[end + 2 :]
    return found
