"""Tumbling windows: which records a window has, how its state travels, when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcloud.clock import VIRTUAL_EPOCH_S, LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_config import StreamMappingConfig, find_conflict
from localcloud.services.lambda_.errors import throttled
from sluiceway.errors import Misconfigured
from tests.unit.stream_world import FAILED, HORIZON, MemoryStream, World, named, world

FIRST = "shardId-000000000000"
EPOCH = "2027-01-15T08:"  # VIRTUAL_EPOCH_S, which is a whole minute
Handler = Callable[[dict[str, Any]], Awaitable[InvokeResult]]


def answer(state: object, **more: Any) -> InvokeResult:
    return InvokeResult(200, json.dumps({"state": state, **more}).encode(), request_id="req-window")


async def count(event: dict[str, Any]) -> InvokeResult:
    """Counts records in the state, and keeps their names."""
    names = [*event["state"].get("names", []), *named(event)]
    return answer({"names": names})


def new_stream(**changes: Any) -> MemoryStream:
    return MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)


def told(there: World) -> list[tuple[list[Any], list[Any], bool, bool]]:
    """Of each invocation: its records, the names in its state, whether it is final, whether early."""
    return [
        (
            named(event),
            event["state"].get("names", []),
            event["isFinalInvokeForWindow"],
            event["isWindowTerminatedEarly"],
        )
        for _, event in there.seen
    ]


def test_a_window_has_the_records_that_arrived_in_it_and_ends_without_records() -> None:
    """Three invocations aggregate, a fourth at the end has the state and no record; then the next window is fresh."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=60) as there:
            for wait_s, name in ((10, "a"), (20, "b"), (29, "c"), (2, "d"), (30, "e")):
                await asyncio.sleep(wait_s)
                stream.put(name)
            await asyncio.sleep(60)
            assert told(there) == [
                (["a"], [], False, False),
                (["b"], ["a"], False, False),
                (["c"], ["a", "b"], False, False),
                ([], ["a", "b", "c"], True, False),
                (["d"], [], False, False),
                (["e"], ["d"], False, False),
                ([], ["d", "e"], True, False),
            ]
            assert [round(at, 1) for at in there.times] == [10, 30, 59, 60, 61, 91, 120]
            assert there.mapping.last_result == "OK"

    run_virtual(main)


def test_the_event_of_a_window_is_lambdas_to_the_letter() -> None:
    """Its members and their form."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        await asyncio.sleep(130)
        async with world(count, stream=stream, tumbling_window_s=120) as there:
            stream.put("a")
            await asyncio.sleep(1)
            event = there.seen[0][1]
            assert list(event) == [
                "Records",
                "window",
                "state",
                "shardId",
                "eventSourceARN",
                "isFinalInvokeForWindow",
                "isWindowTerminatedEarly",
            ]
            assert event["window"] == {"start": f"{EPOCH}02:00Z", "end": f"{EPOCH}04:00Z"}
            assert (event["shardId"], event["eventSourceARN"], event["state"]) == (FIRST, stream.arn, {})

    run_virtual(main)


def test_the_end_of_a_polled_window_is_found_by_the_next_poll() -> None:
    """Records that arrived before the end and are read after it belong to it."""

    async def main() -> None:
        async with world(count, tumbling_window_s=10) as there:
            await asyncio.sleep(0.5)
            there.stream.put("a")
            await asyncio.sleep(9.2)
            there.stream.put("b")
            await asyncio.sleep(0.8)
            there.stream.put("c")
            await asyncio.sleep(1)
            assert told(there) == [
                (["a"], [], False, False),
                (["b"], ["a"], False, False),
                ([], ["a", "b"], True, False),
                (["c"], [], False, False),
            ]
            assert there.times == [1.0, 10.0, 11.0, 11.0]

    run_virtual(main)


def test_a_read_that_says_there_is_no_more_ends_a_window() -> None:
    """No further poll is needed to know that the window is over."""

    async def main() -> None:
        stream = new_stream()
        stream.says_more = True
        async with world(count, stream=stream, tumbling_window_s=10) as there:
            await asyncio.sleep(9.7)
            stream.put("a")
            await asyncio.sleep(0.5)
            assert told(there) == [(["a"], [], False, False), ([], ["a"], True, False)]

    run_virtual(main)


def test_a_backlog_is_cut_at_the_ends_of_windows() -> None:
    """One read brings three windows: no batch has records of two."""

    async def main() -> None:
        stream = new_stream()
        for second in (1, 5, 12, 31, 39):
            stream.put(second, arrived_s=VIRTUAL_EPOCH_S + second)
        await asyncio.sleep(35)
        async with world(count, stream=stream, tumbling_window_s=10) as there:
            await asyncio.sleep(3)
            assert told(there) == [
                ([1, 5], [], False, False),
                ([], [1, 5], True, False),
                ([12], [], False, False),
                ([], [12], True, False),
                ([31, 39], [], False, False),
            ]
            await asyncio.sleep(3)
            assert told(there)[5:] == [([], [31, 39], True, False)]

    run_virtual(main)


def test_a_window_without_records_is_not_told_of() -> None:
    """No invocation at the end of a window in which nothing came."""

    async def main() -> None:
        async with world(count, tumbling_window_s=10) as there:
            await asyncio.sleep(60)
            assert there.seen == []

    run_virtual(main)


def test_a_batching_window_ends_with_the_tumbling_window() -> None:
    """Batching for 300 seconds, windows of ten."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=10, window_s=300.0) as there:
            await asyncio.sleep(3)
            stream.put("a")
            await asyncio.sleep(9)
            stream.put("b")
            await asyncio.sleep(9)
            assert [each[0] for each in told(there)] == [["a"], [], ["b"], []]
            assert [round(at, 1) for at in there.times] == [10, 10, 20, 20]

    run_virtual(main)


