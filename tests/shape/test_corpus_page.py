"""Every application of the corpus is asked by a test, and docs/fidelity/corpus.md has a row for it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPLICATIONS = {path.parent.name for path in (ROOT / "tests" / "corpus").glob("*/template.yaml")}
PAGE = (ROOT / "docs" / "fidelity" / "corpus.md").read_text(encoding="utf-8")


def test_each_application_has_a_test() -> None:
    """One that brings it up by its name."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "local").glob("test_corpus_*.py")]
    assert {name for text in texts for name in re.findall(r'application\("(\w+)"', text)} == APPLICATIONS


def test_each_application_has_a_row() -> None:
    """And the counts are those of the rows."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| (same|differs|cannot run)", PAGE, flags=re.MULTILINE)
    assert (len(rows), {name for name, _ in rows}) == (len(APPLICATIONS), APPLICATIONS)
    counts = [len(rows), *(sum(said == kind for _, said in rows) for kind in ("same", "cannot run", "differs"))]
    total, same, cannot, differ = counts
    assert f"Of {total} applications {same} do the same there, {cannot} cannot run, {differ} differ." in PAGE
