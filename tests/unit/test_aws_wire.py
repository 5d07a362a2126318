"""A call: retries in virtual time, one deadline, errors by what to do next, clocks set right."""

from __future__ import annotations

import asyncio
import json
import zlib

import pytest

from sluiceway.aws.bedrock import BEDROCK_RUNTIME
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.s3 import S3
from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import FAILURE_CODES, Outside, Wire
from sluiceway.errors import (
    ConditionFailed,
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    Retryable,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
)
from tests.unit.wire_server import MemoryNetwork, answer, environ, refuse

NOW_S = 1_795_428_000.0  # 2026-11-23T10:00:00Z
OK = answer(body=b'{"ok":true}')


def call_over(network, *services, outside=None, settings=None, **options):
    """The outcomes of one call to each service over `network`: replies, or the errors raised."""
    outside = outside or Outside(now=lambda: NOW_S, draw=lambda: 1.0)

    async def main():
        outcomes = []
        async with Wire.open(settings or environ(AWS_ENDPOINT_URL="http://cloud.test"), outside=outside) as wire:
            for service in services:
                try:
                    outcomes.append(await wire.call(service, "DoThing", {}, **options))
                except Exception as error:  # noqa: BLE001 - handed to the test
                    outcomes.append(error)
        return outcomes

    return network.run(main)


def header(request, name):
    """One header of a request as sent."""
    for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b": ")
        if key == name.encode():
            return value.decode()
    return None


def test_a_json_call_as_it_goes_out():
    """JSON 1.0: POST /, target, content type, host, length, compact UTF-8 body."""
    network = MemoryNetwork([OK])

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test"), outside=Outside(now=lambda: NOW_S)) as wire:
            return await wire.call(DYNAMODB, "GetItem", {"TableName": "jöbs", "n": [1, None, True]})

    assert network.run(main).json() == {"ok": True}
    [request] = network.requests
    head, body = request.split(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\nhost: cloud.test\r\n")
    assert header(request, "x-amz-target") == "DynamoDB_20120810.GetItem"
    assert header(request, "content-type") == "application/x-amz-json-1.0"
    assert header(request, "x-amz-date") == "20261123T100000Z"
    assert header(request, "content-length") == str(len(body))
    assert body == '{"TableName":"jöbs","n":[1,null,true]}'.encode()


def test_a_rest_call_as_it_goes_out():
    """Path under the endpoint's own, query in canonical order, the caller's headers and no length without a body."""
    network = MemoryNetwork([answer(body=b"x")])

    async def main():
        settings = environ(AWS_ENDPOINT_URL_S3="http://[::1]:4600/aws/", AWS_SESSION_TOKEN="t/k==")
        async with Wire.open(settings) as wire:
            return await wire.call(
                S3,
                "GetObject",
                path="/b/a%2Fb",
                method="GET",
                query={"z": "é &", "a": ""},
                headers={"Range": "bytes=0-9"},
            )

    assert network.run(main).body == b"x"
    [request] = network.requests
    assert request.startswith(b"GET /aws/b/a%2Fb?a=&z=%C3%A9%20%26 HTTP/1.1\r\nhost: [::1]:4600\r\n")
    assert header(request, "range") == "bytes=0-9"
    assert header(request, "x-amz-security-token") == "t/k=="
    assert header(request, "content-length") is None


def test_rest_json_sends_a_content_type_with_a_body_only():
    """The caller's own content type goes before the protocol's."""
    network = MemoryNetwork([OK, OK, OK])

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire:
            await wire.call(BEDROCK_RUNTIME, "Converse", {"a": 1}, path="/model/m%3A0/converse")
            await wire.call(
                BEDROCK_RUNTIME, "InvokeModel", b"x", path="/model/m/invoke", headers={"Content-Type": "text/plain"}
            )
            await wire.call(BEDROCK_RUNTIME, "List", path="/l", method="GET")

    network.run(main)
    types = [header(request, "content-type") for request in network.requests]
    assert types == ["application/json", "text/plain", None]


@pytest.mark.parametrize(
    "failure", [answer(503, b""), refuse(500, "InternalServerError"), ConnectionResetError("gone")]
)
def test_transient_failures_are_retried_after_short_pauses(failure):
    """Three attempts; pauses of 50 and 100 ms at the most (chance is 1 here)."""
    network = MemoryNetwork([failure, failure, OK])
    [reply] = call_over(network, SQS)
    assert reply.json() == {"ok": True}
    assert network.times == pytest.approx([0, 0.05, 0.15])


def test_dynamodb_gets_four_attempts_from_25_ms_on():
    """The SDKs' own numbers for DynamoDB."""
    network = MemoryNetwork([refuse(500, "InternalServerError")] * 3 + [OK])
    [reply] = call_over(network, DYNAMODB)
    assert reply.status == 200
    assert network.times == pytest.approx([0, 0.025, 0.075, 0.175])


def test_throttling_is_retried_after_long_pauses():
    """A service that says "slow down" gets one second, then two."""
    network = MemoryNetwork([refuse(400, "ThrottlingException"), answer(429, b""), OK])
    [reply] = call_over(network, SQS)
    assert reply.status == 200
    assert network.times == pytest.approx([0, 1, 3])


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"x_amz_retry_after": "700"}, 0.7),
        ({"x_amz_retry_after": "1"}, 0.05),
        ({"x_amz_retry_after": "60000"}, 5.05),
        ({"x_amz_retry_after": "soon"}, 0.05),
        ({"x_amz_retry_after": "-1"}, 0.05),
        ({"Retry_After": "2"}, 2.0),
        ({"Retry_After": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0.05),
    ],
)
def test_the_services_advice_is_heeded_within_limits(headers, pause_s):
    """x-amz-retry-after (ms): never shorter than the pause drawn, at most 5 s longer; nonsense is no advice."""
    network = MemoryNetwork([answer(503, b"", **headers), OK])
    call_over(network, SQS)
    assert network.times == pytest.approx([0, pause_s])


