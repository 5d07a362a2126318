"""The log files that people read: bounded in size, and followed across the change to a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.services.logs.files import LogFiles, LogTail, log_path
from localcloud.services.logs.model import LogEvent


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines of ten bytes a file."""
    monkeypatch.setattr("localcloud.services.logs.files.MAX_FILE_BYTES", 100)


def write(files: LogFiles, *numbers: int, group: str = "g") -> None:
    for number in numbers:
        files.write(LogEvent(group, "s", 0, f"line {number:04}"))


def test_a_groups_files_do_not_grow_beyond_two_limits(tmp_path: Path) -> None:
    """The full file is kept as the older one, and whatever was there before is gone."""
    files = LogFiles(tmp_path)
    write(files, *range(1000))
    write(files, 1, group="other")
    files.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.log", "g.log.1", "other.log"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert log_path(tmp_path, "g").read_text().splitlines()[-1] == "line 0999"


def test_a_line_longer_than_a_file_is_written_whole(tmp_path: Path) -> None:
    """A limit is where a new file begins; a line is never cut."""
    files = LogFiles(tmp_path)
    for text in ("a" * 300, "b", "ü" * 200):
        files.write(LogEvent("g", "s", 0, text))
    files.close()
    assert log_path(tmp_path, "g").read_text() == "ü" * 200 + "\n"


def test_old_files_go_at_the_next_start(tmp_path: Path) -> None:
    """A run begins with none."""
    files = LogFiles(tmp_path)
    write(files, *range(30))
    files.close()
    LogFiles(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_the_last_lines_are_those_of_both_files(tmp_path: Path) -> None:
    """Where the newer file has too few, the older one helps."""
    files, tail = LogFiles(tmp_path), LogTail(log_path(tmp_path, "g"))
    assert tail.last(5) == []
    write(files, *range(12))
    assert tail.last(4) == [f"line {number:04}" for number in (8, 9, 10, 11)]
    assert tail.last(0) == []
    files.close()


def test_a_follower_misses_nothing_when_a_new_file_begins(tmp_path: Path) -> None:
    """What was written since, at the end of the older file and in the newer one, each line once."""
    files, tail = LogFiles(tmp_path), LogTail(log_path(tmp_path, "g"))
    assert tail.news() == []
    seen: list[str] = []
    for first in range(0, 70, 7):
        write(files, *range(first, first + 7))
        seen += tail.news()
    files.close()
    assert seen == [f"line {number:04}" for number in range(70)]


def test_a_follower_goes_on_with_the_next_run(tmp_path: Path) -> None:
    """A new run begins the file anew."""
    tail = LogTail(log_path(tmp_path, "g"))
    for numbers in ((1, 2, 3), (4,)):
        files = LogFiles(tmp_path)
        write(files, *numbers)
        files.close()
        assert tail.news() == [f"line {number:04}" for number in numbers]
