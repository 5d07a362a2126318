"""The local cloud in this process: started, told to whoever reads, and stopped cleanly by a signal."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import webbrowser
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localcloud.clock import SystemClock
from localcloud.cloud import LedgerRefused, PortTaken, RunningCloud
from localcloud.lasting import open_lasting_cloud
from localcloud.options import CloudOptions
from localcloud.regions.processes import GO_DARK, RegionFailed
from localcloud.state import RunningState, remove_state, write_state
from localcloud.template.errors import TemplateError
from localcloud.template.ledger import Ledger
from sluiceway.errors import Misconfigured

if TYPE_CHECKING:
    from localcloud.regions.host import HostOptions

__all__ = ["Ended", "serve"]

REFUSED: Final = 3
COLLECTING: Final = (700, 10, 10)  # as Python has it; `up` has the collector wait longer while it starts


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code, and why it could not start; "" after a clean stop."""

    code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Started:
    """What runs. `go_dark` kills what the cloud has started; None where no other process may ask for that."""

    state: RunningState
    ledger: Ledger | None = None
    go_dark: Callable[[], None] | None = None


def serve(settings: CloudOptions | HostOptions, ready: int, *, opens: bool) -> Ended:
    """Run the local cloud until a signal ends it. `ready`: a descriptor to close once it answers, -1 for none."""
    with asyncio.Runner() as runner:
        return runner.run(_serve(settings, ready, opens=opens))


async def _serve(settings: CloudOptions | HostOptions, ready: int, *, opens: bool) -> Ended:
    stop = _Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    try:
        return await _serve_until(stop, settings, ready, opens=opens)
    except asyncio.CancelledError:
        return Ended(1, "stopped before it was ready")


class _Stop:
    """What a signal asks for: the end of what serves, and of a start that may wait an hour for a custom resource."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.starting = asyncio.current_task()

    def ask(self) -> None:
        """End; what was made of a stack that is not whole is deleted, unless this is asked again."""
        self.asked.set()
        if self.starting is not None:
            self.starting.cancel()


async def _serve_until(stop: _Stop, settings: CloudOptions | HostOptions, ready: int, *, opens: bool) -> Ended:
    folder = settings.state if isinstance(settings, CloudOptions) else settings.cloud.state
    ended = Ended(0)
    try:
        async with _open(settings, folder) as started:
            stop.starting = None
            await _tell(started, ready, opens=opens)
            await stop.asked.wait()
            sys.stderr.write("stopping\n")
    except* LedgerRefused as group:
        ended = _refuse(group)
    except* RegionFailed as group:
        ended = Ended(max(_leaf.code for _leaf in _leaves(group) if isinstance(_leaf, RegionFailed)), _sentence(group))
    except* PortTaken as group:
        ended = Ended(1, f"{_sentence(group)}; choose other ports with --port N, or --port 0 for free ones")
    except* (TemplateError, Misconfigured, ValueError, OSError) as group:
        ended = Ended(1, _sentence(group))
    finally:
        remove_state(folder)
    return ended


async def _tell(started: _Started, ready: int, *, opens: bool) -> None:
    if started.go_dark is not None:
        asyncio.get_running_loop().add_signal_handler(GO_DARK, _go_dark, started.go_dark)
    _say(started, ends="`sluiceway down` stops" if ready >= 0 else "Ctrl-C or `sluiceway down` stops")
    gc.freeze()  # what a start has made stays to the end: the collector need not walk it under load
    gc.set_threshold(*COLLECTING)
    if ready >= 0:
        os.close(ready)
    if opens and "console" in started.state.endpoints:
        await asyncio.to_thread(_open_browser, started.state.endpoints["console"])


@asynccontextmanager
async def _open(settings: CloudOptions | HostOptions, folder: Path) -> AsyncGenerator[_Started]:
    """What serves; its state is in `folder`, and that of each cloud that takes its place by a reset."""
    rng = random.Random()  # noqa: S311 - ids and jitter, not secrets; keys come from the secrets module

    def tell(cloud: RunningCloud) -> None:
        gc.unfreeze()  # the cloud before it, where there was one, may be collected
        write_state(folder, cloud.state)

    if isinstance(settings, CloudOptions):
        async with open_lasting_cloud(settings, clock=SystemClock(), rng=rng, opened=tell) as lasting:
            cloud = lasting.cloud
            yield _Started(cloud.state, cloud.ledger, cloud.compute.reaper.kill if settings.joins else None)
        return
    from localcloud.regions.host import open_host  # noqa: PLC0415 - one cloud alone needs none

    async with open_host(settings, clock=SystemClock(), rng=rng) as host:
        write_state(folder, host.state)
        yield _Started(host.state)


def _go_dark(kill: Callable[[], None]) -> None:
    """As when a Region is lost: what ran is dead, and this process stands still until somebody lets it go on."""
    kill()
    os.kill(os.getpid(), signal.SIGSTOP)


def _sentence(group: BaseExceptionGroup[Exception]) -> str:
    return "; ".join(_said(error) for error in _leaves(group))


def _said(error: BaseException) -> str:
    """The system's own errors without their number: `replies.json: No such file or directory`."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _refuse(group: BaseExceptionGroup[LedgerRefused]) -> Ended:
    names: dict[str, None] = {}
    for error in _leaves(group):
        if isinstance(error, LedgerRefused):
            sys.stderr.writelines(f"{line}\n" for line in error.ledger.refused)
            names |= dict.fromkeys(line.name() for line in error.ledger.refused)
    words = " ".join(f"--allow {name}" for name in names)
    return Ended(REFUSED, f"the template asks for what is not served here; to start without it, add\n  {words}")


def _say(started: _Started, *, ends: str) -> None:
    state = started.state
    known = state.known
    width = max(map(len, known))
    if started.ledger is not None:
        sys.stdout.write(started.ledger.text() + "\n\n")
    sys.stdout.writelines(f"  {name:<{width}}  {value}\n" for name, value in known.items())
    token = "`sluiceway token` gives a bearer token, " if state.audience else ""
    if "console" in state.endpoints:
        sys.stdout.write(f"\n  Console: {state.endpoints['console']}\n")
    sys.stdout.write(f"\nready; {token}{ends}\n")
    sys.stdout.flush()


def _open_browser(address: str) -> None:
    """Open the console where there is a browser with a window; one in the terminal would take this command's."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        browser = None
    if browser is None or type(browser) is webbrowser.GenericBrowser or not browser.open(address):
        sys.stderr.write(f"sluiceway: there is no browser to open here; the console is at {address}\n")
