"""Asynchronous invocations and the dispatcher of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway.aws.functions import LAMBDA, Answered, LambdaDispatcher, invoke, invoke_later
from sluiceway.aws.reply import Reply
from sluiceway.aws.wire import Outside, Wire
from sluiceway.codec import order
from sluiceway.errors import Misconfigured, ServiceUnavailable, SluicewayError
from sluiceway.events.socket import StreamOrder
from tests.fakes import RecordingCaller
from tests.unit.wire_server import MemoryNetwork, answer, environ

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:stream_answer:live"


@pytest.mark.parametrize(("function", "encoded"), [("stream_answer", "stream_answer"), (ARN, ARN.replace(":", "%3A"))])
async def test_an_order_as_it_goes_out(function: str, encoded: str) -> None:
    """Invoke with the type Event; the payload is what the worker's codec reads."""
    caller = RecordingCaller([Reply(202, {}, b"")])
    await LambdaDispatcher(caller, function).dispatch("ann", "r1")
    [call] = caller.calls
    assert (call.service, call.operation, call.method) == (LAMBDA, "Invoke", "POST")
    assert call.path == f"/2015-03-31/functions/{encoded}/invocations"
    assert call.headers == {"x-amz-invocation-type": "Event"}
    assert order.decode(call.body) == StreamOrder("ann", "r1")


def refuse(status: int, code: str) -> bytes:
    """A refusal as Lambda writes it."""
    return answer(status, b'{"Type":"User","Message":"said so"}', x_amzn_ErrorType=code)


@pytest.mark.parametrize(
    ("replies", "outcome", "requests"),
    [
        ([answer(202, b"")], None, 1),
        ([refuse(429, "TooManyRequestsException"), refuse(500, "ServiceException"), answer(202, b"")], None, 3),
        ([refuse(429, "TooManyRequestsException")] * 3, ServiceUnavailable, 3),
        ([refuse(404, "ResourceNotFoundException")], Misconfigured, 1),
        ([refuse(403, "AccessDeniedException")], Misconfigured, 1),
    ],
)
def test_a_throttled_order_is_tried_again(replies: list[bytes], outcome: type[Exception] | None, requests: int) -> None:
    """By the wire's own retries; a function that is not there is the deployment's fault."""
    network = MemoryNetwork(list(replies))

    async def main() -> object:
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://x.test"), outside=Outside(draw=lambda: 1.0)) as wire:
            try:
                await invoke_later(wire, "stream_answer", {"caller": "ann", "req": "é"})
            except SluicewayError as error:
                return error
        return None

    found: Any = network.run(main)
    assert isinstance(found, outcome or type(None)), found
    assert len(network.requests) == requests
    assert json.loads(network.requests[0].split(b"\r\n\r\n")[1]) == {"caller": "ann", "req": "é"}


@pytest.mark.parametrize(("function", "encoded"), [("switch", "switch"), (ARN, ARN.replace(":", "%3A"))])
async def test_a_function_is_asked_and_its_answer_awaited(function: str, encoded: str) -> None:
    """Invoke without a type, which is RequestResponse; the payload is the order, the answer an object."""
    caller = RecordingCaller([Reply(200, {}, b'{"home":"us-west-2"}')])
    assert await invoke(caller, function, {"action": "look"}, deadline=7.0) == Answered({"home": "us-west-2"})
    [call] = caller.calls
    assert (call.service, call.operation, call.method, call.deadline) == (LAMBDA, "Invoke", "POST", 7.0)
    assert call.path == f"/2015-03-31/functions/{encoded}/invocations"
    assert (call.body, call.headers) == ({"action": "look"}, {})


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (
            b'{"errorMessage":"no term","errorType":"Misconfigured"}',
            Answered({"errorMessage": "no term", "errorType": "Misconfigured"}, "no term"),
        ),
        (b"{}", Answered({}, "it failed")),
        (b"", Answered({}, "it failed")),
        (b"null", Answered({}, "its answer is no JSON object")),
    ],
)
async def test_a_function_that_failed_is_told_by_its_message(body: bytes, answered: Answered) -> None:
    """The header says so, whatever the payload is."""
    caller = RecordingCaller([Reply(200, {"x-amz-function-error": "Unhandled"}, body)])
    assert await invoke(caller, "switch", {}) == answered


@pytest.mark.parametrize("body", [b"null", b"7", b'"text"', b"[]", b"half"])
async def test_an_answer_that_is_no_object_counts_as_a_failure(body: bytes) -> None:
    """Another function than the one that was meant answers so: nobody reads it as an answer."""
    found = await invoke(RecordingCaller([Reply(200, {}, body)]), "switch", {})
    assert found == Answered({}, "its answer is no JSON object")
