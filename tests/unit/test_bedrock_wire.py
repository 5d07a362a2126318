"""Bedrock Converse on the wire: what is refused, and what an answer looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.models.engine import FailureKind
from localcloud.models.scripted import Fault, Reply, Script, ScriptedEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import Permission, WireRequest

NOVA = "amazon.nova-micro-v1:0"
USER = {"role": "user", "content": [{"text": "hello"}]}
ASSISTANT = {"role": "assistant", "content": [{"text": "hi"}]}


def request(body: Any, *, model: str = NOVA, action: str = "converse") -> WireRequest:
    return WireRequest(
        service="bedrock",
        region="eu-west-1",
        method="POST",
        path=f"/model/{model.replace(':', '%3A').replace('/', '%2F')}/{action}",
        query="",
        headers={},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        access_key="AK",
        request_id="r",
    )


def converse(body: Any, script: Script | None = None, **more: str) -> tuple[int, str, Any]:
    """Status, error type ("" for none) and body."""
    service = BedrockService(ScriptedEngine(script))
    response = run_virtual(lambda: service.handle(request(body, **more)))
    assert isinstance(response.body, bytes)
    return response.status, response.headers.get("x-amzn-errortype", ""), json.loads(response.body)


def test_an_answer_has_the_shape_of_converse() -> None:
    """Output, stop reason, usage and latency on the loop's clock."""
    script = Script(first_token_s=1.5, replies=(Reply("hello", "Good day"),))
    assert converse({"messages": [USER], "inferenceConfig": {"maxTokens": 10}}, script) == (
        200,
        "",
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Good day"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
            "metrics": {"latencyMs": 1500},
        },
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON: Nested too deeply"),
        (b'{"messages":[{"role":"user","content":[{"text":"\\ud800"}]}]}', "not JSON: Half of a surrogate pair"),
        ([], "not a structure"),
        ({}, "must start with a user message"),
        ({"messages": []}, "must start with a user message"),
        ({"messages": [ASSISTANT]}, "must start with a user message"),
        ({"messages": [USER, USER]}, "must alternate"),
        ({"messages": [{"role": "robot", "content": [{"text": "x"}]}]}, "enum value set"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0 is empty"),
        ({"messages": [{"role": "user", "content": [{"text": " \n"}]}]}, "messages.0.content.0 is blank"),
        (
            {"messages": [USER, {"role": "assistant", "content": [{"text": " "}]}]},
            "messages.1.content.0 is blank",
        ),
        ({"messages": [{"role": "user", "content": [{}]}]}, "exactly one member"),
        ({"messages": [{"role": "user", "content": [{"image": {}}]}]}, "image is not served"),
        ({"messages": [{"role": "user", "content": [{"text": "x", "cachePoint": {}}]}]}, "cachePoint is not served"),
        ({"messages": [{"role": "user", "content": [{"smell": {}}]}]}, "not a kind of content"),
        ({"messages": [USER], "system": [{"text": ""}]}, "greater than or equal to 1"),
        ({"messages": [USER], "inferenceConfig": {"maxTokens": 0}}, "greater than or equal to 1"),
        ({"messages": [USER], "inferenceConfig": {"maxTokens": 1.5}}, "whole number"),
        ({"messages": [USER], "inferenceConfig": {"maxTokens": True}}, "whole number"),
        ({"messages": [USER], "inferenceConfig": {"temperature": 1.1}}, "less than or equal to 1"),
        ({"messages": [USER], "inferenceConfig": {"topP": -0.1}}, "greater than or equal to 0"),
        ({"messages": [USER], "inferenceConfig": {"topK": 5}}, "topK"),
        ({"messages": [USER], "inferenceConfig": {"stopSequences": [""]}}, "greater than or equal to 1"),
        ({"messages": [USER], "toolConfig": {"tools": [{}]}}, "toolConfig is not served"),
        ({"messages": [USER], "guardrailConfig": {"guardrailIdentifier": "g"}}, "guardrailConfig is not served"),
        ({"messages": [USER], "colour": "red"}, "extraneous key"),
        ({"messages": [USER], "requestMetadata": {"a": 1}}, "requestMetadata"),
    ],
)
def test_requests_are_checked_as_bedrock_checks_them(body: Any, message: str) -> None:
    """Each broken rule is a ValidationException that names it."""
    status, code, told = converse(body)
    assert (status, code) == (400, "ValidationException")
    assert message in told["message"]


