"""How a local cloud ends: by Ctrl-C or a kill in the middle of load, and by a kill at any moment of its start."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cloud import FOREIGN, ROOT, Cloud
from mixed_calls import SCOPE, Caller, Kind, Site, Unanswered, name_kinds, put_item, receive_all, send
from mixed_judges import find_disorder
from mixed_remains import LATEST_S, find_files, find_marked, find_remains, read_ports, wait_until_gone

GROUPS = 8  # of the FIFO queue
START_S = 1.5  # from nothing to ready, and more


def _keep(aws: str) -> Any:
    """Puts of objects that say their number, each with a key of its own."""
    site, headers = Site(aws), {"authorization": SCOPE.format("s3")}

    def call(number: int) -> None:
        site.ask("PUT", f"/mixed-files/kept{number}", str(number).encode(), headers)

    return call


def _send_ordered(queue: str, aws: str) -> Callable[[int], None]:
    """Sends to a FIFO queue: `GROUPS` groups, each number in the group of its own."""
    site = Site(aws)

    def call(number: int) -> None:
        _order(site, queue, number)

    return call


def _order(site: Site, queue: str, number: int) -> None:
    asked = {"MessageGroupId": f"g{number % GROUPS}", "MessageDeduplicationId": f"d{number}"}
    body = json.dumps({"number": number})
    site.aws("sqs", "AmazonSQS.SendMessage", {"QueueUrl": queue, "MessageBody": body, **asked})


def _send_and_delete(queue: str, aws: str) -> Callable[[int], None]:
    """Messages that are sent, received and deleted: what is acknowledged is that they are gone."""
    site = Site(aws)

    def call(number: int) -> None:
        site.aws("sqs", "AmazonSQS.SendMessage", {"QueueUrl": queue, "MessageBody": json.dumps({"number": number})})
        if receive_all(site, queue) != [number]:
            raise Unanswered(f"{number} is not what came")

    return call


class _Kept(NamedTuple):
    """What is asked of a cloud that keeps, and what of it is not there after the next start."""

    kind: Kind
    count_lost: Callable[[Site, dict[str, Any], list[int]], int]


def _count_lost_sends(site: Site, outputs: dict[str, Any], sent: list[int]) -> int:
    return len(set(sent) - set(receive_all(site, outputs["Kept"])))


def _count_lost_order(site: Site, outputs: dict[str, Any], sent: list[int]) -> int:
    """Lost, out of order, or there twice though the second was sent with the id of the first."""
    for number in sent[-GROUPS:]:
        _order(site, outputs["Ordered"], number)
    received = receive_all(site, outputs["Ordered"])
    return len(set(sent) - set(received)) + find_disorder(received, GROUPS)


def _count_risen(site: Site, outputs: dict[str, Any], deleted: list[int]) -> int:
    return len(set(deleted) & set(receive_all(site, outputs["Gone"])))


def _count_lost_items(site: Site, outputs: dict[str, Any], put: list[int]) -> int:
    lost = 0
    for number in put:
        asked = {"TableName": outputs["Items"], "Key": {"id": {"S": f"i{number}"}}, "ConsistentRead": True}
        item = site.aws("dynamodb", "DynamoDB_20120810.GetItem", asked).get("Item", {})
        lost += item.get("number") != {"N": str(number)}
    return lost


def _count_lost_objects(site: Site, _outputs: dict[str, Any], put: list[int]) -> int:
    lost, scope = 0, {"authorization": SCOPE.format("s3")}
    for number in put:
        try:
            lost += site.ask("GET", f"/mixed-files/kept{number}", b"", scope) != str(number).encode()
        except Unanswered:
            lost += 1
    return lost


def _name_kept(outputs: dict[str, Any], aws: str) -> list[_Kept]:
    """Every kind of thing that `--persist` keeps, as docs/local-cloud.md says."""
    return [
        _Kept(Kind("messages", 150, send(outputs["Kept"], aws)), _count_lost_sends),
        _Kept(Kind("ordered", 80, _send_ordered(outputs["Ordered"], aws)), _count_lost_order),
        _Kept(Kind("deleted", 30, _send_and_delete(outputs["Gone"], aws)), _count_risen),
        _Kept(Kind("items", 100, put_item(outputs, aws, 1 << 30)), _count_lost_items),
        _Kept(Kind("objects", 60, _keep(aws)), _count_lost_objects),
    ]


class Killed(NamedTuple):
    """One round: what was acknowledged, what of it is lost by kind, and the processes that were and stayed."""

    acknowledged: int
    lost: Counter[str]
    running: int
    left: list[int]
    gone_s: float


def kill_under_load(folder: Path, template: Path, evidence: Path, *, rounds: int, load_s: float) -> list[Killed]:
    """Each round: a cloud that keeps, load, SIGKILL; another on the same folder, and what it has lost."""
    found: list[Killed] = []
    for at in range(rounds):
        options = ("--persist", str(folder / f"keep{at}"), "--parameter-overrides", f"Evidence={evidence}")
        cloud = Cloud(folder, *options, template=template)
        status = cloud.status
        aws, stop = status["endpoints"]["aws"], threading.Event()
        kept = _name_kept(status["outputs"], aws)
        callers = [Caller(each.kind, stop) for each in kept]
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
            site = Site(again.status["endpoints"]["aws"])
            lost = Counter(
                {
                    each.kind.name: each.count_lost(site, again.status["outputs"], caller.acknowledged)
                    for each, caller in zip(kept, callers, strict=True)
                }
            )
        found.append(Killed(sum(len(each.acknowledged) for each in callers), +lost, running, left, gone_s))
    return found


class Interrupted(NamedTuple):
    """How a cloud ended that got a Ctrl-C: its status, what it left, and after how long it was gone."""

    status: int | None
    left: dict[str, Any]
    gone_s: float


def _start_up(folder: Path, template: Path, evidence: Path, mark: str) -> subprocess.Popen[bytes]:
    """`up` as at a terminal: in the foreground, with a process group of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    arguments = ["--state", str(folder / "state"), "up", "--port", "0", "--template", str(template)]
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud", *arguments, "--parameter-overrides", f"Evidence={evidence}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment, "MIXED_MARK": mark},
        start_new_session=True,
    )


