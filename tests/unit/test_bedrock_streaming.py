"""ConverseStream of the local Bedrock: events as the model makes them, failures by when they come, and its stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.models.engine import Chunk, Delta, FailureKind, Prompt
from localcloud.models.scripted import Fault, Reply, Script, ScriptedEngine, read_script
from localcloud.services.bedrock.stream import AnswerBody
from localcloud.services.bedrock.wire import MODEL_TIMEOUT_S, BedrockService
from localcloud.services.contract import BodyCut, WireRequest, WireResponse
from sluiceway.aws.event_stream import Message, MessageParser, TornMessageError

BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]}).encode()
HELLO = Reply("hello", "Good day")


def request(body: bytes = BODY) -> WireRequest:
    path = "/model/amazon.nova-micro-v1%3A0/converse-stream"
    return WireRequest("bedrock", "eu-west-1", "POST", path, "", {}, body, "AK", "r")


async def begin(script: Script, body: bytes = BODY) -> WireResponse:
    return await BedrockService(ScriptedEngine(script)).handle(request(body))


async def read(response: WireResponse) -> list[tuple[float, str, Any]]:
    """When each event came (loop time), its type and its payload."""
    assert not isinstance(response.body, bytes)
    parser, events = MessageParser(), list[tuple[float, str, Any]]()
    async for piece in response.body:
        (message,) = parser.feed(piece)
        events.append((asyncio.get_running_loop().time(), kind_of(message), json.loads(message.payload)))
    parser.end()
    return events


def kind_of(message: Message) -> str:
    kind = message.headers[":message-type"]
    assert kind in ("event", "exception")
    assert message.headers[":content-type"] == "application/json"
    return str(message.headers[f":{kind if kind == 'exception' else 'event'}-type"])


def stream(script: Script, body: bytes = BODY) -> list[tuple[float, str, Any]]:
    async def run() -> list[tuple[float, str, Any]]:
        response = await begin(script, body)
        assert (response.status, response.headers["content-type"]) == (200, "application/vnd.amazon.eventstream")
        return await read(response)

    return run_virtual(run)


def test_events_come_as_the_model_makes_its_text() -> None:
    """Bedrock's order, each at the time of its token, usage and latency last."""
    assert stream(Script(first_token_s=1.5, token_s=0.5, replies=(HELLO,))) == [
        (1.5, "messageStart", {"role": "assistant"}),
        (1.5, "contentBlockDelta", {"delta": {"text": "Good"}, "contentBlockIndex": 0}),
        (2.0, "contentBlockDelta", {"delta": {"text": " day"}, "contentBlockIndex": 0}),
        (2.5, "contentBlockStop", {"contentBlockIndex": 0}),
        (2.5, "messageStop", {"stopReason": "end_turn"}),
        (
            2.5,
            "metadata",
            {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 2500}},
        ),
    ]


def test_an_answer_without_text_has_no_block() -> None:
    """A stop sequence at once leaves nothing to say."""
    body = json.dumps({**json.loads(BODY), "inferenceConfig": {"stopSequences": ["Good"]}}).encode()
    kinds = [kind for _, kind, _ in stream(Script(replies=(HELLO,)), body)]
    assert kinds == ["messageStart", "messageStop", "metadata"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("throttled", 429, "ThrottlingException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("failed", 424, "ModelErrorException"),
    ],
)
def test_a_failure_before_the_first_text_is_an_answer_of_its_own(kind: FailureKind, status: int, code: str) -> None:
    """Not a stream: the status and the error of Converse."""
    response = run_virtual(lambda: begin(Script(faults=(Fault(kind, call=0),))))
    assert (response.status, response.headers["x-amzn-errortype"]) == (status, code)
    assert isinstance(response.body, bytes)


@pytest.mark.parametrize("begun", ["", "one two three"])
def test_a_prompt_over_the_context_is_an_answer_of_its_own(begun: str) -> None:
    """Nothing is streamed; the beginning of an answer is part of what must fit."""
    messages = [{"role": "user", "content": [{"text": "hello" if begun else "hello " * 4}]}]
    if begun:
        messages.append({"role": "assistant", "content": [{"text": begun}]})
    body = json.dumps({"messages": messages}).encode()
    response = run_virtual(lambda: begin(Script(context_tokens=3), body))
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert json.loads(bytes(response.body)) == {"message": "Input is too long for requested model."}


def test_an_answer_that_was_begun_is_continued() -> None:
    """The stream has only what comes after the beginning."""
    begun = [*json.loads(BODY)["messages"], {"role": "assistant", "content": [{"text": "Go"}]}]
    events = stream(Script(replies=(HELLO,)), json.dumps({"messages": begun}).encode())
    assert [payload["delta"]["text"] for _, kind, payload in events if kind == "contentBlockDelta"] == ["od", " day"]
    assert events[-1][2]["usage"] == {"inputTokens": 2, "outputTokens": 2, "totalTokens": 4}


