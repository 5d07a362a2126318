"""Log groups as files that people and other processes can read: one a group, a line an event."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final, TextIO

from localcloud.services.logs.model import LogEvent

__all__ = ["LogFiles", "log_path"]


MAX_NAME_CHARS: Final = 200  # a group's name may have 512 characters, a file's 255 bytes


def log_path(folder: Path, group: str) -> Path:
    """The file of a group: `/aws/lambda/x` is `aws.lambda.x.log`. A name too long for a file ends in its digest."""
    name = group.strip("/").replace("/", ".")
    if len(name) > MAX_NAME_CHARS:
        name = f"{name[:MAX_NAME_CHARS]}.{sha256(group.encode()).hexdigest()[:16]}"
    return folder / f"{name}.log"


class LogFiles:
    """A listener of `Logs` that appends to files in `folder`, begun anew at each start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.log"):
            old.unlink()
        self._folder = folder
        self._open: dict[str, TextIO] = {}

    def write(self, event: LogEvent) -> None:
        """Append one event."""
        file = self._open.get(event.group)
        if file is None:
            file = self._open[event.group] = log_path(self._folder, event.group).open("a", encoding="utf-8")
        file.write(event.message.rstrip("\n") + "\n")
        file.flush()

    def close(self) -> None:
        """Close every file; what was written stays."""
        for file in self._open.values():
            file.close()
        self._open.clear()
