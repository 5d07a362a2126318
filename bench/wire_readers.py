"""How to read a reply on asyncio: streams, a Protocol, or a BufferedProtocol that lends its buffer.

Each sends the same request to the same stand-in, in rounds one after the other, and reads the reply just well enough
to know its end, so that the difference is the reader's.
Run: python bench/wire_readers.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from stand_in import Server
from table import print_table

BODY = b'{"TableName":"jobs","Key":{"job_id":{"S":"b0e2a1d8-8a51-4c8e-9d2e-0f6d5a7f6f11"}}}'
REQUEST = (
    b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-amz-target: DynamoDB_20120810.GetItem\r\ncontent-length: %d\r\n"
    % len(BODY)
    + b"x-amz-security-token: %b\r\n\r\n%b" % (b"t" * 900, BODY)
)
CALLS, BUFFER = 300, 64 * 1024


def whole(reply: bytes) -> bool:
    end = reply.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = reply.find(b"Content-Length:")
    return len(reply) == end + 4 + int(reply[at + 15 : reply.find(b"\r\n", at)])


class Plain(asyncio.Protocol):
    """asyncio allocates the bytes of each read: 256 KiB, then shrunk."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.reply = transport, b""
        self.done: asyncio.Future[None]

    def data_received(self, data: bytes) -> None:
        self.reply += data
        if whole(self.reply):
            self.reply = b""
            self.done.set_result(None)


class Lending(asyncio.BufferedProtocol):
    """The loop reads into a buffer that lives as long as the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.reply = transport, b""
        self.buffer = memoryview(bytearray(BUFFER))
        self.done: asyncio.Future[None]

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.reply += bytes(self.buffer[:nbytes])
        if whole(self.reply):
            self.reply = b""
            self.done.set_result(None)


async def open_readers(url: str, ca: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    """A call for each reader, over a connection of its own."""
    loop = asyncio.get_running_loop()
    scheme, _, address = url.partition("://")
    host, port = address.split(":")
    context = ssl.create_default_context(cafile=ca) if scheme == "https" else None
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)

    async def with_streams() -> None:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.find(b"Content-Length:")
        await reader.readexactly(int(head[at + 15 : head.find(b"\r\n", at)]))

    def with_protocol(protocol: Plain | Lending) -> Callable[[], Awaitable[object]]:
        def call() -> Awaitable[None]:
            protocol.done = loop.create_future()
            protocol.transport.write(REQUEST)  # type: ignore[attr-defined]
            return protocol.done

        return call

    _, plain = await loop.create_connection(Plain, host, int(port), ssl=context)
    _, lending = await loop.create_connection(Lending, host, int(port), ssl=context)
    return {"streams": with_streams, "Protocol": with_protocol(plain), "BufferedProtocol": with_protocol(lending)}


async def measure(*, rounds: int, calls: int) -> list[list[str]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for url in (server.url, server.tls_url):
            readers = await open_readers(url, server.ca)
            costs: dict[str, list[float]] = {name: [] for name in readers}
            for _ in range(rounds):
                for name, call in readers.items():
                    begun = time.process_time()
                    for _ in range(calls):
                        await call()
                    costs[name].append((time.process_time() - begun) / calls * 1e6)
            medians = {name: statistics.median(rounds) for name, rounds in costs.items()}
            scheme = url.partition(":")[0]
            rows += [
                [scheme, name, f"{median:.0f}", f"{median / medians['BufferedProtocol']:.2f}"]
                for name, median in medians.items()
            ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    options = parser.parse_args()
    rounds, calls = (2, 100) if options.quick else (options.rounds, CALLS)
    with asyncio.Runner() as runner:
        rows = runner.run(measure(rounds=rounds, calls=calls))
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"One exchange, medians of {rounds} rounds of {calls}. Python {version} on {os.cpu_count()} cores.")
    print_table(["", "reader", "CPU us", "/ BufferedProtocol"], rows)


if __name__ == "__main__":
    main()
