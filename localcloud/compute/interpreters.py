"""Which Python interpreter runs a function: the one its runtime names where it is present, else the nearest.

Present means that it runs and says its version: a version manager's shim may exist and refuse. Knows no Lambda beyond
the runtime's name.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["Interpreter", "InterpreterChoice", "find_interpreter"]

NEWEST_MINOR: Final = 15
OLDEST_MINOR: Final = 9  # the official runtime client's own floor
PROBE_TIMEOUT_S: Final = 10
_PROBE: Final = (
    "import json, sys, sysconfig; print(json.dumps([getattr(sys, '_base_executable', sys.executable), "
    "list(sys.version_info[:3]), sysconfig.get_platform()]))"
)
_RUNTIME: Final = re.compile(r"python3\.(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that ran: its own executable (never a virtual environment's), version and platform tag."""

    executable: Path
    version: tuple[int, int, int]
    platform: str

    @property
    def name(self) -> str:
        """`python3.13`."""
        return f"python3.{self.version[1]}"


@dataclass(frozen=True, slots=True)
class InterpreterChoice:
    """The interpreter for a runtime; `difference` says what differs from the runtime's, "" where nothing does."""

    interpreter: Interpreter
    difference: str = ""


def find_interpreter(runtime: str, *, environ: Mapping[str, str]) -> InterpreterChoice:
    """The interpreter for a Lambda runtime (`python3.13`), searched as `environ` (the developer's) says.

    Raises Misconfigured for a runtime that is not Python, and where no interpreter is found at all.
    """
    named = _RUNTIME.fullmatch(runtime)
    if named is None:
        raise Misconfigured(f"runtime {runtime!r} is not served here: only python3.x is", what="Runtime")
    wanted = int(named[1])
    for minor in sorted(range(OLDEST_MINOR, NEWEST_MINOR + 1), key=lambda other: (abs(other - wanted), -other)):
        found = _present(minor, environ)
        if found is None:
            continue
        if minor == wanted:
            return InterpreterChoice(found)
        version = ".".join(map(str, found.version))
        return InterpreterChoice(found, f"{runtime} is not on this machine; functions run on Python {version}")
    raise Misconfigured(f"no Python interpreter found for {runtime}", what="Runtime")


def _present(minor: int, environ: Mapping[str, str]) -> Interpreter | None:
    seen: set[Path] = set()
    for candidate in _candidates(minor, environ):
        if candidate in seen or not candidate.exists():
            continue
        seen.add(candidate)
        found = _probe(candidate)
        if found is not None and found.version[1] == minor:
            return found
    return None


def _candidates(minor: int, environ: Mapping[str, str]) -> Iterator[Path]:
    name = f"python3.{minor}"
    if sys.version_info[1] == minor:
        yield Path(sys.executable)
    for folder in environ.get("PATH", "").split(":"):
        if folder:
            yield Path(folder) / name
    home = Path(environ.get("HOME") or "/nonexistent")
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local" / "share" / "uv" / "python")
    yield from sorted((pyenv / "versions").glob(f"3.{minor}.*/bin/{name}"), reverse=True)
    yield from sorted(uv.glob(f"cpython-3.{minor}.*/bin/{name}"), reverse=True)


def _probe(executable: Path) -> Interpreter | None:
    try:
        ran = subprocess.run(  # noqa: S603 - an interpreter that this machine's PATH offers
            [executable, "-I", "-S", "-c", _PROBE], capture_output=True, timeout=PROBE_TIMEOUT_S, check=True, text=True
        )
        base, version, platform = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(Path(base).resolve(), (version[0], version[1], version[2]), platform)
