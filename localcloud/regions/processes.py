"""The cloud of one Region as a process of its own: started, made dark, lit again, ended.

A dark Region is a process that is stopped (SIGSTOP), whose functions are dead: what it kept is still there, and nobody
gets an answer. That is what the loss of a Region looks like from outside, and what it leaves behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from localcloud.compute.reaper import Reaper
from localcloud.state import READY_FD, NotRunning, RunningState, read_state

__all__ = ["GO_DARK", "RegionFailed", "RegionProcess"]

GO_DARK: Final = signal.SIGUSR1  # asks a Region's process to kill its functions and stop
STOP_S: Final = 1.0  # for that; then it is stopped from outside
END_S: Final = 30.0  # a worker may hold its last invocation; past this it is killed
_LOOK_S: Final = 0.01  # between two looks whether it is stopped
_LINES_S: Final = 0.1  # between two readings of what it says while it starts


class RegionFailed(Exception):
    """A Region's cloud could not start; the message is what it said. `code` is its exit code."""

    def __init__(self, region: str, said: str, code: int) -> None:
        super().__init__(f"{region}: {said}")
        self.code = code


class RegionProcess:
    """The process of `region`, whose state is in `folder`. `tell` is given each line that it says until it is ready."""

    def __init__(self, region: str, folder: Path, *, reaper: Reaper, tell: Callable[[str], None]) -> None:
        self.region = region
        self.folder = folder
        self.is_dark = False
        self._reaper = reaper
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._state: RunningState | None = None

    @property
    def state(self) -> RunningState:
        """What it told. Raises RuntimeError before it is ready."""
        if self._state is None:
            message = f"{self.region} is not ready"
            raise RuntimeError(message)
        return self._state

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Its addresses; none before it is ready."""
        return {} if self._state is None else self._state.endpoints

    @property
    def has_ended(self) -> bool:
        """Whether it was ready and has died since, by itself or by somebody's hand."""
        return self._state is not None and self._running() is None

    async def start(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start `sluiceway up` with `words`, and wait until it answers. Raises RegionFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        reader, writer = os.pipe()
        log = self.folder / "up.log"
        with log.open("w") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "localcloud", "--state", str(self.folder), "up", *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(writer,),
                env={**environ, READY_FD: str(writer)},
            )
        os.close(writer)
        self._reaper.add(self._process.pid)
        await self._follow(log, reader)
        try:
            state = read_state(self.folder)
        except NotRunning:
            state = None
        if state is None or state.pid != self._process.pid:
            code = await self._process.wait()
            self._reaper.remove(self._process.pid)
            raise RegionFailed(self.region, log.read_text(encoding="utf-8", errors="replace").strip(), code)
        self._state = state

    async def go_dark(self) -> None:
        """Kill its functions and stop it, as it is. Safe to repeat."""
        process = self._running()
        if self.is_dark or process is None:
            return
        self.is_dark = True
        _signal(process, GO_DARK)
        loop = asyncio.get_running_loop()
        ends = loop.time() + STOP_S
        while loop.time() < ends and not _is_stopped(process):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_S)
        if self.is_dark:  # else it was lit meanwhile, to be ended
            _signal(process, signal.SIGSTOP)

    def light(self) -> None:
        """Let it go on from where it was stopped. Safe to repeat."""
        process = self._running()
        if self.is_dark and process is not None:
            _signal(process, signal.SIGCONT)
        self.is_dark = False

    async def end(self) -> None:
        """End it, cleanly where it lets us. Safe to repeat."""
        process = self._running()
        if process is not None:
            self.light()
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._process is not None:
            self._reaper.remove(self._process.pid)

    async def wait(self) -> int:
        """The exit code of a process that ended by itself. Waits for ever where it was not started."""
        if self._process is None:
            await asyncio.Event().wait()
            raise AssertionError
        return await self._process.wait()

    def _running(self) -> asyncio.subprocess.Process | None:
        return self._process if self._process is not None and self._process.returncode is None else None

    async def _follow(self, log: Path, reader: int) -> None:
        """Pass on what it says, until the pipe is closed: it answers, or has ended."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()
        os.set_blocking(reader, False)
        loop.add_reader(reader, closed.set)
        try:
            with log.open(encoding="utf-8", errors="replace") as said:
                while not closed.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LINES_S):
                            await closed.wait()
                    for line in said.readlines() if not closed.is_set() else ():
                        self._tell(f"{self.region}  {line.strip()}")
        finally:
            loop.remove_reader(reader)
            os.close(reader)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Nothing to a process that has died, even if nobody has told us yet."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _is_stopped(process: asyncio.subprocess.Process) -> bool:
    """Whether the process is stopped, or has ended; False where the system does not tell."""
    if process.returncode is not None:
        return True
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"
