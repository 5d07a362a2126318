"""What a stream mapping does with a batch that fails: retries, splitting, age, throttles, giving up."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import LambdaError, service_failed, throttled, too_large
from tests.unit.stream_world import FAILED, OK, MemoryStream, named, world

FIRST = "shardId-000000000000"


async def fail(event: dict[str, Any]) -> InvokeResult:
    return FAILED


async def succeed(event: dict[str, Any]) -> InvokeResult:
    return OK


async def dislike_poison(event: dict[str, Any]) -> InvokeResult:
    return FAILED if "poison" in named(event) else OK


def new_stream(**changes: Any) -> MemoryStream:
    return MemoryStream(LoopClock(asyncio.get_running_loop()), **changes)


def test_a_failed_batch_is_tried_until_it_succeeds_with_growing_waits() -> None:
    """The same records, nothing overtakes them; each wait is between half and all of a bound that doubles."""

    async def main() -> None:
        async def fail_six_times(event: dict[str, Any]) -> InvokeResult:
            return FAILED if len(there.seen) <= 6 else OK

        stream = new_stream()
        stream.put("a")
        stream.put("b")
        async with world(fail_six_times, stream=stream) as there:
            await asyncio.sleep(0.1)
            stream.put("later")
            await asyncio.sleep(100)
            assert there.batches == [["a", "b"]] * 7 + [["later"]]
            gaps = [late - early for early, late in itertools.pairwise(there.times[:7])]
            for gap, bound in zip(gaps, (0.5, 1, 2, 4, 8, 16), strict=True):
                assert bound / 2 <= gap <= bound + 0.001
            assert there.mapping.last_result == "OK"

    run_virtual(main)


def test_the_wait_between_tries_has_a_bound() -> None:
    """Half a minute at most, for as long as it takes."""

    async def main() -> None:
        async with world(fail) as there:
            there.stream.put("a")
            await asyncio.sleep(3600)
            gaps = [late - early for early, late in itertools.pairwise(there.times)]
            assert 15 <= max(gaps) <= 30.001
            assert len(gaps) > 120
            assert there.mapping.last_result == "PROBLEM: Function call failed"
            assert there.destination.documents == []

    run_virtual(main)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_batch_is_given_up_when_its_retries_are_used_up(retries: int) -> None:
    """One try more than retries; then the next records have their turn."""

    async def main() -> None:
        stream = new_stream()
        first, last = stream.put("poison"), stream.put("b")
        async with world(dislike_poison, stream=stream, max_retries=retries) as there:
            await asyncio.sleep(0.1)
            stream.put("later")
            await asyncio.sleep(30)
            assert there.batches == [["poison", "b"]] * (retries + 1) + [["later"]]
            assert there.destination.conditions() == ["RetryAttemptsExhausted"]
            assert there.destination.ranges() == [(first, last)]
            assert there.destination.documents[0]["requestContext"]["approximateInvokeCount"] == retries + 1

    run_virtual(main)


def test_a_batch_that_fails_is_split_until_the_poison_is_alone() -> None:
    """Halves in order, at once; splitting costs no retry, the poison itself has all of its own."""

    async def main() -> None:
        stream = new_stream()
        for name in ("a", "b", "poison", "d"):
            stream.put(name)
        async with world(dislike_poison, stream=stream, bisect=True, max_retries=1) as there:
            await asyncio.sleep(30)
            assert there.batches == [
                ["a", "b", "poison", "d"],
                ["a", "b"],
                ["poison", "d"],
                ["poison"],
                ["poison"],
                ["d"],
            ]
            assert there.times[:4] == [0.0] * 4
            assert there.destination.ranges() == [("1003", "1003")]
            assert there.destination.documents[0]["requestContext"]["approximateInvokeCount"] == 2

    run_virtual(main)


def test_splitting_with_no_retry_still_finds_the_poison() -> None:
    """MaximumRetryAttempts 0: only the poison is given up."""

    async def main() -> None:
        stream = new_stream()
        for number in range(7):
            stream.put("poison" if number == 5 else number)
        async with world(dislike_poison, stream=stream, bisect=True, max_retries=0) as there:
            await asyncio.sleep(5)
            assert there.destination.ranges() == [("1006", "1006")]
            assert there.checkpoints.after(FIRST) == "1007"

    run_virtual(main)


def test_without_splitting_the_whole_batch_is_given_up() -> None:
    """Its neighbours go with the poison, as on AWS."""

    async def main() -> None:
        stream = new_stream()
        for name in ("a", "poison", "c"):
            stream.put(name)
        async with world(dislike_poison, stream=stream, max_retries=0) as there:
            await asyncio.sleep(5)
            assert (there.batches, there.destination.ranges()) == ([["a", "poison", "c"]], [("1001", "1003")])

    run_virtual(main)


def test_records_that_are_too_old_are_given_up_before_the_first_try() -> None:
    """The young ones of the same batch go on."""

    async def main() -> None:
        stream = new_stream()
        stream.put("old")
        stream.put("older than allowed")
        await asyncio.sleep(61)
        stream.put("young")
        async with world(succeed, stream=stream, max_record_age_s=60) as there:
            await asyncio.sleep(1)
            assert there.batches == [["young"]]
            assert there.destination.conditions() == ["RecordAgeExceeded"]
            assert there.destination.ranges() == [("1001", "1002")]

    run_virtual(main)


def test_a_failing_batch_is_given_up_the_moment_it_is_too_old() -> None:
    """The wait between tries does not go beyond it."""

    async def main() -> None:
        stream = new_stream()
        stream.put("a")
        async with world(fail, stream=stream, max_record_age_s=60) as there:
            await asyncio.sleep(59.9)
            assert there.destination.documents == []
            await asyncio.sleep(0.2)
            assert there.destination.conditions() == ["RecordAgeExceeded"]
            assert there.checkpoints.after(FIRST) == "1001"

    run_virtual(main)


def test_what_the_stream_keeps_no_longer_is_not_tried_again() -> None:
    """A mapping without bounds of its own ends with the stream's retention."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        for kind, kept_s in (("kinesis", 3600.0), ("dynamodb", 86_400.0)):
            stream = MemoryStream(clock, kind=kind)
            stream.retention_s = kept_s
            stream.put("a")
            async with world(fail, stream=stream) as there:
                await asyncio.sleep(kept_s - 0.1)
                assert there.destination.documents == []
                await asyncio.sleep(0.2)
                assert there.destination.conditions() == ["RecordAgeExceeded"]

    run_virtual(main)