@pytest.mark.parametrize("after", [0, 1])
def test_a_guardrail_withholds_the_rest(after: int) -> None:
    """As in its asynchronous mode: what was said stays said, the block ends, the stop reason tells, usage follows."""
    faults = (Fault("filtered", call=0, after_tokens=after),)
    events = [(kind, payload) for _, kind, payload in stream(Script(replies=(HELLO,), faults=faults))]
    block = ["contentBlockDelta", "contentBlockStop"] if after else []
    assert [kind for kind, _ in events] == ["messageStart", *block, "messageStop", "metadata"]
    assert events[-2] == ("messageStop", {"stopReason": "guardrail_intervened"})
    assert events[-1][1]["usage"]["outputTokens"] == after


def test_a_malformed_request_is_an_answer_of_its_own() -> None:
    """The same checks as Converse's."""
    response = run_virtual(lambda: begin(Script(), b'{"messages":[],"guardrailConfig":{"guardrailIdentifier":"g"}}'))
    assert response.status == 400
    assert b"guardrailConfig is not served" in bytes(response.body)


@pytest.mark.parametrize(
    ("kind", "exception", "original"),
    [
        ("throttled", "throttlingException", None),
        ("unavailable", "serviceUnavailableException", None),
        ("not_ready", "serviceUnavailableException", None),
        ("too_long", "validationException", None),
        ("no_prefill", "validationException", None),
        ("failed", "modelStreamErrorException", 424),
        ("timeout", "modelStreamErrorException", 408),
    ],
)
def test_a_failure_inside_the_stream_is_an_exception_event(
    kind: FailureKind, exception: str, original: int | None
) -> None:
    """After the tokens that were said; the last event, with the exceptions that the API model has for streams."""
    events = stream(Script(replies=(HELLO,), faults=(Fault(kind, call=0, after_tokens=1),)))
    assert [kind for _, kind, _ in events] == ["messageStart", "contentBlockDelta", exception]
    assert events[-1][2]["message"]
    assert events[-1][2].get("originalStatusCode") == original


def test_a_cut_and_damaged_bytes() -> None:
    """`cut` breaks the body off, `corrupt` sends a message whose checksum does not fit, both after what was said."""
    for kind, error in (("cut", BodyCut), ("corrupt", TornMessageError)):
        with pytest.raises(error):
            stream(Script(replies=(HELLO,), faults=(Fault(kind, call=0, after_tokens=1),)))


def test_a_stalled_model_says_nothing_more_until_its_time_is_over() -> None:
    """The client's own patience is tested by it; in the end it is a modelStreamErrorException."""
    *_, (at, kind, payload) = stream(Script(replies=(HELLO,), faults=(Fault("stall", call=0, after_tokens=1),)))
    assert (at, kind, payload["originalStatusCode"]) == (MODEL_TIMEOUT_S, "modelStreamErrorException", 408)


def test_a_script_file_may_ask_for_every_fault_of_a_stream(tmp_path: Any) -> None:
    """stall, cut, corrupt and filtered beside the failures of the model."""
    path = tmp_path / "script.json"
    kinds = ["stall", "cut", "corrupt", "filtered"]
    path.write_text(json.dumps({"faults": [{"kind": kind, "call": 0, "after_tokens": 2} for kind in kinds]}))
    assert [fault.kind for fault in read_script(path).faults] == kinds


@pytest.mark.parametrize("events_read", [0, 1, 3])
def test_closing_the_body_stops_the_generation(events_read: int) -> None:
    """Before the first event, and in the middle: the engine's generator is closed at once."""

    async def run() -> tuple[int, int]:
        engine = ScriptedEngine(Script(token_s=1.0))
        response = await BedrockService(engine).handle(request())
        body = response.body
        assert isinstance(body, AnswerBody)
        for _ in range(events_read):
            await anext(body)
        before = engine.active
        await body.aclose()
        return before, engine.active

    assert run_virtual(run) == (1, 0)


def test_a_caller_that_leaves_before_the_first_text_stops_the_generation() -> None:
    """The model is not kept thinking for nobody."""

    async def run() -> int:
        engine = ScriptedEngine(Script(first_token_s=100.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await BedrockService(engine).handle(request())
        return engine.active

    assert run_virtual(run) == 0


def test_an_engine_whose_answer_breaks_off() -> None:
    """A generator that ends without `Finished` is a failed model, not a whole answer."""

    class Broken:
        name = "broken"

        async def start(self) -> None: ...

        async def close(self) -> None: ...

        async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
            yield Delta(prompt.turns[0].text)

    async def run() -> list[tuple[float, str, Any]]:
        return await read(await BedrockService(Broken()).handle(request()))

    assert [kind for _, kind, _ in run_virtual(run)] == [
        "messageStart",
        "contentBlockDelta",
        "modelStreamErrorException",
    ]
