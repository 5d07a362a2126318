"""Partial batch responses of streams: how an answer is read, and what the mapping does with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_answers import read_answer
from tests.unit.stream_world import MemoryStream, world

FIRST = "shardId-000000000000"


def failures(*sequences: str) -> InvokeResult:
    named = [{"itemIdentifier": sequence} for sequence in sequences]
    return InvokeResult(200, json.dumps({"batchItemFailures": named}).encode(), request_id="req-partial")


def sequences_of(event: dict[str, Any]) -> list[str]:
    return [record["kinesis"]["sequenceNumber"] for record in event["Records"]]


def new_stream(count: int) -> MemoryStream:
    stream = MemoryStream(LoopClock(asyncio.get_running_loop()))
    for number in range(count):
        stream.put(number)
    return stream


@pytest.mark.parametrize(
    ("payload", "done"),
    [
        (b"", 3),
        (b"null", 3),
        (b"{}", 3),
        (b'{"batchItemFailures":null}', 3),
        (b'{"batchItemFailures":[]}', 3),
        (b'{"other":1}', 3),
        (b'{"batchItemFailures":[{"itemIdentifier":"12"}]}', 1),
        (b'{"batchItemFailures":[{"itemIdentifier":"11"}]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":"13"},{"itemIdentifier":"12"},{"itemIdentifier":"13"}]}', 1),
        (b"{", 0),
        (b"\xff", 0),
        (b'"text"', 0),
        (b"[]", 0),
        (b"true", 0),
        (b'{"batchItemFailures":{}}', 0),
        (b'{"batchItemFailures":"12"}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":""}]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":null}]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":12}]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifer":"12"}]}', 0),
        (b'{"batchItemFailures":[{}]}', 0),
        (b'{"batchItemFailures":["12"]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":"99"}]}', 0),
        (b'{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"99"}]}', 0),
    ],
)
def test_how_an_answer_is_read(payload: bytes, done: int) -> None:
    """Success, partial failure and complete failure as the documentation lists them; the lowest record counts."""
    answer = read_answer(InvokeResult(200, payload), ["11", "12", "13"], report=True, windowed=False)
    assert (answer.done, answer.ok) == (done, done == 3)


def test_a_function_error_fails_the_batch_whatever_the_payload_says() -> None:
    """An error's payload is no report."""
    result = InvokeResult(200, b'{"batchItemFailures":[]}', "Unhandled")
    answer = read_answer(result, ["11"], report=True, windowed=False)
    assert (answer.done, answer.ok) == (0, False)


@pytest.mark.parametrize(
    ("payload", "state"),
    [
        (b'{"state":{}}', b"{}"),
        (b'{"state":{"a": 1, "b": ["x"]}}', b'{"a":1,"b":["x"]}'),
        (b'{"state":{},"batchItemFailures":[]}', b"{}"),
        (b"", None),
        (b"null", None),
        (b"{}", None),
        (b'{"state":null}', None),
        (b'{"state":"text"}', None),
        (b'{"state":[1]}', None),
        (b"{", None),
    ],
)
def test_an_answer_of_a_window_must_have_a_state(payload: bytes, state: bytes | None) -> None:
    """Without one, an object, the invocation failed."""
    answer = read_answer(InvokeResult(200, payload), ["11"], report=False, windowed=True)
    assert (answer.state, answer.ok) == (state, state is not None)


def test_a_window_without_reports_ignores_what_is_reported() -> None:
    """Only a mapping with ReportBatchItemFailures listens."""
    payload = b'{"state":{},"batchItemFailures":[{"itemIdentifier":"11"}]}'
    assert read_answer(InvokeResult(200, payload), ["11"], report=False, windowed=True).ok
    assert not read_answer(InvokeResult(200, payload), ["11"], report=True, windowed=True).ok


@given(st.binary(max_size=60), st.lists(st.text(min_size=1, max_size=3), max_size=4, unique=True))
def test_no_answer_breaks_the_reader(payload: bytes, sequences: list[str]) -> None:
    """Whatever bytes come, what is done is a part of the batch."""
    for report in (False, True):
        for windowed in (False, True):
            answer = read_answer(InvokeResult(200, payload), sequences, report=report, windowed=windowed)
            assert 0 <= answer.done <= len(sequences)
            assert answer.ok <= (answer.done == len(sequences))


