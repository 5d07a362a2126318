"""Bedrock's errors and stop reasons as the provider's faults."""

from __future__ import annotations

import json

import pytest

from sluiceway.aws.reply import Reply
from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    Retryable,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
)
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import Answer, CallContext, Message, ModelRequest, Usage
from tests.fakes import RecordingCaller

REQUEST = ModelRequest((Message("user", "SECRET prompt"),), max_tokens=7, system="s", temperature=0.5)
CONTEXT = CallContext(deadline=50.0)


def reply(stop_reason: str) -> Reply:
    return Reply(
        200,
        {},
        json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
                "stopReason": stop_reason,
                "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheWriteInputTokens": 4},
                "metrics": {"latencyMs": 5},
            }
        ).encode(),
    )


async def test_an_answer_carries_text_stop_reason_and_usage() -> None:
    """The deadline goes to the wire, maxTokens to the model, and the answer comes back typed."""
    caller = RecordingCaller([reply("max_tokens")])
    answer = await BedrockProvider(caller, "m").converse(REQUEST, CONTEXT)
    assert answer == Answer("yes", "max_tokens", Usage(1, 2, 0, 4), 5)
    assert caller.calls[0].deadline == 50.0
    assert caller.calls[0].body == {
        "messages": [{"role": "user", "content": [{"text": "SECRET prompt"}]}],
        "inferenceConfig": {"maxTokens": 7, "temperature": 0.5},
        "system": [{"text": "s"}],
    }


async def test_an_answer_that_was_begun_is_sent_as_it_is() -> None:
    """The beginning is the last message, to the character."""
    caller = RecordingCaller([reply("end_turn")])
    begun = ModelRequest((Message("user", "u"), Message("assistant", "a  b\n")), max_tokens=7)
    await BedrockProvider(caller, "m").converse(begun, CONTEXT)
    assert caller.calls[0].body["messages"] == [
        {"role": "user", "content": [{"text": "u"}]},
        {"role": "assistant", "content": [{"text": "a  b\n"}]},
    ]


@pytest.mark.parametrize(
    ("stop_reason", "fault"),
    [
        ("content_filtered", ContentFiltered),
        ("guardrail_intervened", ContentFiltered),
        ("model_context_window_exceeded", ContextTooLong),
    ],
)
async def test_stop_reasons_that_are_no_answer(stop_reason: str, fault: type[Rejected]) -> None:
    """A withheld or cut-off answer is a fault, not a text."""
    with pytest.raises(fault):
        await BedrockProvider(RecordingCaller([reply(stop_reason)]), "m").converse(REQUEST, CONTEXT)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("ThrottlingException", Throttled),
        ("ModelNotReadyException", Throttled),
        ("ModelTimeoutException", Timeout),
        ("ServiceUnavailableException", Overloaded),
        ("InternalServerException", Overloaded),
        ("ModelErrorException", Overloaded),
        ("ConnectFailed", Overloaded),
    ],
)
async def test_retryable_errors(code: str, fault: type[Retryable]) -> None:
    """What may succeed later is Retryable under its own name, with the pause that the service advised."""
    error = ServiceUnavailable("SECRET", service="bedrock-runtime", operation="Converse", code=code, after_s=4.0)
    with pytest.raises(fault) as caught:
        await BedrockProvider(RecordingCaller([error]), "m").converse(REQUEST, CONTEXT)
    assert caught.value.after_s == 4.0
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words", "fault"),
    [
        ("ValidationException", "Malformed input request", Invalid),
        ("ValidationException", "Input is too long for requested model.", ContextTooLong),
        ("ValidationException", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        ("ValidationException", "requires the last turn in the conversation to be a user message.", Invalid),
        ("ValidationException", "This model does not support assistant message prefill.", Invalid),
        ("ValidationException", "final assistant content cannot end with trailing whitespace", Invalid),
        ("SomethingNew", "?", Invalid),
    ],
)
async def test_refusals(code: str, words: str, fault: type[Rejected]) -> None:
    """What no retry can help is Rejected; Bedrock's own words, which may quote the prompt, stay out of the message."""
    error = ServiceRefused(words, service="bedrock-runtime", operation="Converse", code=code)
    with pytest.raises(fault) as caught:
        await BedrockProvider(RecordingCaller([error]), "m").converse(REQUEST, CONTEXT)
    assert words not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (ServiceMisconfigured, "AccessDeniedException", "You don't have access to the model"),
        (ServiceMisconfigured, "ResourceNotFoundException", "no such model"),
        (ServiceMisconfigured, "UnrecognizedClientException", "The security token included in the request is invalid."),
        (ServiceRefused, "ServiceQuotaExceededException", "quota"),
        (ServiceRefused, "ValidationException", "The provided model identifier is invalid."),
        (ServiceRefused, "ValidationException", "Invocation of model ID m with on-demand throughput isn't supported."),
    ],
)
async def test_a_deployment_that_may_not_use_the_model(
    kind: type[ServiceMisconfigured | ServiceRefused], code: str, words: str
) -> None:
    """No request would pass: Denied is the deployment's fault, neither Rejected nor Retryable."""
    error = kind(words, service="bedrock-runtime", operation="Converse", code=code)
    with pytest.raises(Denied) as caught:
        await BedrockProvider(RecordingCaller([error]), "m").converse(REQUEST, CONTEXT)
    assert isinstance(caught.value, Misconfigured)
    assert not isinstance(caught.value, Rejected | Retryable)
    assert words not in str(caught.value)
    assert caught.value.__cause__ is error


async def test_the_deadline_passes_through() -> None:
    """DeadlineExceeded stays what it is."""
    with pytest.raises(DeadlineExceeded):
        await BedrockProvider(RecordingCaller([DeadlineExceeded("late")]), "m").converse(REQUEST, CONTEXT)
