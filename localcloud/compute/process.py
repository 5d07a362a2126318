"""One runtime process: its command, its process group, its log pipes, its Runtime API listener, its limits, its end.

Knows nothing of invocations but that one begins and ends. Nothing outlives `close()`: the whole group is killed, and
what left it by the address of its Runtime API, which no other process has among its variables.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from localcloud.compute.freezing import Freezer, Unfinished
from localcloud.compute.function import FunctionSpec
from localcloud.compute.log_pipe import LogPipe, split_frames, split_lines
from localcloud.compute.memory import MemoryWatch
from localcloud.compute.process_tree import find_marked
from localcloud.compute.reaper import Reaper, kill_group
from localcloud.compute.runtime_api import RuntimeApi
from localcloud.compute.runtime_server import RuntimeServer
from localcloud.compute.runtimes import ManagedRuntime
from localcloud.compute.variables import Sandbox, build_variables, import_path

__all__ = ["Guard", "Interpose", "Interposed", "RuntimeProcess", "describe_exit", "runtime_command"]

# How the emulator (Go) words signals; others are numbered.
_SIGNALS: Final = {
    signal.SIGABRT: "aborted", signal.SIGBUS: "bus error", signal.SIGFPE: "floating point exception",
    signal.SIGHUP: "hangup", signal.SIGILL: "illegal instruction", signal.SIGINT: "interrupt",
    signal.SIGKILL: "killed", signal.SIGPIPE: "broken pipe", signal.SIGQUIT: "quit",
    signal.SIGSEGV: "segmentation fault", signal.SIGTERM: "terminated",
}  # fmt: skip


_ROUNDS: Final = 5  # one may start another while it is looked for
_LINES: Final = 0  # the first pipe has lines, the second frames


class Interposed(Protocol):
    """What stands before a process's Runtime API, and ends with it."""

    address: str

    def close(self) -> None:
        """End it. Safe to repeat."""
        ...

    async def wait_closed(self) -> None:
        """After `close()`: wait until it is gone."""
        ...


Interpose: TypeAlias = Callable[[str, str, Callable[[], None]], Awaitable[Interposed | None]]
"""What to put before the Runtime API of a function's new process, given its name, the API's `host:port`, and a way to
kill the process; None for nothing."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What holds a process to Lambda's rules: whom to tell of work that a freeze cut off, None where nothing is frozen;
    and whether memory is limited.
    """

    on_unfinished: Callable[[Unfinished], None] | None = None
    limits_memory: bool = True


