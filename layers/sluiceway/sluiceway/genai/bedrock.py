"""Bedrock as a model provider, over the wire client.

Owns how Bedrock's errors become the provider's faults. For a whole answer the transport's own retries (a throttle is
tried three times within the deadline) are all the retrying there is; a stream is asked for once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Final

from sluiceway.aws.bedrock import Converse, ConverseAnswer, Turn, converse
from sluiceway.aws.wire import STALLED_AFTER_S, StreamingCaller
from sluiceway.errors import (
    Rejected,
    Retryable,
    ServiceError,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
)
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import Answer, CallContext, ModelRequest, StreamEvent, Usage

__all__ = ["BedrockProvider", "check_stop_reason", "translate"]

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
    """One Bedrock model. Holds no connection: those are the `Caller`'s.

    `idle_s`: the longest silence inside a stream, in seconds; after it the model counts as stalled.
    """

    def __init__(self, caller: StreamingCaller, model_id: str, *, idle_s: float = STALLED_AFTER_S) -> None:
        self._caller = caller
        self._model_id = model_id
        self._idle_s = idle_s

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        """The whole answer, within `context.deadline`. Raises: as `ModelProvider.converse`."""
        try:
            answer = await converse(self._caller, self._ask(request), deadline=context.deadline)
        except (ServiceUnavailable, ServiceRefused, ServiceMisconfigured) as error:
            raise translate(error) from error
        return _read(answer)

    @asynccontextmanager
    async def stream(self, request: ModelRequest, context: CallContext) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """The answer as it is made. As `StreamingProvider.stream`; usage is estimated where Bedrock does not tell."""
        from sluiceway.aws.bedrock_stream import converse_stream  # noqa: PLC0415 - a buffered function never streams
        from sluiceway.genai.bedrock_stream import follow_answer  # noqa: PLC0415 - the same

        asked = converse_stream(self._caller, self._ask(request), deadline=context.deadline, idle_s=self._idle_s)
        async with AsyncExitStack() as stack:
            try:
                events = await stack.enter_async_context(asked)
            except (ServiceUnavailable, ServiceRefused, ServiceMisconfigured) as error:
                raise translate(error) from error
            yield await stack.enter_async_context(aclosing(follow_answer(events, request)))

    def _ask(self, request: ModelRequest) -> Converse:
        return Converse(
            model_id=self._model_id,
            turns=tuple(Turn(message.role, message.text) for message in request.messages),
            max_tokens=request.max_tokens,
            system=request.system,
            temperature=request.temperature,
            stop_sequences=request.stop_sequences,
        )


def check_stop_reason(stop_reason: str) -> None:
    """Raise what a reason to stop means that leaves no answer to use."""
    if stop_reason in _FILTERED:
        raise ContentFiltered(f"the answer was withheld ({stop_reason})")
    if stop_reason == "model_context_window_exceeded":
        raise ContextTooLong("prompt and answer together exceed the model's context window")


def _read(answer: ConverseAnswer) -> Answer:
    check_stop_reason(answer.stop_reason)
    usage = Usage(answer.input_tokens, answer.output_tokens, answer.cache_read_tokens, answer.cache_write_tokens)
    return Answer(answer.text, answer.stop_reason, usage, answer.latency_ms)


def translate(error: ServiceUnavailable | ServiceRefused | ServiceMisconfigured) -> Retryable | Rejected | Denied:
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