def test_pauses_are_jittered():
    """The pause is chance times the bound."""
    network = MemoryNetwork([answer(503, b""), OK])
    call_over(network, SQS, outside=Outside(now=lambda: NOW_S, draw=lambda: 0.5))
    assert network.times == pytest.approx([0, 0.025])


def test_spent_retries_say_what_happened():
    """After the last attempt: ServiceUnavailable with the service's own words, and a Retryable."""
    network = MemoryNetwork([refuse(503, "ServiceUnavailable", x_amzn_RequestId="R-1")] * 3)
    [error] = call_over(network, SQS)
    assert isinstance(error, ServiceUnavailable)
    assert isinstance(error, Retryable)
    assert (error.service, error.operation, error.code, error.status, error.request_id) == (
        "sqs",
        "DoThing",
        "ServiceUnavailable",
        503,
        "R-1",
    )
    assert str(error) == "sqs DoThing: ServiceUnavailable: said ServiceUnavailable (request R-1)"
    assert error.after_s is None


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"x_amz_retry_after": "60000"}, 60.0),
        ({"Retry_After": "2"}, 2.0),
        ({"x_amz_retry_after": "soon"}, None),
        ({"x_amz_retry_after": "9" * 10}, None),
    ],
)
def test_an_outage_says_when_to_come_back_where_the_service_did(headers, after_s):
    """The service's advice, whole, however little of it a retry within the call may wait."""
    settings = environ(AWS_ENDPOINT_URL="http://cloud.test", AWS_MAX_ATTEMPTS="1")
    [error] = call_over(MemoryNetwork([answer(503, b"", **headers)]), SQS, settings=settings)
    assert error.after_s == after_s


def test_aws_max_attempts_goes_before_the_services_own():
    """AWS_MAX_ATTEMPTS=1 means no retry."""
    network = MemoryNetwork([answer(503, b"")])
    [error] = call_over(network, SQS, settings=environ(AWS_ENDPOINT_URL="http://cloud.test", AWS_MAX_ATTEMPTS="1"))
    assert isinstance(error, ServiceUnavailable)
    assert len(network.times) == 1


def test_an_outage_stops_retries():
    """500 tokens at 14 a retry: after 35 retries calls fail at once, with one attempt each."""
    network = MemoryNetwork([answer(500, b"")] * 100)
    outcomes = call_over(network, *[SQS] * 30)
    assert all(isinstance(outcome, ServiceUnavailable) for outcome in outcomes)
    assert len(network.times) == 30 + 35


def test_successes_win_tokens_back():
    """A retried call that succeeds returns what its retry cost, so that retries go on for ever where they help."""
    network = MemoryNetwork([answer(500, b""), OK] * 60)
    assert [outcome.status for outcome in call_over(network, *[SQS] * 60)] == [200] * 60