def test_everything_from_the_lowest_failure_on_comes_back() -> None:
    """What lies before it is done; what succeeded after it is delivered again."""

    async def main() -> None:
        async def third_and_fifth(event: dict[str, Any]) -> InvokeResult:
            return failures("1005", "1003") if len(there.seen) == 1 else failures()

        async with world(third_and_fifth, stream=new_stream(6), report_failures=True) as there:
            await asyncio.sleep(0.4)
            assert there.batches == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5]]
            assert there.mapping.last_result == "OK"

    run_virtual(main)


def test_the_checkpoint_lies_before_the_lowest_failure() -> None:
    """Also for a mapping that is switched off before the rest succeeds."""

    async def main() -> None:
        async def fourth(event: dict[str, Any]) -> InvokeResult:
            return failures("1004")

        async with world(fourth, stream=new_stream(6), report_failures=True) as there:
            await asyncio.sleep(0.2)
            assert there.checkpoints.after(FIRST) == "1003"
            await there.stop()
            there.seen.clear()
            there.start()
            await asyncio.sleep(0.1)
            assert there.batches == [[3, 4, 5]]

    run_virtual(main)


def test_progress_gives_the_rest_all_its_retries_at_once() -> None:
    """A partial answer is no attempt of the batch that begins at the failure; only standing still is."""

    async def main() -> None:
        async def one_at_a_time(event: dict[str, Any]) -> InvokeResult:
            sequences = sequences_of(event)
            return failures(sequences[1]) if len(sequences) > 1 else failures(sequences[0])

        async with world(one_at_a_time, stream=new_stream(5), report_failures=True, max_retries=1) as there:
            await asyncio.sleep(5)
            assert [len(batch) for batch in there.batches] == [5, 4, 3, 2, 1, 1]
            assert there.times[:5] == [0.0] * 5
            assert there.destination.ranges() == [("1005", "1005")]
            document = there.destination.documents[0]
            assert document["requestContext"]["approximateInvokeCount"] == 2
            assert document["responseContext"] == {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": None,
            }

    run_virtual(main)


def test_with_bisect_a_partial_answer_splits_at_the_failure() -> None:
    """Not in the middle; a batch whose first record failed is halved."""

    async def main() -> None:
        async def poisoned(event: dict[str, Any]) -> InvokeResult:
            return failures(*(sequence for sequence in sequences_of(event) if sequence == "1002"))

        async with world(poisoned, stream=new_stream(6), report_failures=True, bisect=True, max_retries=0) as there:
            await asyncio.sleep(5)
            assert there.batches == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2], [1], [2], [3, 4, 5]]
            assert there.destination.ranges() == [("1002", "1002")]

    run_virtual(main)


def test_a_failing_identifier_fails_the_whole_batch() -> None:
    """Unknown, empty or null: nothing of the batch is done, and it is tried again whole."""

    async def main() -> None:
        async def odd(event: dict[str, Any]) -> InvokeResult:
            answers = {1: failures("9999"), 2: failures(""), 3: InvokeResult(200, b'{"batchItemFailures":[null]}')}
            return answers.get(len(there.seen), failures())

        async with world(odd, stream=new_stream(3), report_failures=True) as there:
            await asyncio.sleep(60)
            assert there.batches == [[0, 1, 2]] * 4

    run_virtual(main)


def test_a_report_counts_only_where_the_mapping_asks_for_it() -> None:
    """Without ReportBatchItemFailures the answer means nothing: the batch succeeded."""

    async def main() -> None:
        async def claims(event: dict[str, Any]) -> InvokeResult:
            return failures(*sequences_of(event))

        async with world(claims, stream=new_stream(3)) as there:
            await asyncio.sleep(60)
            assert (there.batches, there.mapping.last_result) == ([[0, 1, 2]], "OK")

    run_virtual(main)
