"""What stays when the process that started functions is killed: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.compute.reaper import Reaper

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import os, signal, subprocess, sys
from localcloud.compute.reaper import Reaper
reaper = Reaper()
(reaper.scratch() / "home").mkdir()
(reaper.scratch() / "home" / "file").write_text("left by a function")
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
reaper.add(child.pid)
os.killpg(child.pid, signal.SIGSTOP)  # frozen, as between two invocations
print(reaper.scratch(), child.pid, flush=True)
sys.stdin.read()
"""


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_local_cloud_leaves_no_process_and_no_folder() -> None:
    """Even SIGKILL: the reaper kills the groups, frozen ones too, and removes the scratch folder."""
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "layers" / "sluiceway")]))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as parent:
        assert parent.stdout is not None
        scratch, child = parent.stdout.readline().split()
        assert Path(scratch).stat().st_mode & 0o777 == 0o700
        parent.kill()
    ends = time.monotonic() + 10
    while (Path(scratch).exists() or _runs(int(child))) and time.monotonic() < ends:
        time.sleep(0.01)
    assert not Path(scratch).exists()
    assert not _runs(int(child))


def test_a_closed_reaper_has_removed_its_folder() -> None:
    """A clean stop waits for it; a closed reaper may be asked again."""
    reaper = Reaper()
    reaper.close()
    first = reaper.scratch()
    assert reaper.scratch() == first
    reaper.close()
    assert not first.exists()
