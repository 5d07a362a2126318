"""The Runtime API proxy as a command of its own: before the runtime interface emulator, or any other Runtime API.

Where a program is named, it is run with AWS_LAMBDA_RUNTIME_API leading to the proxy, is the process that a plan kills,
and gives the exit code; without one the proxy answers until it is ended, and says where.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from localcloud.chaos.deliveries import Effects
from localcloud.chaos.faults import Kill
from localcloud.chaos.plan import ANY, Plan, PlanError
from localcloud.chaos.proxy import RuntimeProxy
from localcloud.chaos.running import Run
from localcloud.clock import SystemClock

__all__ = ["ProxySettings", "run_proxy"]

VARIABLE: Final = "AWS_LAMBDA_RUNTIME_API"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """One start. `upstream` is `host:port`; `function` what the plan calls the function; `port` 0 takes a free one."""

    upstream: str
    plan: Plan
    function: str
    port: int
    program: Sequence[str]
    environ: Mapping[str, str]


async def run_proxy(settings: ProxySettings) -> int:
    """Serve until the program ends, or a signal comes; the exit code. Raises PlanError, OSError (the port is taken)."""
    run = _open_run(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        program = _Program()
        effects = Effects(
            lambda: run.of_function(settings.function), lambda step: _say(run, step, settings.function), program.kill
        )
        proxy = RuntimeProxy(settings.upstream, effects, clock=SystemClock(), group=group)
        address = await proxy.open(settings.port)
        sys.stderr.write(f"chaos proxy: {VARIABLE}={address} leads to {settings.upstream}\n")
        try:
            code = await program.run(settings, address, stop)
        finally:
            proxy.close()
            await proxy.wait_closed()
    return code


class _Program:
    """The process of the runtime."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    def kill(self) -> None:
        """Kill it with its children."""
        self._signal(signal.SIGKILL)

    async def run(self, settings: ProxySettings, address: str, stop: asyncio.Event) -> int:
        """Start it and wait for its end; without one, wait for the signal."""
        if not settings.program:
            await stop.wait()
            return 0
        environ = {**settings.environ, VARIABLE: address}
        process = self._process = await asyncio.create_subprocess_exec(
            *settings.program, env=environ, start_new_session=True
        )
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_end_on(stop, lambda: self._signal(signal.SIGTERM)))
            try:
                code = await process.wait()
            finally:
                self.kill()
            waiting.cancel()
        return code if code >= 0 else 128 - code

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


async def _end_on(stop: asyncio.Event, end: Callable[[], None]) -> None:
    await stop.wait()
    end()


def _open_run(settings: ProxySettings) -> Run:
    for number, step in enumerate(settings.plan.steps):
        if step.kind != "function":
            raise PlanError(f"steps[{number}].fault: {step.fault.name} is not for a proxy of the Runtime API")
        if isinstance(step.fault, Kill) and not settings.program:
            raise PlanError(f"steps[{number}].fault: function.kill needs the program that it kills: after `--`")
    named = frozenset((settings.function,))
    functions = {
        number: named if {ANY, settings.function} & set(step.functions) else frozenset[str]()
        for number, step in enumerate(settings.plan.steps)
    }
    return Run(settings.plan, "", functions, asyncio.get_running_loop().time())


def _say(run: Run, step: int, function: str) -> None:
    run.tally.add(step, function)
    sys.stderr.write(f"chaos proxy: {run.plan.steps[step].fault.name} (steps[{step}])\n")
