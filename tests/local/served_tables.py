"""The local cloud's DynamoDB on a real socket, on a loop and thread of its own, for commands that run in the test's."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService

__all__ = ["served_tables"]

WAIT_S: Final = 30


def _anybody(*_: object) -> None:
    """Nobody's policies are looked at."""


@contextmanager
def served_tables(fill: Callable[[str], Awaitable[None]]) -> Generator[str]:
    """The address, once `fill` has made what the test needs there."""
    started = threading.Event()
    held: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        front = Front([DynamoService(SystemClock())], authorise=_anybody, rng=random.Random(1))
        async with front.serve(open_listener("127.0.0.1", 0)) as address:
            await fill(address)
            stop = asyncio.Event()
            held.append((address, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner() as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(WAIT_S)
    address, loop, stop = held[0]
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_S)
