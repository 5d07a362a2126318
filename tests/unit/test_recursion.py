"""Functions that call themselves without end: Lambda stops the chain, tells of it, and leaves others alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.recursion import ALLOW, MAX_FUNCTIONS, MAX_TIMES, enter
from localcloud.compute.versions import AsyncSettings
from localcloud.services.lambda_.errors import LambdaError
from localcloud.traces.header import read_root, without_lineage
from tests.unit.lambda_setup import ARN, World, spec, world

QUEUE = "arn:aws:sqs:us-east-1:123456789012:failures"
LETTERS = "arn:aws:sqs:us-east-1:123456789012:letters"
ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class Looping:
    """A handler that leaves the header that a call of its SDK would have, as botocore quotes it."""

    def __init__(self) -> None:
        self.headers = [""]

    async def __call__(self, asked: FunctionSpec, request: Request) -> Outcome:
        self.headers.append(request.trace_header.replace("|", "%7C"))
        return Outcome(b"{}")


async def loop_sync(there: World, looping: Looping, *, times: int = 40) -> LambdaError | None:
    for _ in range(times):
        try:
            await there.functions.invoke("f", b"{}", trace_header=looping.headers[-1])
        except LambdaError as error:
            return error
    return None


def test_the_seventeenth_invocation_of_a_chain_is_stopped() -> None:
    """Synchronous ones are answered RecursiveInvocationException, and the metric says so."""

    async def main() -> None:
        looping = Looping()
        async with world(looping) as there:
            error = await loop_sync(there, looping)
            assert error is not None
            assert (error.code, error.status, error.message_key) == ("RecursiveInvocationException", 400, "Message")
            assert len(looping.headers) - 1 == MAX_TIMES == 16
            assert there.measured.values["RecursiveInvocationsDropped"] == [1]
            assert (there.told.records, there.told.letters) == ([], [])

    run_virtual(main)


def test_invocations_that_name_no_chain_are_never_stopped() -> None:
    """A client may invoke a function as often as it likes, also in one trace."""

    async def main() -> None:
        looping = Looping()
        async with world(looping) as there:
            for _ in range(50):
                await there.functions.invoke("f", b"{}", trace_header=ROOT)
        assert len(looping.headers) == 51

    run_virtual(main)


def test_a_function_may_be_let_loop() -> None:
    """With RecursiveLoop Allow nothing is stopped, and the count goes on."""

    async def main() -> None:
        looping = Looping()
        async with world(looping) as there:
            there.record.recursive_loop = ALLOW
            assert await loop_sync(there, looping) is None
            assert looping.headers[-1].endswith(":40")

    run_virtual(main)


def test_an_asynchronous_chain_ends_in_the_destination_and_the_dead_letters() -> None:
    """The event is accepted, and not run: record and letter say why, and carry the chain on."""

    async def main() -> None:
        looping = Looping()
        async with world(looping, spec(dead_letter_arn=LETTERS)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE)
            await loop_sync(there, looping, times=16)
            answer = await there.functions.invoke(
                "f", b'{"n":17}', invocation_type="Event", trace_header=looping.headers[-1]
            )
            await asyncio.sleep(600)
            assert (answer.status, len(looping.headers) - 1) == (202, 16)
            ((arn, record, _, told),) = there.told.records
            context = json.loads(record)["requestContext"]
            assert (arn, context["condition"], context["approximateInvokeCount"]) == (
                QUEUE,
                "RecursiveInvocationDetected",
                0,
            )
            assert told.trace_header.endswith(":17")
            ((letters, letter, _),) = there.told.letters
            assert (letters, letter.body, letter.trace_header[-3:]) == (LETTERS, '{"n":17}', ":17")
            assert there.measured.values["RecursiveInvocationsDropped"] == [1]

    run_virtual(main)


def test_a_mapping_is_refused_and_the_event_is_told_of() -> None:
    """A batch that a queue brought is refused to the mapping, and goes to the function's own destination as well."""

    async def main() -> None:
        looping = Looping()
        async with world(looping) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE)
            await loop_sync(there, looping, times=16)
            with pytest.raises(LambdaError, match="RecursiveInvocationException"):
                await there.functions.invoke("f", b'{"Records":[]}', batch=("", looping.headers[-1], ROOT))
            await asyncio.sleep(1)
            ((arn, record, _, _),) = there.told.records
            assert (arn, json.loads(record)["requestPayload"]) == (QUEUE, {"Records": []})

    run_virtual(main)


def test_a_streamed_invocation_of_a_chain_is_stopped_too() -> None:
    """InvokeWithResponseStream is an invocation as any other."""

    async def main() -> None:
        looping = Looping()
        async with world(looping) as there:
            await loop_sync(there, looping, times=16)
            with pytest.raises(LambdaError, match="RecursiveInvocationException"):
                await there.functions.invoke_stream("f", b"{}", trace_header=looping.headers[-1])

    run_virtual(main)


def test_two_functions_that_call_each_other_each_have_a_count() -> None:
    """A chain over two functions has sixteen invocations of each."""
    header, times = "", (0, 0)
    for _ in range(16):
        header, first = enter(header, (), ARN)
        header, second = enter(header, (), f"{ARN}2")
        times = (first, second)
    assert times == (15, 15)
    assert enter(header, (), ARN)[1] == 16


def test_services_outside_of_the_detection_hand_on_the_trace_without_the_count() -> None:
    """What goes over a bus keeps its trace, and begins a new chain."""
    assert without_lineage(f"{ROOT};Lineage=0000000a:3|0000000b:2") == ROOT
    assert without_lineage("Lineage=0000000a:3") == ""


@given(
    header=st.text(alphabet="Lineage=:|%7C;0123456789abcdef ", max_size=200),
    others=st.lists(st.text(alphabet="Lineage=:|;09af", max_size=60), max_size=5),
)
def test_whatever_a_client_writes_as_its_chain_is_read_or_left(header: str, others: Sequence[str]) -> None:
    """The header stays a header of bounded size, and its root is the one that came."""
    made, before = enter(header, others, ARN)
    again, after = enter(made, (), ARN)
    assert (read_root(made), after) == (read_root(header), min(before + 1, 32_767))
    assert len(again) <= len(header) + len(";Lineage=") + MAX_FUNCTIONS * 16


def test_a_chain_remembers_the_functions_that_were_in_it_most() -> None:
    """More functions than a header holds push out the ones that came least."""
    header = ""
    for _ in range(3):
        header, _ = enter(header, (), ARN)
    for number in range(100):
        header, _ = enter(header, (), f"{ARN}{number}")
    assert header.count(":") == MAX_FUNCTIONS
    assert enter(header, (), ARN)[1] == 3
