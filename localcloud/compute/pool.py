"""The environments of one function: as many as invocations at a time, the most recently used first, idle ones given up.

A demand without an idle environment starts one and takes whichever is free first, the new one or another that comes
back. Starts are bounded on the machine: a laptop is not a Region. Knows no process: it is given a way to launch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from localcloud.compute.environment import EnvironmentEnded, ExecutionEnvironment, Outcome, Request
from localcloud.services.lambda_.errors import service_failed

__all__ = ["Pool"]

IDLE_S: Final = 600.0  # Lambda does not say how long; minutes

GONE: Final = "The function was replaced or deleted, or the local cloud ends."

Launch = Callable[[], ExecutionEnvironment]


class Pool:
    """The environments of one function. `starts` bounds simultaneous starts; `group` owns the starting ones."""

    def __init__(
        self, launch: Launch, *, starts: asyncio.Semaphore, group: asyncio.TaskGroup, idle_s: float = IDLE_S
    ) -> None:
        self._launch = launch
        self._starts = starts
        self._group = group
        self._idle_s = idle_s
        self._idle: list[tuple[ExecutionEnvironment, asyncio.TimerHandle]] = []
        self._waiters: deque[asyncio.Future[ExecutionEnvironment]] = deque()
        self._all: set[ExecutionEnvironment] = set()
        self._closed = False
        self._retired = False

    @property
    def size(self) -> int:
        """How many environments there are, starting ones too."""
        return len(self._all)

    async def run(self, request: Request) -> Outcome:
        """Run one invocation in an environment of its own for that time.

        Raises LambdaError ServiceException where the pool is closed while it waits, and what a start raises.
        """
        while True:
            environment = await self._take(request)
            try:
                return await environment.invoke(request)
            except EnvironmentEnded:
                continue
            finally:
                self._give(environment)

    def retire(self) -> None:
        """Let what runs and waits end well, and keep nothing: the function has another pool now."""
        self._retired = True
        for environment, timer in self._idle:
            timer.cancel()
            self._retire(environment)
        self._idle.clear()

    async def close(self) -> None:
        """Stop every environment, busy ones too; who waits gets an error."""
        self._closed = True
        self.retire()
        while self._waiters:
            self._fail(service_failed(GONE))
        for environment in tuple(self._all):
            await environment.stop()
        self._all.clear()

    async def _take(self, request: Request) -> ExecutionEnvironment:
        if self._closed:
            raise service_failed(GONE)
        while self._idle:
            environment, timer = self._idle.pop()
            timer.cancel()
            if environment.alive:
                return environment
            self._retire(environment)
        waiter: asyncio.Future[ExecutionEnvironment] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._group.create_task(self._start(request))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())
            raise

    async def _start(self, request: Request) -> None:
        async with self._starts:
            if self._closed or not any(not waiter.done() for waiter in self._waiters):
                return  # another environment came back meanwhile
            environment = self._launch()
            self._all.add(environment)
            on_end = request.on_init() if request.on_init is not None else None
            failed = True
            try:
                failed = await environment.initialise()
            except Exception as error:  # noqa: BLE001 - the edge: whoever waits gets it
                self._retire(environment)
                self._fail(error)
                return
            finally:
                if on_end is not None:
                    on_end(failed)
        self._give(environment)

    def _fail(self, error: Exception) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                return

    def _give(self, environment: ExecutionEnvironment) -> None:
        """An environment is free: to the first who waits, else to rest, else to its end."""
        if self._closed or not environment.alive:
            self._retire(environment)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        if self._retired:
            self._retire(environment)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._give_up, environment)
        self._idle.append((environment, timer))

    def _give_up(self, environment: ExecutionEnvironment) -> None:
        self._idle = [entry for entry in self._idle if entry[0] is not environment]
        self._retire(environment)

    def _retire(self, environment: ExecutionEnvironment) -> None:
        if environment in self._all:
            self._all.discard(environment)
            self._group.create_task(environment.stop())
