"""The folder of `--persist`: held by one local cloud at a time, and how a service opens its database in it.

Owns the lock and the settings of SQLite, and knows no table of any service. A change that a service commits is there
after the process is killed; a power cut may lose the last moments.
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

__all__ = ["KeptStateUnusable", "hold_folder", "open_database", "transaction"]

_LOCK: Final = "lock"


class KeptStateUnusable(Misconfigured):
    """The folder is another local cloud's now, or what lies in it cannot be read; the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message, what="--persist")


@contextmanager
def hold_folder(folder: Path) -> Generator[Path]:
    """Make `folder` where it is missing, and hold it for the length of the block. The end of the process lets it go.

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
        yield folder


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
