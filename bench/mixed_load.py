"""Does the local cloud stand a working day? Mixed load with reloads, memory flat, nothing lost, nothing left behind.

One application with a little of everything (bench/mixed_app): REST and HTTP APIs, a queue with failures and a dead
letter queue, Kinesis, a table and its stream, a topic, a bus, asynchronous invocations with destinations, a WebSocket,
objects and a state machine; the code of one function is written anew every minute. Calls come at a steady rate, open
loop. Each function notes what it handles, and in the end every call that was acknowledged is looked for there. Then:
`down`, and what is left of it; SIGKILL in the middle of load with `--persist`, and what is lost; `up` killed at seeded
moments of its start. Fails where memory grows, a process is too many, anything is lost, or anything is left.
Linux only. Takes as long as it says: `make bench` leaves it out.
Run: python bench/mixed_load.py [--minutes 15] [--share 1.0] [--kills 3] [--starts 12] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from cloud import Cloud
from mesh_figures import Spread
from mesh_processes import Processes
from mixed_calls import Caller, Site, name_kinds, receive_all
from mixed_ends import find_remains, kill_under_load, kill_while_starting, read_ports, works_again

APP = Path(__file__).parent / "mixed_app"
POISON = 40  # as in mixed_app/src/app.py
RELOAD_S = 60.0
WARM_UP = 1 / 3  # of the time: not judged
CLOUD_LIMIT = 1.0  # MB a minute
FUNCTIONS_LIMIT = 1.0
LEAST_MINUTES = 0.4
JUDGED_MINUTES = 5.0  # shorter runs show growth, and do not judge it
SPARE_DESCRIPTORS = 20
DRAIN_S = 120.0
BOUND_MS = 1_000.0  # of the 99th percentile of any call
PROBE_S = 0.2


class Sample(NamedTuple):
    """One second."""

    minute: float
    cloud_mb: float
    functions_mb: float
    environments: int
    descriptors: int
    cloud_cpu_s: float
    functions: Counter[str]


def find_slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs, which no single leap moves."""
    slopes = [(b - y) / (a - x) for at, (x, y) in enumerate(points) for a, b in points[at + 1 :] if a > x]
    return statistics.median(slopes) if slopes else 0.0


class Watch:
    """The cloud and its functions, each second, and how long its event loop lets the cheapest call wait."""

    def __init__(self, pid: int, aws: str) -> None:
        self.samples: list[Sample] = []
        self.lag = Spread()
        self._processes = Processes(pid)
        self._site = Site(aws)
        self._begun = time.perf_counter()

    def look(self) -> None:
        usages = self._processes.sample()
        self.samples.append(
            Sample(
                minute=(time.perf_counter() - self._begun) / 60,
                cloud_mb=usages[0].rss_mb,
                functions_mb=sum(each.rss_mb for each in usages[1:]),
                environments=len(usages) - 1,
                descriptors=usages[0].descriptors,
                cloud_cpu_s=usages[0].cpu_s,
                functions=Counter(each.function for each in usages[1:]),
            )
        )

    def probe(self) -> None:
        begun = time.perf_counter()
        self._site.aws("sqs", "AmazonSQS.ListQueues", {})
        self.lag.add((time.perf_counter() - begun) * 1e3)

    def judged(self) -> list[Sample]:
        """What comes after the warm-up, one of five seconds."""
        return self.samples[int(len(self.samples) * WARM_UP) :: 5]


class Reloads:
    """The code of one function, written anew; `seen` is filled by those who call it."""

    def __init__(self, code: Path) -> None:
        self.written = 0
        self.seen: set[int] = set()
        self._code = code

    def write(self) -> None:
        self.written += 1
        text = self._code.read_text()
        old = next(line for line in text.splitlines() if line.startswith("VERSION ="))
        self._code.write_text(text.replace(old, f"VERSION = {self.written}"))


def load_for(seconds: float, watch: Watch, reloads: Reloads) -> None:
    """Look each second, probe between, write anew each minute."""
    begun = time.perf_counter()
    for second in range(round(seconds)):
        if second and second % RELOAD_S == RELOAD_S // 2:
            reloads.write()
        while (left := begun + second + 1 - time.perf_counter()) > 0:
            watch.probe()
            time.sleep(min(PROBE_S, left))
        watch.look()
        if not sys.stderr.isatty() and second % 60 == 59:
            last = watch.samples[-1]
            line = f"{last.minute:5.1f} min  cloud {last.cloud_mb:6.1f} MB  {last.environments} functions"
            print(f"{line} {last.functions_mb:6.1f} MB  {last.descriptors} descriptors", file=sys.stderr, flush=True)


