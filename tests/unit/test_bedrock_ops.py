"""Bedrock Converse: botocore's request, the answer's text and usage, and which errors a retry can help."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.bedrock import RETRYABLE_CODES, Converse, ConverseAnswer, Turn, converse
from sluiceway.aws.reply import Reply
from sluiceway.errors import Rejected, ServiceRefused, ServiceUnavailable
from tests.fakes import RecordingCaller

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
SERIALIZER = create_serializer("rest-json", include_validation=True)

ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Rhine, "}, {"text": "Rhône"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, "cacheReadInputTokens": 2},
    "metrics": {"latencyMs": 12},
}
QUESTION = Converse("amazon.nova-micro-v1:0", (Turn("user", "hi"),), max_tokens=5)


@given(
    st.sampled_from(
        ["amazon.nova-micro-v1:0", "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abcdefghijkl"]
    ),
    st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text()), min_size=1, max_size=4),
    st.integers(1, 8192),
    st.text(max_size=20),
    st.none() | st.floats(0, 1),
    st.lists(st.text(min_size=1), max_size=2),
)
async def test_converse_sends_what_botocore_sends(
    model_id: str, turns: list[Turn], max_tokens: int, system: str, temperature: float | None, stop: list[str]
) -> None:
    """Path and body are botocore's for any text, and maxTokens is always there."""
    caller = RecordingCaller([Reply(200, {}, json.dumps(ANSWER).encode())])
    request = Converse(
        model_id, tuple(turns), max_tokens, system, temperature, top_p=temperature, stop_sequences=tuple(stop)
    )
    await converse(caller, request, deadline=3.0)
    config: dict[str, Any] = {"maxTokens": max_tokens}
    if temperature is not None:
        config |= {"temperature": temperature, "topP": temperature}
    if stop:
        config["stopSequences"] = stop
    params: dict[str, Any] = {
        "modelId": model_id,
        "messages": [{"role": turn.role, "content": [{"text": turn.text}]} for turn in turns],
        "inferenceConfig": config,
    }
    if system:
        params["system"] = [{"text": system}]
    sent = SERIALIZER.serialize_to_request(params, MODEL.operation_model("Converse"))
    (call,) = caller.calls
    assert json.loads(json.dumps(call.body)) == json.loads(sent["body"])
    assert (call.method, call.path, call.deadline) == (sent["method"], sent["url_path"], 3.0)
    assert (call.service.signing_name, call.service.protocol) == ("bedrock", "rest-json")


async def test_the_answer_is_its_text_blocks_and_what_was_billed() -> None:
    """Text blocks are joined, reasoning is left out, usage and latency are read."""
    answer = json.loads(json.dumps(ANSWER))
    answer["output"]["message"]["content"].append({"reasoningContent": {"reasoningText": {"text": "hm"}}})
    caller = RecordingCaller([Reply(200, {}, json.dumps(answer).encode())])
    assert await converse(caller, QUESTION) == ConverseAnswer("Rhine, Rhône", "end_turn", 3, 4, 2, 0, 12)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {**ANSWER, "output": {}},
        {**ANSWER, "usage": None},
        {**ANSWER, "output": {"message": {"role": "assistant", "content": [{"toolUse": {}}]}}},
    ],
)
async def test_an_answer_of_another_shape_is_rejected(answer: Any) -> None:
    """What is no text answer is refused aloud, never passed on as an empty one."""
    with pytest.raises(Rejected) as caught:
        await converse(RecordingCaller([Reply(200, {}, json.dumps(answer).encode())]), QUESTION)
    assert caught.value.reason == "unreadable-answer"


ERRORS = sorted(shape.name for shape in MODEL.operation_model("Converse").error_shapes)


@pytest.mark.parametrize("code", [*ERRORS, "ServiceQuotaExceededException"])
async def test_every_error_of_the_api_model_is_retryable_or_not(code: str) -> None:
    """Throttling, overload, time-out and model errors may be tried again; what the caller did wrong may not."""
    status = {"ModelTimeoutException": 408, "ModelErrorException": 424}.get(code, 400)
    refused = ServiceRefused("no", service="bedrock-runtime", operation="Converse", code=code, status=status)
    never = {"AccessDeniedException", "ResourceNotFoundException", "ValidationException"}
    retryable = code not in never | {"ServiceQuotaExceededException"}
    with pytest.raises(ServiceUnavailable if retryable else ServiceRefused) as caught:
        await converse(RecordingCaller([refused]), QUESTION)
    assert (caught.value.code, caught.value.status, code in RETRYABLE_CODES) == (code, status, retryable)
