"""Functions whose code changed are started anew, and what was built of changed sources is built again.

A function that runs from the folder that is edited needs new environments and nothing else. One that runs from what was
built (requirements, a layer with a build method, `.aws-sam/build`) has its build done again, in a worker thread, and
then runs from that. What runs meanwhile ends well. Code that cannot be built again is told, and the old one stays.
Knows folders, builds and functions; no template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from localcloud.compute.dependencies import FunctionCode, Made
from localcloud.compute.folder_watch import FolderWatch
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.installer import Progress
from sluiceway.errors import Misconfigured

__all__ = ["Reloader"]

MAX_NAMES: Final = 3


class Reloader:
    """Reloads until `close`. `without`: folders in which the local cloud itself writes. One event loop."""

    def __init__(
        self,
        functions: Functions,
        *,
        group: asyncio.TaskGroup,
        say: Progress,
        without: Iterable[Path] = (),
        polls: bool = False,
    ) -> None:
        self._functions = functions
        self._group = group
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._made: dict[str, Made] = {}
        self._watch = FolderWatch(self._start, without=tuple(path.resolve() for path in without), polls=polls)
        self._turn = asyncio.Lock()
        self._closed = False

    def note(self, made: Made) -> None:
        """Something was built for the stack; from any thread."""
        self._loop.call_soon_threadsafe(self._note, made)

    def close(self) -> None:
        """Reload nothing more."""
        self._closed = True
        self._watch.close()

    def _note(self, made: Made) -> None:
        is_new = not any(known.source == made.source for known in self._made.values())
        self._made[made.what] = made
        if is_new and not self._closed and not self._watch.add(made.source):
            self._say(f"{made.source} has too many folders to watch: changes in it are not reloaded")

    def _start(self, paths: frozenset[Path]) -> None:
        if not self._closed:
            self._group.create_task(self._reload(paths))

    async def _reload(self, paths: frozenset[Path]) -> None:
        async with self._turn:
            reloaded: dict[str, None] = {}
            for made in tuple(self._made.values()):
                if any(path.is_relative_to(made.source) for path in paths):
                    try:
                        code = await asyncio.to_thread(made.again)
                    except (Misconfigured, OSError) as error:
                        self._say(f"{made.what} is not reloaded: {error}")
                        continue
                    reloaded |= dict.fromkeys(self._use(made, code))
            if reloaded:
                there = [path for path in sorted(paths) if path.exists()]  # not what editors put beside and took away
                self._say(f"Reloaded {_join(reloaded)} ({_join(path.name for path in there or sorted(paths))})")

    def _use(self, made: Made, code: FunctionCode) -> list[str]:
        """Let functions that ran from what was made before run from what is made now. Gives their names."""
        self._made[made.what] = replace(made, code=code)
        users: list[str] = []
        for spec in self._functions.list():
            changed = _with(spec, made.code, code)
            if changed is None:
                continue
            users.append(spec.logical_id or spec.name)
            self._functions.add(replace(changed, code_sha256="", code_size=0))  # measured when somebody asks
        return users


def _with(spec: FunctionSpec, old: FunctionCode, new: FunctionCode) -> FunctionSpec | None:
    """A function with its code or layer replaced; None where it uses neither."""
    if old.is_layer:
        if old.task_root not in spec.layer_dirs:
            return None
        layers = tuple(new.task_root if folder == old.task_root else folder for folder in spec.layer_dirs)
        return replace(spec, layer_dirs=layers)
    if spec.code_dir != old.task_root:
        return None
    return replace(spec, code_dir=new.task_root, dependency_dirs=new.dependency_dirs)


def _join(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    rest = len(listed) - MAX_NAMES
    return ", ".join(listed[:MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")