def test_what_is_not_served_yet_says_so() -> None:
    """The other actions of the runtime are refused by name."""
    for action in ("invoke", "invoke-with-response-stream", "count-tokens"):
        status, code, told = converse({"messages": [USER]}, action=action)
        assert (status, code) == (400, "ValidationException")
        assert f"{action} of Bedrock is not served" in told["message"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("throttled", 429, "ThrottlingException"),
        ("not_ready", 429, "ModelNotReadyException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("failed", 424, "ModelErrorException"),
        ("cut", 500, "InternalServerException"),
        ("corrupt", 500, "InternalServerException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("too_long", 400, "ValidationException"),
        ("no_prefill", 400, "ValidationException"),
    ],
)
def test_a_models_failure_is_bedrocks_error(kind: FailureKind, status: int, code: str) -> None:
    """Each kind of failure has the exception and the status of Converse's error table."""
    assert converse({"messages": [USER]}, Script(faults=(Fault(kind, call=0),)))[:2] == (status, code)


def test_the_model_sees_the_whole_conversation() -> None:
    """System blocks and content blocks are joined; the configuration arrives."""
    body = {
        "system": [{"text": "be"}, {"text": "brief"}],
        "messages": [USER, ASSISTANT, {"role": "user", "content": [{"text": "one"}, {"text": "two"}]}],
        "inferenceConfig": {"maxTokens": 3, "temperature": 0, "topP": 1, "stopSequences": ["STOP"]},
    }
    script = Script(replies=(Reply("one\ntwo", "a b c d"),))
    _, _, told = converse(body, script)
    assert told["output"]["message"]["content"] == [{"text": "a b c"}]
    assert told["stopReason"] == "max_tokens"
    assert told["usage"]["inputTokens"] == 6


@pytest.mark.parametrize("begun", ["Good", "Good d", "Good day, "])
def test_an_answer_that_was_begun_is_continued(begun: str) -> None:
    """The last message may be the assistant's, white space at its end included: the answer is what comes after it."""
    body = {"messages": [USER, {"role": "assistant", "content": [{"text": begun}]}]}
    _, _, told = converse(body, Script(replies=(Reply("hello", "Good day, Sir"),)))
    assert told["output"]["message"]["content"] == [{"text": "Good day, Sir".removeprefix(begun)}]


def test_a_model_that_continues_no_answer_says_so() -> None:
    """In Bedrock's words; a conversation that ends with a question is answered."""
    script = Script(prefill=False)
    status, code, told = converse({"messages": [USER, ASSISTANT]}, script)
    assert (status, code) == (400, "ValidationException")
    assert "requires the last turn in the conversation to be a user message" in told["message"]
    assert converse({"messages": [USER, ASSISTANT, USER]}, script)[0] == 200


def test_an_answer_that_a_guardrail_withholds() -> None:
    """Its stop reason and its message instead of the text; what the model made is counted."""
    script = Script(replies=(Reply("hello", "Good day"),), faults=(Fault("filtered", call=0, after_tokens=1),))
    status, _, told = converse({"messages": [USER]}, script)
    assert (status, told["stopReason"]) == (200, "guardrail_intervened")
    assert told["output"]["message"]["content"] == [{"text": "Sorry, the model cannot answer this question."}]
    assert told["usage"] == {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "role", "content", "text", "system", "inferenceConfig", "user"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_answered(body: Any) -> None:
    """No body makes the service fail: an answer or a ValidationException."""
    status, code, _ = converse(body)
    assert (status, code) in ((200, ""), (400, "ValidationException"))


def test_permissions_name_the_models_arn() -> None:
    """A foundation model has no account in its ARN; an inference profile has, and needs its models as well."""
    service = BedrockService(ScriptedEngine())
    model = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-micro-v1:0"
    assert service.permissions(request({})) == (Permission("bedrock:InvokeModel", model),)
    assert service.permissions(request({}, model=model)) == (Permission("bedrock:InvokeModel", model),)
    assert service.permissions(request({}, model=f"eu.{NOVA}")) == (
        Permission("bedrock:InvokeModel", f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{NOVA}"),
        Permission("bedrock:InvokeModel", model),
    )
    assert service.permissions(request({}, action="converse-stream")) == (
        Permission("bedrock:InvokeModelWithResponseStream", model),
    )
