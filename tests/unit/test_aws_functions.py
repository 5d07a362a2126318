"""Asynchronous invocations and the dispatcher of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway.aws.functions import LAMBDA, LambdaDispatcher, invoke_later
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
