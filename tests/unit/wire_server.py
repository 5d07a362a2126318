"""Servers for the wire client's tests: a raw one on real sockets, and a network in memory for virtual time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from localcloud.clock import VirtualLoop


def environ(**more: str) -> dict[str, str]:
    """The settings that every call needs, with more of them or others."""
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        **more,
    }


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """A reply with a content length; underscores in header names stand for hyphens."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def refuse(status: int, code: str, **headers: str) -> bytes:
    """A JSON protocol's error answer."""
    return answer(status, f'{{"__type":"com.example#{code}","message":"said {code}"}}'.encode(), **headers)


@dataclass
class Received:
    """One request as it came in. `connection` numbers the connection that it came on."""

    connection: int
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = [line.partition(":") for line in self.head.split("\r\n")[1:]]
        return {name.lower(): value.strip() for name, _, value in lines}

    @property
    def target(self) -> str:
        return self.head.split(" ")[1]

    @property
    def method(self) -> str:
        return self.head.split(" ")[0]


async def read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    """The next request, or None at the end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()[:-4]
        received = Received(connection, head, b"")
        received.body = await reader.readexactly(int(received.headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return received


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Answers as `behave` says; `requests` holds what came."""

    behave: Behaviour
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.append(writer)
        while (request := await read_request(reader, number)) is not None:
            self.requests.append(request)
            await self.behave(request, writer)
            if writer.is_closing():
                break
        writer.close()

    def drop(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def raw_server(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[RawServer]:
    """A RawServer on a free port."""
    raw = RawServer(behave)
    server = await asyncio.start_server(raw._serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    raw.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield raw
    finally:
        server.close()
        raw.drop()
        for _ in range(5):
            await asyncio.sleep(0.001)


def always(reply: bytes) -> Behaviour:
    """Answer every request with `reply`."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return behave


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory. `served` is called with each write, after `latency_s`."""

    def __init__(self, network: MemoryNetwork, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._network = network
        self._protocol = protocol
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if not self.closed:
            asyncio.get_running_loop().call_later(self._network.latency_s, self._network.receive, self, bytes(data))

    def deliver(self, data: bytes) -> None:
        if not self.closed:
            buffer = self._protocol.get_buffer(-1)
            buffer[: len(data)] = data  # type: ignore[index]
            self._protocol.buffer_updated(len(data))

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class MemoryNetwork(VirtualLoop):
    """A virtual loop whose connections lead to `script`: each request gets the next reply, None is silence.

    An exception in the script ends the connection instead. `times` are when requests arrived.
    """

    def __init__(self, script: list[bytes | Exception | None], *, latency_s: float = 0.0) -> None:
        super().__init__()
        self.script = list(script)
        self.latency_s = latency_s
        self.times: list[float] = []
        self.requests: list[bytes] = []
        self.transports: list[MemoryTransport] = []
        self.on_request: Callable[[], object] = lambda: None

    async def create_connection(self, factory, *_address, **_options):  # type: ignore[override]
        protocol = factory()
        transport = MemoryTransport(self, protocol)
        self.transports.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    def receive(self, transport: MemoryTransport, data: bytes) -> None:
        self.times.append(self.time())
        self.requests.append(data)
        self.on_request()
        reply = self.script.pop(0)
        if isinstance(reply, Exception):
            transport.closed = True
            transport._protocol.connection_lost(reply)
        elif reply is not None:
            transport.deliver(reply)

    def run(self, main: Callable[[], Awaitable[object]]):
        with asyncio.Runner(loop_factory=lambda: self) as runner:
            return runner.run(main())  # type: ignore[arg-type]
