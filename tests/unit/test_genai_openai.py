"""An OpenAI-compatible server as a provider: what is asked, what its events mean, and every way it can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected
from sluiceway.genai import openai_events, sse
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.openai import OpenAIProvider
from sluiceway.genai.provider import Answer, CallContext, Delta, Finish, Message, ModelRequest, StreamEvent, Usage
from sluiceway.genai.sse import EventReader, OversizedEventError
from tests.unit.wire_server import RawServer, Received, answer, raw_server

REQUEST = ModelRequest(
    (Message("user", "SECRET prompt"),), max_tokens=7, system="s", temperature=0.5, stop_sequences=("X",)
)
FOREVER = CallContext(deadline=float("inf"))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def text(said: str, reason: str | None = None) -> bytes:
    return event(id="c", choices=[{"index": 0, "delta": {"content": said}, "finish_reason": reason}])


USAGE = event(
    choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
)


@asynccontextmanager
async def serving(
    *pieces: bytes, cut: bool = False, **options: Any
) -> AsyncGenerator[tuple[RawServer, OpenAIProvider]]:
    """A server that answers every request with these pieces of an event stream, and its provider."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
        if cut:
            writer.close()
        else:
            writer.write(b"0\r\n\r\n")

    async with raw_server(behave) as server, OpenAIProvider.open(f"{server.url}/v1/", model="m", **options) as provider:
        yield server, provider


async def read(*pieces: bytes, cut: bool = False) -> list[StreamEvent]:
    async with serving(*pieces, cut=cut) as (_, provider), provider.stream(REQUEST, FOREVER) as events:
        return [event async for event in events]


