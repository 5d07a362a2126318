"""What the repository promises about itself: names, locks, paths and targets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {"template.yaml", "samconfig.toml", "pyproject.toml", "functions", "layers", "events", "tests"}


def _tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return listing.stdout.splitlines()
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]


def test_top_level_is_as_fixed() -> None:
    """The files and folders that users look for first are there."""
    assert {name for name in TOP_LEVEL if (ROOT / name).exists()} == TOP_LEVEL


def test_locks_name_no_index_and_hash_everything() -> None:
    """Every requirements file pins with hashes and names no index, no link and no file.

    Those of the corpus are as other people write them.
    """
    locks = [
        name
        for name in _tracked()
        if (name.endswith("requirements.txt") or re.match(r"requirements/.*\.txt", name))
        and not name.startswith("tests/corpus/")
    ]
    assert len(locks) >= 5
    for name in locks:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index|--find-links|file:", text), name
        for line in re.findall(r"^[A-Za-z][^\n]*", text, flags=re.MULTILINE):
            assert "==" in line, f"{name}: {line}"
        assert len(re.findall(r"--hash=sha256:", text)) >= len(re.findall(r"^[A-Za-z]", text, flags=re.MULTILINE)), name


def test_every_requirements_file_is_locked_by_make_lock() -> None:
    """requirements/lock.py compiles each .in of the repository, so none goes stale unseen."""
    sources = {name.removesuffix(".in") for name in _tracked() if name.endswith(".in")}
    script = (ROOT / "requirements" / "lock.py").read_text(encoding="utf-8")
    assert set(re.findall(r'^    lock\("([\w/]+)"', script, flags=re.MULTILINE)) == sources
    assert all((ROOT / f"{name}.txt").exists() for name in sources)


def test_no_file_names_this_machine_or_unfinished_work() -> None:
    """No committed file names a path of somebody's machine; no code keeps notes to finish."""
    machine = re.compile(r"(?<![\w./-])/(?:work|root|farm)/")
    notes = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found: list[str] = []
    for name in _tracked():
        path = ROOT / name
        if (
            path.suffix not in {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".txt", ""}
            or not path.is_file()
        ):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {match.group()}" for match in machine.finditer(text)]
        if path.suffix == ".py":
            found += [f"{name}: {match.group()}" for match in notes.finditer(text)]
    assert found == []


def test_servers_listen_on_loopback_only() -> None:
    """No code binds all interfaces."""
    for path in [*(ROOT / "localcloud").rglob("*.py"), *(ROOT / "layers").rglob("*.py")]:
        assert "0.0.0.0" not in path.read_text(encoding="utf-8"), path


def test_make_help_lists_at_most_twelve_targets() -> None:
    """`make help` stays one screen."""
    targets = re.findall(r"^[a-z]+:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert 1 <= len(targets) <= 12


def test_decisions_are_written_down() -> None:
    """Each ADR has its number, date, context, decision and consequences."""
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert len(records) >= 5
    for number, record in enumerate(records, start=1):
        text = record.read_text(encoding="utf-8")
        assert record.name.startswith(f"{number:04d}-"), record.name
        assert re.search(r"20\d\d-\d\d-\d\d", text), record.name
        for part in ("Context", "Decision", "Consequences"):
            assert re.search(rf"^#+ {part}", text, flags=re.MULTILINE), f"{record.name}: {part}"
