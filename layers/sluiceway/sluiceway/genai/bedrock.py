"""Bedrock as a model provider, over the wire client.

Owns how Bedrock's errors become the provider's faults. The transport's own retries (a throttle is tried three times
within the deadline) are all the retrying there is.
"""

from __future__ import annotations

from typing import Final

from sluiceway.aws.bedrock import Converse, ConverseAnswer, Turn, converse
from sluiceway.aws.wire import Caller
from sluiceway.errors import (
    Rejected,
    Retryable,
    ServiceError,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
)
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import Answer, CallContext, ModelRequest, Usage

__all__ = ["BedrockProvider"]

_RETRYABLE: Final[dict[str, type[Retryable]]] = {
    "ThrottlingException": Throttled,
    "ModelNotReadyException": Throttled,
    "ModelTimeoutException": Timeout,
}
# Bedrock has no code of its own for it; models word it "Input is too long for requested model." and
# "prompt is too long: ... tokens > ... maximum", the service "input token count exceeds the maximum".
_TOO_LONG: Final = ("too long", "token count", "context length", "maximum context")
# A model id that is wrong, or that this Region serves by an inference profile only, is a ValidationException as well.
_NO_SUCH_MODEL: Final = ("model identifier is invalid", "on-demand throughput")
_QUOTA: Final = "ServiceQuotaExceededException"  # the account's, which no retry within a job's life changes
_FILTERED: Final = frozenset({"content_filtered", "guardrail_intervened"})


class BedrockProvider:
    """One Bedrock model. Holds no connection: those are the `Caller`'s."""

    def __init__(self, caller: Caller, model_id: str) -> None:
        self._caller = caller
        self._model_id = model_id

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        """The whole answer, within `context.deadline`. Raises: as `ModelProvider.converse`."""
        question = Converse(
            model_id=self._model_id,
            turns=tuple(Turn(message.role, message.text) for message in request.messages),
            max_tokens=request.max_tokens,
            system=request.system,
            temperature=request.temperature,
            stop_sequences=request.stop_sequences,
        )
        try:
            answer = await converse(self._caller, question, deadline=context.deadline)
        except (ServiceUnavailable, ServiceRefused, ServiceMisconfigured) as error:
            raise _translate(error) from error
        return _read(answer)


def _read(answer: ConverseAnswer) -> Answer:
    if answer.stop_reason in _FILTERED:
        raise ContentFiltered(f"the answer was withheld ({answer.stop_reason})")
    if answer.stop_reason == "model_context_window_exceeded":
        raise ContextTooLong("prompt and answer together exceed the model's context window")
    usage = Usage(answer.input_tokens, answer.output_tokens, answer.cache_read_tokens, answer.cache_write_tokens)
    return Answer(answer.text, answer.stop_reason, usage, answer.latency_ms)


def _translate(error: ServiceUnavailable | ServiceRefused | ServiceMisconfigured) -> Retryable | Rejected | Denied:
    """The fault that `error` is. Bedrock's own words stay in the cause: they may quote the prompt."""
    said = _describe(error)
    if isinstance(error, ServiceUnavailable):
        return _RETRYABLE.get(error.code, Overloaded)(said, after_s=error.after_s)
    if isinstance(error, ServiceMisconfigured) or error.code == _QUOTA:
        return Denied(said)
    if error.code == "ValidationException":
        return _read_validation(str(error).lower(), said)
    return Invalid(said)


def _read_validation(words: str, said: str) -> Rejected | Denied:
    if any(sign in words for sign in _NO_SUCH_MODEL):
        return Denied(said)
    return ContextTooLong(said) if any(sign in words for sign in _TOO_LONG) else Invalid(said)


def _describe(error: ServiceError) -> str:
    request = f" (request {error.request_id})" if error.request_id else ""
    return f"the model's service answered {error.code or 'nothing'}{request}"
