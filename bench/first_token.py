"""How long a reader waits for the first token beyond the model's own time, with 1, 10 and 100 streams at once.

The whole local cloud: WebSocket clients ask, the gateway invokes serve_socket, that hands the answer to a stream_answer
of its own, which claims it in DynamoDB, asks the scripted model over ConverseStream and posts to the client. Every
function is a real process. Times run from the question to the first delta at the client, less the 0.3 s that the model
thinks. "cold": environments start while they are asked for, one for each stream; "warm": they are there. There is no
peer: no other local cloud serves all of this. All of it shares this machine, so with many streams it is the machine
that is measured: "cores used" says how much of it the cloud and its functions took.
Run: python bench/first_token.py [--streams N ...] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from cloud import Cloud
from table import print_table

SEED = 20261127
THINKS_S = 0.3
TOKEN_S = 0.05
SCRIPT = {"seed": 1, "first_token_s": THINKS_S, "token_s": TOKEN_S, "tokens": 40}
ASKED_WITHIN_S = 1.0  # the questions of one crowd; an answer lasts 2.3 s, so all are under way at once
ROUNDS = {1: ("cold", *["warm"] * 5), 10: ("cold", *["warm"] * 3)}
LARGE = (
    "cold",
    "",
    "",
    "warm",
)  # environments come slower than questions, so that it takes a while until all are there
TIME_LIMIT_S = 60.0
TICK = os.sysconf("SC_CLK_TCK")


async def ask(socket: aiohttp.ClientWebSocketResponse, req: str) -> float:
    """One question, and its answer to the end; the milliseconds to the first token beyond the model's own."""
    begun = time.monotonic()
    await socket.send_str(json.dumps({"action": "ask", "req": req, "prompt": f"Name three rivers, {req}."}))
    first_at, text = 0.0, ""
    while True:
        frame = json.loads(await socket.receive_str(timeout=TIME_LIMIT_S))
        if frame["t"] == "delta":
            first_at = first_at or time.monotonic()
            text += frame["d"][len(text) - frame["off"] :] if frame["off"] <= len(text) else ""
        elif frame["t"] == "final":
            if len(text) != frame["off"]:
                raise SystemExit("a reader has not got the whole answer")
            return (first_at - begun - THINKS_S) * 1e3
        elif frame["t"] != "ping":
            raise SystemExit(f"the answer failed: {frame}")


async def ask_all(cloud: Cloud, token: str, *, streams: int, label: str) -> list[float]:
    """As many questions at once, each over a connection that is open."""
    chance, url = random.Random(SEED), cloud.status["outputs"]["SocketUrl"]
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sockets = [await session.ws_connect(url, headers=headers) for _ in range(streams)]

        async def ask_later(number: int) -> float:
            await asyncio.sleep(chance.uniform(0, ASKED_WITHIN_S) if streams > 1 else 0)
            return await ask(sockets[number], f"{label}-{number}")

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_later(number)) for number in range(streams)]
        for socket in sockets:
            await socket.close()
    return [task.result() for task in tasks]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and everything below it, those that have ended among them."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], spent[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent.get(member, 0) for member in family) / TICK


def describe(streams: int, label: str, waited_ms: Sequence[float], *, cores: Sequence[float]) -> list[str]:
    ordered = sorted(waited_ms)
    most = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    times = [statistics.median(ordered), most, ordered[-1]]
    return [str(streams), label, *[f"{each:.0f}" for each in times], f"{statistics.mean(cores):.1f}"]


def measure(cloud: Cloud, streams: int, runner: asyncio.Runner) -> list[list[str]]:
    """The rows of one crowd."""
    token = cloud.sluiceway("token")
    waited_ms: dict[str, list[float]] = {"cold": [], "warm": [], "": []}
    cores: dict[str, list[float]] = {"cold": [], "warm": [], "": []}
    for number, label in enumerate(ROUNDS.get(streams, LARGE)):
        begun, spent_s = time.monotonic(), cpu_s(cloud.status["pid"])
        waited_ms[label] += runner.run(ask_all(cloud, token, streams=streams, label=f"{streams}-{number}"))
        cores[label].append((cpu_s(cloud.status["pid"]) - spent_s) / (time.monotonic() - begun))
    return [describe(streams, label, waited_ms[label], cores=cores[label]) for label in ("cold", "warm")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--quick", action="store_true", help="few streams, once: to see that it runs")
    options = parser.parse_args()
    crowds = [1, 4] if options.quick else options.streams
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        script = Path(folder, "script.json")
        script.write_text(json.dumps(SCRIPT))
        with Cloud(Path(folder), "--model", f"scripted:{script}") as cloud:
            rows = [row for streams in crowds for row in measure(cloud, streams, runner)]
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"The first token over the local cloud. Python {version} on {os.cpu_count()} cores.")
    print_table(["streams", "", "first ms", "p99", "most", "cores used"], rows)


if __name__ == "__main__":
    main()
