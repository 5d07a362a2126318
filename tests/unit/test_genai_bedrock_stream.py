"""Bedrock's stream as a provider's: text, how it ended, what it cost, and the same faults as for a whole answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.aws.event_stream import encode_message
from sluiceway.errors import DeadlineExceeded, Rejected, ServiceRefused, ServiceUnavailable
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Invalid, Overloaded, Throttled
from sluiceway.genai.provider import (
    CallContext,
    Delta,
    Finish,
    Message,
    ModelRequest,
    StreamEvent,
    Usage,
    estimate_usage,
    fold_stream,
)
from sluiceway.genai.surrogates import PairJoiner

REQUEST = ModelRequest((Message("user", "SECRET prompt"),), max_tokens=7, system="s")
CONTEXT = CallContext(deadline=50.0)


def event(kind: str, **payload: Any) -> bytes:
    return encode_message({":event-type": kind, ":message-type": "event"}, json.dumps(payload).encode())


def text(said: str) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=0, delta={"text": said})


def stop(reason: str = "end_turn") -> bytes:
    return event("messageStop", stopReason=reason)


def exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":message-type": "exception"}
    return encode_message(headers, json.dumps({"message": message}).encode())


METADATA = event(
    "metadata",
    usage={"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 4},
    metrics={"latencyMs": 5},
)


class Upstream:
    """A StreamingCaller that sends pieces; a number among them is seconds of silence, an error ends them."""

    def __init__(self, *pieces: bytes | float | Exception) -> None:
        self.headers = {"x-amzn-requestid": "r1"}
        self._pieces = list(pieces)
        self.asked: dict[str, Any] = {}
        self.closed = False
        self.read_to_end = False

    @asynccontextmanager
    async def stream(self, _service, _operation, body, **more: Any) -> AsyncGenerator[Upstream]:
        self.asked = {"body": body, **more}
        if self._pieces and isinstance(self._pieces[0], ServiceRefused):
            raise self._pieces[0]
        try:
            yield self
        finally:
            self.closed = True

    def __aiter__(self) -> Upstream:
        return self

    async def __anext__(self) -> bytes:
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, Exception):
                raise piece
            await asyncio.sleep(piece)
        self.read_to_end = True
        raise StopAsyncIteration


async def read(upstream: Upstream) -> list[StreamEvent]:
    async with BedrockProvider(upstream, "m").stream(REQUEST, CONTEXT) as events:
        return [event async for event in events]


def outage(code: str) -> ServiceUnavailable:
    return ServiceUnavailable("gone", service="bedrock-runtime", operation="ConverseStream", code=code)


async def test_text_then_the_end_with_what_was_billed() -> None:
    """Deltas in order, one Finish with stop reason and usage; the stream is read to its end and closed."""
    upstream = Upstream(
        event("messageStart", role="assistant"), text("one "), text("two"), stop("max_tokens"), METADATA
    )
    assert await read(upstream) == [Delta("one "), Delta("two"), Finish("max_tokens", Usage(1, 2, 4, 0))]
    assert (upstream.closed, upstream.read_to_end) == (True, True)
    assert (upstream.asked["deadline"], upstream.asked["idle_s"]) == (50.0, 60.0)
    assert upstream.asked["body"]["inferenceConfig"] == {"maxTokens": 7}


@pytest.mark.parametrize(
    "after",
    [
        [],
        [0.5, METADATA[:-1]],
        [outage("ConnectionClosed")],
        [DeadlineExceeded("late")],
        [exception("throttlingException", "x")],
    ],
)
async def test_metadata_that_never_comes_costs_an_estimate(after: list[Any]) -> None:
    """A whole answer is an answer, whatever happens after it; its usage is guessed from the text and marked so."""
    *said, finish = await read(Upstream(text("one two three"), stop(), *after))
    assert said == [Delta("one two three")]
    assert finish == Finish("end_turn", Usage(4, 4, estimated=True))


@pytest.mark.parametrize(
    ("late_s", "usage", "over_s"), [(4.0, Usage(1, 2, 4, 0), 4.0), (60.0, Usage(4, 1, estimated=True), 5.0)]
)
def test_metadata_is_waited_for_a_little(late_s: float, usage: Usage, over_s: float) -> None:
    """It may come seconds after messageStop; a stream left open without it holds nobody up for long."""

    async def run() -> tuple[list[StreamEvent], float]:
        events = await read(Upstream(text("one"), stop(), late_s, METADATA))
        return events, asyncio.get_running_loop().time()

    assert run_virtual(run) == ([Delta("one"), Finish("end_turn", usage)], over_s)


async def test_reasoning_is_not_the_answer() -> None:
    """What the model thinks is passed over."""
    thought = event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "hm"}})
    assert await read(Upstream(thought, text("yes"), stop(), METADATA)) == [
        Delta("yes"),
        Finish("end_turn", Usage(1, 2, 4, 0)),
    ]


@pytest.mark.parametrize(
    "other",
    [
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "t", "name": "n"}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "{"}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"citation": {}}),
    ],
)
async def test_content_that_is_not_text_is_refused(other: bytes) -> None:
    """As in a whole answer: refused aloud, not left out."""
    with pytest.raises(Rejected) as caught:
        await read(Upstream(other, stop()))
    assert caught.value.reason == "unreadable-answer"


async def collect(provider_input: Upstream, seen: list[str]) -> None:
    async with BedrockProvider(provider_input, "m").stream(REQUEST, CONTEXT) as events:
        async for event in events:
            seen.append(event.text if isinstance(event, Delta) else "finish")


@pytest.mark.parametrize(
    ("trouble", "fault"),
    [
        (exception("throttlingException", "SECRET"), Throttled),
        (exception("modelStreamErrorException", "SECRET"), Overloaded),
        (exception("serviceUnavailableException", "SECRET"), Overloaded),
        (exception("internalServerException", "SECRET"), Overloaded),
        (exception("validationException", "SECRET"), Invalid),
        (exception("validationException", "Input is too long for requested model."), ContextTooLong),
        (outage("ConnectionClosed"), Overloaded),
        (outage("TimedOut"), Overloaded),
        (text("damage")[:-1] + b"\0", Overloaded),
        (DeadlineExceeded("late"), DeadlineExceeded),
    ],
)
async def test_trouble_inside_the_stream(trouble: bytes | Exception, fault: type[Exception]) -> None:
    """The text before it was delivered, the fault is that of a whole answer, and Bedrock's words stay out."""
    seen: list[str] = []
    upstream = Upstream(text("one"), trouble)
    with pytest.raises(fault) as caught:
        await collect(upstream, seen)
    assert seen == ["one"]
    assert "SECRET" not in str(caught.value)
    assert upstream.closed


