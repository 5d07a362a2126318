"""Asynchronous invocations: how often and how long they are tried, and who is told what in the end."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.compute.asynchronous import DROPPED_STREAM
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.versions import Alias, AsyncSettings
from tests.unit.lambda_setup import ARN, World, spec, world

QUEUE = "arn:aws:sqs:us-east-1:123456789012:failures"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/results"
LETTERS = "arn:aws:sqs:us-east-1:123456789012:letters"


class Failing:
    """A handler that fails so often, and then succeeds."""

    def __init__(self, failures: int = 99) -> None:
        self.failures = failures
        self.at_s: list[float] = []

    async def __call__(self, asked: FunctionSpec, request: Request) -> Outcome:
        self.at_s.append(asyncio.get_running_loop().time())
        if len(self.at_s) <= self.failures:
            return Outcome(b'{"errorMessage":"lost","errorType":"KeyError"}', "KeyError")
        return Outcome(b'{"done":true}')

    @property
    def waits(self) -> list[int]:
        return [round(later - earlier) for earlier, later in itertools.pairwise(self.at_s)]


async def send(there: World, payload: bytes = b'{"n":1}', *, qualifier: str = "") -> None:
    there_is = await there.functions.invoke("f", payload, invocation_type="Event", qualifier=qualifier)
    assert there_is.status == 202


def dropped(there: World) -> list[dict[str, Any]]:
    return [json.loads(event.message) for event in there.logs.events("/aws/lambda/f") if event.stream == DROPPED_STREAM]


@pytest.mark.parametrize(("retries", "waits"), [(0, []), (1, [60]), (2, [60, 120]), (None, [60, 120])])
def test_retries_are_as_many_as_set(retries: int | None, waits: list[int]) -> None:
    """Zero to two, two where nothing is set; after a minute, then two."""
    failing = Failing()

    async def main() -> None:
        async with world(failing) as there:
            there.record.settings["$LATEST"] = AsyncSettings(max_retries=retries)
            await send(there)
            await asyncio.sleep(1000)
            assert [record["condition"] for record in dropped(there)] == ["RetriesExhausted"]

    run_virtual(main)
    assert failing.waits == waits


def test_an_event_that_is_too_old_for_its_next_attempt_is_given_up() -> None:
    """With an age of 100 s there is time for the first retry and none for the second."""
    failing = Failing()

    async def main() -> None:
        async with world(failing) as there:
            there.record.settings["$LATEST"] = AsyncSettings(max_age_s=100, on_failure=QUEUE)
            await send(there)
            await asyncio.sleep(1000)
            record = json.loads(there.told.records[0][1])
            assert record["requestContext"]["condition"] == "EventAgeExceeded"
            assert record["requestContext"]["approximateInvokeCount"] == 2

    run_virtual(main)
    assert failing.waits == [60]


def test_the_record_of_a_failure_is_as_documented() -> None:
    """Request, condition, count, response with its error; to the on-failure destination, by the function's role."""

    async def main() -> None:
        async with world(Failing()) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE, on_success=BUS)
            await send(there)
            await asyncio.sleep(1000)
            ((arn, record, told_by, given),) = there.told.records
            found = json.loads(record)
            request_id = found["requestContext"].pop("requestId")
            assert (arn, told_by.name, given.is_success) == (QUEUE, "f", False)
            assert found == {
                "version": "1.0",
                "timestamp": "2027-01-15T08:03:00.100Z",
                "requestContext": {
                    "functionArn": f"{ARN}:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": 3,
                },
                "requestPayload": {"n": 1},
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                "responsePayload": {"errorMessage": "lost", "errorType": "KeyError"},
            }
            assert [each["requestId"] for each in dropped(there)] == [request_id]

    run_virtual(main)


