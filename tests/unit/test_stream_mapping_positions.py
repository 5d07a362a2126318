"""Where a stream mapping begins, and in which order it reads the shards of a stream that is resharded."""

from __future__ import annotations

import asyncio
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_batches import Item
from localcloud.compute.stream_checkpoints import Checkpoints, Progress, ShardCheckpoint
from localcloud.compute.stream_source import Shard, Start, StartKind
from tests.unit.stream_world import FAILED, HORIZON, OK, MemoryStream, named, world

FIRST = "shardId-000000000000"
SECOND = "shardId-000000000001"
LATEST = Start(StartKind.LATEST)


async def succeed(event: dict[str, Any]) -> InvokeResult:
    return OK


def new_stream(**changes: Any) -> MemoryStream:
    return MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)


def test_trim_horizon_begins_with_the_oldest_record() -> None:
    """What was there before the mapping is delivered."""

    async def main() -> None:
        stream = new_stream()
        stream.put("old")
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1.5)
            stream.put("new")
            await asyncio.sleep(2)
            assert there.batches == [["old"], ["new"]]

    run_virtual(main)


def test_trim_horizon_begins_after_what_was_trimmed() -> None:
    """A record that is gone is not delivered."""

    async def main() -> None:
        stream = new_stream()
        for name in "abc":
            stream.put(name)
        stream.trim(FIRST, 2)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1)
            assert there.batches == [["c"]]

    run_virtual(main)


def test_latest_begins_with_what_comes_after_the_mapping() -> None:
    """What was there before is not delivered, what comes at once after is."""

    async def main() -> None:
        stream = new_stream()
        stream.put("old")
        async with world(succeed, stream=stream, start=LATEST) as there:
            await asyncio.sleep(0)
            stream.put("new")
            await asyncio.sleep(2)
            assert there.batches == [["new"]]

    run_virtual(main)


def test_latest_is_a_place_that_a_pause_does_not_move() -> None:
    """A mapping that was switched off before its first record delivers what came meanwhile."""

    async def main() -> None:
        stream = new_stream()
        stream.put("old")
        async with world(succeed, stream=stream, start=LATEST) as there:
            await asyncio.sleep(3.5)
            await there.stop()
            stream.put("meanwhile")
            await asyncio.sleep(60)
            there.start()
            await asyncio.sleep(1)
            assert there.batches == [["meanwhile"]]

    run_virtual(main)


def test_latest_holds_for_a_shard_that_waits_for_its_parent() -> None:
    """At creation a closed parent is still being read: what its child gets from then on is delivered, older is not."""

    async def main() -> None:
        stream = new_stream()
        child, _ = stream.split(FIRST)
        stream.put("old", shard=child)
        async with world(succeed, stream=stream, start=LATEST) as there:
            await asyncio.sleep(0)
            stream.put("new", shard=child)
            await asyncio.sleep(2)
            assert there.batches == [["new"]]

    run_virtual(main)


def test_at_timestamp_begins_with_the_first_record_of_that_time() -> None:
    """Records that arrived earlier are left out."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        stream = MemoryStream(clock)
        began = clock.time()
        for second in range(4):
            stream.put(second, arrived_s=began + second)
        await asyncio.sleep(10)
        start = Start(StartKind.AT_TIMESTAMP, timestamp_s=began + 2)
        async with world(succeed, stream=stream, start=start) as there:
            await asyncio.sleep(1)
            assert there.batches == [[2, 3]]

    run_virtual(main)


def test_a_shard_that_comes_later_begins_at_its_oldest_record() -> None:
    """Whatever the mapping's own start: nothing between the split and its discovery is lost."""

    async def main() -> None:
        stream = new_stream()
        async with world(succeed, stream=stream, start=LATEST) as there:
            await asyncio.sleep(0.5)
            left, right = stream.split(FIRST)
            stream.put("left", shard=left)
            stream.put("right", shard=right)
            await asyncio.sleep(3)
            assert sorted(there.batches) == [["left"], ["right"]]

    run_virtual(main)


def test_the_children_of_a_split_wait_until_their_parent_is_done() -> None:
    """A parent that fails holds its children up; other shards go on."""

    async def main() -> None:
        stream = new_stream(shards=2)
        mended = asyncio.Event()

        async def fail_at_first(event: dict[str, Any]) -> InvokeResult:
            return FAILED if "parent" in named(event) and not mended.is_set() else OK

        stream.put("parent")
        child, _ = stream.split(FIRST)
        stream.put("child", shard=child)
        async with world(fail_at_first, stream=stream) as there:
            await asyncio.sleep(30)
            stream.put("other", shard=SECOND)
            await asyncio.sleep(5)
            assert ["other"] in there.batches
            assert ["child"] not in there.batches
            mended.set()
            await asyncio.sleep(60)
            assert there.batches[-2:] == [["parent"], ["child"]]
            assert there.checkpoints.finished(FIRST)

    run_virtual(main)


