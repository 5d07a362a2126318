"""ConverseStream: the same events as botocore reads, and the same errors as Converse whenever they come."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import botocore.session
import pytest
from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser
from botocore.serialize import create_serializer

from sluiceway.aws.bedrock import RETRYABLE_CODES, Converse, Turn
from sluiceway.aws.bedrock_stream import (
    BlockStart,
    BlockStop,
    ConverseEvent,
    MessageStart,
    MessageStop,
    Metadata,
    OtherDelta,
    ReasoningDelta,
    TextDelta,
    ToolUseDelta,
    converse_stream,
)
from sluiceway.aws.event_stream import encode_message
from sluiceway.errors import Rejected, ServiceError, ServiceMisconfigured, ServiceRefused, ServiceUnavailable

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
OUTPUT = MODEL.operation_model("ConverseStream").get_event_stream_output()
QUESTION = Converse("amazon.nova-micro-v1:0", (Turn("user", "hi"),), max_tokens=5, stop_sequences=("X",))


def event(kind: str, payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, json.dumps(payload).encode())


def exception(kind: str, payload: Any) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, json.dumps(payload).encode())


STOP = event("messageStop", {"stopReason": "end_turn"})
EVENTS: list[tuple[str, Any, ConverseEvent]] = [
    ("messageStart", {"role": "assistant", "p": "abcde"}, MessageStart("assistant")),
    (
        "contentBlockDelta",
        {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}},
        ReasoningDelta(0, "hm", "", b""),
    ),
    (
        "contentBlockDelta",
        {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}},
        ReasoningDelta(0, "", "sig", b""),
    ),
    (
        "contentBlockDelta",
        {
            "contentBlockIndex": 0,
            "delta": {"reasoningContent": {"redactedContent": base64.b64encode(b"\0\xff").decode()}},
        },
        ReasoningDelta(0, "", "", b"\0\xff"),
    ),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Rhône"}}, TextDelta(1, "Rhône")),
    ("contentBlockStop", {"contentBlockIndex": 1}, BlockStop(1)),
    (
        "contentBlockStart",
        {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "find"}}},
        BlockStart(2, "t1", "find"),
    ),
    (
        "contentBlockDelta",
        {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"a'}}},
        ToolUseDelta(2, '{"a'),
    ),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"citation": {"title": "t"}}}, OtherDelta(3, "citation")),
    ("messageStop", {"stopReason": "end_turn"}, MessageStop("end_turn")),
    (
        "metadata",
        {
            "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, "cacheReadInputTokens": 2},
            "metrics": {"latencyMs": 12},
        },
        Metadata(3, 4, 2, 0, 12),
    ),
]
WHOLE = b"".join(event(kind, payload) for kind, payload, _ in EVENTS)


class Pieces:
    """A stream of these pieces, then the error."""

    def __init__(self, pieces: list[bytes], error: Exception | None = None) -> None:
        self.headers = {"x-amzn-requestid": "r1"}
        self._pieces = iter(pieces)
        self._error = error

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            if self._error is not None:
                raise self._error
            raise StopAsyncIteration
        return piece


class Upstream:
    """A StreamingCaller that answers with `pieces`, or refuses."""

    def __init__(self, pieces: list[bytes], error: Exception | None = None, refusal: Exception | None = None) -> None:
        self._pieces = Pieces(pieces, error)
        self._refusal = refusal
        self.asked: dict[str, Any] = {}
        self.closed = False

    @asynccontextmanager
    async def stream(self, service, operation, body, **more: Any) -> AsyncGenerator[Pieces]:
        self.asked = {"service": service, "operation": operation, "body": body, **more}
        if self._refusal is not None:
            raise self._refusal
        try:
            yield self._pieces
        finally:
            self.closed = True


async def read(*pieces: bytes, error: Exception | None = None) -> list[ConverseEvent]:
    async with converse_stream(Upstream(list(pieces), error), QUESTION) as events:
        return [event async for event in events]


async def failure(*pieces: bytes, error: Exception | None = None) -> tuple[list[ConverseEvent], Exception]:
    """The events that came before the error, and the error."""
    seen: list[ConverseEvent] = []

    async def collect() -> None:
        async with converse_stream(Upstream(list(pieces), error), QUESTION) as events:
            async for event in events:
                seen.append(event)

    with pytest.raises((ServiceError, Rejected)) as caught:
        await collect()
    return seen, caught.value


async def test_the_request_is_botocores() -> None:
    """Path and body as botocore writes them; the deadline and the longest silence go to the wire."""
    upstream = Upstream([STOP])
    async with converse_stream(upstream, QUESTION, deadline=9.0, idle_s=15.0) as events:
        assert [event async for event in events] == [MessageStop("end_turn")]
    params = {
        "modelId": QUESTION.model_id,
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "inferenceConfig": {"maxTokens": 5, "stopSequences": ["X"]},
    }
    sent = create_serializer("rest-json").serialize_to_request(params, MODEL.operation_model("ConverseStream"))
    assert (upstream.asked["path"], upstream.asked["body"]) == (sent["url_path"], json.loads(sent["body"]))
    assert (upstream.asked["deadline"], upstream.asked["idle_s"]) == (9.0, 15.0)
    assert (upstream.asked["operation"], upstream.asked["service"].signing_name) == ("ConverseStream", "bedrock")


async def test_every_event_has_its_type() -> None:
    """Text, reasoning, tool use, and kinds without a type here, by name; members that are not known are passed over."""
    assert await read(WHOLE) == [expected for _, _, expected in EVENTS]


async def test_the_events_are_those_that_botocore_reads() -> None:
    """The same bytes through botocore's parser and its API model: the same kinds in the same order."""

    class Raw:
        def stream(self):
            return iter([WHOLE])

    parsed = EventStream(Raw(), OUTPUT, EventStreamJSONParser(), "ConverseStream")
    kinds = [next(iter(event)) for event in parsed]
    assert kinds == [kind for kind, _, _ in EVENTS]
    assert len(await read(WHOLE)) == len(kinds)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_events_torn_by_the_network(size: int) -> None:
    """Pieces of any size give the same events."""
    pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    assert await read(*pieces) == [expected for _, _, expected in EVENTS]


