"""The part of an editor that speaks the Debug Adapter Protocol, for the test of the debugger.

Source: https://microsoft.github.io/debug-adapter-protocol/specification
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any


class DebugClient:
    """One session with an adapter."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = 0
        self._kept: list[dict[str, Any]] = []

    @classmethod
    async def open(cls, port: int) -> DebugClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def attach(self, **arguments: Any) -> None:
        """Handshake up to the point where breakpoints may be set."""
        await self.ask("initialize", adapterID="test", linesStartAt1=True, pathFormat="path")
        self.send("attach", **arguments)
        await self.wait(lambda message: message.get("event") == "initialized")

    def send(self, command: str, **arguments: Any) -> int:
        self._last += 1
        body = json.dumps({"seq": self._last, "type": "request", "command": command, "arguments": arguments}).encode()
        self._writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self._last

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        number = self.send(command, **arguments)
        found = await self.wait(lambda message: message.get("request_seq") == number)
        assert found["success"], found
        return found.get("body") or {}

    async def event(self, name: str) -> dict[str, Any]:
        return (await self.wait(lambda message: message.get("event") == name)).get("body") or {}

    async def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for index, message in enumerate(self._kept):
            if wanted(message):
                return self._kept.pop(index)
        async with asyncio.timeout(20):
            while True:
                message = await self._read()
                if wanted(message):
                    return message
                self._kept.append(message)

    async def _read(self) -> dict[str, Any]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        return json.loads(await self._reader.readexactly(length))

    def close(self) -> None:
        self._writer.close()
