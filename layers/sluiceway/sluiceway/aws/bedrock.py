"""Bedrock Runtime: Converse, text in and out.

Owns the request and response shapes and which errors a retry can help. Must not know providers, prompts' meaning or
budgets. Tools, images and guardrails are refused aloud where an answer holds them. Source:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.errors import Rejected, ServiceError, ServiceRefused, ServiceUnavailable

__all__ = ["BEDROCK_RUNTIME", "RETRYABLE_CODES", "Converse", "ConverseAnswer", "Turn", "converse", "to_unavailable"]

BEDROCK_RUNTIME: Final = ServiceSpec(
    endpoint_prefix="bedrock-runtime",
    signing_name="bedrock",
    protocol="rest-json",
    env_name="BEDROCK_RUNTIME",
    read_timeout_s=900.0,  # a model may think for as long as a function runs; the deadline bounds it
)
# Errors of Converse in the service's API model. ServiceQuotaExceededException is not among them: no retry helps.
RETRYABLE_CODES: Final = frozenset(
    {
        "InternalServerException",
        "ModelErrorException",
        "ModelNotReadyException",
        "ModelStreamErrorException",  # inside a stream only
        "ModelTimeoutException",
        "ServiceUnavailableException",
        "ThrottlingException",
    }
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Converse:
    """One request. `max_tokens` (at least 1) is required: unset, Bedrock reserves the model's maximum of the quota.

    `temperature` and `top_p` lie in 0 to 1; None leaves them to the model.

    Where the last turn is the assistant's, Amazon Nova and Claude before 4.6 go on from its text. Others answer
    ValidationException before the stream begins: Llama ("requires the last turn in the conversation to be a user
    message"), Claude since 4.6 ("does not support assistant message prefill"). Blank text is refused for every model,
    text that ends in white space for Claude ("final assistant content cannot end with trailing whitespace"). Source:
    https://docs.aws.amazon.com/nova/latest/userguide/invoke.html,
    https://github.com/i-am-bee/beeai-framework/issues/753, https://github.com/anomalyco/opencode/issues/29760,
    https://github.com/aws/aws-sdk-net/pull/4015
    """

    model_id: str
    turns: tuple[Turn, ...]
    max_tokens: int
    system: str = ""
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, object]:
        """The JSON body."""
        config: dict[str, object] = {"maxTokens": self.max_tokens}
        if self.temperature is not None:
            config["temperature"] = self.temperature
        if self.top_p is not None:
            config["topP"] = self.top_p
        if self.stop_sequences:
            config["stopSequences"] = list(self.stop_sequences)
        body: dict[str, object] = {
            "messages": [{"role": turn.role, "content": [{"text": turn.text}]} for turn in self.turns],
            "inferenceConfig": config,
        }
        if self.system:
            body["system"] = [{"text": self.system}]
        return body


@dataclass(frozen=True, slots=True)
class ConverseAnswer:
    """One answer. `stop_reason` as Bedrock names it (`end_turn`, `max_tokens`, ...); tokens as it billed them."""

    text: str
    stop_reason: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    latency_ms: int


async def converse(caller: Caller, request: Converse, *, deadline: float | None = None) -> ConverseAnswer:
    """Ask the model once (the caller's retries apply), within `deadline` (`loop.time()`).

    Raises `ServiceUnavailable` for the errors in `RETRYABLE_CODES`, `ServiceRefused` for the others, `Rejected`
    (reason `unreadable-answer`) for content that is no text, and whatever else `Caller.call` raises.
    """
    path = f"/model/{encode_label(request.model_id)}/converse"
    try:
        reply = await caller.call(BEDROCK_RUNTIME, "Converse", request.to_wire(), path=path, deadline=deadline)
    except ServiceRefused as error:
        if error.code in RETRYABLE_CODES:
            raise to_unavailable(error) from error
        raise
    try:
        return _read_answer(reply.json())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Rejected("the model's answer is not one of Converse", reason="unreadable-answer") from error


def to_unavailable(error: ServiceError) -> ServiceUnavailable:
    """A refusal that another attempt may pass (its code is in `RETRYABLE_CODES`), as the error for that."""
    return ServiceUnavailable(str(error), **error.facts)


def _read_answer(answer: Mapping[str, Any]) -> ConverseAnswer:
    content = cast("list[Mapping[str, Any]]", answer["output"]["message"]["content"])
    usage = cast("Mapping[str, Any]", answer["usage"])
    return ConverseAnswer(
        text="".join(_read_block(block) for block in content),
        stop_reason=str(answer["stopReason"]),
        input_tokens=int(usage["inputTokens"]),
        output_tokens=int(usage["outputTokens"]),
        cache_read_tokens=int(usage.get("cacheReadInputTokens") or 0),
        cache_write_tokens=int(usage.get("cacheWriteInputTokens") or 0),
        latency_ms=int(answer["metrics"]["latencyMs"]),
    )


def _read_block(block: Mapping[str, Any]) -> str:
    if "text" in block:
        return str(block["text"])
    if "reasoningContent" in block:
        return ""  # a model's reasoning is not its answer
    raise ValueError(f"content block {next(iter(block), '')!r} is not text")
