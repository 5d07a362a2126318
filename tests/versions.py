"""Run the unit and flow tests on every supported Python that this machine has, beside the one of `make test`.

Each version gets an environment of its own, `.venv-<version>`, from the same pins. A version that is not here is said.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]

from localcloud.compute.interpreters import find_interpreter  # noqa: E402 - found through the line above

VERSIONS: Final = ("python3.11", "python3.12", "python3.13")
PIP: Final = ("-m", "pip", "--disable-pip-version-check", "-qq", "install")


def prepare(name: str, executable: Path) -> Path:
    """The environment's interpreter; the environment is made, or made anew where the pins have changed."""
    folder = ROOT / f".venv-{name.removeprefix('python')}"
    python, stamp, pins = folder / "bin" / "python", folder / "test.stamp", ROOT / "requirements" / "test.txt"
    if not stamp.exists() or stamp.stat().st_mtime < pins.stat().st_mtime:
        sys.stdout.write(f"{name}: making {folder.name}\n")
        sys.stdout.flush()
        subprocess.run([executable, "-m", "venv", folder], check=True)
        subprocess.run([python, *PIP, "--require-hashes", "--only-binary=:all:", "-r", pins], check=True)
        subprocess.run([python, *PIP, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)
        stamp.touch()
    return python


def main() -> int:
    """0 when every version that is here passes."""
    worst = 0
    for name in VERSIONS:
        if name == f"python3.{sys.version_info[1]}":
            continue  # the one that `make test` runs on
        choice = find_interpreter(name, environ=os.environ)
        if choice.difference:
            sys.stdout.write(f"{name}: not on this machine, not tested\n")
            continue
        python = prepare(name, choice.interpreter.executable)
        sys.stdout.write(f"{name}: tests/unit tests/flow\n")
        sys.stdout.flush()
        tests = subprocess.run([python, "-m", "pytest", "-q", "tests/unit", "tests/flow"], cwd=ROOT, check=False)
        worst = worst or tests.returncode
    return worst


if __name__ == "__main__":
    sys.exit(main())