def read_evidence(folder: Path) -> dict[str, Counter[int]]:
    """How often each number was handled, by kind."""
    return {each.name: Counter(map(int, each.read_text().split())) for each in folder.iterdir()}


def find_missing(callers: list[Caller], evidence: dict[str, Counter[int]], dead: set[int]) -> dict[str, int]:
    """How many acknowledged calls of each kind nobody has handled."""
    missing: dict[str, int] = {}
    for caller in callers:
        name, numbers = caller.kind.name, set(caller.acknowledged)
        if name == "files":
            continue  # read back when it was put
        handled = set(evidence.get(name, ()))
        if name == "queue":
            handled |= dead
        if name == "later":
            handled |= set(evidence.get("complained", ()))
        missing[name] = len(numbers - handled)
    return missing


def drain(callers: list[Caller], evidence: Path, site: Site, dead_queue: str) -> tuple[dict[str, int], set[int]]:
    """Wait until all is handled, or for two minutes."""
    dead: set[int] = set()
    ends = time.perf_counter() + DRAIN_S
    while True:
        dead |= set(receive_all(site, dead_queue))
        missing = find_missing(callers, read_evidence(evidence), dead)
        if not any(missing.values()) or time.perf_counter() > ends:
            return missing, dead
        time.sleep(1.0)


class Verdicts:
    """What is held and what is not."""

    def __init__(self) -> None:
        self.failed = 0

    def say(self, holds: object, text: str) -> None:
        self.failed += not holds
        print(f"{'holds' if holds else 'FAILS'}  {text}", flush=True)


def judge_memory(watch: Watch, minutes: float, verdicts: Verdicts) -> None:
    judged = watch.judged()
    cloud = find_slope([(each.minute, each.cloud_mb) for each in judged])
    functions = find_slope([(each.minute, each.functions_mb) for each in judged])
    first, middle, last = watch.samples[min(60, len(watch.samples) - 1)], judged[0], watch.samples[-1]
    print(f"\nresident MB  {first.minute:.0f} min  {middle.minute:.0f} min  {last.minute:.0f} min   MB/min")
    for name in ("cloud", "functions"):
        shown = [getattr(each, f"{name}_mb") for each in (first, middle, last)]
        print(
            f"{name:10} {shown[0]:7.1f} {shown[1]:7.1f} {shown[2]:7.1f} {cloud if name == 'cloud' else functions:8.2f}"
        )
    cpu = (last.cloud_cpu_s - middle.cloud_cpu_s) / 60 / max(0.01, last.minute - middle.minute)
    print(f"CPU of the cloud {cpu:.2f}; cheapest call p50 {watch.lag.find(0.5):.1f}, p99 {watch.lag.find(0.99):.1f},")
    print(
        f"most {watch.lag.most:.0f} ms; environments {middle.environments} to {last.environments}, descriptors", end=" "
    )
    print(f"{middle.descriptors} to {last.descriptors}\n")
    if minutes >= JUDGED_MINUTES:
        verdicts.say(cloud <= CLOUD_LIMIT, f"memory of the cloud {cloud:+.2f} MB a minute, at most {CLOUD_LIMIT:+.2f}")
        text = f"memory of the functions {functions:+.2f} MB a minute, at most {FUNCTIONS_LIMIT:+.2f}"
        verdicts.say(functions <= FUNCTIONS_LIMIT, text)
    half = len(judged) // 2
    most = [max(each.environments for each in part) for part in (judged[:half], judged[half:])]
    verdicts.say(most[1] <= most[0] + 2, f"processes: at most {most[0]} environments, then at most {most[1]}")
    most = [max(each.descriptors for each in part) for part in (judged[:half], judged[half:])]
    verdicts.say(most[1] <= most[0] + SPARE_DESCRIPTORS, f"descriptors: at most {most[0]}, then at most {most[1]}")


def judge_calls(callers: list[Caller], handled: dict[str, Counter[int]], verdicts: Verdicts) -> None:
    print("           calls  refused   p50 ms   p99 ms   max ms  handled more than once")
    for caller in callers:
        name, spread = caller.kind.name, caller.spread
        repeats = sum(times > 1 for times in handled.get(name, Counter[int]()).values())
        figures = "".join(f" {ms:8.1f}" for ms in (spread.find(0.5), spread.find(0.99), spread.most))
        print(f"{name:10} {len(caller.acknowledged):5} {len(caller.problems):8}{figures} {repeats:8}")
    problems = [f"{each.kind.name}: {each.problems[0]}" for each in callers if each.problems]
    verdicts.say(not problems, f"every call is answered{''.join(f'; {each}' for each in problems)}")
    slow = [each.kind.name for each in callers if each.spread.find(0.99) > BOUND_MS]
    verdicts.say(not slow, f"99 of 100 calls of every kind take less than {BOUND_MS:.0f} ms {' '.join(slow)}")
    once = {
        name: sum(times > 1 for times in handled.get(name, Counter[int]()).values())
        for name in ("rest", "http", "chat")
    }
    verdicts.say(not any(once.values()), "what is called synchronously runs exactly once")


