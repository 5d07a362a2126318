"""Which files of a folder are a function's code: also those that a link leads to, as `sam build` takes them.

No pipe, no device, no link to nothing, and no link that leads back to where it came from: what copies or reads code
must come to an end. Blocking: call from a worker thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["MAX_FILES", "copy_code", "leads_back", "list_code"]

MAX_FILES: Final = 100_000  # ours: a link may lead to a whole disk
_IGNORED: Final = frozenset({"__pycache__", ".git", ".aws-sam", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def list_code(folder: Path) -> Iterator[Path]:
    """Every file of a folder in a fixed order, without what tools leave behind. Raises Misconfigured: too many."""
    ignore = _ignoring(folder)
    count = 0
    for root, folders, names in os.walk(folder, followlinks=True):
        ignored = ignore(root, [*folders, *names])
        folders[:] = sorted(name for name in folders if name not in ignored)
        count += len(names)
        if count > MAX_FILES:
            raise Misconfigured(f"{folder} holds more than {MAX_FILES} files", what="CodeUri")
        yield from (Path(root, name) for name in sorted(names) if name not in ignored)


def copy_code(folder: Path, target: Path) -> None:
    """Copy what `list_code` lists, and its folders, into a folder that may be there."""
    shutil.copytree(folder, target, ignore=_ignoring(folder), dirs_exist_ok=True)


def leads_back(path: Path, top: Path) -> bool:
    """Whether a folder below `top` is a link to `top`, or to a folder on the way from there."""
    if not path.is_symlink():
        return False
    around = [parent for parent in path.parents if parent.is_relative_to(top)]
    return any(path.samefile(parent) for parent in around)


def _ignoring(top: Path) -> Callable[[str, Iterable[str]], set[str]]:
    """What `shutil.copytree` asks: which names in a folder are left out."""

    def ignore(root: str, names: Iterable[str]) -> set[str]:
        return {name for name in names if name in _IGNORED or not _is_code(Path(root, name), top)}

    return ignore


def _is_code(path: Path, top: Path) -> bool:
    try:
        return path.is_file() or (path.is_dir() and not leads_back(path, top))
    except OSError:  # it went meanwhile, or is a link in a ring
        return False
