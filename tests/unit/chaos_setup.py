"""A Runtime API, the proxy before it, and a runtime that speaks to the proxy: for tests on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from localcloud.chaos.deliveries import Effects
from localcloud.chaos.drawing import Verdict
from localcloud.chaos.faults import FunctionFault
from localcloud.chaos.proxy import RuntimeProxy
from localcloud.clock import LoopClock
from localcloud.compute.runtime_api import Answer, Event, RuntimeApi
from localcloud.compute.runtime_server import RuntimeServer

NEXT = "/2018-06-01/runtime/invocation/next"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


@dataclass
class Reply:
    """One reply to the runtime."""

    status: int
    headers: dict[str, str]
    body: bytes


class Runtime:
    """One connection of a runtime client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """A request with a length."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: {ARN[:3]}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        await self.write(head.encode() + body)

    async def write(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def read(self) -> Reply:
        """One reply."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(first.split(" ")[1]), headers, body)

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """A request and its reply."""
        await self.send(method, path, body, **headers)
        return await self.read()

    async def next(self) -> Reply:
        """The next event."""
        return await self.ask("GET", NEXT)

    async def answer(self, request_id: str, body: bytes, verb: str = "response", **headers: str) -> Reply:
        """The handler's answer."""
        return await self.ask("POST", f"/2018-06-01/runtime/invocation/{request_id}/{verb}", body, **headers)


@dataclass
class Lane:
    """A proxy before a Runtime API. `verdicts` are given in turn; `done` has the steps that were carried out."""

    group: asyncio.TaskGroup
    api: RuntimeApi
    proxy: RuntimeProxy
    clock: LoopClock
    verdicts: list[Verdict]
    done: list[int]
    killed: list[float] = field(default_factory=list)
    runtimes: list[Runtime] = field(default_factory=list)

    async def connect(self) -> Runtime:
        host, _, port = self.proxy.address.rpartition(":")
        runtime = Runtime(*await asyncio.open_connection(host, int(port)))
        self.runtimes.append(runtime)
        return runtime

    def offer(self, payload: bytes, request_id: str = "r-1", *, timeout_s: float = 3.0) -> asyncio.Future[Answer]:
        """Lambda has an invocation."""
        deadline_ms = round((self.clock.time() + timeout_s) * 1000)
        return self.api.offer(Event(request_id, payload, deadline_ms, ARN, trace_header="Root=1-2-3"))


def hit(fault: FunctionFault | None = None, *, delay_s: float = 0.0) -> Verdict:
    """A verdict of step 7, and of step 1 where it delays."""
    return Verdict(delay_s, (1,) if delay_s else (), fault, 7 if fault is not None else -1)


@asynccontextmanager
async def open_lane(*verdicts: Verdict) -> AsyncGenerator[Lane]:
    """A proxy that carries out `verdicts` in turn, and then nothing."""
    clock = LoopClock(asyncio.get_running_loop())
    waiting, done = list(verdicts), list[int]()
    api = RuntimeApi()
    server = RuntimeServer(api)
    address = await server.open()
    async with asyncio.TaskGroup() as group:
        killed = list[float]()
        judge: Callable[[], Verdict] = lambda: waiting.pop(0) if waiting else Verdict()
        effects = Effects(judge, done.append, lambda: killed.append(clock.time()))
        proxy = RuntimeProxy(address, effects, clock=clock, group=group)
        await proxy.open()
        lane = Lane(group, api, proxy, clock, waiting, done, killed)
        try:
            yield lane
        finally:
            for runtime in lane.runtimes:
                runtime.writer.transport.abort()
            proxy.close()
            await proxy.wait_closed()
            server.close()
            await server.wait_closed()
