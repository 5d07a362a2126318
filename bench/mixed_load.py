"""Does the local cloud stand a working day? Mixed load with reloads, memory flat, nothing lost, nothing left behind.

One application with a little of everything (bench/mixed_app): REST and HTTP APIs, a queue with failures and a dead
letter queue, Kinesis, a table and its stream, a topic, a bus, asynchronous invocations with destinations, a WebSocket,
objects and a state machine; the code of one function is written anew every minute. Calls come at a steady rate, open
loop. Each function notes what it handles, and in the end every call that was acknowledged is looked for there. Then:
`down`, and what is left of it; Ctrl-C in the middle of load, and what is left; SIGKILL in the middle of load with
`--persist`, and what is lost; `up` killed at seeded moments of its start. Fails where memory grows, a process is too
many, anything is lost, or anything is left.
Linux only. Takes as long as it says: `make bench` leaves it out.
Run: python bench/mixed_load.py [--minutes 15] [--share 1.0] [--interrupts 2] [--kills 3] [--starts 12] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from cloud import Cloud
from mesh_figures import Spread
from mesh_processes import Processes
from mixed_calls import Caller, Site, name_kinds, receive_all
from mixed_ends import interrupt_under_load, kill_under_load, kill_while_starting, works_again
from mixed_judges import Sample, Verdicts, find_judged, find_missing, find_repeats, judge_growth
from mixed_remains import find_files, find_remains, read_ports

APP = Path(__file__).parent / "mixed_app"
POISON = 40  # as in mixed_app/src/app.py
RELOAD_S = 60.0
LEAST_MINUTES = 0.4
DRAIN_S = 120.0
BOUND_MS = 1_000.0
PROBE_S = 0.2
LOOK_S = 0.25


class Watch:
    """The cloud and its functions, each second, and how long its event loop lets the cheapest call wait."""

    def __init__(self, pid: int, aws: str) -> None:
        self.samples: list[Sample] = []
        self.lag = Spread()
        self.environments: dict[object, list[tuple[float, float]]] = defaultdict(list)
        self._processes = Processes(pid)
        self._site = Site(aws)
        self._begun = time.perf_counter()

    def look(self) -> None:
        usages = self._processes.sample()
        cloud, minute = usages[0], (time.perf_counter() - self._begun) / 60
        for each in usages[1:]:
            self.environments[each.pid].append((minute, each.rss_mb))
        self.samples.append(
            Sample(
                minute=minute,
                cloud_mb=cloud.rss_mb,
                functions_mb=sum(each.rss_mb for each in usages[1:]),
                environments=len(usages) - 1,
                children=self._processes.count_children(),
                descriptors=cloud.descriptors,
                threads=cloud.threads,
                cloud_cpu_s=cloud.cpu_s,
            )
        )

    def probe(self) -> None:
        begun = time.perf_counter()
        self._site.aws("sqs", "AmazonSQS.ListQueues", {})
        self.lag.add((time.perf_counter() - begun) * 1e3)


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


def load_for(seconds: float, watch: Watch, reloads: Reloads, *, reload_s: float = RELOAD_S) -> None:
    """Look each second, probe between, write anew each minute."""
    begun = time.perf_counter()
    for second in range(round(seconds)):
        if second and second % reload_s == reload_s // 2:
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


def drain(callers: list[Caller], evidence: Path, site: Site, dead_queue: str) -> tuple[dict[str, int], set[int]]:
    """Wait until all is handled, or for two minutes."""
    dead: set[int] = set()
    told = {each.kind.name: each.acknowledged for each in callers if each.kind.name != "files"}  # those are read back
    ends = time.perf_counter() + DRAIN_S
    while True:
        dead |= set(receive_all(site, dead_queue))
        missing = find_missing(told, read_evidence(evidence), dead)
        if not any(missing.values()) or time.perf_counter() > ends:
            return missing, dead
        time.sleep(LOOK_S)


def judge_watch(watch: Watch, minutes: float, verdicts: Verdicts) -> None:
    judged, last = find_judged(watch.samples)[0], watch.samples[-1]
    cpu = (last.cloud_cpu_s - judged.cloud_cpu_s) / 60 / max(0.01, last.minute - judged.minute)
    print(f"CPU of the cloud {cpu:.2f} cores; cheapest call p50 {watch.lag.find(0.5):.1f}, p99", end=" ")
    print(f"{watch.lag.find(0.99):.1f}, most {watch.lag.most:.0f} ms")
    judge_growth(watch.samples, watch.environments, minutes, verdicts)


def judge_calls(
    callers: list[Caller], handled: dict[str, Counter[int]], verdicts: Verdicts, *, bound_ms: float
) -> None:
    print("           calls  refused   p50 ms   p99 ms   max ms  handled more than once")
    for caller in callers:
        name, spread = caller.kind.name, caller.spread
        figures = "".join(f" {ms:8.1f}" for ms in (spread.find(0.5), spread.find(0.99), spread.most))
        counts = f"{len(caller.acknowledged):5} {len(caller.problems):8}"
        print(f"{name:10} {counts}{figures} {find_repeats(handled, name):8}")
    problems = [f"{each.kind.name}: {each.problems[0]}" for each in callers if each.problems]
    verdicts.say(not problems, f"every call is answered{''.join(f'; {each}' for each in problems)}")
    slow = [each.kind.name for each in callers if each.spread.find(0.99) > bound_ms]
    verdicts.say(not slow, f"99 of 100 calls of every kind take less than {bound_ms:.0f} ms {' '.join(slow)}")
    once = [find_repeats(handled, name) for name in ("rest", "http", "chat")]
    verdicts.say(not any(once), "what is called synchronously runs exactly once")


def prepare(folder: Path) -> Path:
    """The application and all that a run needs, in `folder`; a home as well, with the cache of builds that is there."""
    shutil.copytree(APP, folder / "app")
    home = Path.home()
    for each in ("evidence", "tmp", "home/.cache"):
        (folder / each).mkdir(parents=True)
    cache = Path(os.environ.pop("XDG_CACHE_HOME", home / ".cache")) / "sluiceway"
    (folder / "home" / ".cache" / "sluiceway").symlink_to(cache, target_is_directory=True)
    cache.mkdir(parents=True, exist_ok=True)
    for name, own in (("PYENV_ROOT", ".pyenv"), ("RUSTUP_HOME", ".rustup")):  # interpreters, and what pip asks for
        os.environ.setdefault(name, str(home / own))
    os.environ.update(TMPDIR=str(folder / "tmp"), HOME=str(folder / "home"))
    return folder


def run_load(folder: Path, options: argparse.Namespace, verdicts: Verdicts) -> None:
    evidence = folder / "evidence"
    before = find_files(folder)
    parameters = [f"Evidence={evidence}", *options.parameters]
    cloud = Cloud(folder, "--parameter-overrides", *parameters, template=folder / "app" / "template.yaml")
    status: dict[str, Any] = cloud.status
    aws = status["endpoints"]["aws"]
    watch, reloads, stop = Watch(status["pid"], aws), Reloads(folder / "app" / "web" / "app.py"), threading.Event()
    callers = [Caller(kind, stop) for kind in name_kinds(status, options.share, reloads.seen)]
    try:
        for caller in callers:
            caller.start()
        load_for(options.minutes * 60, watch, reloads, reload_s=options.reload_s)
        stop.set()
        for caller in callers:
            caller.join()
        missing, dead = drain(callers, evidence, Site(aws), status["outputs"]["DeadJobs"])
        ports = read_ports([status["pid"]])
    finally:
        cloud.sluiceway("down")
    marks = (f"TMPDIR={folder / 'tmp'}\0", f"AWS_ENDPOINT_URL={aws}\0")
    left = find_remains(folder, ports, marks, before)
    judge_calls(callers, read_evidence(evidence), verdicts, bound_ms=options.bound_ms)
    judge_watch(watch, options.minutes, verdicts)
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
    told = f"down leaves no process, none of {len(ports)} ports, no lock, no file elsewhere {left or ''}"
    verdicts.say(ports and not left, told)


def run_ends(folder: Path, options: argparse.Namespace, verdicts: Verdicts) -> None:
    template, evidence = folder / "app" / "template.yaml", folder / "evidence"
    if options.interrupts:
        found = interrupt_under_load(folder, template, evidence, rounds=options.interrupts, load_s=4.0)
        left = [each.left for each in found if each.left]
        statuses = {each.status for each in found}
        slowest = max(each.gone_s for each in found)
        told = (
            f"{len(found)} times Ctrl-C under load: status {statuses}, nothing left after {slowest:.2f} s {left or ''}"
        )
        verdicts.say(not left and statuses == {0}, told)
    if options.kills:
        rounds = kill_under_load(folder, template, evidence, rounds=options.kills, load_s=4.0)
        lost = sum((each.lost for each in rounds), Counter[str]())
        acknowledged = sum(each.acknowledged for each in rounds)
        told = f"{len(rounds)} SIGKILLs under load: {acknowledged} acknowledged, {lost.total()} lost {dict(lost) or ''}"
        verdicts.say(not lost.total(), told)
        left = [pid for each in rounds for pid in each.left]
        slowest = max(each.gone_s for each in rounds)
        running = min(each.running for each in rounds)
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
    parser.add_argument("--interrupts", type=int, default=2, help="clouds that get a Ctrl-C under load")
    parser.add_argument("--starts", type=int, default=12, help="starts killed")
    parser.add_argument("--reload-s", type=float, default=RELOAD_S, help="between two writings of the code")
    parser.add_argument("--bound-ms", type=float, default=BOUND_MS, help="of the 99th percentile of any call")
    parser.add_argument("--parameters", nargs="*", default=[], help="Name=value, of the application's template")
    parser.add_argument("--seed", type=int, default=20261128, help="of the moments")
    options = parser.parse_args()
    if 0 < options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes is 0, for the kills alone, or at least {LEAST_MINUTES}")
    if not Path("/proc/self/stat").exists():
        raise SystemExit("this needs /proc, which Linux has: processes are watched through it")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job, and what it starts, ignores it
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as name:
        folder = prepare(Path(name))
        print(f"{options.minutes:g} minutes of mixed load, Python {sys.version.split()[0]} on {os.cpu_count()} cores.")
        if options.minutes:
            run_load(folder, options, verdicts)
        run_ends(folder, options, verdicts)
    sys.exit(len(verdicts.failed))


if __name__ == "__main__":
    prove()
