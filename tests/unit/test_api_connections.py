"""Posts to WebSocket connections: addresses, one attempt each, and errors by what a sender does next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.connections import TIMEOUT_S, ApiConnections
from sluiceway.aws.wire import Outside, Wire
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable, ServiceRefused, SluicewayError
from sluiceway.ports import MAX_MESSAGE_BYTES
from tests.fakes import RecordingCaller
from tests.unit.wire_server import MemoryNetwork, answer, environ

URL = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1"
LOCAL = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4600"}
TAKEN = answer(200, b"")


def refuse(status: int, code: str, **headers: str) -> bytes:
    """A refusal as API Gateway writes it: the code in a header."""
    return answer(status, b'{"message":"said so"}', x_amzn_ErrorType=code, **headers)


def on(
    network: MemoryNetwork, work: Callable[[ApiConnections], Coroutine[Any, Any, object]], **settings: str
) -> list[object]:
    """What `work` on the connections came to: its value or its error, and how long it took."""

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        async with Wire.open(environ(**(settings or LOCAL)), outside=Outside(draw=lambda: 1.0)) as wire:
            begin = loop.time()
            try:
                outcome: object = await work(ApiConnections(wire, URL))
            except SluicewayError as error:
                outcome = error
            return [outcome, loop.time() - begin]

    return network.run(main)


def test_a_post_as_it_goes_out() -> None:
    """POST to the stage's path, the id encoded, the bytes as they are, signed for execute-api."""
    network = MemoryNetwork([TAKEN])
    on(network, lambda connections: connections.post("U8TkqcNJIAMCIFQ=", "é".encode()))
    [request] = network.requests
    head, body = request.split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[:2] == ["POST /v1/@connections/U8TkqcNJIAMCIFQ%3D HTTP/1.1", "host: 127.0.0.1:4600"]
    assert {"content-type: application/octet-stream", "content-length: 2"} <= set(lines)
    assert "/eu-west-1/execute-api/aws4_request, SignedHeaders=content-type;host;x-amz-date," in head.decode()
    assert body == "é".encode()


def test_a_disconnection_as_it_goes_out() -> None:
    """DELETE on the same path, without a body."""
    network = MemoryNetwork([answer(204, b"")])
    on(network, lambda connections: connections.disconnect("U8TkqcNJIAMCIFQ="))
    [request] = network.requests
    assert request.startswith(b"DELETE /v1/@connections/U8TkqcNJIAMCIFQ%3D HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n")
    assert b"content-type" not in request


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "http://one.test", **LOCAL}, "one.test"),
        (LOCAL, "127.0.0.1:4600"),
        ({"AWS_ENDPOINT_URL": "http://base.test/aws/"}, "base.test"),
    ],
)
def test_settings_move_the_host_and_keep_the_stage(settings: dict[str, str], host: str) -> None:
    """The local cloud is found by the SDKs' own settings, and nothing else is different there."""
    network = MemoryNetwork([TAKEN])
    on(network, lambda connections: connections.post("c", b"x"), **settings)
    [request] = network.requests
    assert f"host: {host}\r\n".encode() in request
    assert b"/v1/@connections/c HTTP/1.1\r\n" in request


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refuse(410, "GoneException"), Gone),
        (answer(410, b""), Gone),
        (refuse(413, "PayloadTooLargeException"), Rejected),
        (refuse(429, "LimitExceededException"), Retryable),
        (answer(429, b""), Retryable),
        (refuse(500, "InternalServerError"), Retryable),
        (answer(501, b""), Retryable),
        (answer(503, b""), Retryable),
        (answer(599, b""), Retryable),
        (refuse(403, "ForbiddenException"), Misconfigured),
        (refuse(403, "AccessDeniedException"), Misconfigured),
        (refuse(403, "InvalidSignatureException"), Misconfigured),
        (answer(403, b'{"message":"Forbidden"}'), Misconfigured),
        (refuse(403, "ExpiredTokenException"), Retryable),
        (refuse(400, "BadRequestException"), ServiceRefused),
        (ConnectionResetError("gone"), Retryable),
    ],
)
def test_errors_say_what_to_do_next(reply: bytes | Exception, kind: type[Exception]) -> None:
    """Each after one request, whatever the settings say of retries: the sender decides whether there is another."""
    network = MemoryNetwork([reply, TAKEN])
    [outcome, took_s] = on(
        network, lambda connections: connections.post("c", b"x"), AWS_MAX_ATTEMPTS="5", AWS_ENDPOINT_URL="http://x.test"
    )
    assert isinstance(outcome, kind), outcome
    assert (len(network.requests), took_s) == (1, 0.0)


def test_the_gateways_advice_is_handed_on() -> None:
    """Seconds, of a throttled post."""
    network = MemoryNetwork([refuse(429, "LimitExceededException", retry_after="2")])
    [outcome, _] = on(network, lambda connections: connections.post("c", b"x"))
    assert isinstance(outcome, Retryable)
    assert outcome.after_s == 2.0


def test_a_gateway_that_says_nothing_is_left_after_seconds() -> None:
    """It is no deadline of the invocation's, and the message was perhaps sent."""
    network = MemoryNetwork([None])
    [outcome, took_s] = on(network, lambda connections: connections.post("c", b"x"))
    assert type(outcome).__name__ == "ServiceUnavailable", outcome
    assert isinstance(took_s, float)
    assert took_s == pytest.approx(TIMEOUT_S)


@pytest.mark.parametrize(("size", "requests"), [(MAX_MESSAGE_BYTES, 1), (MAX_MESSAGE_BYTES + 1, 0)])
def test_too_large_a_message_is_not_sent(size: int, requests: int) -> None:
    """128 KB are sent; one byte more is told with the reason that a 413 has."""
    network = MemoryNetwork([refuse(413, "PayloadTooLargeException")])
    [outcome, _] = on(network, lambda connections: connections.post("c", bytes(size)))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, len(network.requests)) == ("message-too-large", requests)


def test_a_connection_that_is_gone_needs_no_closing() -> None:
    """Gone is what was wanted."""
    assert on(MemoryNetwork([refuse(410, "GoneException")]), lambda c: c.disconnect("c"))[0] is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h.example/v1", "/v1/@connections/c"),
        ("https://h.example/v1/", "/v1/@connections/c"),
        ("https://h.example/$default", "/$default/@connections/c"),
        ("https://h.example/v1/v1", "/v1/v1/@connections/c"),
        ("https://h.example", "/@connections/c"),
    ],
)
async def test_stages_of_addresses(url: str, path: str) -> None:
    """A custom domain may have a path of several parts, or none; without settings the address is the one given."""
    caller = RecordingCaller()
    await ApiConnections(caller, url).post("c", b"x")
    [call] = caller.calls
    assert (call.path, call.service.url) == (path, "https://h.example")


@pytest.mark.parametrize("url", ["", "a1b2.execute-api.eu-west-1.amazonaws.com/v1", "wss://h.example/v1"])
def test_an_address_that_is_none_is_misconfigured(url: str) -> None:
    """At init, where the deployment is looked at."""
    with pytest.raises(Misconfigured):
        ApiConnections(RecordingCaller(), url)


@given(connection_id=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
async def test_no_id_leaves_its_place_in_the_path(connection_id: str) -> None:
    """An id is one segment, whatever it holds."""
    caller = RecordingCaller()
    await ApiConnections(caller, URL).post(connection_id, b"x")
    [call] = caller.calls
    assert call.path.count("/") == 3
    assert call.path.isascii()
