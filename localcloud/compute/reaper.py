"""A tiny process that outlives the local cloud by an instant, to kill the process groups it leaves behind.

It holds the end of a pipe; when the local cloud is gone, however it went, the pipe ends and every group still on the
list is killed. Knows process group ids and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Final

__all__ = ["Reaper", "kill_group"]

_SCRIPT: Final = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    group = int(line[1:])
    (groups.add if line[0] == "+" else groups.discard)(group)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Reaper:
    """Started at the first group; ends by itself."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Kill this process group should the local cloud end before `remove`."""
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """The group is gone."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End it, killing what is still on its list."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        if self._process.stdin is not None:
            os.write(self._process.stdin.fileno(), line.encode())


def kill_group(group: int) -> None:
    """Kill a process group; nothing where it is gone."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
