"""A file of JSON lines as a target, and nowhere at all, for a dry run. Each line is the record as an event has it.

The file is on the disk before a bookmark says so; a run that goes on cuts off what came after the bookmark, so no line
stands in it twice.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from localcloud.replay.items import Item, write_line
from sluiceway.errors import Misconfigured

__all__ = ["FileTarget", "NoTarget"]


class NoTarget:
    """Takes everything and does nothing."""

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """All are taken."""
        return [""] * len(items)


class FileTarget:
    """Lines at the end of an open file. Make it with `FileTarget.open`."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    @classmethod
    @contextmanager
    def open(cls, path: Path, mark: Mapping[str, Any] | None) -> Generator[Self]:
        """A new file, or, with the mark of an earlier run, the file that it wrote.

        Raises Misconfigured where there is one already, or not what the mark says.
        """
        try:
            file = path.open("x+b" if mark is None else "r+b")
        except FileExistsError as error:
            raise Misconfigured(f"{path} is there already: name another file", what="--target file") from error
        except OSError as error:
            raise Misconfigured(f"{path} cannot be opened: {error.strerror}", what="--target file") from error
        with file:
            size = int((mark or {}).get("size", 0))
            if file.seek(0, os.SEEK_END) < size:
                raise Misconfigured(f"{path} is shorter than the resume file says", what="--resume")
            file.truncate(size)
            file.seek(size)
            yield cls(file, size)

    def mark(self) -> Mapping[str, Any]:
        """The size of what was taken."""
        return {"size": self._size}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """A line each; an edit that left no JSON object where one has to be is refused. Raises Misconfigured."""
        reasons: list[str] = []
        lines: list[bytes] = []
        for item in items:
            try:
                lines.append(write_line(item))
                reasons.append("")
            except ValueError as error:
                reasons.append(f"malformed: {error}")
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Misconfigured(f"the file cannot be written: {error.strerror}", what="--target file") from error
        self._size += sum(map(len, lines))
        return reasons
