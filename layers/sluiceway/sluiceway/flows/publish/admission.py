"""Back-pressure: how many bytes of records may be under way, first come, first served. Must not know records."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Admission"]


class Admission:
    """At most `most` bytes at once; what is larger than all of it goes alone."""

    __slots__ = ("_held", "_most", "_resuming", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._resuming = 0  # let in, and not run since: nobody goes before them
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Bytes that were let in and not released yet."""
        return self._held

    def enter_now(self, size: int) -> bool:
        """Lets so many bytes in if nobody waits and there is room."""
        if self._waiting or self._resuming or (self._held and self._held + size > self._most):
            return False
        self._held += size
        return True

    async def enter(self, size: int) -> None:
        """Waits until there is room. Cancelled, nothing is held."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = deque(each for each in self._waiting if each[1] is not turn)
                self._let_in()
            else:
                self._resuming -= 1
                self.release(size)
            raise
        self._resuming -= 1
        self._let_in()

    def release(self, size: int) -> None:
        """Gives back what was let in."""
        self._held -= size
        if self._waiting:
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
                continue
            if self._held and self._held + size > self._most:
                return
            self._waiting.popleft()
            self._held += size
            self._resuming += 1
            turn.set_result(None)