def test_the_record_of_a_success_has_no_error() -> None:
    """After one failure and one retry: count two, condition Success, and no letter."""

    async def main() -> None:
        async with world(Failing(1), spec(dead_letter_arn=LETTERS)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE, on_success=BUS)
            await send(there)
            await asyncio.sleep(1000)
            ((arn, record, _, given),) = there.told.records
            found = json.loads(record)
            assert (arn, given.is_success, there.told.letters, dropped(there)) == (BUS, True, [], [])
            assert found["requestContext"]["condition"] == "Success"
            assert found["requestContext"]["approximateInvokeCount"] == 2
            assert found["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
            assert found["responsePayload"] == {"done": True}

    run_virtual(main)


def test_a_dead_letter_is_the_event_with_three_attributes() -> None:
    """The event as it came, RequestID, ErrorCode and ErrorMessage; beside an on-failure destination both are told."""

    async def main() -> None:
        async with world(Failing(), spec(dead_letter_arn=LETTERS)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE, max_retries=0)
            await send(there, b'{ "n": 1 }')
            await asyncio.sleep(1)
            ((arn, letter, _),) = there.told.letters
            assert (arn, letter.body, letter.error_code, letter.error_message) == (LETTERS, '{ "n": 1 }', "200", "lost")
            assert letter.request_id == dropped(there)[0]["requestId"]
            assert len(there.told.records) == 1

    run_virtual(main)


def test_the_error_message_of_a_letter_is_cut_at_a_kilobyte_of_whole_characters() -> None:
    """A message of two-byte characters has 512 of them."""

    async def fails(asked: FunctionSpec, request: Request) -> Outcome:
        return Outcome(json.dumps({"errorMessage": "\u00fc" * 2000}).encode(), "Error")

    async def main() -> None:
        async with world(fails, spec(dead_letter_arn=LETTERS)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(max_retries=0)
            await send(there)
            await asyncio.sleep(1)
            assert there.told.letters[0][1].error_message == "\u00fc" * 512

    run_virtual(main)


def test_a_reserve_of_zero_sends_events_away_without_an_attempt() -> None:
    """No run, no response in the record, and a letter with a code of its own."""

    async def main() -> None:
        async with world(Failing(), spec(dead_letter_arn=LETTERS, reserved_concurrency=0)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE)
            await send(there)
            await asyncio.sleep(0.1)
            record = json.loads(there.told.records[0][1])
            assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
            assert record["requestContext"]["approximateInvokeCount"] == 0
            assert "responseContext" not in record
            assert there.told.letters[0][1].error_code == "429"
            assert there.made == []

    run_virtual(main)


def test_an_alias_has_settings_of_its_own_and_is_asked_anew_for_each_attempt() -> None:
    """The retry of an event runs in the version that the alias names by then; the function's settings do not count."""
    failing, ran = Failing(1), list[str]()

    async def notes(asked: FunctionSpec, request: Request) -> Outcome:
        ran.append(asked.version)
        return await failing(asked, request)

    async def main() -> None:
        async with world(notes) as there:
            for _ in range(2):
                there.record.publish(there.record.spec)
            there.record.aliases["live"] = Alias(name="live", version="1")
            there.record.settings["live"] = AsyncSettings(on_success=BUS, max_retries=1)
            there.record.settings["$LATEST"] = AsyncSettings(on_success=QUEUE, max_retries=0)
            await send(there, qualifier="live")
            await asyncio.sleep(30)
            there.record.aliases["live"] = Alias(name="live", version="2")
            await asyncio.sleep(1000)
            ((arn, record, _, _),) = there.told.records
            found = json.loads(record)
            assert (arn, ran) == (BUS, ["1", "2"])
            assert found["requestContext"]["functionArn"] == f"{ARN}:live"
            assert found["responseContext"]["executedVersion"] == "2"

    run_virtual(main)


def test_an_event_of_a_function_that_is_gone_is_given_up() -> None:
    """It is not tried again, and no other function of the name gets it."""
    failing = Failing()

    async def main() -> None:
        async with world(failing) as there:
            await send(there)
            await asyncio.sleep(30)
            await there.functions.remove("f")
            there.functions.add(spec())
            await asyncio.sleep(1000)
            assert [record["condition"] for record in dropped(there)] == ["FunctionNotFound"]

    run_virtual(main)
    assert len(failing.at_s) == 1


def test_a_delivery_that_fails_is_said_aloud_and_counted() -> None:
    """A line for each in the log, and the metric of each; a letter is sent although the record could not be."""

    async def main() -> None:
        async with world(Failing(), spec(dead_letter_arn=LETTERS)) as there:
            there.record.settings["$LATEST"] = AsyncSettings(on_failure=QUEUE, max_retries=0)
            there.told.failure = LookupError("the role is gone")
            await send(there)
            await asyncio.sleep(1)
            lines = [record for record in dropped(there) if record["type"] == "event.undelivered"]
            assert [(line["metric"], line["destination"], line["reason"]) for line in lines] == [
                ("DestinationDeliveryFailures", QUEUE, "the role is gone"),
                ("DeadLetterErrors", LETTERS, "the role is gone"),
            ]
            assert there.measured.values["DestinationDeliveryFailures"] == [1]
            assert there.measured.values["DeadLetterErrors"] == [1]

    run_virtual(main)


def test_events_are_measured() -> None:
    """Received once, dropped once, and the age in milliseconds at each attempt."""

    async def main() -> None:
        async with world(Failing()) as there:
            there.record.settings["$LATEST"] = AsyncSettings(max_retries=1)
            await send(there)
            await asyncio.sleep(1000)
            values = there.measured.values
            assert (values["AsyncEventsReceived"], values["AsyncEventsDropped"]) == ([1], [1])
            assert [round(age / 1000) for age in values["AsyncEventAge"]] == [0, 60]

    run_virtual(main)
