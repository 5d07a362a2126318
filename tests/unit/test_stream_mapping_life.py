"""A stream mapping over its life: filters, pauses, faults, the end of its stream, and what it reports."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_source import StreamGone
from localcloud.services.lambda_.errors import service_failed, throttled
from sluiceway.rules.criteria import FilterCriteria
from tests.unit.stream_world import FAILED, OK, MemoryStream, named, world

FIRST = "shardId-000000000000"
SECOND = "shardId-000000000001"


async def succeed(event: dict[str, Any]) -> InvokeResult:
    return OK


async def fail(event: dict[str, Any]) -> InvokeResult:
    return FAILED


def new_stream(**changes: Any) -> MemoryStream:
    return MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)


def only(*keys: str) -> FilterCriteria:
    return FilterCriteria("kinesis", [{"Pattern": json.dumps({"partitionKey": keys})}])


class KeepFirstCopy:
    """Criteria that keep every second event they are asked about."""

    def __init__(self) -> None:
        self.asked = 0

    def keep(self, record: Any) -> bool:
        self.asked += 1
        return self.asked % 2 == 1


# ---------------------------------------------------------------------- filters


def test_records_that_no_filter_keeps_do_not_invoke_and_do_not_count() -> None:
    """A batch of three is three that match."""

    async def main() -> None:
        stream = new_stream()
        for number in range(12):
            stream.put(number, key="yes" if number % 2 else "no")
        async with world(succeed, stream=stream, criteria=only("yes"), batch_size=3) as there:
            await asyncio.sleep(1)
            assert there.batches == [[1, 3, 5], [7, 9, 11]]

    run_virtual(main)


def test_the_checkpoint_goes_over_records_that_are_filtered_out() -> None:
    """Nothing is invoked, nothing is read twice, not even after a pause."""

    async def main() -> None:
        stream = new_stream()
        for number in range(5):
            stream.put(number, key="no")
        async with world(succeed, stream=stream, criteria=only("yes")) as there:
            await asyncio.sleep(1.5)
            assert there.checkpoints.after(FIRST) == "1005"
            assert (there.seen, there.mapping.last_result) == ([], "No records processed")
            await there.stop()
            there.start()
            await asyncio.sleep(0.5)
            assert stream.reads[-1][2] == 5

    run_virtual(main)


def test_the_checkpoint_does_not_pass_a_record_that_waits_before_a_filtered_one() -> None:
    """It goes over both once the first is done."""

    async def main() -> None:
        mended = asyncio.Event()

        async def reluctant(event: dict[str, Any]) -> InvokeResult:
            return OK if mended.is_set() else FAILED

        stream = new_stream()
        stream.put("a", key="yes")
        stream.put("b", key="no")
        async with world(reluctant, stream=stream, criteria=only("yes")) as there:
            await asyncio.sleep(5)
            assert there.checkpoints.after(FIRST) == ""
            mended.set()
            await asyncio.sleep(30)
            assert there.checkpoints.after(FIRST) == "1002"

    run_virtual(main)


def test_a_closed_shard_of_filtered_records_ends() -> None:
    """Its children have their turn."""

    async def main() -> None:
        stream = new_stream()
        stream.put("a", key="no")
        child, _ = stream.split(FIRST)
        stream.put("b", key="yes", shard=child)
        async with world(succeed, stream=stream, criteria=only("yes")) as there:
            await asyncio.sleep(1)
            assert there.batches == [["b"]]

    run_virtual(main)


def test_an_aggregate_is_filtered_inside_and_is_one_record() -> None:
    """Four user records of one Kinesis record, two kept: one record of the batch, with two entries."""

    async def main() -> None:
        stream = new_stream()
        stream.put("a", copies=4)
        stream.put("b", copies=2)
        async with world(succeed, stream=stream, criteria=KeepFirstCopy(), batch_size=1) as there:
            await asyncio.sleep(1)
            assert there.batches == [["a", "a"], ["b"]]

    run_virtual(main)


# ---------------------------------------------------------------------- on and off


def test_a_mapping_that_was_switched_off_goes_on_where_it_was() -> None:
    """Nothing is lost and nothing comes twice."""

    async def main() -> None:
        stream = new_stream(shards=2)
        async with world(succeed, stream=stream) as there:
            stream.put("a")
            stream.put("b", shard=SECOND)
            await asyncio.sleep(1.5)
            await there.stop()
            stream.put("c")
            await asyncio.sleep(600)
            there.start()
            await asyncio.sleep(1)
            assert sorted(there.batches) == [["a"], ["b"], ["c"]]

    run_virtual(main)


def test_a_batch_that_was_in_flight_is_delivered_again() -> None:
    """At least once: its answer was not heard."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(10)
            return OK

        async with world(slow) as there:
            there.stream.put("a")
            await asyncio.sleep(5)
            await there.stop()
            there.start()
            await asyncio.sleep(11)
            assert there.batches == [["a"], ["a"]]
            await asyncio.sleep(60)
            assert len(there.seen) == 2

    run_virtual(main)


