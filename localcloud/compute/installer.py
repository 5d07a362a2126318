"""Installs requirements for another interpreter, and makes folders that appear whole or not at all.

Owns the call of pip and the locking of the cache; knows no Lambda.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from localcloud.compute.interpreters import Interpreter
from localcloud.file_lock import hold_lock
from sluiceway.errors import Misconfigured

__all__ = ["Progress", "find_build_python", "install", "make_once", "run_build"]

Progress = Callable[[str], None]
"""Told one sentence when something slow begins."""

INSTALL_TIMEOUT_S: Final = 900
_TAIL_CHARS: Final = 2000


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made by `make(folder)` where it is not there yet: one maker at a time, renamed when whole."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(target.with_name(target.name + ".lock")):
        if target.exists():
            return target
        folder = Path(tempfile.mkdtemp(prefix=target.name + ".", dir=target.parent))
        try:
            make(folder)
            folder.chmod(0o755)
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target


def install(requirements: Path, into: Path, *, interpreter: Interpreter, environ: Mapping[str, str]) -> None:
    """Install `requirements` (a file) into the folder `into`, wheels for `interpreter`.

    Raises Misconfigured with the end of pip's output where it fails.
    """
    command = [
        *_pip(interpreter, environ),
        *("install", "--quiet", "--no-warn-conflicts", "--requirement", str(requirements), "--target", str(into)),
    ]
    run_build(command, cwd=requirements.parent, environ=environ, what=f"install {requirements}")


def run_build(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], what: str) -> None:
    """Run a build command to its end. Raises Misconfigured that says `what` failed, with the end of its output."""
    clean = {name: value for name, value in environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "MAKE"))}
    if "PYTHON" in environ:  # the interpreter that a recipe shall use, no setting of one
        clean["PYTHON"] = environ["PYTHON"]
    clean |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        ran = subprocess.run(  # noqa: S603 - pip, or the recipe in the user's own Makefile
            command, cwd=cwd, env=clean, capture_output=True, text=True, errors="replace", check=False,
            timeout=INSTALL_TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(f"could not {what}: {error}", what=str(cwd)) from error
    if ran.returncode:
        output = (ran.stdout + ran.stderr).strip()[-_TAIL_CHARS:]
        raise Misconfigured(f"could not {what}:\n{output}", what=str(cwd))


def find_build_python(interpreter: Interpreter) -> str:
    """The interpreter itself where it has pip, else ours: what a build recipe may call."""
    own = str(interpreter.executable)
    return own if _has_pip(own) or not _has_pip(sys.executable) else sys.executable


def _pip(interpreter: Interpreter, environ: Mapping[str, str]) -> list[str]:
    """A pip that installs for `interpreter`: its own, ours told to, or uv's."""
    own = str(interpreter.executable)
    if _has_pip(own):
        return [own, "-m", "pip"]
    if _has_pip(sys.executable):
        return [sys.executable, "-m", "pip", "--python", own]
    uv = shutil.which("uv", path=environ.get("PATH"))
    if uv is None:
        raise Misconfigured("neither pip nor uv is here to install the functions' requirements", what="pip")
    return [uv, "pip", "--python", own]


def _has_pip(executable: str) -> bool:
    probe = [executable, "-I", "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('pip') is None)"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603 - an interpreter we found