def test_the_child_of_a_merge_waits_for_both_parents() -> None:
    """One parent that is done is not enough."""

    async def main() -> None:
        stream = new_stream(shards=2)
        mended = asyncio.Event()

        async def fail_second(event: dict[str, Any]) -> InvokeResult:
            return FAILED if "two" in named(event) and not mended.is_set() else OK

        stream.put("one")
        stream.put("two", shard=SECOND)
        child = stream.merge(FIRST, SECOND)
        stream.put("child", shard=child)
        async with world(fail_second, stream=stream) as there:
            await asyncio.sleep(30)
            assert (there.checkpoints.finished(FIRST), there.checkpoints.finished(SECOND)) == (True, False)
            assert ["child"] not in there.batches
            mended.set()
            await asyncio.sleep(60)
            assert there.batches[-2:] == [["two"], ["child"]]

    run_virtual(main)


def test_generations_are_read_one_after_the_other() -> None:
    """A shard in the middle, a parent and a child at once, waits as well."""

    async def main() -> None:
        stream = new_stream()
        stream.put("grandparent")
        left, right = stream.split(FIRST)
        stream.put("parent", shard=left)
        child, _ = stream.split(left)
        stream.put("child", shard=child)
        merged = stream.merge(child, right)
        stream.put("last", shard=merged)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(5)
            assert there.batches == [["grandparent"], ["parent"], ["child"], ["last"]]

    run_virtual(main)


def test_a_parent_that_is_gone_holds_up_nobody() -> None:
    """Its records are trimmed and it is not listed any more."""

    async def main() -> None:
        stream = new_stream()
        child, _ = stream.split(FIRST)
        stream.drop_shard(FIRST)
        stream.put("child", shard=child)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1)
            assert there.batches == [["child"]]

    run_virtual(main)


def test_a_parent_whose_records_are_in_hand_holds_its_children_up_though_it_is_listed_no_more() -> None:
    """It was read to its end and is being delivered when the stream forgets it."""

    async def main() -> None:
        stream = new_stream()

        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(30)
            return OK

        stream.put("parent")
        child, _ = stream.split(FIRST)
        stream.put("child", shard=child)
        async with world(slow, stream=stream) as there:
            await asyncio.sleep(1)
            stream.drop_shard(FIRST)
            await asyncio.sleep(28)
            assert there.batches == [["parent"]]
            await asyncio.sleep(2)
            assert there.batches == [["parent"], ["child"]]

    run_virtual(main)


def test_a_child_that_is_listed_late_is_found() -> None:
    """Shards are looked for every ten seconds as well: the stream tells nobody of a new one."""

    async def main() -> None:
        stream = new_stream()
        async with world(succeed, stream=stream) as there:
            stream.close(FIRST)
            await asyncio.sleep(3)
            child = stream.add_shard(FIRST)
            stream.put("late", shard=child)
            await asyncio.sleep(10)
            assert there.batches == [["late"]]

    run_virtual(main)


def test_shards_that_are_gone_are_forgotten() -> None:
    """The checkpoints of a stream that is resharded for ever do not grow."""

    async def main() -> None:
        stream = new_stream()
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1)
            child, _ = stream.split(FIRST)
            await asyncio.sleep(2)
            assert there.checkpoints.finished(FIRST)
            stream.drop_shard(FIRST)
            await asyncio.sleep(11)
            assert not there.checkpoints.finished(FIRST)
            stream.put("on", shard=child)
            await asyncio.sleep(2)
            assert there.batches == [["on"]]

    run_virtual(main)


def test_a_shard_that_is_being_read_is_not_forgotten() -> None:
    """Its checkpoint is needed should it have to be begun again."""
    checkpoints = Checkpoints()
    checkpoints.note([Shard("a"), Shard("b")], HORIZON, place=lambda *_: None)
    checkpoints["a"].after = checkpoints["b"].after = "5"
    checkpoints.note([], HORIZON, place=lambda *_: None, running={"a"})
    assert (checkpoints.after("a"), checkpoints.after("b")) == ("5", "")


def test_what_is_done_behind_a_stuck_record_keeps_its_number_only() -> None:
    """The checkpoint waits for the lowest record; what lies after it and is done takes no memory."""
    checkpoint = ShardCheckpoint(HORIZON)
    progress = Progress(checkpoint)
    stuck, done = Item("1", "a", 0.0, (b"{}",)), Item("2", "b", 0.0, (b"{}",))
    progress.begin(stuck)
    progress.begin(done)
    progress.settle([done])
    assert (checkpoint.after, progress.ahead, progress.ahead_bytes, done.events) == ("", 2, 3, ())
    progress.settle([stuck])
    assert (checkpoint.after, progress.ahead, progress.ahead_bytes) == ("2", 0, 0)