@pytest.mark.parametrize("code", ["ValidationException", "ItemCollectionSizeLimitExceededException", "SomethingNew"])
def test_refusals_are_not_retried(code):
    """What the service would refuse again is raised at the first answer, with its code."""
    network = MemoryNetwork([refuse(400, code, x_amzn_RequestId="R-2")])
    [error] = call_over(network, DYNAMODB)
    assert isinstance(error, ServiceRefused)
    assert (error.code, error.status, error.request_id, error.reason) == (code, 400, "R-2", f"dynamodb-{code}")


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "UnrecognizedClientException"])
def test_a_wrong_deployment_is_not_retried_and_not_the_requests_fault(code):
    """Neither Retryable nor Rejected: no request of this deployment would pass, and it says which operation."""
    network = MemoryNetwork([refuse(400, code, x_amzn_RequestId="R-3")])
    [error] = call_over(network, DYNAMODB)
    assert isinstance(error, ServiceMisconfigured)
    assert not isinstance(error, Retryable | Rejected)
    assert (error.code, error.status, error.request_id, error.what) == (code, 400, "R-3", "dynamodb:DoThing")
    assert str(error) == f"dynamodb DoThing: {code}: said {code} (request R-3)"


def test_a_failed_condition_brings_the_item():
    """ConditionalCheckFailedException with ReturnValuesOnConditionCheckFailure=ALL_OLD."""
    body = json.dumps(
        {
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
            "Item": {"job_id": {"S": "j"}},
        }
    ).encode()
    with_item, without = call_over(
        MemoryNetwork([answer(400, body), refuse(400, "ConditionalCheckFailedException")]), DYNAMODB, DYNAMODB
    )
    assert isinstance(with_item, ConditionFailed)
    assert with_item.item == {"job_id": {"S": "j"}}
    assert isinstance(without, ConditionFailed)
    assert without.item is None


def test_no_pause_goes_beyond_the_deadline():
    """A retry that could only begin after the deadline is not waited for."""
    network = MemoryNetwork([answer(503, b"", x_amz_retry_after="3000")])
    [error] = call_over(network, SQS, deadline=2.0)
    assert isinstance(error, ServiceUnavailable)
    assert error.after_s == pytest.approx(3.0)
    assert network.time() == 0


def test_the_deadline_covers_all_attempts():
    """Silence after a retry: the call ends at the deadline, not at the read timeout."""
    network = MemoryNetwork([answer(503, b""), None])
    [error] = call_over(network, SQS, deadline=2.0)
    assert isinstance(error, DeadlineExceeded)
    assert network.time() == pytest.approx(2.0)


def test_a_deadline_in_the_past_sends_nothing():
    """Too late is too late."""
    network = MemoryNetwork([OK])
    [error] = call_over(network, SQS, deadline=-1.0)
    assert isinstance(error, DeadlineExceeded)
    assert network.requests == []


def test_silence_is_a_timeout_and_is_retried():
    """60 s without a byte: the connection is given up and the request sent on another."""
    network = MemoryNetwork([None, OK])
    [reply] = call_over(network, SQS)
    assert reply.status == 200
    assert network.times == pytest.approx([0, 60.05])


def test_a_trickling_reply_is_no_silence():
    """The read timeout counts from the last byte, so a slow body may take longer than it."""
    network = MemoryNetwork([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"])

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire, asyncio.TaskGroup() as group:
            call = group.create_task(wire.call(SQS, "DoThing", {}))
            for _ in range(3):
                await asyncio.sleep(50)
                [transport] = network.transports
                transport.deliver(b"x")
            return (await call).body

    assert network.run(main) == b"xxx"
    assert network.time() == pytest.approx(150)


def test_a_wrong_clock_is_set_right():
    """RequestTimeTooSkewed with the server's date: the next signature goes by it, and so do later calls."""
    late = refuse(403, "RequestTimeTooSkewed", Date="Mon, 23 Nov 2026 12:00:00 GMT")
    network = MemoryNetwork([late, OK, OK])
    first, second = call_over(network, S3, S3)
    assert (first.status, second.status) == (200, 200)
    dates = [header(request, "x-amz-date") for request in network.requests]
    assert dates == ["20261123T100000Z", "20261123T120000Z", "20261123T120000Z"]


def test_a_wrong_signature_with_a_right_clock_is_refused():
    """InvalidSignatureException while the clocks agree: the key is wrong, and no retry mends that."""
    network = MemoryNetwork([refuse(403, "InvalidSignatureException", Date="Mon, 23 Nov 2026 10:01:00 GMT")])
    [error] = call_over(network, DYNAMODB)
    assert isinstance(error, ServiceMisconfigured)
    assert len(network.requests) == 1
    assert str(error) == "dynamodb DoThing: InvalidSignatureException"  # the service's words repeat what was signed


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Mon, 99 Nov 2026 99:99:99 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
    ],
)
def test_a_date_that_is_none_teaches_nothing(date):
    """A refusal without a readable date is a plain refusal."""
    [error] = call_over(MemoryNetwork([refuse(403, "RequestTimeTooSkewed", Date=date)]), S3)
    assert isinstance(error, ServiceMisconfigured)