def test_a_stream_may_be_resharded_during_a_pause() -> None:
    """The parent's rest comes first; children that the mapping never saw begin at their oldest record."""

    async def main() -> None:
        stream = new_stream()
        async with world(succeed, stream=stream) as there:
            stream.put("a")
            await asyncio.sleep(1.5)
            await there.stop()
            stream.put("b")
            left, right = stream.split(FIRST)
            merged = stream.merge(left, right)
            stream.put("c", shard=merged)
            await asyncio.sleep(10)
            there.start()
            await asyncio.sleep(3)
            assert there.batches == [["a"], ["b"], ["c"]]

    run_virtual(main)


def test_a_mapping_may_be_stopped_before_it_has_begun() -> None:
    """And be started again."""

    async def main() -> None:
        async with world(succeed) as there:
            there.stream.put("a")
            await there.stop()
            there.start()
            await asyncio.sleep(0)
            await there.stop()
            there.start()
            await asyncio.sleep(1)
            assert there.batches == [["a"]]

    run_virtual(main)


def test_changed_settings_go_on_from_the_same_checkpoints() -> None:
    """UpdateEventSourceMapping: another mapping object, the checkpoints of the old one."""

    async def main() -> None:
        stream = new_stream()
        for number in range(3):
            stream.put(number)
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(1.5)
            for number in range(3, 6):
                stream.put(number)
            await there.change(batch_size=2, parallelization=10)
            await asyncio.sleep(1)
            assert there.batches == [[0, 1, 2], [3, 4], [5]]

    run_virtual(main)


# ---------------------------------------------------------------------- faults


def test_a_deleted_stream_ends_the_mapping_and_it_says_so() -> None:
    """While reading, pushed or polled; and while a batch is retried, within ten seconds."""

    async def main() -> None:
        for pushes, handler in ((False, succeed), (True, succeed), (False, fail)):
            stream = new_stream(shards=2, pushes=pushes)
            stream.put("a")
            async with world(handler, stream=stream) as there:
                await asyncio.sleep(2)
                stream.delete()
                await asyncio.sleep(10.5)
                assert there.ended
                assert there.mapping.last_result == f"PROBLEM: Stream not found: {stream.arn}"

    run_virtual(main)


def test_a_read_that_finds_the_stream_gone_ends_what_is_retried() -> None:
    """A lane that fails for ever is not waited for."""

    async def main() -> None:
        stream = new_stream()
        stream.put("a")
        async with world(fail, stream=stream, parallelization=2) as there:
            await asyncio.sleep(2)
            stream.delete()
            await asyncio.sleep(1.1)
            assert there.ended

    run_virtual(main)


def test_a_mapping_may_be_run_again_when_its_stream_is_made_anew() -> None:
    """Shards of the same ids are other shards: what was done in the old ones says nothing of them."""

    async def main() -> None:
        stream = new_stream()
        async with world(succeed, stream=stream) as there:
            stream.split(FIRST)
            await asyncio.sleep(2)
            assert there.checkpoints.finished(FIRST)
            stream.delete()
            await asyncio.sleep(2)
            assert there.ended
            stream.recreate()
            stream.put("a")
            there.start()
            await asyncio.sleep(2)
            assert (there.batches, there.mapping.last_result, there.ended) == ([["a"]], "OK", False)

    run_virtual(main)


def test_a_read_is_believed_that_finds_the_stream_gone() -> None:
    """Whatever the list of shards says: a mapping does not begin the shard again and again."""

    async def main() -> None:
        stream = new_stream()

        async def read(*_: object, **__: object) -> Any:
            raise StreamGone

        stream.read = read  # type: ignore[method-assign]
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(0.1)
            assert there.ended

    run_virtual(main)


