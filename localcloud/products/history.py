"""Earlier versions of a product's schema, as git has them: what a change is held against.

Asks git for one folder; whatever is not in its history was never a version. Knows nothing of compatibility.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from localcloud.products.descriptor import DESCRIPTOR, ProductError, parse_product

__all__ = ["Earlier", "find_earlier"]

MAX_COMMITS: Final = 200  # of one product: the latest
TIMEOUT_S: Final = 30


class Earlier(NamedTuple):
    """Schemas that were committed, the earliest first, each with its format; `note`: why there may have been more."""

    versions: list[tuple[str, str]]
    note: str = ""


def find_earlier(root: Path, name: str) -> Earlier:
    """The schemas of product `name` in the history of the repository of `root`; the one that is committed last, too."""
    git = shutil.which("git")
    if git is None:
        return Earlier([], "there is no git here: nothing to compare with")
    if _ask(git, root, "rev-parse", "--is-inside-work-tree") != "true\n":
        return Earlier([], "this is no git repository: nothing to compare with")
    folder = f"products/{name}"
    commits = (_ask(git, root, "log", f"--max-count={MAX_COMMITS}", "--format=%H", "--", folder) or "").split()
    found: list[tuple[str, str]] = []
    for commit in reversed(commits):
        version = _read_version(git, root, commit, name=name)
        if version is not None and version not in found[-1:]:
            found.append(version)
    is_shallow = _ask(git, root, "rev-parse", "--is-shallow-repository") == "true\n"
    return Earlier(found, "git's history is cut off here: earlier versions are not compared" if is_shallow else "")


def _read_version(git: str, root: Path, commit: str, *, name: str) -> tuple[str, str] | None:
    """Format and text of the schema in a commit, None where there was no whole product."""
    descriptor = _ask(git, root, "show", f"{commit}:./products/{name}/{DESCRIPTOR}")
    if descriptor is None:
        return None
    try:
        product = parse_product(descriptor, name=name)
    except ProductError:
        return None
    text = _ask(git, root, "show", f"{commit}:./products/{name}/{product.schema}")
    return None if text is None else (product.data_format, text)


def _ask(git: str, root: Path, *words: str) -> str | None:
    """What git prints, None where it fails."""
    command = [git, "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - no shell
        return done.stdout.decode() if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
