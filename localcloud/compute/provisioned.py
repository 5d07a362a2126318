"""Environments that are started before anybody asks: provisioned concurrency of one version.

They are never given up for being idle; one that ends is replaced. An invocation that finds none free is served on
demand, which is for the caller. Knows no process: it is given a way to launch.
Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from localcloud.compute.environment import ExecutionEnvironment

__all__ = ["ReadyPool"]

_LOG = logging.getLogger(__name__)


class ReadyPool:
    """`count` environments, starting at once. `starts` bounds simultaneous starts; `group` owns the starting ones."""

    def __init__(
        self,
        launch: Callable[[], ExecutionEnvironment],
        count: int,
        *,
        starts: asyncio.Semaphore,
        group: asyncio.TaskGroup,
    ) -> None:
        self._launch = launch
        self._starts = starts
        self._group = group
        self._count = count
        self._idle: list[ExecutionEnvironment] = []
        self._all: set[ExecutionEnvironment] = set()
        self._closed = False
        self._starting = 0
        self.failed = False
        self._fill()

    @property
    def ready(self) -> int:
        """How many there are, busy ones too."""
        return len(self._all)

    @property
    def free(self) -> int:
        """How many wait for an invocation."""
        return len(self._idle)

    def take(self) -> ExecutionEnvironment | None:
        """A free one, None where there is none; whoever takes it gives it back."""
        while self._idle:
            environment = self._idle.pop()
            if environment.alive:
                return environment
            self._replace(environment)
        return None

    def give(self, environment: ExecutionEnvironment) -> None:
        """It is free again, or at its end."""
        if environment not in self._all or not environment.alive or self._closed:
            self._replace(environment)
        else:
            self._idle.append(environment)

    def renew(self) -> None:
        """Let none of them be used again; busy ones end their work first."""
        idle, self._idle = self._idle, []
        self._all.clear()
        for environment in idle:
            self._stop(environment)
        self._fill()

    async def close(self) -> None:
        """Stop every one that is free; busy ones end with their work."""
        self._closed = True
        idle, self._idle = self._idle, []
        self._all.clear()
        for environment in idle:
            await environment.stop()

    def _fill(self) -> None:
        while not self._closed and len(self._all) + self._starting < self._count:
            self._starting += 1
            self._group.create_task(self._start())

    async def _start(self) -> None:
        try:
            async with self._starts:
                if self._closed:
                    return
                environment = self._launch()
                failed = self.failed = await _initialise(environment)
        finally:
            self._starting -= 1
        if self._closed or failed or len(self._all) >= self._count:
            self._stop(environment)  # one that fails is not tried again: calls are served on demand, and show the error
            return
        self._all.add(environment)
        self._idle.append(environment)

    def _replace(self, environment: ExecutionEnvironment) -> None:
        self._all.discard(environment)
        self._stop(environment)
        self._fill()

    def _stop(self, environment: ExecutionEnvironment) -> None:
        self._group.create_task(environment.stop())


async def _initialise(environment: ExecutionEnvironment) -> bool:
    """Whether its init phase failed."""
    try:
        return await environment.initialise()
    except Exception:  # noqa: BLE001 - the edge: the status says that it failed
        _LOG.exception("lambda.provisioning_failed")
        return True
