"""Does the mesh hold its load? Records a second through filter and fan-out, with lag bounded and memory flat.

The real local cloud on template.yaml, in a process of its own, with its functions in theirs. A producer puts orders at
a steady rate; four rules lead to a stream, a queue, an SNS topic and an event bus, with columns and masks; some hundred
WebSockets have subscribed by pattern. Everybody, this program included, shares the cores. First the rate is raised, by
half each time, until records wait for longer than five seconds; 70 % of the last that was held is then put for as long
as `--minutes` says. Each second is sampled: records, the age of the oldest record that each function has not brought
yet, memory, descriptors and CPU of every process. In the end each destination is compared with what was put, record by
record. Fails where a record was lost, lag grew, or memory is not flat.
Linux only. Takes as long as it says: `make bench` leaves it out.
Run: python bench/mesh_load.py [--minutes 15] [--rate N] [--sockets 200] [--quick] [--json] [--seconds FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from cloud import Cloud
from mesh_crowd import Crowd
from mesh_figures import Backlog, Memory, find_calm, fit_slope, judge_crowd, judge_memory, second_half, sum_steady
from mesh_processes import Processes, Usage, measure_folder
from mesh_report import Arrival, Outcome, Second, print_outcome, to_json
from mesh_world import REGIONS, World, key_of, write_order

from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.wire import Wire
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.shards import Outlet

MASK_KEY = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
TOKEN_MINUTES = 240
ROLL_S = 8.0  # until subscriptions (two seconds) and rules (five) count
TICK_S = 0.05
FIRST_RATE = 100
RAISE = 1.5
MAX_RATE = 4_000  # what the four shards of the template's stream take
STEP_S = 15.0
JUDGED_S = 3  # of a step, its last ones
SHARE = 0.7
BOUND_S = 5.0  # of the age of the oldest record; a mapping that gathers for a second has two when all is well
DRAIN_S = 900.0  # where it goes on coming; what is under way is not lost
CLOUD_LIMIT = 1.0  # MB a minute
FUNCTIONS_LIMIT = 1.0  # all environments together
TOLD_S = 30  # between two lines of progress where there is no terminal


class Load:
    """Records at `rate` a second into the stream, and what is known of each second since."""

    def __init__(self, world: World, crowd: Crowd, processes: Processes, *, state: Path) -> None:
        self.now_ms = world.now_ms
        self.rate = 0.0
        self.put = 0
        self.failed = 0
        self.seconds: list[Second] = []
        self.memory: dict[tuple[str, int], list[tuple[float, float]]] = {}
        self._world = world
        self._crowd = crowd
        self._processes = processes
        self._state = state
        self._filtering, self._broadcasting = Backlog(), Backlog()
        self._all = world.places["all-of-it"].ledger
        self._before: list[Usage] = []
        self._own_s = time.process_time()

    async def pump(self, producer: Producer) -> None:
        """Put records for as long as the task lives."""

        def note(future: asyncio.Future[Any]) -> None:
            self.failed += future.cancelled() or future.exception() is not None

        credit, last = 0.0, time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            credit, last = credit + (now - last) * self.rate, now
            while credit >= 1:
                credit -= 1
                number, self.put = self.put, self.put + 1
                future = await producer.submit(key_of(number), write_order(number, self.now_ms()))
                future.add_done_callback(note)

    async def sample(self, phase: str, seconds: float) -> list[Second]:
        """So many seconds, one after the other."""
        found: list[Second] = []
        loop = asyncio.get_running_loop()
        due = loop.time()
        for _ in range(max(1, round(seconds))):
            due += 1.0
            await asyncio.sleep(max(0.0, due - loop.time()))
            found.append(self._take_sample(phase))
        return found

    def _take_sample(self, phase: str) -> Second:
        now = self.now_ms() / 1e3
        self._filtering.note(now, self.put)
        self._broadcasting.note(now, self.put)
        usages = self._processes.sample()
        before = {each.pid: each.cpu_s for each in self._before}
        last_s = self.seconds[-1].at_s if self.seconds else now - 1.0
        spent = [(each.cpu_s - before.get(each.pid, each.cpu_s)) / (now - last_s) for each in usages]
        own_s, self._own_s = self._own_s, time.process_time()
        self._before = usages
        for each in usages:
            self.memory.setdefault((each.function, each.pid), []).append((now, each.rss_mb))
        second = Second(
            phase=phase,
            at_s=now,
            rate=self.rate,
            put=self.put,
            sent=sum(place.ledger.came for place in self._world.places.values()),
            frames=self._crowd.frames,
            shown=self._crowd.records,
            filter_s=self._filtering.age_s(now, self._all.distinct),
            broadcast_s=self._broadcasting.age_s(now, self._crowd.subscribers[0].records),
            cloud_mb=usages[0].rss_mb,
            functions_mb=sum(each.rss_mb for each in usages[1:]),
            environments=len(usages) - 1,
            descriptors=usages[0].descriptors,
            cloud_cpu=spent[0],
            functions_cpu=sum(spent[1:]),
            own_cpu=(self._own_s - own_s) / (now - last_s),
            state_mb=measure_folder(self._state),
            by_function=_sum_by_function(usages[1:]),
        )
        self.seconds.append(second)
        _tell(self.seconds)
        return second

    async def drain(self) -> None:
        """Put nothing more, until everything has been seen or nothing came for long."""
        self.rate = 0.0
        quiet = 0
        for _ in range(round(DRAIN_S)):
            before = self.seconds[-1]
            (second,) = await self.sample("drain", 1.0)
            quiet = quiet + 1 if (second.sent, second.shown) == (before.sent, before.shown) else 0
            if quiet >= (4 if not (second.filter_s or second.broadcast_s) else 15):
                return


def _sum_by_function(usages: list[Usage]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in usages:
        found[each.function] = found.get(each.function, 0.0) + each.rss_mb
    return {function: round(mb, 2) for function, mb in found.items()}


def _tell(seconds: list[Second]) -> None:
    """The line that renews itself; every half minute a line of its own where nobody sits at a terminal."""
    last = seconds[-1]
    recent = seconds[-6:]
    span_s = (last.at_s - recent[0].at_s) or 1.0
    put, sent, frames = (
        (getattr(last, name) - getattr(recent[0], name)) / span_s for name in ("put", "sent", "frames")
    )
    line = (
        f"{last.phase:5} {last.at_s / 60:5.1f} min  put {put:5.0f}/s  filtered {sent:5.0f}/s  frames {frames:5.0f}/s  "
        f"age {last.filter_s:4.1f} s, {last.broadcast_s:4.1f} s  cloud {last.cloud_mb:5.0f} MB  "
        f"{last.environments} functions {last.functions_mb:4.0f} MB"
    )
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    elif round(last.at_s) % TOLD_S == 0:
        print(line, file=sys.stderr, flush=True)


def is_bounded(seconds: list[Second]) -> bool:
    """Whether nothing waits for longer than it may, at the end of these seconds."""
    last = seconds[-JUDGED_S:]
    return all(
        statistics.median(ages) <= BOUND_S
        for ages in ([each.filter_s for each in last], [each.broadcast_s for each in last])
    )


async def find_rate(load: Load, step_s: float) -> tuple[float, float]:
    """The highest rate that was held, and 70 % of it."""
    held, rate = 0.0, float(FIRST_RATE)
    while rate <= MAX_RATE:
        load.rate = rate
        if not is_bounded(await load.sample("ramp", step_s)):
            break
        held, rate = rate, rate * RAISE
    await load.drain()
    if not held:
        raise SystemExit(f"{FIRST_RATE} records a second are not held: the oldest waits for more than {BOUND_S:.0f} s")
    return held, held * SHARE


def read_ages(world: World, since_s: float) -> dict[str, list[float]]:
    """Lambda's IteratorAge of each mapping of the stream, the highest of each minute, in seconds."""
    found: dict[str, list[float]] = {}
    cloudwatch = world.client("cloudwatch")
    for name in ("FilterRecordsName", "BroadcastRecordsName", "RollUpRecordsName"):
        if name in world.outputs:
            told = cloudwatch.get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName="IteratorAge",
                Dimensions=[{"Name": "FunctionName", "Value": world.outputs[name]}],
                StartTime=since_s,
                EndTime=time.time() + 60,
                Period=60,
                Statistics=["Maximum"],
            )
            points = sorted(told["Datapoints"], key=lambda point: point["Timestamp"])
            found[name.removesuffix("Name")] = [point["Maximum"] / 1e3 for point in points]
    return found


