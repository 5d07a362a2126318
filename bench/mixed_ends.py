"""How a local cloud ends: on `down`, by a kill in the middle of load, and by a kill at any moment of its start.

What is left is looked for in /proc: processes that have the run's own TMPDIR or its endpoint, listening ports, locks.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloud import FOREIGN, ROOT, Cloud
from mesh_processes import PROC
from mixed_calls import SCOPE, Caller, Kind, Site, Unanswered, put_item, receive_all, send

LATEST_S = 10.0  # until a function's process has seen that its cloud has gone
START_S = 1.5  # from nothing to ready, and more


def find_marked(*marks: str) -> list[int]:
    """Processes other than this one whose environment holds one of `marks`."""
    wanted = [mark.encode() for mark in marks]
    found: list[int] = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                variables = (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in variables for mark in wanted):
                found.append(int(entry.name))
    return found


def find_listening(ports: set[int]) -> set[int]:
    """Those of `ports` that anybody listens at."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A":
                found.add(int(columns[1].rpartition(":")[2], 16))
    return found & ports


def find_locked(folder: Path) -> list[str]:
    """Files below `folder` that any process has locked."""
    inodes = {str(path.stat().st_ino): path for path in folder.rglob("*") if path.is_file()}
    held = [line.split()[5].split(":")[2] for line in (PROC / "locks").read_text().splitlines()]
    return [inodes[inode].name for inode in held if inode in inodes]


def read_ports(pids: list[int]) -> set[int]:
    """The ports at which these processes listen."""
    sockets: set[str] = set()
    for pid in pids:
        try:
            sockets |= {str(each.readlink()) for each in (PROC / str(pid) / "fd").iterdir()}
        except OSError:
            continue
    lines = [line.split() for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]]
    return {
        int(each[1].rpartition(":")[2], 16) for each in lines if each[3] == "0A" and f"socket:[{each[9]}]" in sockets
    }


def wait_until_gone(*marks: str) -> tuple[list[int], float]:
    """The processes that are left after ten seconds, and after how many seconds none was."""
    begun = time.perf_counter()
    while (left := find_marked(*marks)) and time.perf_counter() - begun < LATEST_S:
        time.sleep(0.02)
    return left, time.perf_counter() - begun


def find_remains(folder: Path, ports: set[int], marks: tuple[str, ...]) -> dict[str, Any]:
    """What a cloud that has ended has left of what it must not leave; empty where all is well."""
    left: dict[str, Any] = {
        "processes": find_marked(*marks),
        "ports": sorted(find_listening(ports)),
        "locks": find_locked(folder),
        "temporary files": sorted(each.name for each in (folder / "tmp").iterdir()),
        "says that it runs": [each.name for each in folder.rglob("state.json")],
    }
    return {what: found for what, found in left.items() if found}


def _keep(aws: str) -> Any:
    """Puts of objects that say their number, each with a key of its own."""
    site, headers = Site(aws), {"authorization": SCOPE.format("s3")}

    def call(number: int) -> None:
        site.ask("PUT", f"/mixed-files/kept{number}", str(number).encode(), headers)

    return call


def _find_lost(status: dict[str, Any], callers: list[Caller]) -> dict[str, int]:
    """How many acknowledged sends, items and objects are not there any more."""
    aws, outputs = status["endpoints"]["aws"], status["outputs"]
    site = Site(aws)
    sent, items, objects = (set(each.acknowledged) for each in callers)
    lost = {"messages": len(sent - set(receive_all(site, outputs["Kept"]))), "items": 0, "objects": 0}
    scope = {"authorization": SCOPE.format("s3")}
    for number in items:
        asked = {"TableName": outputs["Items"], "Key": {"id": {"S": f"i{number}"}}, "ConsistentRead": True}
        item = site.aws("dynamodb", "DynamoDB_20120810.GetItem", asked).get("Item", {})
        lost["items"] += item.get("number") != {"N": str(number)}
    for number in objects:
        try:
            lost["objects"] += site.ask("GET", f"/mixed-files/kept{number}", b"", scope) != str(number).encode()
        except Unanswered:
            lost["objects"] += 1
    return lost


def kill_under_load(
    folder: Path, template: Path, evidence: Path, *, rounds: int, load_s: float
) -> list[dict[str, Any]]:
    """Each round: a cloud that keeps, load, SIGKILL; another on the same folder, and what it has lost."""
    found: list[dict[str, Any]] = []
    for at in range(rounds):
        options = ("--persist", str(folder / f"keep{at}"), "--parameter-overrides", f"Evidence={evidence}")
        cloud = Cloud(folder, *options, template=template)
        status = cloud.status
        aws, stop = status["endpoints"]["aws"], threading.Event()
        kinds = [
            Kind("sends", 150, send(status["outputs"]["Kept"], aws)),
            Kind("items", 100, put_item(status["outputs"], aws, 1 << 30)),
            Kind("objects", 60, _keep(aws)),
        ]
        callers = [Caller(kind, stop) for kind in kinds]
        for caller in callers:
            caller.start()
        time.sleep(load_s)
        running = len(find_marked(mark := f"AWS_ENDPOINT_URL={aws}\0"))
        os.kill(status["pid"], signal.SIGKILL)
        left, gone_s = wait_until_gone(mark)
        stop.set()
        for caller in callers:
            caller.join()
        with Cloud(folder, *options, template=template) as again:
            lost = _find_lost(again.status, callers)
        counts = {"acknowledged": sum(len(each.acknowledged) for each in callers), "running": running}
        found.append({**counts, **lost, "left": left, "gone_s": gone_s})
    return found


def kill_while_starting(
    folder: Path, template: Path, evidence: Path, *, rounds: int, seed: int
) -> list[dict[str, Any]]:
    """`up` killed at seeded moments of its first second and a half, by SIGKILL, SIGTERM or SIGINT in turn."""
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    for at in range(rounds):
        kind = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[at % 3]
        mark = f"MIXED_MARK={os.getpid()}.{at}"
        arguments = ["--state", str(folder / "state"), "up", "--port", "0", "--template", str(template)]
        up = subprocess.Popen(
            [sys.executable, "-m", "localcloud", *arguments, "--parameter-overrides", f"Evidence={evidence}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment, "MIXED_MARK": mark.partition("=")[2]},
        )
        moment_s = chance.uniform(0.0, START_S)
        time.sleep(moment_s)
        up.send_signal(kind)
        with suppress(subprocess.TimeoutExpired):
            up.wait(LATEST_S)
        left, _ = wait_until_gone(f"{mark}\0", f"{folder / 'state'}")
        found.append({"moment_s": moment_s, "by": kind.name, "left": left, "status": up.returncode})
        if up.poll() is None:
            up.kill()
            up.wait()
    return found


def works_again(folder: Path, template: Path, evidence: Path) -> bool:
    """Whether a cloud starts from the folder and calls a function."""
    with Cloud(folder, "--parameter-overrides", f"Evidence={evidence}", template=template) as cloud:
        site = Site(cloud.status["endpoints"]["aws"])
        headers = {"authorization": SCOPE.format("lambda")}
        told = site.ask(
            "POST", f"/2015-03-31/functions/{cloud.status['outputs']['Later']}/invocations", b'{"number": 1}', headers
        )
    return json.loads(told) == {"number": 1}
