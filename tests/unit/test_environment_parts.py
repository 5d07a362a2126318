"""Small parts of execution environments: what a freeze tells, what a watch ignores, and the options of `up`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from localcloud.cli.main import main
from localcloud.compute.folder_watch import is_code
from localcloud.compute.freezing import Unfinished
from localcloud.compute.process_tree import descend, list_threads, peak_kb, proportional_kb, resident_kb

linux = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system tells nothing of processes")


@pytest.mark.parametrize(
    ("unfinished", "text"),
    [
        (Unfinished(), ""),
        (Unfinished(cpu_ms=3), "work on the CPU"),
        (Unfinished(sleeping=1), "1 thread asleep"),
        (Unfinished(sleeping=2, processes=("sleep",)), "2 threads asleep; process sleep"),
        (Unfinished(cpu_ms=8, processes=("ffmpeg", "sh")), "work on the CPU; processes ffmpeg, sh"),
    ],
)
def test_what_was_at_work_in_words(unfinished: Unfinished, text: str) -> None:
    """Nothing is false, and says nothing."""
    assert str(unfinished) == text
    assert bool(unfinished) is bool(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app.py", True),
        ("data.json", True),
        (".git", False),
        ("app.py~", False),
        ("#app.py#", False),
        ("app.cpython-313.pyc", False),
        ("__pycache__", False),
        ("node_modules", False),
    ],
)
def test_what_may_be_code(name: str, expected: bool) -> None:
    """What tools write beside it is none."""
    assert is_code(name) is expected


@linux
def test_a_process_and_its_children_are_told() -> None:
    """Ids, memory and threads; of one that is gone nothing, without an error."""
    with subprocess.Popen(["sh", "-c", "sleep 60; true"], start_new_session=True) as shell:
        names: list[str] = []
        while names != ["sh", "sleep"]:  # the child has its parent's name until it runs its own program
            names = [thread.name for thread in list_threads(shell.pid)]
        found = descend(shell.pid)
        os.killpg(shell.pid, signal.SIGKILL)
    assert found[0] == shell.pid
    assert len(found) == 2
    assert list_threads(shell.pid) == []
    assert (resident_kb(shell.pid), proportional_kb(shell.pid), peak_kb(shell.pid)) == (0, 0, 0)


@linux
def test_memory_of_this_process() -> None:
    """What is shared counts whole in one measure, in part in the other; the peak is no less."""
    mine = os.getpid()
    assert 0 < proportional_kb(mine) <= resident_kb(mine) + 1024 <= peak_kb(mine) + 2048


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_debuggers_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One that an editor can be told."""
    with pytest.raises(SystemExit) as ended:
        main(["up", "--debugger", port])
    assert ended.value.code == 2
    assert "a debugger's port is 1 to 65535" in capsys.readouterr().err


def test_several_regions_have_no_debugger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One port cannot stand for the functions of two clouds."""
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {}")
    words = ["up", "-t", str(template), "--regions", "us-east-1,us-west-2", "--debugger", "5678"]
    assert main(["--state", str(tmp_path / "state"), *words]) == 2
    assert "leave --regions out" in capsys.readouterr().err
