"""What the kernel tells of a process and those that it started: which there are, their memory, their CPU, their sleep.

Linux alone has it (/proc); elsewhere every answer is empty or 0. Reads nothing of a process but its own files.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Final

__all__ = ["Thread", "descend", "find_marked", "list_threads", "peak_kb", "proportional_kb", "resident_kb"]

_PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
# The calls with which a program sleeps, by number (include/uapi/asm-generic/unistd.h, arch/x86 syscall_64.tbl).
_SLEEPS: Final = {"x86_64": {35, 230}, "aarch64": {101, 115}}.get(platform.machine(), frozenset[int]())
_SELECTS: Final = {"x86_64": {23, 270}, "aarch64": {72}}.get(platform.machine(), frozenset[int]())
_READ_BYTES: Final = 65_536
_MAX_VARIABLES: Final = 262_144  # bytes: what a function may set has 4 KB
MAX_PROCESSES: Final = 1_000  # of one environment: Lambda allows 1,024 processes and threads


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of a process. `cpu_ns` it has used so far; `name` of the process."""

    process: int
    id: int
    cpu_ns: int
    name: str

    @property
    def sleeps(self) -> bool:
        """Whether it waits for a time to pass and for nothing else: what waits in a queue or on a socket does not."""
        words = _read(f"/proc/{self.process}/task/{self.id}/syscall").split()
        if len(words) < 2 or not words[0].isdecimal():
            return False
        number = int(words[0])
        return number in _SLEEPS or (number in _SELECTS and words[1] == "0x0")  # Python before 3.11 sleeps in select


def descend(pid: int) -> list[int]:
    """A process and those that it and its children started, the first first; one that was orphaned is not found."""
    found = [pid]
    for process in found:
        for thread in _threads_of(process):
            found += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
        if len(found) > MAX_PROCESSES:
            break
    return found


def resident_kb(pid: int) -> int:
    """The memory that a process has now, what it shares with others whole."""
    words = _read(f"/proc/{pid}/statm").split()
    return int(words[1]) * _PAGE_KB if len(words) > 1 else 0


def proportional_kb(pid: int) -> int:
    """The same, what it shares divided by those who share it; dearer to ask."""
    return _kb(_read(f"/proc/{pid}/smaps_rollup"), "Pss:")


def peak_kb(pid: int) -> int:
    """The most that a process ever had."""
    return _kb(_read(f"/proc/{pid}/status"), "VmHWM:")


def find_marked(mark: str) -> list[int]:
    """The processes of this user, but this one, that have `mark` (`NAME=value`) among their variables.

    Also those that left their group and their parent. None for "".
    """
    wanted = mark.encode()
    others = (int(name) for name in _names_in("/proc") if name.isdecimal()) if mark else ()
    return [pid for pid in others if pid != os.getpid() and wanted in _read_variables(pid)]


def list_threads(pid: int) -> list[Thread]:
    """Every thread of a process and of those that it started; the dead are not among them."""
    found: list[Thread] = []
    for process in descend(pid):
        name = _read(f"/proc/{process}/comm").strip()
        for thread in _threads_of(process):
            used = _read(f"/proc/{process}/task/{thread}/schedstat").split()
            found.append(Thread(process, int(thread), int(used[0]) if used else 0, name))
    return found


def _threads_of(process: int) -> list[str]:
    return _names_in(f"/proc/{process}/task")


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - numbers are wanted, not paths
    except OSError:
        return []


def _read_variables(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - as below
            return file.read(_MAX_VARIABLES).split(b"\0")
    except OSError:
        return []


def _kb(text: str, field: str) -> int:
    words = text.partition(field)[2].split(maxsplit=1)
    return int(words[0]) if words and words[0].isdecimal() else 0


def _read(path: str) -> str:
    """A file of the kernel's, whole: they are short, and `open` costs three times as much."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _READ_BYTES).decode("ascii", errors="replace")
    except OSError:  # it ended meanwhile
        return ""
    finally:
        os.close(descriptor)