def find_quiet(hold: list[Second]) -> tuple[float, float]:
    """When, in the second half, nothing waited for longer than it may."""
    return find_calm(second_half([(each.at_s, max(each.filter_s, each.broadcast_s)) for each in hold]), BOUND_S)


def judge_functions(load: Load, hold: list[Second]) -> Memory:
    """All environments; the growth is of those that lived through the second half."""
    points = [(each.at_s, each.functions_mb) for each in hold]
    times = [at for at, _ in second_half(points)]
    functions = {process: each for process, each in load.memory.items() if process[0]}
    steady = list(sum_steady(functions, times).items())
    return judge_memory(points, FUNCTIONS_LIMIT, calm=find_quiet(hold), steady=steady)


def find_growth(load: Load, hold: list[Second]) -> dict[str, float]:
    """MB a minute of each function where nothing waited, its environments together; those that grow most first."""
    begin_s, end_s = find_quiet(hold)
    times = [each.at_s for each in hold if begin_s <= each.at_s <= end_s]
    found: dict[str, float] = {}
    for function in {name for name, _ in load.memory if name}:
        own = {process: each for process, each in load.memory.items() if process[0] == function}
        found[function] = fit_slope([(at / 60, mb) for at, mb in sum_steady(own, times).items()])
    return dict(sorted(found.items(), key=lambda each: -each[1]))


