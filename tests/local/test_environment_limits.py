"""Memory, the freeze between invocations and what Lambda's log says of both, with functions in real processes."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.local.compute_world import LogFormat, World, open_world

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system tells nothing of memory")

SOURCE = textwrap.dedent("""
    import os, subprocess, sys, threading, time
    KEPT = []
    GROW = "b = bytearray(300_000_000); import time; time.sleep(600)"
    def tick():
        while True:
            time.sleep(0.01)
            KEPT.append(time.monotonic())
    def burn():
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            pass
    def handler(event, context):
        if event == "grow":
            while True:
                KEPT.append(bytearray(4_000_000))
        if event == "spike":
            bytearray(300_000_000)
        if event == "child":
            subprocess.run([sys.executable, "-c", GROW])
        if event == "fork":
            subprocess.run([sys.executable, "-c", "pass"])
        if event == "tick":
            threading.Thread(target=tick, daemon=True).start()
        if event == "burn":
            threading.Thread(target=burn, daemon=True).start()
        if event == "leave":
            subprocess.Popen(["sleep", "600"])
        if event == "pool":
            from concurrent.futures import ThreadPoolExecutor
            KEPT.append(ThreadPoolExecutor())
            KEPT[-1].submit(len, "").result()
        if event == "big":
            KEPT.append(bytearray(60_000_000))
        return [os.getpid(), len(KEPT)]
""")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


def state_of(pid: int) -> str:
    """The kernel's letter: T for stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def frozen(pid: int) -> None:
    async with asyncio.timeout(10):
        while state_of(pid) != "T":  # noqa: ASYNC110 - the kernel tells nobody but the parent
            await asyncio.sleep(0.005)


def told(world: World, name: str = "f") -> list[str]:
    return [line.partition("Frozen with work unfinished: ")[2] for line in world.lines(name) if "SLUICEWAY" in line]


@pytest.mark.parametrize("event", ["grow", "spike", "child"])
async def test_more_memory_than_the_function_has_ends_it(world: World, event: str) -> None:
    """What grows, what grew and shrank again, and a child: killed, in Lambda's words, and replaced."""
    world.add(SOURCE, memory_mb=128)
    first, _ = await world.answer()
    result = await world.invoke(event, log_tail=True)
    other, _ = await world.answer()
    tail = result.log_tail.decode()
    request_id = tail.partition("START RequestId: ")[2].split()[0]
    assert json.loads(result.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
    }
    assert f"RequestId: {request_id} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n" in tail
    assert "\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory\t" in tail
    assert first != other


async def test_memory_within_the_limit_is_reported(world: World) -> None:
    """Max Memory Used is what the process had; a child that forks is no reason to end."""
    world.add(SOURCE, memory_mb=128)
    small = await world.invoke(None, log_tail=True)
    big = await world.invoke("big", log_tail=True)
    for _ in range(3):
        assert (await world.invoke("fork")).function_error == ""
    used = [int(r.log_tail.decode().partition("Max Memory Used: ")[2].split()[0]) for r in (small, big)]
    assert 5 < used[0] < 60
    assert used[0] + 50 < used[1] < 128


async def test_a_module_that_needs_too_much_is_out_of_memory_in_both_phases(world: World) -> None:
    """Init is tried again by the invocation, which fails of it."""
    world.add("x = bytearray(300_000_000)\nimport time\ntime.sleep(600)\n", memory_mb=128)
    result = await world.invoke({}, log_tail=True)
    reports = [line.partition("Phase: ")[2] for line in world.lines() if line.startswith("INIT_REPORT")]
    assert reports == [f"{phase}\tStatus: error\tError Type: Runtime.OutOfMemory" for phase in ("init", "invoke")]
    assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
    assert b"Error Type: Runtime.OutOfMemory" in result.log_tail


