"""A local cloud on an event loop in a thread of its own: sync and async tests call it from theirs.

Owns the thread's life. Knows no test.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Any, TypeVar, cast

from localcloud.cloud import RunningCloud
from localcloud.kept import forget_delegated
from localcloud.lasting import LastingCloud, open_lasting_cloud
from localcloud.options import CloudOptions
from localcloud.template.source import settings_file
from localcloud.testing.activity import Activity
from localcloud.testing.loop import AheadClock, AheadLoop

__all__ = ["CloudEnded", "HostedCloud"]

T = TypeVar("T")


class CloudEnded(Exception):
    """The cloud of these tests has ended; the cause says why."""


class HostedCloud:
    """From `start` to `stop`. `loop`, `clock` and, once started, `activity` are the cloud's: its thread's alone."""

    def __init__(self, options: CloudOptions, *, seed: int) -> None:
        self.options = options
        self.loop = AheadLoop()
        self.clock = AheadClock()
        self.activity: Activity
        self._lasting: LastingCloud
        self._read = _stamp(options)
        self._rng = random.Random(seed)  # noqa: S311 - ids and jitter, not secrets
        self._started: Future[RunningCloud] = Future()
        self._ended: Future[None] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="sluiceway-cloud", daemon=True)

    def start(self) -> None:
        """Open the cloud and wait until it answers. Raises what `open_cloud` raises, in no group."""
        self._thread.start()
        self._started.result()

    @property
    def cloud(self) -> RunningCloud:
        """What runs. Raises CloudEnded."""
        if self._ended.done():
            raise CloudEnded from self._ended.exception()
        return self._started.result()

    def submit(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run `make()` on the cloud's loop. Raises CloudEnded."""
        if self._ended.done():
            raise CloudEnded from self._ended.exception()
        return asyncio.run_coroutine_threadsafe(make(), self.loop)

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The same, and wait for what comes of it."""
        try:
            return self.submit(make).result()
        except CancelledError:
            raise CloudEnded from None  # just now

    def is_outdated(self) -> bool:
        """Whether the template, or what samconfig.toml says of it, was written since the start."""
        return self._read != _stamp(self.options)

    def rest(self) -> None:
        """Unmake the stack and end every process, and keep what is slow to make; `renew` makes the stack again.

        Raises CloudEnded.
        """
        self.run(self._lasting.end)

    def reset(self) -> None:
        """`rest` and `renew` in one, at the date that the cloud has. Raises what `start` raises; then it has ended."""
        self._open_by(self._lasting.reset)

    def renew(self) -> None:
        """After `rest`: the cloud as it was right after `start`, at this machine's date. Raises as `reset` does."""
        self.clock.by_s = 0.0
        self._open_by(self._lasting.begin)

    def _open_by(self, make: Callable[[], Coroutine[Any, Any, RunningCloud]]) -> None:
        opening = self.submit(make)
        self._started = Future()
        either: list[Future[Any]] = [self._ended]
        wait([*either, opening], return_when=FIRST_COMPLETED)
        if self._ended.done() or opening.exception() is not None:
            raise self._ended.exception() or CloudEnded()  # the first to fail ends the other
        self._started.set_result(opening.result())

    def stop(self) -> None:
        """Unmake the stack and end every process; nothing is left. Safe to repeat."""
        if not self._ended.done():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        forget_delegated()

    def _main(self) -> None:
        ended: BaseException | None = CloudEnded("its thread was torn down")
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._serve())
            ended = None
        except Exception as error:  # noqa: BLE001 - the edge of a thread: whoever waits for it gets it
            ended = _leaf(error)
        finally:
            if not self._started.done():
                self._started.set_exception(ended or CloudEnded())
            self._ended.set_exception(ended) if ended is not None else self._ended.set_result(None)

    async def _serve(self) -> None:
        opening = open_lasting_cloud(self.options, clock=self.clock, rng=self._rng, opened=self._follow)
        async with opening as self._lasting:
            self._started.set_result(self._lasting.cloud)
            await self._stop.wait()

    def _follow(self, cloud: RunningCloud) -> None:
        cloud.services.recorder.follows_all = True
        self.activity = Activity(cloud.services.recorder, self.loop, self.clock)


def _stamp(options: CloudOptions) -> tuple[tuple[int, int], ...]:
    """When what is read once was written last, and how long it is."""
    found = (options.template, options.settings or settings_file(options.template.parent))
    stats = [path.stat() for path in found if path.exists()]
    return tuple((each.st_mtime_ns, each.st_size) for each in stats)


def _leaf(error: BaseException) -> BaseException:
    """The first error of a group, which a task group made of it."""
    found = error
    while isinstance(found, BaseExceptionGroup):
        found = cast("BaseExceptionGroup[BaseException]", found).exceptions[0]
    return found
