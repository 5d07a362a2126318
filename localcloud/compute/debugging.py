"""A debugger for all functions: one port for an editor to attach to, whatever functions run, start and end.

debugpy can serve several processes to one editor as long as they are children of one that it debugs already. That one
is `debug_anchor`, a process that does nothing; each environment connects to its adapter as a child of it
(`debug_site`), and the editor follows by itself. debugpy is the developer's own, never this package's.
While an editor is attached no time runs out. Where functions are debugged, memory is not limited and nothing is frozen:
debugpy needs some 30 MB, and answers the editor between invocations.
Source: https://github.com/microsoft/debugpy/wiki/Debug-configuration-settings
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from localcloud.compute.reaper import Reaper, kill_group
from sluiceway.errors import Misconfigured

__all__ = ["Debugger", "open_debugger"]

START_TIMEOUT_S: Final = 30.0
_HERE: Final = Path(__file__).parent
_VARIABLE: Final = "_SLUICEWAY_DEBUGGER"
_MISSING: Final = "--debugger needs debugpy beside sluiceway: pip install debugpy"


class Debugger:
    """Where functions connect to, and whether an editor is attached. Lives as long as `open_debugger`'s block."""

    def __init__(self, where: str, folder: Path) -> None:
        self._where = where
        self._folder = folder
        self._detached: asyncio.Future[None] | None = None

    @property
    def attached(self) -> bool:
        """Whether an editor is attached now."""
        return self._detached is not None

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a function's process that is to be debugged."""
        path = os.pathsep.join(filter(None, (str(self._folder), variables.get("PYTHONPATH", ""))))
        quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else it warns of frozen modules in the function's log
        return {**quiet, **variables, "PYTHONPATH": path, _VARIABLE: self._where}

    async def wait_detached(self, futures: Collection[asyncio.Future[Any]]) -> None:
        """Wait until no editor is attached, or one of the futures is done."""
        if self._detached is not None:
            await asyncio.wait({self._detached, *futures}, return_when=asyncio.FIRST_COMPLETED)

    def note(self, *, attached: bool) -> None:
        """An editor has come or gone."""
        if attached and self._detached is None:
            self._detached = asyncio.get_running_loop().create_future()
        elif not attached and self._detached is not None:
            self._detached.set_result(None)
            self._detached = None


@asynccontextmanager
async def open_debugger(port: int, *, reaper: Reaper, group: asyncio.TaskGroup) -> AsyncGenerator[Debugger]:
    """A debugger on 127.0.0.1:`port` for the length of the block.

    Raises Misconfigured where debugpy is missing or too old, and where the port is taken.
    """
    folder = _make_folder(reaper.scratch())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-Xfrozen_modules=off", str(folder / "anchor.py"), str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    reaper.add(process.pid)
    groups, output = [process.pid], process.stdout
    try:
        if output is None:
            raise Misconfigured("the debugger did not start", what="--debugger")
        async with asyncio.timeout(START_TIMEOUT_S):
            told = _read(await output.readline())
        if "port" not in told:
            raise Misconfigured(f"the debugger did not start: {told.get('error', 'it ended')}", what="--debugger")
        groups.append(int(told["adapter"]))
        reaper.add(groups[-1])
        debugger = Debugger(f"{told['host']} {told['port']} {told['pid']}", folder)
        following = group.create_task(_follow(output, debugger))
        yield debugger
        following.cancel()
    finally:
        for each in groups:
            kill_group(each)
            reaper.remove(each)
        await process.wait()


async def _follow(output: asyncio.StreamReader, debugger: Debugger) -> None:
    while line := await output.readline():
        debugger.note(attached=bool(_read(line).get("attached")))
    debugger.note(attached=False)


def _make_folder(scratch: Path) -> Path:
    """A folder with debugpy and what connects to it, for the functions' import path. Raises Misconfigured."""
    found = find_spec("debugpy")
    if found is None or not found.submodule_search_locations:
        raise Misconfigured(_MISSING, what="--debugger")
    package = Path(next(iter(found.submodule_search_locations)))
    if "parent_session_pid" not in _text(package / "public_api.py"):
        raise Misconfigured("--debugger needs a newer debugpy: pip install --upgrade debugpy", what="--debugger")
    folder = scratch / "debugger"
    folder.mkdir(exist_ok=True)
    if not (folder / "debugpy").is_symlink():  # of a debugger before this one
        (folder / "debugpy").symlink_to(package)
    (folder / "anchor.py").write_bytes((_HERE / "debug_anchor.py").read_bytes())  # beside no module of ours
    (folder / "sitecustomize.py").write_bytes((_HERE / "debug_site.py").read_bytes())
    return folder


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
