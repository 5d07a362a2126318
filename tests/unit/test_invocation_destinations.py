"""Destinations of asynchronous invocations: which ARNs may be which, and the calls that reach them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from localcloud.compute.async_settings import check_dead_letters, check_settings
from localcloud.compute.invocation_destinations import ON_FAILURE, ON_SUCCESS, RoleOutlets, find_missing, service_of
from localcloud.compute.invocation_records import Given, Letter
from localcloud.compute.role_calls import CallRefused, RoleCaller
from localcloud.compute.versions import AsyncSettings
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.lambda_.errors import LambdaError
from tests.unit.lambda_setup import ARN, ROLE, spec

QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
OTHER = "arn:aws:lambda:us-east-1:123456789012:function:g"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/b"
BUCKET = "arn:aws:s3:::bucket"
GIVEN = Given("RetriesExhausted", 3, f"{ARN}:$LATEST", 1_700_000_000.0)
LETTER = Letter('{"n":1}', "r-1", "200", "lost")


async def capture(
    send: Callable[[RoleOutlets], Any], *, status: int = 200, body: bytes = b'{"FailedEntryCount":0}'
) -> WireRequest:
    seen: list[WireRequest] = []

    async def dispatch(request: WireRequest) -> WireResponse:
        seen.append(request)
        return WireResponse(status, body)

    caller = RoleCaller(dispatch=dispatch, assume=lambda role: f"key of {role}", rng=random.Random(1))
    await send(RoleOutlets(caller, rng=random.Random(2)))
    return seen[0]


def record_to(arn: str) -> Callable[[RoleOutlets], Any]:
    return lambda outlets: outlets.send_record(arn, b'{"version":"1.0"}', spec=spec(), given=GIVEN)


async def test_a_queue_gets_the_record_as_its_message() -> None:
    """SendMessage by the function's role."""
    request = await capture(record_to(QUEUE))
    body = json.loads(request.body)
    assert (request.service, request.target, request.access_key) == ("sqs", "AmazonSQS.SendMessage", f"key of {ROLE}")
    assert (body["QueueUrl"], body["MessageBody"]) == ("http://localhost/123456789012/q", '{"version":"1.0"}')


async def test_a_topic_gets_the_record_as_its_message() -> None:
    """Publish."""
    form = parse_qs((await capture(record_to(TOPIC))).body.decode())
    assert (form["TopicArn"], form["Message"]) == ([TOPIC], ['{"version":"1.0"}'])


async def test_a_function_gets_the_record_as_an_event() -> None:
    """Invoke of the ARN, asynchronously."""
    request = await capture(record_to(f"{OTHER}:live"))
    assert request.path == (
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Ag%3Alive/invocations"
    )
    assert (request.headers["x-amz-invocation-type"], request.body) == ("Event", b'{"version":"1.0"}')


async def test_a_bus_gets_the_record_as_the_detail_of_an_event() -> None:
    """Source lambda, the type by what came of it, function and bus as resources."""
    request = await capture(record_to(BUS))
    (entry,) = json.loads(request.body)["Entries"]
    assert entry == {
        "EventBusName": BUS,
        "Source": "lambda",
        "DetailType": "Lambda Function Invocation Result - Failure",
        "Resources": [f"{ARN}:$LATEST", BUS],
        "Detail": '{"version":"1.0"}',
    }


async def test_a_bucket_gets_the_record_as_an_object_of_its_own() -> None:
    """The key is by function and date."""
    request = await capture(record_to(BUCKET))
    assert (request.method, request.service, request.region) == ("PUT", "s3", "us-east-1")
    assert request.path.startswith("/bucket/aws/lambda/async/f/2023/11/14/2023-11-14T22.13.20-")
    assert request.body == b'{"version":"1.0"}'


@pytest.mark.parametrize("arn", [QUEUE, TOPIC, OTHER, BUCKET])
async def test_a_record_carries_the_trace_on(arn: str) -> None:
    """And with it the chain of requests, so that functions that are each other's destinations come to an end."""
    told = replace(GIVEN, trace_header="Root=1-a-b;Lineage=0000000a:3")
    request = await capture(lambda outlets: outlets.send_record(arn, b"{}", spec=spec(), given=told))
    assert request.headers["x-amzn-trace-id"] == told.trace_header
    assert "x-amzn-trace-id" not in (await capture(record_to(arn))).headers


@pytest.mark.parametrize("arn", [QUEUE, TOPIC])
async def test_a_letter_carries_the_trace_on(arn: str) -> None:
    """As a record does."""
    letter = replace(LETTER, trace_header="Root=1-a-b")
    request = await capture(lambda outlets: outlets.send_letter(arn, letter, spec=spec()))
    assert request.headers["x-amzn-trace-id"] == "Root=1-a-b"


