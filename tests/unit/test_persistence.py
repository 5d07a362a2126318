"""The folder of `--persist` and the databases in it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.persistence import KeptStateUnusable, hold_folder, open_database, transaction

ROOT = Path(__file__).parents[2]
SCHEMA = "CREATE TABLE IF NOT EXISTS things (name TEXT);"
HOLDER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from localcloud.persistence import hold_folder

with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told who holds it; a killed process holds nothing."""
    folder = tmp_path / "deep" / "keep"
    command = [sys.executable, "-c", HOLDER, str(folder), str(ROOT), str(ROOT / "layers" / "sluiceway")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(KeptStateUnusable, match=rf"keep is in use by .* \(process {other.pid}\)"),
            hold_folder(folder),
        ):
            pytest.fail("held twice")
        other.kill()
    with hold_folder(folder) as held:
        assert held == folder
    with hold_folder(folder):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The error names the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"), hold_folder(tmp_path / "file"):
        pytest.fail("held a file")


def test_a_database_is_made_once_and_opened_again(tmp_path: Path) -> None:
    """Rows stay; what a transaction that fails has written does not."""
    first = open_database(tmp_path / "new" / "a.sqlite3", SCHEMA)
    first.execute("INSERT INTO things VALUES ('kept')")

    def fail() -> None:
        with transaction(first):
            first.execute("INSERT INTO things VALUES ('lost')")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    first.close()
    second = open_database(tmp_path / "new" / "a.sqlite3", SCHEMA)
    assert second.execute("SELECT name FROM things").fetchall() == [("kept",)]
    second.close()


def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    """A database of another version of the local cloud, and a file that is none, are left as they are."""
    path = tmp_path / "a.sqlite3"
    open_database(path, SCHEMA, version=2).close()
    with pytest.raises(KeptStateUnusable, match=r"a\.sqlite3 .* its format is 2, and this local cloud reads 1"):
        open_database(path, SCHEMA)
    path.write_bytes(b"not a database, but long enough to be taken for the header of one" * 9)
    with pytest.raises(KeptStateUnusable, match=r"a\.sqlite3 cannot be used as kept state: file is not a database"):
        open_database(path, SCHEMA)
    assert path.read_bytes().startswith(b"not a database")


def test_one_thread_uses_a_database_unless_said(tmp_path: Path) -> None:
    """SQLite's own check stays where nobody sees to the threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        strict = open_database(tmp_path / "a", SCHEMA)
        loose = open_database(tmp_path / "b", SCHEMA, any_thread=True)
        with pytest.raises(sqlite3.ProgrammingError):
            pool.submit(strict.execute, "SELECT 1").result()
        assert pool.submit(lambda: loose.execute("SELECT 1").fetchall()).result() == [(1,)]
        strict.close()
        loose.close()