def run_load(folder: Path, options: argparse.Namespace, verdicts: Verdicts) -> None:
    evidence = folder / "evidence"
    os.environ["TMPDIR"] = str(folder / "tmp")
    cloud = Cloud(folder, "--parameter-overrides", f"Evidence={evidence}", template=folder / "app" / "template.yaml")
    status: dict[str, Any] = cloud.status
    aws = status["endpoints"]["aws"]
    watch, reloads, stop = Watch(status["pid"], aws), Reloads(folder / "app" / "web" / "app.py"), threading.Event()
    callers = [Caller(kind, stop) for kind in name_kinds(status, options.share, reloads.seen)]
    try:
        for caller in callers:
            caller.start()
        load_for(options.minutes * 60, watch, reloads)
        stop.set()
        for caller in callers:
            caller.join()
        missing, dead = drain(callers, evidence, Site(aws), status["outputs"]["DeadJobs"])
        ports = read_ports([status["pid"]])
    finally:
        cloud.sluiceway("down")
    marks = (f"TMPDIR={folder / 'tmp'}\0", f"AWS_ENDPOINT_URL={aws}\0")
    left = find_remains(folder, ports, marks)
    judge_calls(callers, read_evidence(evidence), verdicts)
    judge_memory(watch, options.minutes, verdicts)
    verdicts.say(
        not any(missing.values()), f"nothing lost: {sum(missing.values())} acknowledged and not handled {missing}"
    )
    poison = {
        number for each in callers if each.kind.name == "queue" for number in each.acknowledged if number % POISON == 0
    }
    verdicts.say(
        dead == poison, f"dead letters: {len(dead)} of {len(poison)} messages that no try could handle, no other"
    )
    fresh = set(range(reloads.written + 1))
    verdicts.say(reloads.seen >= fresh, f"{reloads.written} reloads, {len(reloads.seen)} versions of the code seen")
    verdicts.say(not left, f"down leaves no process, no port of {len(ports)}, no lock, no temporary file {left or ''}")


def run_ends(folder: Path, options: argparse.Namespace, verdicts: Verdicts) -> None:
    template, evidence = folder / "app" / "template.yaml", folder / "evidence"
    if options.kills:
        rounds = kill_under_load(folder, template, evidence, rounds=options.kills, load_s=4.0)
        lost = sum(each["messages"] + each["items"] + each["objects"] for each in rounds)
        acknowledged = sum(each["acknowledged"] for each in rounds)
        told = f"{len(rounds)} SIGKILLs under load: {acknowledged} acknowledged, {lost} lost"
        verdicts.say(not lost, told)
        left = [pid for each in rounds for pid in each["left"]]
        slowest = max(each["gone_s"] for each in rounds)
        running = min(each["running"] for each in rounds)
        verdicts.say(
            bool(running) and not left,
            f"no function outlives the cloud: of {running} and more, all gone after {slowest:.2f} s at most",
        )
    if options.starts:
        starts = kill_while_starting(folder, template, evidence, rounds=options.starts, seed=options.seed)
        left = [each for each in starts if each["left"] or each["status"] is None]
        verdicts.say(not left, f"{len(starts)} starts killed at seeded moments leave no process {left or ''}")
        verdicts.say(works_again(folder, template, evidence), "the next start works, and its function answers")


def prove() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--share", type=float, default=1.0, help="of the rates, which are for a third of two cores")
    parser.add_argument("--kills", type=int, default=3, help="clouds killed under load")
    parser.add_argument("--starts", type=int, default=12, help="starts killed")
    parser.add_argument("--seed", type=int, default=20261128, help="of the moments")
    options = parser.parse_args()
    if 0 < options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes is 0, for the kills alone, or at least {LEAST_MINUTES}")
    if not Path("/proc/self/stat").exists():
        raise SystemExit("this needs /proc, which Linux has: processes are watched through it")
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(APP, folder / "app")
        for each in ("evidence", "tmp"):
            (folder / each).mkdir()
        print(f"{options.minutes:g} minutes of mixed load, Python {sys.version.split()[0]} on {os.cpu_count()} cores.")
        if options.minutes:
            run_load(folder, options, verdicts)
        run_ends(folder, options, verdicts)
    sys.exit(verdicts.failed)


if __name__ == "__main__":
    prove()