async def run(cloud: Cloud, options: argparse.Namespace, *, state: Path) -> Outcome:
    """All of it, on a cloud that runs."""
    began = time.perf_counter()

    def now_ms() -> float:
        return (time.perf_counter() - began) * 1e3

    world, crowd = World(cloud, now_ms), Crowd(options.sockets, now_ms)
    load = Load(world, crowd, Processes(cloud.status["pid"]), state=state)
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(Wire.open(world.settings))
        await world.write_rules(wire)
        token = cloud.sluiceway("token", "--minutes", str(TOKEN_MINUTES))
        await crowd.enter(stack, world.outputs["SocketUrl"], token)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        reading = [group.create_task(each) for each in (*world.readers(wire), *crowd.readers())]
        await asyncio.sleep(ROLL_S)
        outlet = Outlet(KinesisStream(wire, world.source), name="records")
        producer = await stack.enter_async_context(Producer(outlet, options=ProducerOptions(give_up_s=300.0)))
        reading.append(group.create_task(load.pump(producer)))
        held, rate = (0.0, options.rate) if options.rate else await find_rate(load, options.step_s)
        for spread in (crowd.spread, *(place.spread for place in world.places.values())):
            spread.clear()
        load.rate, since_s = rate, time.time()
        hold = await load.sample("hold", options.minutes * 60)
        ages = await asyncio.to_thread(read_ages, world, since_s)
        await load.drain()
        letters = await asyncio.to_thread(world.count_letters)
        for task in reading:
            task.cancel()
    return Outcome(
        held=held,
        rate=rate,
        hold=hold,
        put=load.put,
        failed=load.failed,
        places={
            name: Arrival(place.rule.kind, place.ledger.judge(place.rule.wants, load.put), place.spread, place.shown)
            for name, place in world.places.items()
        },
        seen=judge_crowd(crowd.subscribers, load.put, REGIONS),
        crowd=crowd.spread,
        sockets=options.sockets,
        ages=ages,
        letters=letters,
        cloud=judge_memory([(each.at_s, each.cloud_mb) for each in hold], CLOUD_LIMIT, calm=find_quiet(hold)),
        functions=judge_functions(load, hold),
        growth=find_growth(load, hold),
        bound_s=BOUND_S,
        is_bounded=is_bounded(hold),
    )


def prove() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=0.0, help="records a second; looked for where it is left out")
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument("--json", action="store_true", help="the figures, and nothing else, on stdout")
    parser.add_argument("--seconds", type=Path, help="a file for what was sampled, a line of JSON each second")
    options = parser.parse_args()
    options.minutes = 2.0 if options.quick else options.minutes
    options.step_s = STEP_S
    if not Path("/proc/self/stat").exists():
        raise SystemExit("this needs /proc, which Linux has: processes are watched through it")
    with tempfile.TemporaryDirectory() as folder:
        overrides = ("--parameter-overrides", f"MaskKey={MASK_KEY}")
        with Cloud(Path(folder), "--model", "scripted", *overrides) as cloud, asyncio.Runner() as runner:
            outcome = runner.run(run(cloud, options, state=Path(folder)))
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if options.seconds:
        options.seconds.write_text("".join(f"{json.dumps(each._asdict())}\n" for each in outcome.hold))
    if options.json:
        print(json.dumps(to_json(outcome), indent=1))
    else:
        print(f"Python {'.'.join(map(str, sys.version_info[:3]))} on {os.cpu_count()} cores.")
        print_outcome(outcome)
    sys.exit(not outcome.is_proof)


if __name__ == "__main__":
    prove()
