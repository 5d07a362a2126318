"""What a stream mapping puts into a batch and when it goes; how often it reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute import stream_shards
from localcloud.compute.functions import InvokeResult
from tests.unit.stream_world import FAILED, OK, MemoryStream, named, world


async def succeed(event: dict[str, Any]) -> InvokeResult:
    return OK


def new_stream(**changes: Any) -> MemoryStream:
    return MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)


def fill(stream: MemoryStream, count: int) -> None:
    for number in range(count):
        stream.put(number)


def test_a_batch_has_at_most_the_batch_size() -> None:
    """Ten records by four: full batches at once, and the rest."""

    async def main() -> None:
        stream = new_stream()
        fill(stream, 10)
        async with world(succeed, stream=stream, batch_size=4) as there:
            await asyncio.sleep(0.5)
            assert there.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

    run_virtual(main)


def test_without_a_window_a_batch_is_what_is_there() -> None:
    """One record that is there goes alone."""

    async def main() -> None:
        async with world(succeed, batch_size=100) as there:
            there.stream.put("one")
            await asyncio.sleep(2.5)
            there.stream.put("two")
            await asyncio.sleep(1)
            assert there.batches == [["one"], ["two"]]

    run_virtual(main)


def test_the_window_begins_with_the_first_record() -> None:
    """Pushed at 2, 4 and 6.9, with a window of five seconds: one batch at 7, to the millisecond."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(succeed, stream=stream, window_s=5.0) as there:
            for wait_s in (2.0, 2.0, 2.9):
                await asyncio.sleep(wait_s)
                stream.put(wait_s)
            await asyncio.sleep(0.2)
            stream.put("next")
            await asyncio.sleep(10)
            assert there.times == [7.0, 12.1]
            assert there.batches == [[2.0, 2.0, 2.9], ["next"]]

    run_virtual(main)


def test_the_next_window_begins_when_the_function_has_answered() -> None:
    """Records that lie there already do not wait less: the window starts after the invocation."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(20)
            return OK

        stream = new_stream(pushes=True)
        async with world(slow, stream=stream, window_s=5.0) as there:
            stream.put("first")
            await asyncio.sleep(10)
            stream.put("second")
            await asyncio.sleep(30)
            assert there.times == [5.0, 30.0]

    run_virtual(main)


def test_a_full_batch_goes_before_its_window_has_passed() -> None:
    """Three of three go when the third comes."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(succeed, stream=stream, window_s=60.0, batch_size=3) as there:
            for number in range(3):
                stream.put(number)
                await asyncio.sleep(1)
            assert (there.times, there.batches) == ([2.0], [[0, 1, 2]])

    run_virtual(main)


def test_a_window_is_filled_over_many_reads_of_a_polled_stream() -> None:
    """Read once a second, gathered for five."""

    async def main() -> None:
        async with world(succeed, window_s=5.0) as there:
            await asyncio.sleep(0.5)
            for number in range(4):
                there.stream.put(number)
                await asyncio.sleep(1)
            await asyncio.sleep(5)
            assert (there.times, there.batches) == ([6.0], [[0, 1, 2, 3]])

    run_virtual(main)


def test_the_end_of_a_shard_ends_the_window() -> None:
    """Nothing more can come."""

    async def main() -> None:
        async with world(succeed, window_s=300.0) as there:
            await asyncio.sleep(0.5)
            there.stream.put("last")
            there.stream.split("shardId-000000000000")
            await asyncio.sleep(1)
            assert (there.times, there.batches) == ([1.0], [["last"]])

    run_virtual(main)