async def test_text_then_the_end_with_what_was_billed() -> None:
    """Deltas, then one Finish in Converse's words, with the usage of the server's last event."""
    role = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    async with serving(role, text("one "), text("two", "length"), USAGE, DONE, api_key="sk-1") as (server, provider):
        for _ in range(2):
            async with provider.stream(REQUEST, FOREVER) as events:
                seen = [event async for event in events]
            assert seen == [Delta("one "), Delta("two"), Finish("max_tokens", Usage(3, 2, 1))]
    sent = server.requests[0]
    assert (sent.method, sent.target, sent.headers["authorization"]) == ("POST", "/v1/chat/completions", "Bearer sk-1")
    assert json.loads(sent.body) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "SECRET prompt"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "stop": ["X"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert [request.connection for request in server.requests] == [1, 1]


async def test_an_answer_that_was_begun_is_continued() -> None:
    """The beginning goes as the last message, with the members by which vLLM and llama.cpp go on from it."""
    begun = ModelRequest((*REQUEST.messages, Message("assistant", "one")), max_tokens=7)
    async with serving(text(" two", "stop"), USAGE, DONE) as (server, provider):
        answered = await provider.converse(begun, FOREVER)
        await provider.converse(REQUEST, FOREVER)
    assert answered.text == " two"
    sent, plain = (json.loads(request.body) for request in server.requests)
    assert sent["messages"][-1] == {"role": "assistant", "content": "one"}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert not {"continue_final_message", "add_generation_prompt"} & plain.keys()


async def test_a_whole_answer_is_its_stream() -> None:
    """`converse` folds the events."""
    async with serving(text("one "), text("two", "stop"), USAGE, DONE) as (_, provider):
        answered = await provider.converse(REQUEST, FOREVER)
    assert answered == Answer("one two", "end_turn", Usage(3, 2, 1), answered.latency_ms)


async def test_usage_in_the_last_text_event_and_usage_never() -> None:
    """Some servers tell it with the finish reason, some not at all: then it is an estimate."""
    last = event(
        choices=[{"delta": {"content": "b"}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 3, "completion_tokens": 2},
    )
    assert await read(text("a"), last, DONE) == [Delta("a"), Delta("b"), Finish("end_turn", Usage(3, 2))]
    estimate = Usage(4, 1, estimated=True)
    assert await read(text("a", "stop")) == [Delta("a"), Finish("end_turn", estimate)]
    assert await read(text("a", "stop"), cut=True) == [Delta("a"), Finish("end_turn", estimate)]
    assert await read(text("a", "stop"), event(error={"message": "late"})) == [Delta("a"), Finish("end_turn", estimate)]


async def test_a_server_that_leaves_the_stream_open_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usage is waited for a little."""
    monkeypatch.setattr(openai_events, "USAGE_WAIT_S", 0.02)

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(text("a", "stop")))

    async with (
        raw_server(behave) as server,
        OpenAIProvider.open(server.url, model="m") as provider,
        provider.stream(REQUEST, FOREVER) as events,
    ):
        assert [event async for event in events] == [Delta("a"), Finish("end_turn", Usage(4, 1, estimated=True))]


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, {"error": {"code": "context_length_exceeded"}}, ContextTooLong),
        (400, {"error": {"type": "exceed_context_size_error"}}, ContextTooLong),
        (400, {"error": {"message": "SECRET"}}, Invalid),
        (400, {"error": {"message": "Unrecognized request arguments supplied: continue_final_message"}}, Invalid),
        (422, {}, Invalid),
        (401, {}, Denied),
        (403, {}, Denied),
        (404, {}, Denied),
        (429, {"error": {"code": "insufficient_quota"}}, Denied),
        (429, {"error": {"code": "rate_limit_exceeded"}}, Throttled),
        (408, {}, Timeout),
        (504, {}, Timeout),
        (500, {}, Overloaded),
        (503, {"error": "too long a queue"}, Overloaded),
    ],
)
async def test_refusals(status: int, body: Any, fault: type[Exception]) -> None:
    """By what to do next; the server's words, which may quote the prompt, stay out; nothing is tried again."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status, json.dumps(body).encode(), Retry_After="4"))

    async with raw_server(behave) as server, OpenAIProvider.open(server.url, model="m") as provider:
        with pytest.raises(fault) as caught:
            await provider.converse(REQUEST, FOREVER)
        assert "SECRET" not in str(caught.value)
        assert len(server.requests) == 1
        if fault in (Throttled, Timeout, Overloaded):
            assert caught.value.after_s == 4.0


@pytest.mark.parametrize(
    ("pieces", "cut", "fault"),
    [
        ([text("a")], False, Overloaded),
        ([text("a"), DONE], False, Overloaded),
        ([text("a")], True, Overloaded),
        ([text("a"), event(error={"message": "SECRET", "code": 429})], False, Throttled),
        ([text("a"), event(error={"message": "SECRET", "type": "rate_limit_error"})], False, Throttled),
        ([text("a"), event(error={"message": "SECRET", "code": "server_error"})], False, Overloaded),
        ([text("a"), event(error="SECRET")], False, Overloaded),
        ([text("a", "content_filter")], False, ContentFiltered),
        ([text("a", "tool_calls")], False, Rejected),
        ([event(choices=[{"delta": {"tool_calls": [{"id": "t"}]}}])], False, Rejected),
        ([b"data: {no json\n\n"], False, Rejected),
        ([b"data: []\n\n"], False, Rejected),
    ],
)
async def test_trouble_inside_the_stream(pieces: list[bytes], cut: bool, fault: type[Exception]) -> None:
    """An answer without its end is never taken for a whole one; errors in the stream are those of a refusal."""
    with pytest.raises(fault) as caught:
        await read(*pieces, cut=cut)
    assert "SECRET" not in str(caught.value)


async def test_a_stalled_server_and_the_deadline() -> None:
    """Silence inside an answer is a Timeout after `idle_s`; the deadline is what it is everywhere."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(text("a")))

    async with raw_server(behave) as server, OpenAIProvider.open(server.url, model="m", idle_s=0.02) as provider:
        with pytest.raises(Timeout):
            await provider.converse(REQUEST, FOREVER)
        with pytest.raises(DeadlineExceeded):
            await provider.converse(REQUEST, CallContext(deadline=asyncio.get_running_loop().time() + 0.01))


async def test_leaving_closes_the_connection() -> None:
    """The server sees that nobody listens, and the next answer comes on another connection."""
    gone = asyncio.Event()

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(text("a")))
        try:
            while True:
                writer.write(chunk(text("b")))
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            gone.set()

    async with raw_server(behave) as server, OpenAIProvider.open(server.url, model="m") as provider:
        async with provider.stream(REQUEST, FOREVER) as events:
            assert await anext(events) == Delta("a")
        async with asyncio.timeout(5):
            await gone.wait()
        async with provider.stream(REQUEST, FOREVER) as events:
            assert await anext(events) == Delta("a")
        assert [request.connection for request in server.requests] == [1, 2]


async def test_nobody_listens() -> None:
    """A server that is not there may be there later."""
    async with raw_server(lambda *_: asyncio.sleep(0)) as server:
        url = server.url
    async with OpenAIProvider.open(url, model="m") as provider:
        with pytest.raises(Overloaded):
            await provider.converse(REQUEST, FOREVER)


@pytest.mark.parametrize("settings", [{"url": "ftp://x"}, {"url": "http://x", "api_key": "a\r\nb"}])
async def test_settings_that_cannot_be(settings: dict[str, str]) -> None:
    """A URL of another kind and a key that would end its header are the deployment's fault."""
    with pytest.raises(Misconfigured):
        async with OpenAIProvider.open(settings.pop("url"), model="m", **settings):
            pass


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1), max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_events_are_read_however_they_are_cut(said: list[str], newline: str, data: st.DataObject) -> None:
    """Comments, ids and names between them; all three line ends; several data lines are one event."""
    raw = "".join(
        f": beat{newline}id: 1{newline}event: e{newline}data: {line}{newline}data:{line}{newline}{newline}"
        for line in said
    ).encode()
    raw += newline.encode()
    reader, events = EventReader(), list[str]()
    while raw:
        size = data.draw(st.integers(1, 9))
        events += reader.feed(raw[:size])
        raw = raw[size:]
    events += reader.feed(b"x")
    assert events == [f"{line}\n{line.removeprefix(' ')}" for line in said]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line or in many."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    for piece in (b"data: xxxxxxxxxxx", b"data: xxxxxxxx\n"):
        reader = EventReader()
        with pytest.raises(OversizedEventError):
            reader.feed(piece * 12)
