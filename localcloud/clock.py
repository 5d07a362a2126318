"""Time as a port: the wall clock follows the event loop, and a virtual loop jumps over every wait.

Everything that waits in the local cloud waits on the event loop (`asyncio.sleep`, `call_at`, `timeout_at`); everything
that needs a date asks a `Clock`. So one thing makes a test deterministic and instant: run it on a `VirtualLoop`.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

__all__ = ["Clock", "LoopClock", "SystemClock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")

VIRTUAL_EPOCH_S: Final = 1_800_000_000.0  # any date; seeds must give the same run whenever they are run
ALONE_TURNS: Final = 64  # every so many, the system is asked although nothing but the loop's own pipe could be ready


class Clock(Protocol):
    """The date, in seconds since 1970."""

    def time(self) -> float:
        """Epoch seconds, with fractions."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Epoch seconds."""
        return time.time()  # noqa: TID251 - this is the Clock port


class LoopClock:
    """A date that follows a loop's `time()`, for virtual loops."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, epoch_s: float = VIRTUAL_EPOCH_S) -> None:
        self._loop = loop
        self._offset_s = epoch_s - loop.time()

    def time(self) -> float:
        """Epoch seconds."""
        return self._loop.time() + self._offset_s


class _JumpingSelector(selectors.BaseSelector):
    """Never blocks: a wait for time moves the time instead. I/O still works, polled without waiting.

    A loop alone with its pipe seldom asks: what another thread calls is among the loop's own callbacks without it, and
    only signals come that way.
    """

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self._count = self._turns = 0
        self.jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is not None and self._count == 1 and self._turns % ALONE_TURNS:
            self.jumped_s += max(0.0, timeout)
            return []
        ready = self._inner.select(0)
        if ready or timeout is None:
            return ready if ready or timeout is not None else self._inner.select(0.05)
        self.jumped_s += max(0.0, timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._inner.register(fileobj, events, data)
        self._count += 1
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._inner.unregister(fileobj)
        self._count -= 1
        return key

    def get_map(self) -> Any:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when everything waits, and then at once to the next timer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.jumped_s


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` to its end on a new VirtualLoop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
