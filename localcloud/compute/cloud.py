"""Puts Lambda together: runtimes, environments, the registry, and their end. The one place that knows all the parts."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from localcloud.clock import Clock
from localcloud.compute.debugging import Debugger, open_debugger
from localcloud.compute.environment import Environment, Host
from localcloud.compute.functions import Functions
from localcloud.compute.installer import Progress
from localcloud.compute.process import Interpose
from localcloud.compute.reaper import Reaper
from localcloud.compute.reload import Reloader
from localcloud.compute.runtimes import Runtimes
from localcloud.compute.variables import CredentialsSource
from localcloud.services.logs.model import Logs
from localcloud.traces.recorder import Recorder

__all__ = ["Compute", "ComputeSettings", "open_compute"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSettings:
    """`cache_dir` keeps runtimes and dependencies from run to run; `environ` is the developer's own environment.
    `runtimes` and `reaper` are those of other Lambdas of this process before and after it, None for its own.

    `endpoint_url` is asked at each start of a process, so that the port may be known late. `recorder` is told of
    invocations. `interpose`: what to put before the Runtime API of an environment that starts. `reloads`: whether code
    that is edited is run at once; the local cloud itself writes in the folders `writes`. `debugger`: the port that an
    editor attaches to, 0 for none. `roots`: a file of certificates that functions trust in place of this machine's.
    """

    cache_dir: Path
    environ: Mapping[str, str]
    endpoint_url: Callable[[], str]
    progress: Progress | None = None
    recorder: Recorder | None = None
    interpose: Interpose | None = None
    reloads: bool = False
    writes: tuple[Path, ...] = ()
    debugger: int = 0
    runtimes: Runtimes | None = None
    reaper: Reaper | None = None
    roots: Path | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """Lambda, running. `group` may own the tasks of what invokes functions (event source mappings).

    `reaper` has every process that is alive. `reloader` is told what is built, None where nothing is reloaded.
    """

    functions: Functions
    runtimes: Runtimes
    group: asyncio.TaskGroup
    reaper: Reaper
    reloader: Reloader | None = None


@asynccontextmanager
async def open_compute(
    settings: ComputeSettings, *, clock: Clock, logs: Logs, credentials: CredentialsSource, rng: random.Random
) -> AsyncGenerator[Compute]:
    """Lambda for the length of the block; every process is gone after it.

    An error raised inside the block leaves it in an ExceptionGroup, as from any task group. So does Misconfigured where
    functions cannot be debugged.
    """
    runtimes = settings.runtimes or Runtimes(
        cache_dir=settings.cache_dir, environ=settings.environ, progress=settings.progress
    )
    reaper = settings.reaper or Reaper()
    try:
        async with asyncio.TaskGroup() as group, _debug(settings, reaper, group) as debugger:
            host = Host(
                runtimes=runtimes,
                clock=clock,
                logs=logs,
                credentials=credentials,
                endpoint_url=settings.endpoint_url,
                rng=rng,
                reaper=reaper,
                group=group,
                interpose=settings.interpose,
                debugger=debugger,
                roots=settings.roots,
            )
            functions = Functions(
                lambda spec: Environment(spec, host),
                group=group,
                clock=clock,
                logs=logs,
                rng=rng,
                starts=max(2, os.cpu_count() or 1),
                recorder=settings.recorder,
            )
            reloader = _reload(settings, functions, group) if settings.reloads else None
            try:
                yield Compute(functions, runtimes, group, reaper, reloader)
            finally:
                if reloader is not None:
                    reloader.close()
                await functions.close()
    finally:
        reaper.kill() if settings.reaper is not None else reaper.close()


@asynccontextmanager
async def _debug(
    settings: ComputeSettings, reaper: Reaper, group: asyncio.TaskGroup
) -> AsyncGenerator[Debugger | None]:
    if not settings.debugger:
        yield None
        return
    async with open_debugger(settings.debugger, reaper=reaper, group=group) as debugger:
        yield debugger


def _reload(settings: ComputeSettings, functions: Functions, group: asyncio.TaskGroup) -> Reloader:
    say = settings.progress or log.info
    return Reloader(functions, group=group, say=say, without=(settings.cache_dir, *settings.writes))
