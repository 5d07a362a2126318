"""The folder of `--persist`: held by one local cloud at a time, and how a service opens its database in it.

Owns the lock and the settings of SQLite, and knows no table of any service. A change that a service commits is there
after the process is killed; a power cut may lose the last moments. Emptying it is one change: a mark is made, what is
there is removed, and the mark after it; who finds the mark at a start goes on with the removing.
Source: https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["KeptStateUnusable", "empty_folder", "hold_folder", "open_database", "transaction"]

_LOCK: Final = "lock"
_EMPTYING: Final = "emptying"
_DATABASES: Final = "*.sqlite3*"  # with the -wal and -shm beside each


class KeptStateUnusable(Misconfigured):
    """The folder is another local cloud's now, or what lies in it cannot be read; the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message, what="--persist")


@contextmanager
def hold_folder(folder: Path) -> Generator[Path]:
    """Make `folder` where it is missing, and hold it for the length of the block. The end of the process lets it go.

    What was being emptied when the process before it ended, is emptied.

    Raises KeptStateUnusable where another process holds it, OSError where it cannot be a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            message = (
                f"{folder} is in use by another local cloud (process {lock.read().strip() or 'unknown'}); "
                "stop that one, or give --persist another folder"
            )
            raise KeptStateUnusable(message) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        if (folder / _EMPTYING).exists():
            empty_folder(folder)
        yield folder


def empty_folder(folder: Path) -> None:
    """Remove every database of a folder that is held and in which none is open: all of them, or none.

    Raises OSError.
    """
    mark = folder / _EMPTYING
    mark.touch()
    _write_through(folder)
    for database in folder.glob(_DATABASES):
        database.unlink()
    _write_through(folder)
    mark.unlink()


def _write_through(folder: Path) -> None:
    """Have the names in a folder on the disk before anything that follows."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_database(path: Path, schema: str, *, version: int = 1, any_thread: bool = False) -> sqlite3.Connection:
    """Open a database, made by `schema` where it is new, with no transaction open. `version` is that of its format.

    `any_thread`: the caller sees to it that no two threads use it at once.
    Raises KeptStateUnusable where the file is no database, or one of another version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=not any_thread)
    try:
        _prepare(connection, schema, version=version)
    except (sqlite3.Error, ValueError) as error:
        connection.close()
        message = f"{path} cannot be used as kept state: {error}"
        raise KeptStateUnusable(message) from error
    return connection


def _prepare(connection: sqlite3.Connection, schema: str, *, version: int) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, version):
        message = f"its format is {found}, and this local cloud reads {version}"
        raise ValueError(message)
    connection.executescript(schema)
    connection.execute(f"PRAGMA user_version = {version:d}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """What is written inside is kept all or not at all."""
    connection.execute("BEGIN")
    ending = "ROLLBACK"
    try:
        yield
        ending = "COMMIT"
    finally:
        connection.execute(ending)