async def test_events_that_are_new_are_passed_over() -> None:
    """AWS may add kinds of events; a client of today goes on."""
    assert await read(event("somethingNew", {"a": 1}), STOP) == [MessageStop("end_turn")]


IN_STREAM = sorted(
    shape.name[:1].lower() + shape.name[1:] for shape in OUTPUT.members.values() if shape.metadata.get("exception")
)


def test_the_exceptions_of_the_api_model_are_known() -> None:
    """The list below is that of ConverseStreamOutput."""
    assert IN_STREAM == [
        "internalServerException",
        "modelStreamErrorException",
        "serviceUnavailableException",
        "throttlingException",
        "validationException",
    ]


@pytest.mark.parametrize("kind", IN_STREAM)
async def test_an_exception_inside_the_stream_is_converses_error(kind: str) -> None:
    """Retryable unless the request is wrong, with the code that Converse has for it and the model's status."""
    code = kind[:1].upper() + kind[1:]
    text = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}})
    seen, error = await failure(text, exception(kind, {"message": "said", "originalStatusCode": 500}))
    assert seen == [TextDelta(0, "a")]
    assert isinstance(error, ServiceRefused if kind == "validationException" else ServiceUnavailable)
    assert isinstance(error, ServiceError)
    assert (error.code, error.request_id, error.operation) == (code, "r1", "ConverseStream")
    assert error.status == MODEL.shape_for(code).metadata["error"]["httpStatusCode"]
    assert "said" in str(error)


async def test_an_error_outside_of_the_model_is_retryable_unless_it_is_a_refusal() -> None:
    """`:message-type` error carries a code and a message in its headers."""
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "oops"}
    _, error = await failure(encode_message(headers, b""))
    assert isinstance(error, ServiceUnavailable)
    assert (error.code, error.status) == ("InternalFailure", 500)
    _, error = await failure(exception("accessDeniedException", {"message": "no"}))
    assert isinstance(error, ServiceMisconfigured)


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([], "StreamEnded"),
        ([event("messageStart", {"role": "assistant"})], "StreamEnded"),
        ([STOP[:-1]], "MalformedMessage"),
        ([STOP[:-1] + b"\0"], "ChecksumMismatch"),
        ([b"<html>not an event stream</html>"], "ChecksumMismatch"),
    ],
)
async def test_a_stream_that_is_cut_or_damaged_is_an_outage(pieces: list[bytes], code: str) -> None:
    """An answer without its end is never taken for a whole one, and says what was wrong."""
    _, error = await failure(*pieces)
    assert isinstance(error, ServiceUnavailable)
    assert error.code == code


@pytest.mark.parametrize("payload", [b"[]", b"{}", b"no json", b'{"contentBlockIndex":0,"delta":null}'])
async def test_an_event_of_another_shape_is_rejected(payload: bytes) -> None:
    """What cannot be read is refused aloud."""
    headers = {":event-type": "contentBlockDelta", ":message-type": "event"}
    _, error = await failure(encode_message(headers, payload))
    assert isinstance(error, Rejected)
    assert error.reason == "unreadable-answer"


@pytest.mark.parametrize("code", sorted(RETRYABLE_CODES))
async def test_a_refusal_before_the_stream_is_converses_too(code: str) -> None:
    """Statuses that the wire does not retry (408, 424) are retryable for whoever asks again."""
    refusal = ServiceRefused("no", service="bedrock-runtime", operation="ConverseStream", code=code, status=424)
    with pytest.raises(ServiceUnavailable) as caught:
        async with converse_stream(Upstream([], refusal=refusal), QUESTION):
            pass
    assert caught.value.code == code


async def test_errors_of_the_reader_are_its_own() -> None:
    """What the body of the context raises is not taken for Bedrock's, whatever its code; the stream is closed."""
    upstream = Upstream([WHOLE])
    mine = ServiceRefused("no", service="dynamodb", operation="PutItem", code="ThrottlingException")

    async def fail() -> None:
        async with converse_stream(upstream, QUESTION) as events:
            await anext(events)
            raise mine

    with pytest.raises(ServiceRefused) as caught:
        await fail()
    assert caught.value is mine
    assert upstream.closed