class RuntimeProcess:
    """A process that runs, from `start()` until `close()`; then `exited` holds its return code (negative: a signal)."""

    def __init__(self, on_message: Callable[[str], None], *, reaper: Reaper, guard: Guard | None = None) -> None:
        self.api = RuntimeApi()
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._server = RuntimeServer(self.api)
        self._on_message = on_message
        self._reaper = reaper
        self._pipes: list[LogPipe] = []
        self._before: Interposed | None = None
        self._guard = guard or Guard()
        self._freezer: Freezer | None = None
        self._memory: MemoryWatch | None = None
        self._pid = 0
        self._mark = ""
        self._started = False
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether there ever was a process: then `exited` will resolve."""
        return self._started

    async def listen(self, function: str = "", interpose: Interpose | None = None) -> str:
        """Open the Runtime API; the answer is its `host:port`, or that of what `interpose` puts before it."""
        address = await self._server.open()
        if interpose is not None:
            self._before = await interpose(function, address, self.kill)
            address = address if self._before is None else self._before.address
        if self._closed:
            self.close()
        return address

    async def start(
        self, spec: FunctionSpec, runtime: ManagedRuntime, sandbox: Sandbox, *, group: asyncio.TaskGroup
    ) -> None:
        """Start the process; `group` owns the watch over it.

        Raises OSError where it cannot be started (the handler's folder is gone, a wrapper is not executable).
        """
        lines, frames = LogPipe(split_lines, self._on_message), LogPipe(split_frames, self._on_message)
        self._pipes = [lines, frames]
        variables = build_variables(spec, runtime, sandbox)
        variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(frames.write_fd)
        process = await asyncio.create_subprocess_exec(
            *runtime_command(spec, runtime, variables.get("AWS_LAMBDA_EXEC_WRAPPER", "")),
            cwd=spec.code_dir,
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=lines.write_fd,
            stderr=lines.write_fd,
            pass_fds=(frames.write_fd,),
            start_new_session=True,
        )
        self._pid, self._started = process.pid, True
        self._mark = f"AWS_LAMBDA_RUNTIME_API={sandbox.runtime_api}"
        self._reaper.add(process.pid, self._mark)
        for pipe in self._pipes:
            pipe.close_write()
        self._watch_over(process.pid, spec)
        group.create_task(self._watch(process))
        if self._closed:  # meanwhile
            self.close()

    def _watch_over(self, pid: int, spec: FunctionSpec) -> None:
        self._memory = MemoryWatch(pid, spec.memory_mb if self._guard.limits_memory else None, self.kill)
        self._memory.resume()
        if self._guard.on_unfinished is not None:
            self._freezer = Freezer(pid, self._guard.on_unfinished)
        self.api.on_idle = self._rest

    def _rest(self) -> None:
        if self._memory is not None:
            self._memory.pause()
        if self._freezer is not None:
            self._freezer.rest()

    def wake(self) -> None:
        """An event is about to be offered: let the process run, and watch its memory."""
        if self._freezer is not None:
            self._freezer.thaw()
        if self._memory is not None:
            self._memory.resume()

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still until `wake`."""
        return self._freezer is not None and self._freezer.frozen

    @property
    def out_of_memory(self) -> bool:
        """Whether it was killed for having more memory than its function."""
        return self._memory is not None and self._memory.exceeded

    def settle_memory(self) -> bool:
        """An invocation has ended: whether it had too much memory. Then the process is killed, if it was not before."""
        return self._memory is not None and bool(self._pid) and self._memory.settle()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._stop_guarding()
        kill_group(process.pid)  # its children, if it left any
        await asyncio.to_thread(_kill_marked, self._mark)  # and those that have left its group
        self._reaper.remove(process.pid)
        self._pid = 0
        self.drain()
        if not self.exited.done():
            self.exited.set_result(code)
        self.close()
        await self._wait_closed()

    def kill(self) -> None:
        """Kill the process with its children, as a crash does: `exited` tells. Safe to repeat."""
        if self._pid:
            kill_group(self._pid)

    def drain(self) -> None:
        """Read all that the function has written to its log until now; an unfinished line ends here."""
        for index, pipe in enumerate(self._pipes):
            if index == _LINES:
                pipe.flush()
            else:
                pipe.drain()

    def max_memory_mb(self) -> int:
        """The most memory that the process and its children have had, 0 where this system does not tell."""
        return self._memory.peak_mb if self._memory is not None else 0

    def _stop_guarding(self) -> None:
        self.api.on_idle = None
        if self._freezer is not None:
            self._freezer.close()
        if self._memory is not None:
            self._memory.pause()

    def close(self) -> None:
        """Kill the process with its children and free everything; `wait_closed` says when. Safe to repeat."""
        self._closed = True
        self._stop_guarding()
        self.kill()
        if self._before is not None:
            self._before.close()
        self._server.close()
        self.drain()
        for pipe in self._pipes:
            pipe.close()

    async def wait_closed(self) -> None:
        """After `close()`: wait until the process, if there was one, is gone, and its connections are."""
        if self._started:
            await self.exited
        await self._wait_closed()

    async def _wait_closed(self) -> None:
        if self._before is not None:
            await self._before.wait_closed()
        await self._server.wait_closed()


def _kill_marked(mark: str) -> None:
    for _ in range(_ROUNDS):
        found = find_marked(mark)
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def runtime_command(spec: FunctionSpec, runtime: ManagedRuntime, wrapper: str) -> list[str]:
    """The process's command line; a wrapper gets it as its arguments, as Lambda gives it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
    """
    path = os.pathsep.join(map(str, import_path(spec, runtime)))
    command = [str(runtime.python), "-B", str(runtime.runtime_dir / "bootstrap.py"), path]
    return [_in_layers(spec, wrapper), *command] if wrapper else command


def _in_layers(spec: FunctionSpec, wrapper: str) -> str:
    """A path under /opt or /var/task, where it lies on this machine; a later layer hides an earlier."""
    if wrapper.startswith("/var/task/"):
        return str(spec.code_dir / wrapper.removeprefix("/var/task/"))
    if wrapper.startswith("/opt/"):
        inner = wrapper.removeprefix("/opt/")
        return str(next((root / inner for root in reversed(spec.layer_dirs) if (root / inner).exists()), wrapper))
    return wrapper


def describe_exit(code: int) -> str:
    """How Lambda words the end of a runtime process that nobody asked to end."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    with suppress(ValueError):
        return f"Runtime exited with error: signal: {_SIGNALS.get(signal.Signals(-code), f'signal {-code}')}"
    return f"Runtime exited with error: signal: signal {-code}"
