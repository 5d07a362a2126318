"""Which files below some folders have changed: told by the kernel (inotify) on Linux, found by looking elsewhere.

What belongs to tools is no change: hidden files and folders, byte code, editors' backups, node_modules. Many files at
once are one change: it is told once nothing more came for 20 ms, at the latest after 200 ms. A file that came and went
in between (`4913` of vim, `sedXn3kQ2` of sed -i) is none of it. Knows no function.
Source: https://man7.org/linux/man-pages/man7/inotify.7.html
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

from localcloud.compute.code_files import leads_back

__all__ = ["FolderWatch", "is_code"]

SETTLE_S: Final = 0.02
LONGEST_SETTLE_S: Final = 0.2
POLL_S: Final = 0.05
POLL_SHARE: Final = 20  # a look is followed by this many times its own length without one
RETRY_S: Final = 0.1  # after a folder itself was replaced
MAX_FOLDERS: Final = 4_096  # half of what older kernels allow to all programs of a user
_TOOLS: Final = frozenset({"__pycache__", "node_modules"})

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_WANTED: Final = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_ONLY_FOLDERS: Final = 0x0100_0000
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 262_144


def is_code(name: str) -> bool:
    """Whether a file or folder of this name may be part of a program."""
    return not (name.startswith((".", "#")) or name.endswith((".pyc", "~")) or name in _TOOLS)


class _Eye(Protocol):
    """What sees that files change."""

    def add(self, folder: Path) -> bool:
        """Watch it and all below; False where there are too many folders."""
        ...

    def close(self) -> None:
        """See nothing more."""
        ...


class _Note(Protocol):
    """Takes a path that changed. `is_new`: there was nothing of that name."""

    def __call__(self, path: Path, *, is_new: bool = False) -> None: ...


class FolderWatch:
    """Tells `on_change` the paths that changed. `without`: folders to leave out. One event loop, until `close`."""

    def __init__(
        self, on_change: Callable[[frozenset[Path]], None], *, without: Collection[Path] = (), polls: bool = False
    ) -> None:
        self._on_change = on_change
        self._without = frozenset(without)
        self._loop = asyncio.get_running_loop()
        self._paths: set[Path] = set()
        self._new: set[Path] = set()
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._eye: _Eye = self._open_eye(polls=polls)

    def add(self, folder: Path) -> bool:
        """Watch a folder and all below it; False where that is too much to watch."""
        return self._eye.add(folder)

    def close(self) -> None:
        """Watch nothing more, and tell nothing more."""
        self._eye.close()
        if self._timer is not None:
            self._timer.cancel()

    def _open_eye(self, *, polls: bool) -> _Eye:
        if sys.platform == "linux" and not polls:
            try:
                return _Inotify(self._note, self._without)
            except OSError:  # its instances are all in use
                pass
        return _Polling(self._note, self._without)

    def _note(self, path: Path, *, is_new: bool = False) -> None:
        if is_new and path not in self._paths:
            self._new.add(path)
        now = self._loop.time()
        self._since = self._since if self._paths else now
        self._paths.add(path)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(now + SETTLE_S, self._since + LONGEST_SETTLE_S), self._tell)

    def _tell(self) -> None:
        gone = {path for path in self._new if not os.path.lexists(path)}
        paths = frozenset(self._paths - gone)
        self._paths, self._new, self._timer = set(), set(), None
        if paths:
            self._on_change(paths)


class _Inotify:
    """The kernel's own word. Raises OSError where it gives none."""

    def __init__(self, note: _Note, without: frozenset[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._note = note
        self._without = without
        self._folders: dict[int, set[Path]] = {}  # more than one where links lead to the same
        self._roots: set[Path] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def add(self, folder: Path) -> bool:
        self._roots.add(folder)
        return all(self._add(each) for each in _folders(folder, self._without))

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _add(self, folder: Path) -> bool:
        if len(self._folders) >= MAX_FOLDERS:
            return False
        found = int(self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED | _ONLY_FOLDERS))
        if found >= 0:
            self._folders.setdefault(found, set()).add(folder)
        return found >= 0

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
            offset += length
            self._take(number, mask, name)

    def _take(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:  # some were lost: any file may have changed
            for root in self._roots:
                self._note(root)
        elif mask & _IGNORED:
            for folder in self._folders.pop(number, ()):
                self._lose(folder)
        elif is_code(name):
            for folder in tuple(self._folders.get(number, ())):
                self._see(folder / name, mask)

    def _see(self, path: Path, mask: int) -> None:
        if path in self._without:
            return
        if mask & (_CREATE | _MOVED_TO) and path.is_dir():  # a link to one as well
            for folder in _folders(path, self._without):
                self._add(folder)
                for found in _files_in(folder):  # those that were there before the watch
                    self._note(found)
        self._note(path, is_new=bool(mask & _CREATE))

    def _lose(self, folder: Path) -> None:
        """A folder is gone; where it is one that was asked for, another may come in its place."""
        if folder not in self._roots or self._fd < 0:
            return
        if folder.is_dir():
            self.add(folder)
            self._note(folder)
        else:
            self._loop.call_later(RETRY_S, self._lose, folder)


class _Polling:
    """Looks at names, sizes and times of all files again and again."""

    def __init__(self, note: _Note, without: frozenset[Path]) -> None:
        self._note = note
        self._without = without
        self._known: dict[Path, dict[Path, tuple[int, int]]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, folder: Path) -> bool:
        count = 0
        for count, _ in enumerate(_folders(folder, self._without)):
            if count >= MAX_FOLDERS:
                return False
        self._known[folder] = self._look(folder)
        if self._timer is None:
            self._timer = self._loop.call_later(POLL_S, self._compare)
        return True

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _compare(self) -> None:
        began = self._loop.time()
        for folder, before in self._known.items():
            now = self._known[folder] = self._look(folder)
            for path, _ in before.items() ^ now.items():
                self._note(path)
        took_s = self._loop.time() - began
        self._timer = self._loop.call_later(max(POLL_S, took_s * POLL_SHARE), self._compare)

    def _look(self, folder: Path) -> dict[Path, tuple[int, int]]:
        found: dict[Path, tuple[int, int]] = {}
        for each in _folders(folder, self._without):
            for path in _files_in(each):
                try:
                    told = path.stat()
                except OSError:
                    continue
                found[path] = (told.st_mtime_ns, told.st_size)
        return found


def _folders(root: Path, without: frozenset[Path]) -> Iterator[Path]:
    """A folder and those below it that may hold code, and those that links lead to, but for links that lead back."""
    for found, names, _ in os.walk(root, followlinks=True):
        folder = Path(found)
        below = [name for name in names if is_code(name) and folder / name not in without]
        names[:] = [name for name in below if not _leads_back(folder / name, root)]
        yield folder


def _leads_back(folder: Path, root: Path) -> bool:
    try:
        return leads_back(folder, root)
    except OSError:  # it went meanwhile
        return True


def _files_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if is_code(path.name) and not path.is_dir()]
    except OSError:
        return []
