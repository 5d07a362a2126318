"""Which process `sluiceway down` may stop: the one that wrote the state, and nobody with its number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud.caller import Unreachable
from localcloud.state import FolderTaken, NotRunning, RunningState, hold_state, read_state, write_state

KNOWN: dict[str, Any] = {
    "template": "template.yaml",
    "region": "us-east-1",
    "audience": "",
    "endpoints": {"aws": "http://127.0.0.1:1"},
    "outputs": {},
    "functions": {},
    "logs": {},
}


def _change(folder: Path, **members: object) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def test_the_process_that_wrote_the_state_is_found(tmp_path: Path) -> None:
    """Its number and its birth agree."""
    write_state(tmp_path, RunningState(os.getpid(), **KNOWN))
    assert read_state(tmp_path).pid == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell when a process started")
def test_a_later_process_with_the_same_number_is_another(tmp_path: Path) -> None:
    """A killed cloud leaves its state, and its number is used again: that process must not be stopped."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        write_state(tmp_path, RunningState(other.pid, **KNOWN))
        _change(tmp_path, pid=os.getpid())
        with pytest.raises(NotRunning, match="has ended"):
            read_state(tmp_path)
        other.communicate(b"\n")


@pytest.mark.parametrize("pid", [0, -1, pytest.param(-os.getpid(), id="own group"), True, "1", None, 1.0])
def test_what_is_no_single_process_is_never_signalled(tmp_path: Path, pid: object) -> None:
    """A state file may come with a repository: -1 would be every process of the user's."""
    write_state(tmp_path, RunningState(os.getpid(), **KNOWN))
    _change(tmp_path, pid=pid, born="")
    with pytest.raises(NotRunning):
        read_state(tmp_path)


def test_one_cloud_at_a_time_starts_from_a_folder(tmp_path: Path) -> None:
    """Two that start together would both run, and the state would tell of one: the other could never be stopped."""
    with hold_state(tmp_path / "state"):
        with pytest.raises(FolderTaken), hold_state(tmp_path / "state"):
            pass
        with hold_state(tmp_path / "other"):
            pass
    with hold_state(tmp_path / "state"):
        pass


def test_a_log_is_found_by_function_group_or_state_machine(tmp_path: Path) -> None:
    """A function's before another of its name; what is not there is told with what is."""
    known: dict[str, Any] = KNOWN | {"functions": {"Do": "s-Do"}, "logs": {"s-Do": "do.log"}}
    state = RunningState(os.getpid(), **known, groups={"Do": "other.log", "/flows": "flows.log", "Flow": "flows.log"})
    assert [state.find_log(name) for name in ("Do", "do", "s-Do", "/flows", "Flow")] == [
        "do.log", "do.log", "do.log", "flows.log", "flows.log",
    ]  # fmt: skip
    write_state(tmp_path, state)
    assert read_state(tmp_path).groups == state.groups
    with pytest.raises(Unreachable, match="no function x; there are Do; logs beside theirs: /flows, Do, Flow"):
        state.find_log("x")