@pytest.mark.parametrize("arn", [QUEUE, TOPIC])
async def test_a_letter_has_its_attributes(arn: str) -> None:
    """RequestID and ErrorMessage are strings, ErrorCode is a number; the body is the event."""
    request = await capture(lambda outlets: outlets.send_letter(arn, LETTER, spec=spec()))
    wanted = [("RequestID", "String", "r-1"), ("ErrorCode", "Number", "200"), ("ErrorMessage", "String", "lost")]
    if arn == QUEUE:
        body = json.loads(request.body)
        assert body["MessageBody"] == '{"n":1}'
        found = [(name, each["DataType"], each["StringValue"]) for name, each in body["MessageAttributes"].items()]
    else:
        form = parse_qs(request.body.decode())
        assert form["Message"] == ['{"n":1}']
        place = "MessageAttributes.entry.{}.{}"
        parts = ("Name", "Value.DataType", "Value.StringValue")
        found = [tuple(form[place.format(number, part)][0] for part in parts) for number in (1, 2, 3)]
    assert found == wanted


async def test_what_a_service_refuses_is_an_error() -> None:
    """A status, or an entry that a bus did not take."""
    with pytest.raises(CallRefused, match="answered 403: denied"):
        await capture(record_to(QUEUE), status=403, body=b"denied")
    refused = json.dumps({"FailedEntryCount": 1, "Entries": [{"ErrorMessage": "too large"}]}).encode()
    with pytest.raises(CallRefused, match="too large"):
        await capture(record_to(BUS), body=refused)


def test_what_may_be_a_destination() -> None:
    """Buckets have failures only; no FIFO, no other service, no nonsense."""
    assert [service_of(arn, ON_FAILURE) for arn in (QUEUE, TOPIC, OTHER, BUS, BUCKET)] == [
        "sqs",
        "sns",
        "lambda",
        "events",
        "s3",
    ]
    assert [service_of(arn, ON_SUCCESS) for arn in (BUCKET, f"{QUEUE}.fifo", f"{TOPIC}.fifo", "nonsense")] == [""] * 4
    assert service_of("arn:aws:kinesis:us-east-1:123456789012:stream/s", ON_FAILURE) == ""


def test_what_the_role_must_be_allowed() -> None:
    """One action for each service, two for buckets."""
    for arn, said in ((QUEUE, "SendMessage"), (TOPIC, "Publish"), (OTHER, "InvokeFunction"), (BUS, "PutEvents")):
        assert find_missing(arn, ROLE, lambda *_: False).startswith(said)
        assert find_missing(arn, ROLE, lambda *_: True) == ""
    assert find_missing(BUCKET, ROLE, lambda _, action, on: (action, on) == ("s3:PutObject", f"{BUCKET}/*")) == (
        "ListBucket on S3"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AsyncSettings(max_retries=3), "Value '3' at 'maximumRetryAttempts' failed to satisfy constraint"),
        (AsyncSettings(max_retries=-1), "Member must have value greater than or equal to 0"),
        (AsyncSettings(max_age_s=59), "Member must have value greater than or equal to 60"),
        (AsyncSettings(max_age_s=21_601), "Member must have value less than or equal to 21600"),
        (AsyncSettings(on_failure="nonsense"), "at 'destinationConfig.onFailure.destination' failed"),
        (AsyncSettings(on_success=BUCKET), "The provided destination config DestinationConfig("),
        (AsyncSettings(on_failure=f"{QUEUE}.fifo"), "is invalid"),
        (AsyncSettings(on_success=ARN), "You can't specify the function as a destination for itself."),
        (AsyncSettings(on_success=OTHER), f"The destination ARN {OTHER} is invalid."),
    ],
)
def test_what_cannot_be_set(settings: AsyncSettings, said: str) -> None:
    """Lambda's own refusals."""
    with pytest.raises(LambdaError) as refused:
        check_settings(settings, spec(), {}, may_do=lambda *_: True)
    assert said in refused.value.message


def test_a_role_that_may_not_is_refused_when_it_is_set() -> None:
    """For a destination and for dead letters, each in its own words."""
    with pytest.raises(LambdaError) as refused:
        check_settings(AsyncSettings(on_failure=QUEUE), spec(), {}, may_do=lambda *_: False)
    said = f"The function's execution role {ROLE} does not have permissions to call SendMessage on {QUEUE}"
    assert refused.value.message == said
    with pytest.raises(LambdaError) as refused:
        check_dead_letters(QUEUE, ROLE, lambda *_: False)
    assert refused.value.message == "The provided execution role does not have permissions to call SendMessage on SQS"
    with pytest.raises(LambdaError, match="only standard SQS queues"):
        check_dead_letters(BUS, ROLE, lambda *_: True)
    assert check_dead_letters("", ROLE, lambda *_: False) == ""
