"""Receives that wait for a message: woken by the message itself or by its time, never by polling. Knows no message."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from localcloud.services.sqs.errors import SqsError

__all__ = ["Waiters"]


class Awaited(Protocol):
    """What receives wait for."""

    @property
    def is_ready(self) -> bool:
        """Whether a receive would find something."""
        ...

    def next_due(self) -> float | None:
        """When that may change next by itself, in the loop's time."""
        ...

    def advance(self) -> None:
        """Come up to the present."""
        ...


class Waiters:
    """The receives that wait for one queue's messages."""

    def __init__(self, awaited: Awaited) -> None:
        self._awaited = awaited
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def wait(self, deadline: float) -> None:
        """Until woken, or until `deadline`. Raises SqsError where `close` ends the waiting."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self.arm()
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError:
            return
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.done() and not waiter.cancelled():
                self.wake()  # it may be leaving with a wake that another should have
            self.arm()

    def wake(self) -> None:
        """Wake the receive that has waited longest, where there is something for it."""
        while self._waiting and self._awaited.is_ready:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def arm(self) -> None:
        """One timer, for the next message that becomes visible, while somebody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._awaited.next_due() if self._waiting else None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_time)

    def rearm(self) -> None:
        """A moment was added: it may be the next one."""
        if self._waiting:
            self.arm()

    def close(self, error: SqsError) -> None:
        """End every waiting with `error`."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)
        self.arm()

    def _on_time(self) -> None:
        self._timer = None
        self._awaited.advance()
        self.wake()
        self.arm()
