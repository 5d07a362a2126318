"""A tiny process that outlives the local cloud by an instant, to clear away what it leaves behind.

It holds the end of a pipe; when the local cloud is gone, however it went, the pipe ends, every process group still on
the list is killed, and the folder in which functions had their scratch space is removed. Knows process group ids and
that folder, nothing else; and of processes that left their group the variable that marks them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["Reaper", "kill_group"]

_SCRIPT: Final = """
import os, shutil, signal, sys
groups = {}
for line in sys.stdin:
    group, _, mark = line[1:].strip().partition(" ")
    if line[0] == "+":
        groups[int(group)] = mark.encode()
    else:
        groups.pop(int(group), None)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
marks = set(groups.values()) - {b""}
for name in os.listdir("/proc") if marks and os.path.isdir("/proc/self") else ():
    try:
        with open(f"/proc/{name}/environ", "rb") as found:
            if not marks.isdisjoint(found.read().split(b"\\0")):
                os.kill(int(name), signal.SIGKILL)
    except (OSError, ValueError):
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Reaper:
    """Started when the scratch folder or a group is first asked for; ends by itself."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._groups: set[int] = set()

    def scratch(self) -> Path:
        """The folder, of mode 0700, that goes when the local cloud does."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="sluiceway-"))
            self._start(self._scratch)
        return self._scratch

    def add(self, group: int, mark: str = "") -> None:
        """Kill this process group should the local cloud end before `remove`, and every process with `mark`.

        A mark is a variable with its value (`NAME=value`) that a process and all that it starts have.
        """
        self._groups.add(group)
        self._tell(f"+{group} {mark}\n")

    def remove(self, group: int) -> None:
        """The group is gone."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def kill(self) -> None:
        """Kill every group now, as when the power goes."""
        for group in self._groups:
            kill_group(group)

    def close(self) -> None:
        """End it, killing what is still on its list; the scratch folder is gone after that."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait()
            self._process, self._scratch = None, None

    def _start(self, scratch: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", "-c", _SCRIPT, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _tell(self, line: str) -> None:
        self.scratch()
        if self._process is not None and self._process.stdin is not None:
            os.write(self._process.stdin.fileno(), line.encode())


def kill_group(group: int) -> None:
    """Kill a process group; nothing where it is gone."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
