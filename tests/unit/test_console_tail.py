"""A tail: what is kept, who is told what, what a slow reader misses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.console.mesh.rates import Rate
from localcloud.console.mesh.records import read_pattern
from localcloud.console.mesh.tail import KEPT, Tail
from sluiceway.events.kinesis import KinesisRecord


def record(number: int, arrived_ms: int = 0) -> KinesisRecord:
    return KinesisRecord(str(number), "ann", json.dumps({"n": number}).encode(), arrived_ms, "shardId-0", "arn")


def read_events(text: bytes) -> list[tuple[str, Any]]:
    """(name, data) of each."""
    events = [event.split(b"\n") for event in text.split(b"\n\n") if event]
    return [(name[7:].decode(), json.loads(data[6:])) for name, data in events]


def test_a_reader_has_what_is_kept_and_then_what_comes() -> None:
    """Through its own pattern; another reader through another. A record that is read again is told once."""

    async def main() -> None:
        tail = Tail(LoopClock(asyncio.get_running_loop()))
        tail.take(record(1))
        tail.take(record(2))
        with tail.read(None) as everything, tail.read(read_pattern('{"n":[{"numeric":[">",1,"<",5]}]}')) as middle:
            tail.take(record(2))
            tail.take(record(4))
            tail.take(record(5))
            found = [read_events(await reader.take(1)) for reader in (everything, middle)]
        numbers = [[data["data"]["n"] for name, data in events if name == "record"] for events in found]
        assert numbers == [[1, 2, 4, 5], [2, 4]]
        assert [events[0] for events in found] == [("state", {"state": "starting", "error": None})] * 2
        assert tail.readers == {}

    run_virtual(main)


def test_the_newest_two_hundred_are_kept() -> None:
    """However many come."""

    async def main() -> None:
        tail = Tail(LoopClock(asyncio.get_running_loop()))
        for number in range(KEPT + 50):
            tail.take(record(number))
        kept = [shown["data"]["n"] for shown in tail.newest(None)]
        assert kept == list(range(50, KEPT + 50))
        assert [shown["data"]["n"] for shown in tail.newest(read_pattern('{"n":[60]}'))] == [60]

    run_virtual(main)


def test_a_slow_reader_is_told_what_it_missed() -> None:
    """The oldest go first; nobody waits for it."""

    async def main() -> None:
        tail = Tail(LoopClock(asyncio.get_running_loop()))
        with tail.read(None) as reader:
            for number in range(1_500):
                tail.take(record(number))
            events = read_events(await reader.take(1))
        assert events[0] == ("dropped", {"count": 501})
        assert events[-1][1]["data"]["n"] == 1_499

    run_virtual(main)


def test_rates_are_told_while_the_stream_is_read() -> None:
    """Before it is live, and after it has failed, nobody knows them."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        tail = Tail(clock)
        now_ms = round(clock.time() * 1000)
        tail.take(record(5, now_ms))
        assert tail.rates() is None
        tail.say("live")
        await asyncio.sleep(2)
        assert tail.rates() == {"shardId-0": Rate(0.1, 1.1)}
        tail.say("failed", "gone")
        assert (tail.rates(), tail.state) == (None, {"state": "failed", "error": "gone"})

    run_virtual(main)
