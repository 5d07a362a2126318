"""A Lambda Runtime API in a process of its own, cheap enough to measure what calls it.

`RuntimeApi` starts it. Each worker has a port of its own and is told how many events it gets; then its next question
waits. The process is driven over stdin and answers on stdout, a line of JSON each.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self

FUNCTION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:pass_on"
EVENT = json.dumps(
    {
        "Records": [
            {
                "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a" * 6,
                "body": "b0e2a1d8-8a51-4c8e-9d2e-0f6d5a7f6f11",
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1795392000123",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1795392000130",
                },
                "messageAttributes": {
                    "correlation": {"dataType": "String", "stringValue": "5f0c7a7e-7f7b-4a27-9d59-52ad1e8f6a11"}
                },
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:jobs",
                "awsRegion": "eu-central-1",
            }
        ]
    }
).encode()
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"status":"OK"}'
TIME_LIMIT_S = 60.0


class Listener:
    """One worker's Runtime API: hands out as many events as it was told, then lets the worker wait.

    Blocking sockets, a thread for each connection: a third of what the same costs on asyncio, so that the answerer does
    not hide how fast the worker is.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.problem = ""
        self._waiting: socket.socket | None = None
        self._idle = threading.Event()
        self._left = 0
        self._ids: Iterator[int] = count()
        threading.Thread(target=self._accept, daemon=True).start()

    def run(self, events: int) -> float:
        """Hand out `events`; the seconds from the first to the question after the last."""
        self._await_idle()
        begun = time.perf_counter()
        if events and self._waiting is not None and not self.problem:
            self._idle.clear()
            self._left = events - 1
            self._waiting.sendall(self._event())
            self._await_idle()
        return time.perf_counter() - begun

    def _await_idle(self) -> None:
        if not self._idle.wait(TIME_LIMIT_S):
            self._fail("the worker did not ask for its next event in time")

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._left = 0
        self._idle.set()

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Read requests just well enough to know where they end."""
        buffer = b""
        while data := connection.recv(65536):
            buffer += data
            while (end := buffer.find(b"\r\n\r\n")) >= 0:
                head = buffer[:end].lower()
                at = head.find(b"\r\ncontent-length:")
                length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                if len(buffer) < end + 4 + length:
                    break
                self._answer(connection, head.split(b" ", 2)[1], buffer[end + 4 : end + 4 + length])
                buffer = buffer[end + 4 + length :]

    def _answer(self, connection: socket.socket, path: bytes, body: bytes) -> None:
        if not path.endswith(b"/invocation/next"):
            connection.sendall(ACCEPTED)
            if path.endswith(b"/error"):
                self._fail(body.decode())
        elif self._left:
            self._left -= 1
            connection.sendall(self._event())
        else:
            self._waiting = connection
            self._idle.set()

    def _event(self) -> bytes:
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-{next(self._ids):012d}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + 60_000}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {FUNCTION_ARN}\r\n"
            "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0\r\n"
            f"Content-Length: {len(EVENT)}\r\n\r\n"
        )
        return head.encode() + EVENT


def serve() -> None:
    """Obey stdin: `["open"]` answers a port, `["run", port, events]` the seconds or `{"problem": ...}`."""
    listeners: dict[int, Listener] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order[0] == "open":
            listener = Listener()
            listeners[listener.port] = listener
            print(json.dumps(listener.port), flush=True)
            continue
        listener = listeners[order[1]]
        spent_s = listener.run(order[2])
        print(json.dumps({"problem": listener.problem} if listener.problem else spent_s), flush=True)


class RuntimeApi:
    """The process, and what it can be told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def open(self) -> int:
        """A port for one worker."""
        return int(self._order(["open"]))

    def run(self, port: int, events: int) -> float:
        """Let the worker on `port` serve `events` (0: get ready); the seconds it took."""
        answer = self._order(["run", port, events])
        if isinstance(answer, dict):
            raise SystemExit(f"a worker failed: {answer['problem']}")
        return float(answer)

    def _order(self, order: list[object]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


if __name__ == "__main__":
    serve()
