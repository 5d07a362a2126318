"""What a local cloud that has ended has left behind: processes, ports, locks, files. Looked for in Linux's /proc."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mesh_processes import PROC

LATEST_S = 10.0  # until a function's process has seen that its cloud has gone
OWN = ("state", "keep", "evidence", "home/.cache/sluiceway")  # where a cloud of this run may write: beginnings of paths


def find_marked(*marks: str) -> list[int]:
    """Processes other than this one whose environment holds one of `marks`."""
    wanted = [mark.encode() for mark in marks]
    found: list[int] = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                variables = (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in variables for mark in wanted):
                found.append(int(entry.name))
    return found


def find_listening(ports: set[int]) -> set[int]:
    """Those of `ports` that anybody listens at."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A":
                found.add(int(columns[1].rpartition(":")[2], 16))
    return found & ports


def find_locked(folder: Path) -> list[str]:
    """Files below `folder` that any process has locked."""
    inodes = {str(path.stat().st_ino): path for path in folder.rglob("*") if path.is_file()}
    held = [line.split()[5].split(":")[2] for line in (PROC / "locks").read_text().splitlines()]
    return [inodes[inode].name for inode in held if inode in inodes]


def read_ports(pids: list[int]) -> set[int]:
    """The ports at which these processes listen. Raises OSError where one of them has ended."""
    sockets: set[str] = set()
    for pid in pids:
        for each in (PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                sockets.add(str(each.readlink()))
    lines = [line.split() for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]]
    return {
        int(each[1].rpartition(":")[2], 16) for each in lines if each[3] == "0A" and f"socket:[{each[9]}]" in sockets
    }


def wait_until_gone(*marks: str) -> tuple[list[int], float]:
    """The processes that are left after ten seconds, and after how many seconds none was."""
    begun = time.perf_counter()
    while (left := find_marked(*marks)) and time.perf_counter() - begun < LATEST_S:
        time.sleep(0.02)
    return left, time.perf_counter() - begun


def find_files(folder: Path) -> set[str]:
    """Whatever lies below `folder`, folders and sockets too, where a cloud of this run may not write."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith(OWN) and name not in {"home", "home/.cache", "tmp"}}


def find_remains(folder: Path, ports: set[int], marks: tuple[str, ...], before: set[str]) -> dict[str, Any]:
    """What a cloud that has ended has left of what it must not leave; empty where all is well.

    `before`: what `find_files` found when it began.
    """
    left: dict[str, Any] = {
        "processes": find_marked(*marks),
        "ports": sorted(find_listening(ports)),
        "locks": find_locked(folder),
        "files": sorted(find_files(folder) - before),
        "says that it runs": [each.name for each in folder.rglob("state.json")],
    }
    return {what: found for what, found in left.items() if found}