def test_an_event_has_at_most_six_megabytes_and_the_rest_begins_the_next_batch() -> None:
    """Records of 1 MB: five a batch, none lost, order kept; the window does not hold up what is full."""

    async def main() -> None:
        stream = new_stream()
        for number in range(12):
            stream.put(f"{number:02d}" + "x" * 1_050_000)
        async with world(succeed, stream=stream, window_s=3.0) as there:
            await asyncio.sleep(10)
            sizes = [len(json.dumps(event, separators=(",", ":"))) for _, event in there.seen]
            assert [[text[:2] for text in batch] for batch in there.batches] == [
                ["00", "01", "02", "03", "04"],
                ["05", "06", "07", "08", "09"],
                ["10", "11"],
            ]
            assert max(sizes) <= 6 * 1024 * 1024
            assert there.times == [0.0, 0.0, 3.0]

    run_virtual(main)


def test_a_record_that_is_too_large_alone_goes_alone() -> None:
    """Lambda refuses it, not the mapping: nothing stands still and its neighbours are not touched."""

    async def main() -> None:
        stream = new_stream()
        for text in ("a", "x" * 7_000_000, "b"):
            stream.put(text)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1)
            assert [[len(text) for text in batch] for batch in there.batches] == [[1], [7_000_000], [1]]

    run_virtual(main)


def test_text_beyond_ascii_counts_as_the_bytes_it_is() -> None:
    """Four bytes an emoji, not the twelve of its escapes: five records of a million bytes go together."""

    async def main() -> None:
        stream = new_stream()
        for _ in range(5):
            stream.put("\N{GRINNING FACE}" * 250_000)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1)
            assert [len(batch) for batch in there.batches] == [5]

    run_virtual(main)


def test_half_a_surrogate_pair_is_escaped() -> None:
    """No text breaks a shard."""

    async def main() -> None:
        async with world(succeed) as there:
            there.stream.put("\ud83d")
            await asyncio.sleep(1)
            assert there.batches == [["\ud83d"]]

    run_virtual(main)


def test_a_polled_stream_is_read_once_a_second_while_there_is_nothing() -> None:
    """Five reads in 4.5 seconds."""

    async def main() -> None:
        async with world(succeed) as there:
            await asyncio.sleep(4.5)
            assert [at for at, _, _ in there.stream.reads] == [0.0, 1.0, 2.0, 3.0, 4.0]

    run_virtual(main)


def test_a_dynamodb_stream_is_read_four_times_a_second_while_there_is_nothing() -> None:
    """Its own base rate."""

    async def main() -> None:
        async with world(succeed, stream=new_stream(kind="dynamodb")) as there:
            await asyncio.sleep(0.9)
            assert [at for at, _, _ in there.stream.reads] == [0.0, 0.25, 0.5, 0.75]

    run_virtual(main)


def test_a_polled_stream_is_read_again_at_once_while_there_is_more() -> None:
    """A backlog of seven pages takes no second."""

    async def main() -> None:
        stream = new_stream()
        stream.page_limit = 10
        fill(stream, 65)
        await asyncio.sleep(5)
        async with world(succeed, stream=stream, batch_size=10) as there:
            await asyncio.sleep(0.5)
            assert sum(map(len, there.batches)) == 65
            assert {at for at, _, _ in stream.reads} == {5.0}

    run_virtual(main)


def test_as_many_records_as_a_read_may_bring_are_followed_by_another_read() -> None:
    """However young they are."""

    async def main() -> None:
        stream = new_stream()
        fill(stream, 25_000)
        async with world(succeed, stream=stream, batch_size=10_000) as there:
            await asyncio.sleep(0.5)
            assert [len(batch) for batch in there.batches] == [10_000, 10_000, 5_000]

    run_virtual(main)


def test_steady_traffic_is_read_once_a_second() -> None:
    """A shard that is caught up with is not read again for each record: others share its five reads a second."""

    async def main() -> None:
        async with world(succeed) as there:
            await asyncio.sleep(0.05)
            for number in range(100):
                there.stream.put(number)
                await asyncio.sleep(0.1)
            assert [len(batch) for batch in there.batches] == [10] * 10
            assert [at for at, _, _ in there.stream.reads] == [float(second) for second in range(11)]

    run_virtual(main)


