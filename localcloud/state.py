"""What a running local cloud tells other processes: `.sluiceway/state.json`, written whole, removed at the end."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from localcloud.caller import LambdaEndpoint, Unreachable
from sluiceway.aws.sigv4 import Credentials

__all__ = [
    "READY_FD",
    "STATE_FOLDER",
    "FolderTaken",
    "NotRunning",
    "RunningState",
    "hold_state",
    "is_running",
    "read_state",
    "remove_state",
    "write_state",
]

READY_FD: Final = "SLUICEWAY_READY_FD"  # the variable that names a descriptor, closed by a cloud when it answers
STATE_FOLDER: Final = Path(".sluiceway")


class NotRunning(Exception):
    """No local cloud runs here; the message says what to do."""


class FolderTaken(Exception):
    """Another local cloud runs, or starts, from this folder."""


@dataclass(frozen=True, slots=True)
class RunningState:
    """The running cloud. `endpoints`: `aws`, and each API by its lower-case logical id; no URL ends in a slash.
    `functions` maps logical ids to names, `logs` names to log files. `born` tells the process from a later one with
    the same number; "" where the system does not tell, and in what is not written yet. `issuer` is the folder of the
    issuer's key; `regions` the folders of the clouds that this one holds together, by Region.
    `groups`: log files of other log groups, by the logical ids and names of the groups, and of state machines.
    """

    pid: int
    template: str
    region: str
    audience: str
    endpoints: dict[str, str]
    outputs: dict[str, str]
    functions: dict[str, str]
    logs: dict[str, str]
    ledger: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    ready: bool = True
    born: str = ""
    issuer: str = ""
    regions: dict[str, str] = field(default_factory=dict[str, str])
    groups: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def known(self) -> dict[str, str]:
        """Endpoints, then outputs, by name; an endpoint wins over an output of its name."""
        return self.endpoints | self.outputs | self.endpoints

    def lambda_endpoint(self) -> LambdaEndpoint:
        """The Invoke API of this cloud; any key is a developer's own here."""
        return LambdaEndpoint(self.endpoints["aws"], self.region, Credentials("local", "local"))

    def find_function(self, name: str) -> str:
        """The function's name for a logical id, a name or a folder's name. Raises Unreachable."""
        folder = "".join(word.capitalize() for word in name.split("_"))
        for candidate in (name, folder):
            if candidate in self.functions:
                return self.functions[candidate]
        if name in self.functions.values():
            return name
        message = f"there is no function {name}; there are {', '.join(sorted(self.functions))}"
        raise Unreachable(message)

    def find_log(self, name: str) -> str:
        """The log file of a function, a log group or a state machine. Raises Unreachable."""
        try:
            return self.logs[self.find_function(name)]
        except Unreachable:
            if name in self.groups:
                return self.groups[name]
            beside = f"; logs beside theirs: {', '.join(sorted(self.groups))}" if self.groups else ""
            message = f"there is no function {name}; there are {', '.join(sorted(self.functions))}{beside}"
            raise Unreachable(message) from None


def _path(folder: Path) -> Path:
    return folder / "state.json"


@contextmanager
def hold_state(folder: Path) -> Generator[None]:
    """Make `folder`, and be the one cloud that runs from it for the length of the block. Raises FolderTaken."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "state.lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderTaken from None
        yield


def write_state(folder: Path, state: RunningState) -> None:
    """Write atomically: a reader sees the old state or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = _path(folder).with_suffix(".json.new")
    fresh.write_text(json.dumps(asdict(replace(state, born=_born(state.pid))), indent=1), encoding="utf-8")
    fresh.replace(_path(folder))


def read_state(folder: Path) -> RunningState:
    """The state of the cloud that runs. Raises NotRunning."""
    try:
        raw = cast("dict[str, Any]", json.loads(_path(folder).read_text(encoding="utf-8")))
        state = RunningState(**raw)
    except FileNotFoundError:
        message = "no local cloud runs from this folder; start one with `sluiceway up`"
        raise NotRunning(message) from None
    except (ValueError, TypeError) as error:
        message = f"{_path(folder)} is not readable as state: {error}"
        raise NotRunning(message) from error
    if not _is_process(state.pid) or not is_running(state.pid) or (state.born and state.born != _born(state.pid)):
        message = f"the local cloud that ran here (process {state.pid}) has ended; start one with `sluiceway up`"
        raise NotRunning(message)
    return state


def _is_process(pid: object) -> bool:
    """0 and negative numbers name groups of processes, which are never a local cloud."""
    return isinstance(pid, int) and not isinstance(pid, bool) and pid > 0


def _born(pid: int) -> str:
    """When the process started, in ticks of this boot: numbers of processes are used again. "" without /proc.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (field 22, starttime)
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def remove_state(folder: Path) -> None:
    """Forget the state; no error where there is none."""
    _path(folder).unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True  # no /proc on this system, or it ended just now: the next look tells