async def test_json_logs_say_out_of_memory(world: World) -> None:
    """platform.report has the error's type, and the limit as what was used."""
    world.add(SOURCE, memory_mb=128, log_format=LogFormat.JSON)
    await world.invoke("grow")
    events: list[dict[str, Any]] = [json.loads(line) for line in world.lines()]
    record = next(event["record"] for event in events if event["type"] == "platform.report")
    assert (record["status"], record["errorType"]) == ("error", "Runtime.OutOfMemory")
    assert record["metrics"]["maxMemoryUsedMB"] == 128


async def test_an_environment_is_frozen_between_invocations(world: World) -> None:
    """It stands still once its runtime waits, goes on with the next event, and nothing is told of one that waits."""
    world.add(SOURCE)
    for event in (None, "pool", None):
        pid, _ = await world.answer(event)
        await frozen(pid)
    assert told(world) == []


async def test_a_thread_that_outlives_its_invocation_is_frozen_and_told_once(world: World) -> None:
    """A thread asleep: it does nothing until the next invocation, in which it goes on."""
    world.add(SOURCE)
    pid, _ = await world.answer("tick")
    await frozen(pid)
    _, before = await world.answer()
    await frozen(pid)
    await asyncio.sleep(0.2)  # ten beats and more of what stands still
    _, after = await world.answer()
    await frozen(pid)
    assert after - before <= 5
    assert told(world) == ["1 thread asleep. It goes on in the next invocation, if one comes."]


async def test_work_on_the_cpu_is_told_at_every_freeze(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With the invocation's id; the local cloud's own log has it too."""
    world.add(SOURCE)
    for event in ("burn", *[None] * 20):  # on a machine that does much else the work may get no time in one of them
        pid, _ = await world.answer(event)
        await frozen(pid)
        if len(told(world)) == 2:
            break
    assert told(world) == ["work on the CPU. It goes on in the next invocation, if one comes."] * 2
    assert [record.message for record in caplog.records] == ["environment.frozen_at_work"] * 2
    ids = [line.split()[2] for line in world.lines() if line.startswith("END ")]
    assert {vars(record)["request_id"] for record in caplog.records} <= set(ids)


async def test_a_process_left_behind_is_told_by_name(world: World) -> None:
    """A child asleep; in JSON logs the line is an event of its own kind."""
    world.add(SOURCE, log_format=LogFormat.JSON)
    pid, _ = await world.answer("leave")
    await frozen(pid)
    events: list[dict[str, Any]] = [json.loads(line) for line in world.lines()]
    found = [event["record"]["message"] for event in events if event["type"] == "sluiceway.frozen"]
    assert found == ["Frozen with work unfinished: process sleep. It goes on in the next invocation, if one comes."]


async def test_a_frozen_environment_ends_like_any_other(world: World) -> None:
    """Replaced code ends it; so does the end of the local cloud (held by the reaper's tests where that was killed)."""
    world.add(SOURCE)
    pid, _ = await world.answer("leave")
    await frozen(pid)
    world.functions.renew("f")
    async with asyncio.timeout(10):
        while exists(pid):  # noqa: ASYNC110 - the kernel tells nobody but the parent
            await asyncio.sleep(0.005)


async def test_a_traced_function_reports_its_segment(world: World) -> None:
    """The XRAY line stands below REPORT where the function traces and the invocation is sampled."""
    world.add(SOURCE, tracing=True)
    header = "Root=1-5e34a614-10bd0123f1fb44f07bc535a1;Parent=07f5012d2d1f6f85;Sampled=1"
    await world.invoke(None, trace_header=header)
    await world.invoke(None, trace_header=header.replace("Sampled=1", "Sampled=0"))
    reports = [line.partition("\n")[2] for line in world.lines() if line.startswith("REPORT")]
    traced = "XRAY TraceId: 1-5e34a614-10bd0123f1fb44f07bc535a1\tSegmentId: 07f5012d2d1f6f85\tSampled: true\t"
    assert reports == [traced, ""]