def test_a_stream_that_never_was_ends_the_mapping() -> None:
    """At once."""

    async def main() -> None:
        stream = new_stream()
        stream.delete()
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(0.1)
            assert there.ended

    run_virtual(main)


def test_a_shard_that_breaks_is_begun_again_and_stops_no_other() -> None:
    """A bug while one shard is read: the others go on, and this one from its checkpoint a second later."""

    async def main() -> None:
        stream = new_stream(shards=2)
        async with world(succeed, stream=stream) as there:
            stream.put("a")
            await asyncio.sleep(1.5)
            stream.breaks[FIRST] = 3
            stream.put("b")
            stream.put("other", shard=SECOND)
            await asyncio.sleep(1)
            assert there.mapping.last_result in {"OK", "PROBLEM: Lambda internal error"}
            assert there.batches == [["a"], ["other"]]
            await asyncio.sleep(3)
            assert there.batches == [["a"], ["other"], ["b"]]
            assert there.mapping.last_result == "OK"

    run_virtual(main)


def test_a_list_of_shards_that_fails_is_asked_for_again() -> None:
    """What is read goes on meanwhile."""

    async def main() -> None:
        stream = new_stream()
        listed = stream.shards
        broken = True

        def shards() -> Any:
            if broken:
                raise RuntimeError("a bug")
            return listed()

        stream.shards = shards  # type: ignore[method-assign]
        stream.put("a")
        async with world(succeed, stream=stream) as there:
            await asyncio.sleep(5)
            assert there.mapping.last_result == "PROBLEM: Lambda internal error"
            broken = False
            await asyncio.sleep(6)
            assert (there.batches, there.mapping.last_result) == ([["a"]], "OK")

    run_virtual(main)


# ---------------------------------------------------------------------- what it reports


def test_the_last_result_says_what_happened_last() -> None:
    """In the words of the API."""

    async def main() -> None:
        broken = service_failed("The local cloud ends.")
        results = [FAILED, broken, RuntimeError("a bug"), OK, throttled("x"), OK]

        async def various(event: dict[str, Any]) -> InvokeResult:
            result = results[len(there.seen) - 1]
            if isinstance(result, Exception):
                raise result
            return result

        async with world(various) as there:
            assert there.mapping.last_result == "No records processed"
            there.stream.put("a")
            seen = [there.mapping.last_result]
            for _ in range(500):
                await asyncio.sleep(0.01)
                if there.mapping.last_result != seen[-1]:
                    seen.append(there.mapping.last_result)
            assert seen == [
                "No records processed",
                "PROBLEM: Function call failed",
                "PROBLEM: ServiceException: The local cloud ends.",
                "PROBLEM: Lambda internal error",
                "OK",
            ]
            there.stream.put("b")
            results_then: set[str] = set()
            for _ in range(500):
                await asyncio.sleep(0.01)
                results_then.add(there.mapping.last_result)
            assert (len(there.seen), results_then) == (6, {"OK"})

    run_virtual(main)


