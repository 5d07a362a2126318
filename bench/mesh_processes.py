"""The processes of one local cloud, as Linux tells of them: the cloud itself and its functions' environments.

Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS_S = os.sysconf("SC_CLK_TCK")
MB = 1 << 20


class Usage(NamedTuple):
    """One process. `cpu_s`: since it began, all threads; `threads`: how many there are."""

    pid: int
    function: str
    rss_mb: float
    cpu_s: float
    descriptors: int
    threads: int


class Processes:
    """`pid` and what it has started; a process that is not its child in a straight line is none of it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._names: dict[int, str] = {}

    def sample(self) -> list[Usage]:
        """The cloud first, then the environments by function. Raises OSError where the cloud has ended."""
        parents = _read_parents()
        found = [_read_usage(self._pid, "")]
        for pid in parents:
            if pid != self._pid and self._is_ours(pid, parents):
                try:
                    name = self._name(pid)
                    found += [_read_usage(pid, name)] if name else []
                except OSError:
                    self._names.pop(pid, None)  # it has ended meanwhile
        return found[:1] + sorted(found[1:], key=lambda each: (each.function, each.pid))

    def count_children(self) -> int:
        """All processes below the cloud, whatever they are."""
        parents = _read_parents()
        return sum(pid != self._pid and self._is_ours(pid, parents) for pid in parents)

    def _is_ours(self, pid: int, parents: dict[int, int]) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == self._pid:
                return True
        return False

    def _name(self, pid: int) -> str:
        if pid not in self._names:
            variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            named = [each.partition(b"=")[2] for each in variables if each.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")]
            if not named:
                return ""  # no environment, or none yet
            self._names[pid] = named[0].decode()
        return self._names[pid]


def _read_stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _read_parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(_read_stat(int(entry.name))[1])
            except (OSError, IndexError):
                continue
    return found


def _read_usage(pid: int, function: str) -> Usage:
    stat = _read_stat(pid)
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    descriptors = sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    cpu_s = (int(stat[11]) + int(stat[12])) / TICKS_S
    return Usage(pid, function, pages * PAGE / MB, cpu_s, descriptors, threads=int(stat[17]))


def measure_folder(folder: Path) -> float:
    """MB of the files in it, and below."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size += Path(path, name).stat().st_size
            except OSError:
                continue
    return size / MB