def test_a_record_that_is_late_for_its_window_joins_the_open_one() -> None:
    """Arrival times are approximate: order in the shard decides."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=10) as there:
            await asyncio.sleep(11)
            stream.put("in time")
            stream.put("late", arrived_s=VIRTUAL_EPOCH_S + 9.9)
            await asyncio.sleep(1)
            stream.put("later", arrived_s=VIRTUAL_EPOCH_S + 9.8)
            await asyncio.sleep(10)
            assert told(there) == [
                (["in time", "late"], [], False, False),
                (["later"], ["in time", "late"], False, False),
                ([], ["in time", "late", "later"], True, False),
            ]

    run_virtual(main)


def test_a_state_beyond_a_megabyte_terminates_the_window_early() -> None:
    """One invocation has the state and the flag; the same window goes on with a fresh state, its end comes once."""

    async def main() -> None:
        async def grow(event: dict[str, Any]) -> InvokeResult:
            if "big" in named(event):
                return answer({"names": ["big"], "x": "y" * 1_048_576})
            return await count(event)

        stream = new_stream(pushes=True)
        async with world(grow, stream=stream, tumbling_window_s=60) as there:
            for name in ("a", "big", "b"):
                stream.put(name)
                await asyncio.sleep(1)
            await asyncio.sleep(60)
            assert told(there) == [
                (["a"], [], False, False),
                (["big"], ["a"], False, False),
                ([], ["big"], False, True),
                (["b"], [], False, False),
                ([], ["b"], True, False),
            ]
            assert {json.dumps(event["window"]) for _, event in there.seen} == {
                json.dumps({"start": f"{EPOCH}00:00Z", "end": f"{EPOCH}01:00Z"})
            }

    run_virtual(main)


def test_an_overgrown_state_does_not_wait_for_the_next_record() -> None:
    """The window is terminated at once; its end has a fresh state."""

    async def main() -> None:
        async def grow(event: dict[str, Any]) -> InvokeResult:
            return answer({"names": named(event), "x": "y" * 1_048_576})

        stream = new_stream(pushes=True)
        async with world(grow, stream=stream, tumbling_window_s=60) as there:
            stream.put("big")
            await asyncio.sleep(61)
            assert told(there) == [
                (["big"], [], False, False),
                ([], ["big"], False, True),
                ([], [], True, False),
            ]
            assert [round(at) for at in there.times] == [0, 0, 60]

    run_virtual(main)


def test_a_state_leaves_less_room_for_records() -> None:
    """Event, state and all, is within six megabytes."""

    async def main() -> None:
        async def fill(event: dict[str, Any]) -> InvokeResult:
            return answer({"x": "y" * 1_000_000})

        stream = new_stream()
        for _ in range(11):
            stream.put("z" * 1_070_000)
        async with world(fill, stream=stream, tumbling_window_s=60) as there:
            await asyncio.sleep(1)
            assert [len(batch) for batch in there.batches] == [5, 4, 2]
            assert max(len(json.dumps(event, separators=(",", ":"))) for _, event in there.seen) <= 6 * 1024 * 1024

    run_virtual(main)


def test_a_state_of_a_megabyte_is_kept() -> None:
    """The limit itself is allowed."""

    async def main() -> None:
        async def fill(event: dict[str, Any]) -> InvokeResult:
            return answer({"x": "y" * (1024 * 1024 - len('{"x":""}'))})

        stream = new_stream(pushes=True)
        async with world(fill, stream=stream, tumbling_window_s=60) as there:
            stream.put("a")
            await asyncio.sleep(1)
            stream.put("b")
            await asyncio.sleep(1)
            assert [(named(event), len(json.dumps(event["state"]))) for _, event in there.seen] == [
                (["a"], 2),
                (["b"], 1024 * 1024 + 1),
            ]

    run_virtual(main)


def test_an_overgrown_state_goes_before_the_other_half_of_a_split_batch() -> None:
    """No invocation but the terminating one ever has such a state."""

    async def main() -> None:
        async def grow(event: dict[str, Any]) -> InvokeResult:
            if len(event["Records"]) == 2:
                return FAILED
            return answer({"names": named(event), "x": "y" * 1_048_576 if "a" in named(event) else ""})

        stream = new_stream()
        stream.put("a")
        stream.put("b")
        async with world(grow, stream=stream, tumbling_window_s=60, bisect=True) as there:
            await asyncio.sleep(1)
            assert told(there) == [
                (["a", "b"], [], False, False),
                (["a"], [], False, False),
                ([], ["a"], False, True),
                (["b"], [], False, False),
            ]

    run_virtual(main)


def test_a_failure_leaves_the_state_as_it_was() -> None:
    """A retry has the state of the last success; an answer without state is a failure too."""

    async def main() -> None:
        async def stumble(event: dict[str, Any]) -> InvokeResult:
            if "b" in named(event) and len(there.seen) == 2:
                return FAILED
            if "b" in named(event) and len(there.seen) == 3:
                return InvokeResult(200, b'{"names":["lost"]}')
            return await count(event)

        stream = new_stream(pushes=True)
        async with world(stumble, stream=stream, tumbling_window_s=60) as there:
            stream.put("a")
            await asyncio.sleep(1)
            stream.put("b")
            await asyncio.sleep(30)
            assert told(there) == [(["a"], [], False, False), *[(["b"], ["a"], False, False)] * 3]

    run_virtual(main)


def test_an_answer_that_did_nothing_changes_no_state() -> None:
    """The first record failed: whatever state came with the report belongs to nothing that is done."""

    async def main() -> None:
        async def refuse_once(event: dict[str, Any]) -> InvokeResult:
            if len(there.seen) > 1:
                return await count(event)
            first = event["Records"][0]["kinesis"]["sequenceNumber"]
            return answer({"names": ["a"]}, batchItemFailures=[{"itemIdentifier": first}])

        stream = new_stream()
        stream.put("a")
        async with world(refuse_once, stream=stream, tumbling_window_s=60, report_failures=True) as there:
            await asyncio.sleep(1)
            assert told(there) == [(["a"], [], False, False)] * 2

    run_virtual(main)


def test_a_partial_answer_moves_records_and_state_together() -> None:
    """What the function has counted is not counted again."""

    async def main() -> None:
        async def up_to_poison(event: dict[str, Any]) -> InvokeResult:
            names = named(event)
            if len(there.seen) > 1:
                return await count(event)
            good = names[: names.index("poison")]
            poison = event["Records"][len(good)]["kinesis"]["sequenceNumber"]
            return answer({"names": good}, batchItemFailures=[{"itemIdentifier": poison}])

        stream = new_stream()
        for name in ("a", "b", "poison", "c"):
            stream.put(name)
        async with world(up_to_poison, stream=stream, tumbling_window_s=60, report_failures=True) as there:
            await asyncio.sleep(61)
            assert told(there) == [
                (["a", "b", "poison", "c"], [], False, False),
                (["poison", "c"], ["a", "b"], False, False),
                ([], ["a", "b", "poison", "c"], True, False),
            ]

    run_virtual(main)


def test_records_that_are_given_up_leave_the_window_open() -> None:
    """Retries are used up inside the window; its end comes all the same."""

    async def main() -> None:
        async def poisoned(event: dict[str, Any]) -> InvokeResult:
            return FAILED if "poison" in named(event) else await count(event)

        stream = new_stream(pushes=True)
        async with world(poisoned, stream=stream, tumbling_window_s=60, max_retries=1) as there:
            for name in ("a", "poison", "b"):
                stream.put(name)
                await asyncio.sleep(5)
            await asyncio.sleep(50)
            assert [each[0] for each in told(there)] == [["a"], ["poison"], ["poison"], ["b"], []]
            assert told(there)[-1] == ([], ["a", "b"], True, False)
            assert there.destination.ranges() == [("1002", "1002")]

    run_virtual(main)


def test_a_final_invocation_that_fails_holds_up_the_next_window() -> None:
    """Further processing waits until it succeeds; throttles count for nothing."""

    async def main() -> None:
        failures = 0

        async def reluctant(event: dict[str, Any]) -> InvokeResult:
            nonlocal failures
            if event["isFinalInvokeForWindow"] and failures < 4:
                failures += 1
                if failures < 3:
                    raise throttled("ConcurrentInvocationLimitExceeded")
                return FAILED
            return await count(event)

        stream = new_stream(pushes=True)
        async with world(reluctant, stream=stream, tumbling_window_s=10, max_retries=2) as there:
            stream.put("a")
            await asyncio.sleep(10.1)
            stream.put("b")
            await asyncio.sleep(9)
            assert told(there) == [
                (["a"], [], False, False),
                *[([], ["a"], True, False)] * 5,
                (["b"], [], False, False),
            ]
            assert there.destination.documents == []

    run_virtual(main)


def test_a_final_invocation_is_given_up_as_a_batch_is() -> None:
    """The document has the window where others have sequence numbers; its payload the state."""

    async def main() -> None:
        async def no_end(event: dict[str, Any]) -> InvokeResult:
            return FAILED if event["isFinalInvokeForWindow"] else await count(event)

        stream = new_stream(pushes=True)
        async with world(no_end, stream=stream, tumbling_window_s=10, max_retries=1) as there:
            stream.put("a")
            await asyncio.sleep(12)
            stream.put("b")
            await asyncio.sleep(1)
            assert told(there)[-1] == (["b"], [], False, False)
            document = there.destination.documents[0]
            assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
            assert document["KinesisBatchInfo"] == {"shardId": FIRST, "batchSize": 0, "streamArn": stream.arn}
            assert document["timeWindowInfo"] == {
                "window": {"start": f"{EPOCH}00:00Z", "end": f"{EPOCH}00:10Z"},
                "isFinalInvokeForWindow": True,
                "isWindowTerminatedEarly": False,
            }
            assert there.destination.payloads[0]["state"] == {"names": ["a"]}

    run_virtual(main)


def test_the_age_of_a_final_invocation_is_counted_from_the_windows_end() -> None:
    """A window longer than the maximum age still has its end; one that fails too long is given up."""

    async def main() -> None:
        broken = False

        async def no_end(event: dict[str, Any]) -> InvokeResult:
            return FAILED if event["isFinalInvokeForWindow"] and broken else await count(event)

        stream = new_stream(pushes=True)
        async with world(no_end, stream=stream, tumbling_window_s=120, max_record_age_s=60) as there:
            stream.put("a")
            await asyncio.sleep(121)
            assert told(there)[-1] == ([], ["a"], True, False)
            broken = True
            stream.put("b")
            await asyncio.sleep(119 + 59)
            assert there.destination.documents == []
            await asyncio.sleep(1.1)
            assert there.destination.conditions() == ["RecordAgeExceeded"]

    run_virtual(main)


def test_the_end_of_a_shard_closes_its_window() -> None:
    """At once; the child's window begins with a fresh state, though it is the same span of time."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=60) as there:
            stream.put("a")
            await asyncio.sleep(5)
            child, _ = stream.split(FIRST)
            stream.put("b", shard=child)
            await asyncio.sleep(5)
            assert told(there) == [
                (["a"], [], False, False),
                ([], ["a"], True, False),
                (["b"], [], False, False),
            ]
            assert there.times == [0.0, 5.0, 5.0]

    run_virtual(main)