@pytest.mark.parametrize(
    ("code", "words", "fault"),
    [
        ("ModelErrorException", "no", Overloaded),
        ("ThrottlingException", "no", Throttled),
        ("ValidationException", "no", Invalid),
        ("ValidationException", "This model does not support assistant message prefill.", Invalid),
        ("ValidationException", "Input is too long for requested model.", ContextTooLong),
    ],
)
async def test_a_refusal_before_the_stream(code: str, words: str, fault: type[Exception]) -> None:
    """The same faults as inside it, and no event before them."""
    refusal = ServiceRefused(words, service="bedrock-runtime", operation="ConverseStream", code=code)
    begun = ModelRequest((*REQUEST.messages, Message("assistant", "one")), max_tokens=7)
    upstream = Upstream(refusal)
    with pytest.raises(fault):
        async with BedrockProvider(upstream, "m").stream(begun, CONTEXT):
            pytest.fail("it begins")
    assert upstream.asked["body"]["messages"][-1] == {"role": "assistant", "content": [{"text": "one"}]}


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("guardrail_intervened", ContentFiltered),
        ("content_filtered", ContentFiltered),
        ("model_context_window_exceeded", ContextTooLong),
    ],
)
async def test_an_answer_that_is_withheld_at_its_end(reason: str, fault: type[Exception]) -> None:
    """Text may have been shown before: the fault tells to take it back."""
    seen: list[str] = []
    with pytest.raises(fault):
        await collect(Upstream(text("one"), stop(reason), METADATA), seen)
    assert seen == ["one"]


async def test_leaving_closes_the_upstream() -> None:
    """A reader that has enough ends the generation."""
    upstream = Upstream(text("one"), 3600.0, text("two"), stop())
    async with BedrockProvider(upstream, "m").stream(REQUEST, CONTEXT) as events:
        assert await anext(events) == Delta("one")
    assert (upstream.closed, upstream.read_to_end) == (True, False)


async def test_a_character_in_two_events_is_one() -> None:
    """Halves of a surrogate pair are joined; one that stays alone becomes U+FFFD."""
    upstream = Upstream(text("a\ud83d"), text("\ude00b\ud83d"), stop(), METADATA)
    assert [event.text for event in await read(upstream) if isinstance(event, Delta)] == ["a", "😀b", "\ufffd"]


@settings(deadline=None)
@given(st.text(), st.data())
def test_joined_halves_are_the_text(whole: str, data: st.DataObject) -> None:
    """However UTF-16 is cut, what is joined is the text, and every piece of it can be encoded."""
    units = [
        whole.encode("utf-16-le")[at : at + 2].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(whole.encode("utf-16-le")), 2)
    ]
    joiner, joined = PairJoiner(), list[str]()
    while units:
        size = data.draw(st.integers(1, 4))
        joined.append(joiner.join("".join(units[:size])))
        del units[:size]
    joined.append(joiner.rest())
    assert "".join(joined) == whole
    assert all(piece.encode() is not None for piece in joined)


async def test_a_stream_folds_into_an_answer() -> None:
    """What `converse` would have given."""
    async with BedrockProvider(Upstream(text("a"), text("b"), stop(), METADATA), "m").stream(
        REQUEST, CONTEXT
    ) as events:
        answer = await fold_stream(events)
    assert (answer.text, answer.stop_reason, answer.usage) == ("ab", "end_turn", Usage(1, 2, 4, 0))


def test_an_estimate_counts_four_characters_a_token_and_says_that_it_is_one() -> None:
    """Of all that was asked and all that was said, rounded up."""
    assert estimate_usage(REQUEST, "12345") == Usage(4, 2, estimated=True)
    assert estimate_usage(ModelRequest((), 1), "") == Usage(0, 0, estimated=True)
