"""A stand-in for API Gateway's management API that takes its time, and knows when each message came.

`Gateway` starts it in a process of its own, with TLS on. A message counts as arrived when its last byte is there; its
post is answered after a time drawn evenly from a range. Times are `time.monotonic()`, one clock for all processes.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stand_in import POSTED, write_certificate

SEED = 20261127
TIME_LIMIT_S = 10


class Arrivals:
    """What came for each connection: when, and the message."""

    def __init__(self) -> None:
        self.messages: dict[str, list[tuple[float, str]]] = {}
        self.delays_s = (0.0, 0.0)
        self._chance = random.Random(SEED)

    def take(self, path: str, body: bytes) -> float:
        """Keep a message; the seconds after which its post is answered."""
        self.messages.setdefault(path.rpartition("/")[2], []).append((time.monotonic(), body.decode()))
        return self._chance.uniform(*self.delays_s)


class Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end].lower()
            length = int(head[head.find(b"\r\ncontent-length:") + 17 :].split(b"\r\n", 1)[0])
            if len(buffer) < end + 4 + length:
                break
            path = buffer[:end].split(b" ", 2)[1].decode()
            delay_s = self._arrivals.take(path, buffer[end + 4 : end + 4 + length])
            asyncio.get_running_loop().call_later(delay_s, self._transport.write, POSTED)  # type: ignore[attr-defined]
            buffer = buffer[end + 4 + length :]
        self._buffer = buffer


async def serve(folder: str) -> None:
    """Serve TLS; print the port, then obey stdin: `["delay", least_s, most_s]`, and `["take"]` answers what came."""
    loop, arrivals = asyncio.get_running_loop(), Arrivals()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "server.pem"))
    server = await loop.create_server(lambda: Answering(arrivals), "127.0.0.1", 0, ssl=context)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if order[0] == "delay":
            arrivals.delays_s = (order[1], order[2])
            print("null", flush=True)
        else:
            taken, arrivals.messages = arrivals.messages, {}
            print(json.dumps(taken), flush=True)


class Gateway:
    """The process; `url` reaches it, `ca` is the certificate to trust."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        write_certificate(folder)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"https://127.0.0.1:{json.loads(self._process.stdout.readline())}"

    def answer_after(self, least_s: float, most_s: float) -> None:
        """How long posts last from now on."""
        self._order(["delay", least_s, most_s])

    def take(self) -> dict[str, list[tuple[float, str]]]:
        """What came since the last time, by connection: when, and the message."""
        taken: dict[str, list[tuple[float, str]]] = self._order(["take"])
        return taken

    def _order(self, order: list[object]) -> dict[str, list[tuple[float, str]]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        answer: dict[str, list[tuple[float, str]]] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIME_LIMIT_S)


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        runner.run(serve(sys.argv[1]))