def test_a_source_that_says_there_is_more_is_believed() -> None:
    """Young records, few of them, and another read at once."""

    async def main() -> None:
        stream = new_stream()
        stream.says_more = True
        stream.page_limit = 10
        fill(stream, 65)
        async with world(succeed, stream=stream, batch_size=10) as there:
            await asyncio.sleep(0.5)
            assert sum(map(len, there.batches)) == 65
            assert [at for at, _, _ in stream.reads] == [0.0] * 7

    run_virtual(main)


def test_a_source_that_says_there_is_no_more_is_believed() -> None:
    """No second read after a page that says so, however old its records are."""

    async def main() -> None:
        stream = new_stream()
        stream.says_more = True
        stream.put("a")
        await asyncio.sleep(5)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1.5)
            assert there.batches == [["a"]]
            assert [at for at, _, _ in stream.reads] == [5.0, 6.0]

    run_virtual(main)


def test_a_stream_that_pushes_is_not_polled() -> None:
    """Delivered the moment it comes; a read waits for it, for up to five minutes."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        loop = asyncio.get_running_loop()
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(200.25)
            sent = round(loop.time(), 3)
            stream.put("a")
            await asyncio.sleep(0.001)
            assert there.times == [sent]
            assert len(stream.reads) == 2

    run_virtual(main)


def test_a_throttled_read_is_repeated_when_the_stream_says() -> None:
    """The cursor is the same, nothing is lost."""

    async def main() -> None:
        stream = new_stream()
        stream.throttles = [0.2, 5.0]
        stream.put("a")
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(6)
            assert (there.times, there.batches) == ([5.2], [["a"]])

    run_virtual(main)


def test_nothing_is_read_while_the_function_is_busy() -> None:
    """A shard is read when its batch is done."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(10)
            return OK

        async with world(slow) as there:
            there.stream.put("a")
            await asyncio.sleep(9.5)
            assert [at for at, _, _ in there.stream.reads] == [0.0]

    run_virtual(main)


def test_nothing_is_read_while_every_lane_is_busy() -> None:
    """A lane that goes on with what it has asks for nothing, and neither does one at work with nothing in hand."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(100 if "long" in named(event) else 10)
            return OK

        one = next(f"key-{number}" for number in range(100) if crc32(b"key-%d" % number) % 2 == 0)
        other = next(f"key-{number}" for number in range(100) if crc32(b"key-%d" % number) % 2 == 1)
        stream = new_stream()
        for name, key in (("a", one), ("b", one), ("long", other)):
            stream.put(name, key=key)
        async with world(slow, stream=stream, parallelization=2, batch_size=1) as there:
            await asyncio.sleep(20.5)
            assert there.times == [0.0, 0.0, 10.0]
            assert [at for at, _, _ in stream.reads] == [0.0, 20.0]

    run_virtual(main)


def test_a_shard_that_was_read_too_far_ahead_is_read_on_as_soon_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each batch that is done makes room, also of a lane that has much more in hand."""
    monkeypatch.setattr(stream_shards, "READ_AHEAD_RECORDS", 10)

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(0 if "other" in named(event) else 10)
            return OK

        one = next(f"key-{number}" for number in range(100) if crc32(b"key-%d" % number) % 2 == 0)
        other = next(f"key-{number}" for number in range(100) if crc32(b"key-%d" % number) % 2 == 1)
        stream = new_stream()
        stream.page_limit = 5
        stream.says_more = True
        for number in range(12):
            stream.put(number, key=one)
        stream.put("other", key=other)
        async with world(slow, stream=stream, parallelization=2, batch_size=1) as there:
            await asyncio.sleep(9)
            assert there.batches == [[0]]
            await asyncio.sleep(3)
            assert sorted(there.batches, key=str) == [["other"], [0], [1]]

    run_virtual(main)