def test_expired_credentials_are_read_again():
    """ExpiredToken: the credentials are taken anew, and the call goes on with them."""
    settings = environ(AWS_ENDPOINT_URL="http://cloud.test", AWS_SESSION_TOKEN="old")
    network = MemoryNetwork([refuse(400, "ExpiredTokenException"), OK])
    network.on_request = lambda: settings.update(AWS_SESSION_TOKEN="new")
    [reply] = call_over(network, SQS, settings=settings)
    assert reply.status == 200
    assert [header(request, "x-amz-security-token") for request in network.requests] == ["old", "new"]


def test_a_body_that_fails_its_checksum_is_asked_for_again():
    """DynamoDB's x-amz-crc32 guards every answer."""
    wrong = answer(body=b'{"ok":fals}', x_amz_crc32=str(zlib.crc32(b'{"ok":true}')))
    right = answer(body=b'{"ok":true}', x_amz_crc32=str(zlib.crc32(b'{"ok":true}')))
    network = MemoryNetwork([wrong, right])
    [reply] = call_over(network, DYNAMODB)
    assert reply.json() == {"ok": True}
    assert len(network.requests) == 2


@pytest.mark.parametrize(
    ("function", "header_value", "sent"),
    [
        ("f", "Root=1-a;Parent=b;Sampled=1", "Root=1-a;Parent=b;Sampled=1"),
        ("", "Root=1", None),
        ("f", "", None),
        ("f", "a\r\nb: c", None),
    ],
)
def test_lambda_loops_can_be_detected(function, header_value, sent):
    """Inside a function the trace header goes along, unsigned, for recursive loop detection; never a broken one."""
    network = MemoryNetwork([OK])
    settings = environ(AWS_ENDPOINT_URL="http://cloud.test", AWS_LAMBDA_FUNCTION_NAME=function)
    call_over(network, SQS, settings=settings, outside=Outside(trace_header=lambda: header_value))
    [request] = network.requests
    assert header(request, "x-amzn-trace-id") == sent
    assert "x-amzn-trace-id" not in str(header(request, "authorization"))


@pytest.mark.parametrize("name_and_value", [("x-a", "b\r\nc: d"), ("x a", "b"), ("x-a", "\0"), ("", "b")])
def test_headers_that_cannot_be_sent_are_rejected(name_and_value):
    """A line break in metadata is somebody's poison, not a second header."""
    [error] = call_over(MemoryNetwork([]), S3, headers=dict([name_and_value]))
    assert isinstance(error, Rejected)


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}])
def test_bodies_that_are_not_json_are_rejected(body):
    """NaN, foreign objects and lone surrogates never reach the wire."""

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire:
            await wire.call(SQS, "SendMessage", body)

    with pytest.raises(Rejected):
        MemoryNetwork([]).run(main)


@pytest.mark.parametrize("path", ["", "x", "/a b", "/é", "/a?b", "/a#b", "/%zz", "/a\r\nb"])
def test_paths_must_be_encoded(path):
    """An unencoded path is a mistake of the operation's author."""
    [error] = call_over(MemoryNetwork([]), S3, path=path)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("AWS_REGION", "AWS_REGION"),
        ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_missing_settings_fail_at_init_by_name(missing, what):
    """Region and credentials are looked for when the Wire opens, which is the function's init."""
    settings = environ()
    del settings[missing]
    with pytest.raises(Misconfigured) as caught:
        async with Wire.open(settings):
            pass
    assert caught.value.what == what


def test_every_failure_of_a_connection_has_a_code():
    """What no service said is named by the client."""
    assert sorted(set(FAILURE_CODES.values())) == ["ConnectFailed", "ConnectionClosed", "MalformedReply", "TimedOut"]