@pytest.mark.parametrize("pause_s", [10, 100])
def test_a_window_outlives_a_pause_of_the_mapping(pause_s: int) -> None:
    """State and checkpoint are kept together; a window whose end has passed meanwhile ends when it goes on."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=60) as there:
            stream.put("a")
            await asyncio.sleep(5)
            await there.stop()
            await asyncio.sleep(pause_s)
            stream.put("b")
            there.start()
            await asyncio.sleep(1)
            if pause_s == 10:
                assert told(there) == [(["a"], [], False, False), (["b"], ["a"], False, False)]
            else:
                assert told(there) == [
                    (["a"], [], False, False),
                    ([], ["a"], True, False),
                    (["b"], [], False, False),
                ]

    run_virtual(main)


def test_a_mapping_whose_windows_were_switched_off_sends_plain_events() -> None:
    """A window that was open goes with them."""

    async def main() -> None:
        stream = new_stream(pushes=True)
        async with world(count, stream=stream, tumbling_window_s=60) as there:
            stream.put("a")
            await asyncio.sleep(5)
            await there.change()
            stream.put("b")
            await asyncio.sleep(1)
            assert list(there.seen[-1][1]) == ["Records"]

    run_virtual(main)


def test_windows_and_parallel_batches_exclude_each_other() -> None:
    """Lambda takes no such mapping; here it is refused by name."""
    config = StreamMappingConfig(start=HORIZON, tumbling_window_s=60, parallelization=2)
    assert find_conflict(config) == "TumblingWindowInSeconds takes a ParallelizationFactor of 1."
    assert find_conflict(StreamMappingConfig(start=HORIZON, tumbling_window_s=60)) == ""
    assert find_conflict(StreamMappingConfig(start=HORIZON, parallelization=10)) == ""

    async def main() -> None:
        async with world(count, tumbling_window_s=60, parallelization=2):
            pass

    with pytest.raises(Misconfigured, match="ParallelizationFactor of 1"):
        run_virtual(main)