def test_lanes_run_at_once_and_keep_the_order_of_each_key() -> None:
    """Factor 4: four invocations at a time; every key's records one after the other."""

    async def main() -> None:
        running, most = 0, 0
        handled: dict[str, list[int]] = {}

        async def slow(event: dict[str, Any]) -> InvokeResult:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            for record in event["Records"]:
                handled.setdefault(record["kinesis"]["partitionKey"], []).append(record["kinesis"]["data"])
            return OK

        stream = new_stream()
        for number in range(200):
            stream.put(number, key=f"key-{number % 20}")
        async with world(slow, stream=stream, parallelization=4, batch_size=10) as there:
            await asyncio.sleep(30)
            assert most == 4
            assert len(there.seen) >= 20
            assert handled == {f"key-{key}": list(range(key, 200, 20)) for key in range(20)}

    run_virtual(main)


def test_factor_one_runs_one_batch_at_a_time() -> None:
    """The default."""

    async def main() -> None:
        running = 0

        async def alone(event: dict[str, Any]) -> InvokeResult:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(1)
            running -= 1
            return OK

        stream = new_stream()
        for number in range(40):
            stream.put(number, key=str(number))
        async with world(alone, stream=stream, batch_size=10) as there:
            await asyncio.sleep(10)
            assert (len(there.seen), there.mapping.last_result) == (4, "OK")

    run_virtual(main)


def test_a_lane_that_fails_stops_no_other_and_holds_the_checkpoint() -> None:
    """The others handle what comes; after a pause all of it after the poison comes again."""

    async def main() -> None:
        async def poisoned(event: dict[str, Any]) -> InvokeResult:
            return FAILED if "poison" in named(event) else OK

        stream = new_stream()
        before = stream.put("before", key="a")
        async with world(poisoned, stream=stream, parallelization=10, batch_size=1) as there:
            await asyncio.sleep(1.5)
            stream.put("poison", key="a")
            await asyncio.sleep(5)
            for number in range(30):
                stream.put(number, key=f"key-{number}")
            await asyncio.sleep(5)
            delivered = {name for batch in there.batches for name in batch}
            assert len(delivered & set(range(30))) >= 20
            assert there.checkpoints.after("shardId-000000000000") == before
            await there.stop()
            there.seen.clear()
            there.start()
            await asyncio.sleep(5)
            assert len({name for batch in there.batches for name in batch} & set(range(30))) >= 20

    run_virtual(main)


@pytest.mark.parametrize(("bound", "most"), [("READ_AHEAD_RECORDS", 50), ("READ_AHEAD_BYTES", 4_000)])
def test_a_shard_is_read_ahead_of_a_stuck_lane_up_to_a_bound(
    bound: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: beyond it the shard waits for the stuck lane, and goes on after it."""
    monkeypatch.setattr(stream_shards, bound, most)

    async def main() -> None:
        mended = asyncio.Event()

        async def poisoned(event: dict[str, Any]) -> InvokeResult:
            return FAILED if "poison" in named(event) and not mended.is_set() else OK

        stream = new_stream()
        stream.page_limit = 10
        stream.put("poison")
        for number in range(200):
            stream.put(number, key=f"key-{number}")
        async with world(poisoned, stream=stream, parallelization=2, batch_size=1) as there:
            await asyncio.sleep(60)
            assert 20 <= max(place for _, _, place in stream.reads) <= 60
            mended.set()
            await asyncio.sleep(60)
            assert {name for batch in there.batches for name in batch} == {"poison", *range(200)}
            assert there.checkpoints.after("shardId-000000000000") == "1201"

    run_virtual(main)


def test_others_have_their_turn_while_a_large_page_is_read() -> None:
    """Of ten thousand records a few are filtered at a time; those that are kept go together all the same."""

    class Kind:
        def keep(self, record: Mapping[str, Any]) -> bool:
            return record["kinesis"]["data"] >= 9_990

    async def main() -> None:
        stream = new_stream()
        fill(stream, 10_000)
        async with world(succeed, stream=stream, criteria=Kind()) as there:
            turns = 0
            while not there.seen and turns < 1_000:
                turns += 1
                await asyncio.sleep(0)
            assert (turns >= 400, there.batches) == (True, [list(range(9_990, 10_000))])

    run_virtual(main)
