"""Log groups as files that people and other processes can read: one a group, a line an event, bounded in size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from localcloud.services.logs.model import LogEvent

__all__ = ["LogFiles", "LogTail", "log_path"]


MAX_NAME_CHARS: Final = 200  # a group's name may have 512 characters, a file's 255 bytes
MAX_FILE_BYTES: Final = 10 * 1024 * 1024  # then a new file begins; the full one is kept, the one before it is not
_OLDER: Final = ".1"


def log_path(folder: Path, group: str) -> Path:
    """The file of a group: `/aws/lambda/x` is `aws.lambda.x.log`. A name too long for a file ends in its digest.

    Beside it `aws.lambda.x.log.1` may hold what came before.
    """
    name = group.strip("/").replace("/", ".")
    if len(name) > MAX_NAME_CHARS:
        name = f"{name[:MAX_NAME_CHARS]}.{sha256(group.encode()).hexdigest()[:16]}"
    return folder / f"{name}.log"


def _older(path: Path) -> Path:
    return path.with_name(path.name + _OLDER)


@dataclass(slots=True)
class _Open:
    """A group's file, and how much is in it."""

    path: Path
    file: BinaryIO
    size_bytes: int = 0


class LogFiles:
    """A listener of `Logs` that appends to files in `folder`, begun anew at each start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob("*.log"), *folder.glob("*.log" + _OLDER)):
            old.unlink()
        self._folder = folder
        self._open: dict[str, _Open] = {}

    def write(self, event: LogEvent) -> None:
        """Append one event."""
        found = self._open.get(event.group)
        if found is None:
            path = log_path(self._folder, event.group)
            found = self._open[event.group] = _Open(path, path.open("ab"))
        line = event.message.rstrip("\n").encode(errors="replace") + b"\n"
        if found.size_bytes and found.size_bytes + len(line) > MAX_FILE_BYTES:
            found.file.close()
            found.path.replace(_older(found.path))
            found.file, found.size_bytes = found.path.open("ab"), 0
        found.file.write(line)
        found.file.flush()
        found.size_bytes += len(line)

    def close(self) -> None:
        """Close every file; what was written stays."""
        for found in self._open.values():
            found.file.close()
        self._open.clear()


class LogTail:
    """The lines of one group's file for a reader outside, also when a new file begins. Holds nothing open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0  # the file's own, which it keeps under another name
        self._end = 0

    def last(self, count: int) -> list[str]:
        """The last `count` lines that are there; `news` goes on from here."""
        before = _older(self._path).read_bytes() if _older(self._path).exists() else b""
        self._number, self._end = 0, 0
        lines = [*_lines(before), *self.news()]
        return lines[max(0, len(lines) - count) :]

    def news(self) -> list[str]:
        """The whole lines that came since; none where there is no file yet."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            status = os.fstat(file.fileno())
            missed = b""
            if status.st_ino != self._number or status.st_size < self._end:
                missed = self._rest_of_older()
                self._number, self._end = status.st_ino, 0
            file.seek(self._end)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._end += len(whole)
        return [*_lines(missed), *_lines(whole)]

    def _rest_of_older(self) -> bytes:
        """What was not read yet of the file that is now the older one."""
        try:
            with _older(self._path).open("rb") as file:
                if os.fstat(file.fileno()).st_ino != self._number:
                    return b""
                file.seek(self._end)
                return file.read()
        except FileNotFoundError:
            return b""


def _lines(data: bytes) -> list[str]:
    return data.decode(errors="replace").removesuffix("\n").split("\n") if data else []
