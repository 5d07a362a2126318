"""The managed runtime of a function here: an interpreter that sees nothing of its machine, and the runtime folder.

A runtime is a folder in the cache: `bin/python3.x` behind a `pyvenv.cfg`, so that neither the developer's environment
nor the base interpreter's own packages are visible; and `runtime/`, Lambda's /var/runtime: the official client, the AWS
SDK that the managed runtime carries, and `bootstrap.py`. Slow things run in a worker thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcloud.compute.installer import Progress, install, make_once
from localcloud.compute.interpreters import Interpreter, InterpreterChoice, find_interpreter

__all__ = ["ManagedRuntime", "Runtimes"]

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
BOOTSTRAP: Final = Path(__file__).with_name("bootstrap.py")


@dataclass(frozen=True, slots=True)
class ManagedRuntime:
    """`python` runs functions, `runtime_dir` holds the client; `difference` from Lambda's runtime, "" where none."""

    python: Path
    runtime_dir: Path
    interpreter: Interpreter
    difference: str = ""


class Runtimes:
    """Finds, builds and remembers the runtimes of one local cloud. `environ` is the developer's environment."""

    def __init__(self, *, cache_dir: Path, environ: Mapping[str, str], progress: Progress | None = None) -> None:
        self._cache_dir = cache_dir
        self._environ = environ
        self._progress = progress or _say_nothing
        self._choices: dict[str, InterpreterChoice] = {}
        self._known: dict[str, ManagedRuntime] = {}
        self._lock = asyncio.Lock()

    def choose(self, runtime: str) -> InterpreterChoice:
        """The interpreter for a runtime, nothing installed. Blocking (a process or two) the first time.

        Raises Misconfigured where there is none.
        """
        if runtime not in self._choices:
            self._choices[runtime] = find_interpreter(runtime, environ=self._environ)
        return self._choices[runtime]

    async def get(self, runtime: str) -> ManagedRuntime:
        """The runtime named `python3.x`. The first time on a machine it is installed.

        Raises Misconfigured where the runtime is not Python's, or cannot be installed.
        """
        found = self._known.get(runtime)
        if found is None:
            async with self._lock:
                found = self._known.get(runtime) or await asyncio.to_thread(self._make, runtime)
                self._known[runtime] = found
        return found

    def _make(self, runtime: str) -> ManagedRuntime:
        choice = self.choose(runtime)
        interpreter = choice.interpreter
        name = f"{interpreter.name}-{interpreter.platform}-{_digest(interpreter)}"
        folder = make_once(self._cache_dir / "runtimes" / name, lambda target: self._install(interpreter, target))
        _place_bootstrap(folder / "runtime")
        return ManagedRuntime(folder / "bin" / interpreter.name, folder / "runtime", interpreter, choice.difference)

    def _install(self, interpreter: Interpreter, target: Path) -> None:
        self._progress(f"Installing the Lambda runtime for {interpreter.name} (once)")
        (target / "bin").mkdir()
        for name in (interpreter.name, "python3", "python"):
            (target / "bin" / name).symlink_to(interpreter.executable)
        version = ".".join(map(str, interpreter.version))
        (target / "pyvenv.cfg").write_text(
            f"home = {interpreter.executable.parent}\ninclude-system-site-packages = false\nversion = {version}\n",
            encoding="utf-8",
        )
        install(REQUIREMENTS, target / "runtime", interpreter=interpreter, environ=self._environ)
        shutil.rmtree(target / "runtime" / "bin", ignore_errors=True)


def _say_nothing(sentence: str) -> None:
    del sentence


def _place_bootstrap(runtime_dir: Path) -> None:
    """Put this version's bootstrap there, in one step: another local cloud may be starting functions from it."""
    target = runtime_dir / BOOTSTRAP.name
    content = BOOTSTRAP.read_bytes()
    if not target.exists() or target.read_bytes() != content:
        draft = target.with_suffix(f".{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(target)


def _digest(interpreter: Interpreter) -> str:
    content = REQUIREMENTS.read_bytes() + str(interpreter).encode()
    return hashlib.sha256(content).hexdigest()[:12]