def test_iterator_age_is_how_old_the_last_record_was_when_the_function_was_invoked() -> None:
    """In milliseconds, for the function, once for each invocation that reached it."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            if len(there.seen) == 1:
                raise throttled("x")
            await asyncio.sleep(5)
            return FAILED if len(there.seen) == 2 else OK

        stream = new_stream()
        stream.put("a")
        await asyncio.sleep(10)
        stream.put("b")
        await asyncio.sleep(2)
        async with world(slow, stream=stream) as there:
            await asyncio.sleep(20)
            ages = [value for _, _, value, _, _ in there.metrics.points]
            invoked = [at - 10 for at in there.times]
            assert [round(age / 1000, 3) for age in ages] == [round(at, 3) for at in invoked[1:]]
            assert len(ages) == 2
            assert {(space, name, unit) for space, name, _, _, unit in there.metrics.points} == {
                ("AWS/Lambda", "IteratorAge", "Milliseconds")
            }
            assert there.metrics.points[0][3] == {"FunctionName": "handle"}

    run_virtual(main)


def test_a_metric_that_is_not_taken_costs_nothing() -> None:
    """The batch is done all the same, once."""

    async def main() -> None:
        async with world(succeed) as there:
            there.metrics.put = None  # type: ignore[assignment, method-assign]
            there.stream.put("a")
            await asyncio.sleep(30)
            assert (there.batches, there.mapping.last_result) == ([["a"]], "OK")

    run_virtual(main)


def test_a_hundred_mappings_leave_no_task_behind() -> None:
    """Stopped in the midst of reading, waiting, invoking and retrying (`world` looks for tasks that are left)."""

    async def main() -> None:
        async def slow(event: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(0.7)
            return FAILED if "bad" in named(event) else OK

        for number in range(100):
            stream = new_stream(shards=3, pushes=number % 2 == 0)
            for name in ("a", "bad", "c", "d"):
                stream.put(name, key=name)
            async with world(slow, stream=stream, parallelization=1 + number % 10, batch_size=1, window_s=0.3):
                await asyncio.sleep(number * 0.037)

    run_virtual(main)


# ---------------------------------------------------------------------- stopping


def test_a_stop_waits_for_the_running_invocation_and_remembers_it() -> None:
    """What the function was busy with is done afterwards, and is not delivered again; the rest is delivered then."""

    async def main() -> None:
        stream = new_stream()
        for name in "abc":
            stream.put(name)

        async def work(_: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(10)
            return OK

        async with world(work, stream=stream, batch_size=2) as there:
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await there.mapping.stop()
            await asyncio.sleep(0.01)
            assert (there.batches, there.ended) == ([["a", "b"]], True)
            assert 8 < asyncio.get_running_loop().time() - began < 10
            there.start()
            await asyncio.sleep(12)
            assert there.batches == [["a", "b"], ["c"]]

    run_virtual(main)


def test_a_stop_ends_the_wait_for_a_retry() -> None:
    """A failing batch is left where it is, and is tried again when the mapping runs again."""

    async def main() -> None:
        stream = new_stream()
        stream.put("a")
        async with world(fail, stream=stream) as there:
            await asyncio.sleep(60)
            tries = len(there.batches)
            before = asyncio.get_running_loop().time()
            await there.mapping.stop()
            assert asyncio.get_running_loop().time() - before < 0.01
            await asyncio.sleep(300)
            assert len(there.batches) == tries
            there.start()
            await asyncio.sleep(0.1)
            assert there.batches[tries:] == [["a"]]

    run_virtual(main)


def test_a_stop_keeps_a_window_open() -> None:
    """The state goes on in the window when the mapping runs again; nothing is told of an end that was not."""

    async def main() -> None:
        stream = new_stream()

        async def count(event: dict[str, Any]) -> InvokeResult:
            state = {"n": event["state"].get("n", 0) + len(event["Records"])}
            return InvokeResult(200, json.dumps({"state": state}).encode())

        async with world(count, stream=stream, tumbling_window_s=600) as there:
            stream.put("a")
            await asyncio.sleep(5)
            await there.mapping.stop()
            stream.put("b")
            there.start()
            await asyncio.sleep(5)
            events = [event for _, event in there.seen]
            assert [(event["state"], event["isFinalInvokeForWindow"]) for event in events] == [
                ({}, False),
                ({"n": 1}, False),
            ]

    run_virtual(main)


def test_a_stopped_mapping_finishes_no_shard_that_it_has_not_read_out() -> None:
    """A closed shard with records left is read on when the mapping runs again, before its children."""

    async def main() -> None:
        stream = new_stream()
        for name in "ab":
            stream.put(name)
        child, _ = stream.split(FIRST)
        stream.put("c", shard=child)

        async def work(_: dict[str, Any]) -> InvokeResult:
            await asyncio.sleep(10)
            return OK

        async with world(work, stream=stream, batch_size=1) as there:
            await asyncio.sleep(1)
            await there.mapping.stop()
            assert not there.checkpoints.finished(FIRST)
            there.start()
            await asyncio.sleep(40)
            assert there.batches == [["a"], ["b"], ["c"]]

    run_virtual(main)


def test_a_record_that_a_filter_breaks_over_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """It does not reach the function, the log says which it was, and the shard goes on."""

    class Broken:
        def keep(self, record: Any) -> bool:
            if record["kinesis"]["data"] == "b":
                raise LookupError("nothing of the record")
            return True

    async def main() -> None:
        stream = new_stream()
        for name in "abc":
            stream.put(name)
        async with world(succeed, stream=stream, criteria=Broken()) as there:
            await asyncio.sleep(2)
            assert there.batches == [["a", "c"]]
            assert there.checkpoints.after(FIRST) == "1003"

    run_virtual(main)
    (failure,) = [record for record in caplog.records if record.message == "mapping.filter_failed"]
    assert vars(failure)["record"] == "1002"
