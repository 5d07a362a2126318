"""A few seconds of what `bench/mixed_load.py` does for fifteen minutes, by the same code."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))  # its files name one another without a package, as scripts do

from mixed_ends import interrupt_under_load, kill_under_load  # noqa: E402
from mixed_judges import Verdicts  # noqa: E402
from mixed_load import prepare, run_load  # noqa: E402

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc, which Linux has"),
]
SETTINGS = Namespace(minutes=2 / 60, share=1.0, reload_s=2.0, bound_ms=60_000.0, parameters=["Hidden=2"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = dict(os.environ)
    yield prepare(tmp_path)
    os.environ.clear()
    os.environ.update(before)


def test_mixed_load_loses_nothing_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every kind of call, with failures, a dead letter and a reload: all is handled, and `down` leaves nothing."""
    verdicts = Verdicts()
    run_load(folder, SETTINGS, verdicts)
    assert verdicts.failed == [], capsys.readouterr().out
    told = capsys.readouterr().out
    assert "1 reloads, 2 versions" in told
    assert "dead letters: 1 of 1 " in told


def test_ctrl_c_under_load_leaves_nothing(folder: Path) -> None:
    """In the middle of calls, deliveries and open connections."""
    template, evidence = folder / "app" / "template.yaml", folder / "evidence"
    [found] = interrupt_under_load(folder, template, evidence, rounds=1, load_s=0.5)
    assert (found.status, found.left) == (0, {})


def test_sigkill_under_load_loses_nothing_that_is_kept(folder: Path) -> None:
    """Messages, of FIFO queues too with their order and their duplicates, deletions, items and objects."""
    template, evidence = folder / "app" / "template.yaml", folder / "evidence"
    [found] = kill_under_load(folder, template, evidence, rounds=1, load_s=0.5)
    assert (found.acknowledged > 20, found.lost, found.left) == (True, {}, [])