def _read_status(folder: Path) -> dict[str, Any]:
    """What `up` says of itself once it is ready. Raises SystemExit where it is not within ten times as long."""
    ends = time.perf_counter() + 10 * START_S
    while time.perf_counter() < ends:
        with suppress(OSError, ValueError):
            return json.loads((folder / "state" / "state.json").read_text())
        time.sleep(0.05)
    raise SystemExit("up is not ready")


def interrupt_under_load(
    folder: Path, template: Path, evidence: Path, *, rounds: int, load_s: float
) -> list[Interrupted]:
    """Each round: `up` in the foreground, mixed load, and what Ctrl-C sends, to all of the terminal's processes."""
    found: list[Interrupted] = []
    for at in range(rounds):
        before, mark = find_files(folder), f"{os.getpid()}.ctrl-c.{at}"
        up = _start_up(folder, template, evidence, mark)
        status, stop = _read_status(folder), threading.Event()
        callers = [Caller(kind, stop) for kind in name_kinds(status, 1.0, set())]
        for caller in callers:
            caller.start()
        time.sleep(load_s)
        ports = read_ports([up.pid])
        begun = time.perf_counter()
        os.killpg(up.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            up.wait(LATEST_S)
        marks = (f"MIXED_MARK={mark}\0", f"AWS_ENDPOINT_URL={status['endpoints']['aws']}\0")
        wait_until_gone(*marks)
        gone_s = time.perf_counter() - begun
        stop.set()
        for caller in callers:
            caller.join()
        found.append(Interrupted(up.poll(), find_remains(folder, ports, marks, before), gone_s))
        if up.poll() is None:
            up.kill()
            up.wait()
    return found


def kill_while_starting(
    folder: Path, template: Path, evidence: Path, *, rounds: int, seed: int
) -> list[dict[str, Any]]:
    """`up` killed at seeded moments of its first second and a half, by SIGKILL, SIGTERM or SIGINT in turn."""
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    for at in range(rounds):
        kind = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[at % 3]
        mark = f"{os.getpid()}.start.{at}"
        up = _start_up(folder, template, evidence, mark)
        moment_s = chance.uniform(0.0, START_S)
        time.sleep(moment_s)
        up.send_signal(kind)
        with suppress(subprocess.TimeoutExpired):
            up.wait(LATEST_S)
        left, _ = wait_until_gone(f"MIXED_MARK={mark}\0", f"{folder / 'state'}")
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
