"""Processes that race for keys: each opens its records by its settings, asks for each key, and says what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["race_processes"]

LAYER = str(Path(__file__).parents[2] / "layers" / "sluiceway")
WAIT_S = 60
RACER = """
import asyncio, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from sluiceway import settings
from sluiceway.aws.wire import Wire
from sluiceway.idempotency import Guard, Options
from sluiceway.region.records import open_records

async def main():
    guard = Guard("race", key="id", options=Options(wait_s=20))
    environ = settings.environ()
    async with Wire.open(environ) as wire, open_records(environ, wire) as records:
        await records.store.get("warm")
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            async def work():
                await asyncio.sleep(0.005)
                return os.getpid()
            outcome = await guard.run({"id": line.strip()}, work, store=records.store)
            print(json.dumps([type(outcome).__name__, outcome.value]), flush=True)

with asyncio.Runner() as runner:
    runner.run(main())
"""


async def race_processes(environs: Sequence[dict[str, str]], *, rounds: int) -> None:
    """A process for each of `environs`; in every round one of them is fresh, and all others replay what it gave."""
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", RACER, json.dumps([LAYER]), stdin=-1, stdout=-1, env=environ
        )
        for environ in environs
    ]
    try:
        for racer in racers:
            assert await _read(racer) == "ready"
        for number in range(rounds):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"p{number}\n".encode())
            outcomes = [json.loads(await _read(racer)) for racer in racers]
            (winner,) = [pid for kind, pid in outcomes if kind == "Fresh"]
            assert sorted(outcomes) == sorted([["Fresh", winner], *[["Replayed", winner]] * (len(racers) - 1)])
    finally:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()
            await racer.wait()


async def _read(racer: asyncio.subprocess.Process) -> str:
    assert racer.stdout is not None
    return (await asyncio.wait_for(racer.stdout.readline(), WAIT_S)).decode().strip()