@pytest.mark.parametrize(
    "error",
    [
        throttled("ReservedFunctionConcurrentInvocationLimitExceeded"),
        service_failed("broken"),
        LambdaError("ResourceConflictException", "The function is being made.", 409),
        RuntimeError("a bug in the local cloud"),
    ],
)
def test_what_never_reached_the_function_costs_no_retry(error: Exception) -> None:
    """A throttle or an error of Lambda's own: the batch runs once the function may."""

    async def main() -> None:
        async def busy(event: dict[str, Any]) -> InvokeResult:
            if len(there.seen) <= 5:
                raise error
            return OK

        stream = new_stream()
        stream.put("a")
        stream.put("b")
        async with world(busy, stream=stream, max_retries=0, bisect=True) as there:
            await asyncio.sleep(60)
            assert there.batches == [["a", "b"]] * 6
            gaps = [late - early for early, late in itertools.pairwise(there.times)]
            for gap, bound in zip(gaps, (0.5, 1, 2, 4, 8), strict=True):
                assert bound / 2 <= gap <= bound + 0.001
            assert there.destination.documents == []

    run_virtual(main)


def test_an_invocation_that_breaks_holds_up_its_own_lane_only() -> None:
    """A bug in the local cloud: what the other lanes have in the works goes on."""

    async def main() -> None:
        async def broken(event: dict[str, Any]) -> InvokeResult:
            if "bad" in named(event):
                raise RuntimeError("a bug in the local cloud")
            await asyncio.sleep(5)
            return OK

        stream = new_stream()
        stream.put("bad", key="a")
        for number in range(30):
            stream.put(number, key=f"key-{number}")
        async with world(broken, stream=stream, parallelization=10) as there:
            await asyncio.sleep(20)
            delivered = [name for batch in there.batches for name in batch if name != "bad" and "bad" not in batch]
            assert len(delivered) == len(set(delivered)) >= 20

    run_virtual(main)


def test_throttling_ends_with_the_age_of_the_records() -> None:
    """The document has no answer of the function, for there was none."""

    async def main() -> None:
        async def busy(event: dict[str, Any]) -> InvokeResult:
            raise throttled("ConcurrentInvocationLimitExceeded")

        stream = new_stream()
        stream.put("a")
        async with world(busy, stream=stream, max_record_age_s=60) as there:
            await asyncio.sleep(61)
            assert there.destination.conditions() == ["RecordAgeExceeded"]
            assert "responseContext" not in there.destination.documents[0]

    run_virtual(main)


def test_an_event_that_lambda_finds_too_large_costs_retries() -> None:
    """It will never be smaller: a single record of more than 6 MB is given up, and the next goes on."""

    async def main() -> None:
        async def limited(event: dict[str, Any]) -> InvokeResult:
            if "huge" in named(event):
                raise too_large(6 * 1024 * 1024)
            return OK

        stream = new_stream()
        stream.put("huge")
        async with world(limited, stream=stream, max_retries=1) as there:
            await asyncio.sleep(0.1)
            stream.put("next")
            await asyncio.sleep(10)
            assert there.batches == [["huge"], ["huge"], ["next"]]
            assert there.destination.conditions() == ["RetryAttemptsExhausted"]
            assert "responseContext" not in there.destination.documents[0]

    run_virtual(main)


def test_a_mapping_without_destination_drops_what_it_gives_up() -> None:
    """The shard goes on."""

    async def main() -> None:
        stream = new_stream()
        async with world(dislike_poison, stream=stream, has_destination=False, max_retries=0) as there:
            stream.put("poison")
            await asyncio.sleep(1.5)
            stream.put("next")
            await asyncio.sleep(2)
            assert there.batches == [["poison"], ["next"]]

    run_virtual(main)


def test_retries_of_one_shard_hold_up_no_other() -> None:
    """Each shard is on its own."""

    async def main() -> None:
        stream = new_stream(shards=2)
        stream.put("poison")
        async with world(dislike_poison, stream=stream) as there:
            await asyncio.sleep(100)
            stream.put("other", shard="shardId-000000000001")
            await asyncio.sleep(1.1)
            assert ["other"] in there.batches

    run_virtual(main)
