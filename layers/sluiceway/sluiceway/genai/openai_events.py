"""Chat completions as they go over the wire: the request, the events of an answer, and what a refusal means. Pure.

Must not know connections. A server's own words stay out of the messages: they may quote the prompt.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from sluiceway.errors import Rejected, Retryable
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import Delta, Finish, ModelRequest, StreamEvent, Usage, estimate_usage
from sluiceway.genai.sse import EventReader, OversizedEventError
from sluiceway.genai.surrogates import PairJoiner

__all__ = ["explain_refusal", "follow_answer", "write_request"]

USAGE_WAIT_S: Final = 5.0  # it comes in an event of its own, after the last text, where it comes
_DONE: Final = "[DONE]"
# OpenAI, llama.cpp, vLLM and Ollama word it so
_TOO_LONG: Final = ("context_length_exceeded", "exceed_context_size", "context length", "context window", "too long")
_NO_MONEY: Final = "insufficient_quota"  # a 429 that no waiting changes
_DENIED: Final = frozenset({401, 402, 403, 404})
_TIMED_OUT: Final = frozenset({408, 504})
# vLLM restarts the answer without them, llama.cpp does as they say: https://github.com/vllm-project/vllm/pull/8942,
# https://github.com/ggml-org/llama.cpp/pull/23012
_CONTINUE: Final = {"continue_final_message": True, "add_generation_prompt": False}
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}


@dataclass(frozen=True, slots=True)
class _Step:
    """What one event adds."""

    text: str = ""
    reason: str = ""
    usage: Usage | None = None


def write_request(request: ModelRequest, model: str) -> bytes:
    """The body of a streaming chat completion. A prefill is told by vLLM's two members, which others took over."""
    messages = [{"role": "system", "content": request.system}] if request.system else []
    messages += [{"role": message.role, "content": message.text} for message in request.messages]
    body: dict[str, object] = {
        "model": model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop_sequences:
        body["stop"] = list(request.stop_sequences)
    if request.prefill:
        body |= _CONTINUE
    return json.dumps(body, separators=(",", ":")).encode()


async def follow_answer(pieces: AsyncGenerator[bytes], request: ModelRequest) -> AsyncGenerator[StreamEvent]:
    """The answer in a response's body. Raises the errors of `sluiceway.genai.faults`, and what `pieces` raises."""
    joiner, said, reason = PairJoiner(), list[str](), ""
    async with aclosing(_read_steps(pieces)) as steps:
        last = _Step()
        async for last in steps:
            text = joiner.join(last.text)
            if text:
                said.append(text)
                yield Delta(text)
            if last.reason:
                reason = last.reason
                break
        if not reason:
            raise Overloaded("the model's answer broke off")
        rest = joiner.rest()
        if rest:
            said.append(rest)
            yield Delta(rest)
        usage = last.usage or await _find_usage(steps)
    if reason == "content_filter":
        raise ContentFiltered("the answer was withheld (content_filter)")
    yield Finish(_STOP_REASONS.get(reason, reason), usage or estimate_usage(request, "".join(said)))


def explain_refusal(status: int, body: bytes, *, after_s: float | None = None) -> Retryable | Rejected | Denied:
    """The fault that an answer other than 200 is; `after_s` is the pause that it asks for."""
    return _explain(status, body.decode("utf-8", "replace"), after_s)


async def _find_usage(steps: AsyncIterator[_Step]) -> Usage | None:
    """What was billed, read to the end so that the connection serves again."""
    usage: Usage | None = None
    try:
        async with asyncio.timeout(USAGE_WAIT_S):
            async for step in steps:
                usage = step.usage or usage
    except (TimeoutError, Retryable, Rejected, Denied):
        return usage  # the answer itself is whole
    return usage


async def _read_steps(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[_Step]:
    reader, done = EventReader(), False
    async with aclosing(pieces):
        async for piece in pieces:
            for data in _feed(reader, piece):
                done = done or data == _DONE
                if not done:
                    yield _read_step(data)


def _feed(reader: EventReader, piece: bytes) -> list[str]:
    try:
        return reader.feed(piece)
    except OversizedEventError as error:
        raise Rejected(f"the model's server sends {error}", reason="unreadable-answer") from error


def _read_step(data: str) -> _Step:
    try:
        event = cast("Mapping[str, Any]", json.loads(data))
        if event.get("error"):
            raise _explain_event(event["error"])
        choices = cast("list[Mapping[str, Any]]", event.get("choices") or [])
        step = _read_choice(choices[0]) if choices else _Step()
        return replace(step, usage=_read_usage(event.get("usage")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Rejected("an event is not one of a chat completion", reason="unreadable-answer") from error


def _read_choice(choice: Mapping[str, Any]) -> _Step:
    delta = cast("Mapping[str, Any]", choice.get("delta") or {})
    reason = str(choice.get("finish_reason") or "")
    if delta.get("tool_calls") or reason in {"tool_calls", "function_call"}:
        raise Rejected("the model answers with something that is not text", reason="unreadable-answer")
    return _Step(str(delta.get("content") or ""), reason)


def _read_usage(told: Any) -> Usage | None:
    if not told:
        return None
    details = cast("Mapping[str, Any]", told.get("prompt_tokens_details") or {})
    return Usage(int(told["prompt_tokens"]), int(told["completion_tokens"]), int(details.get("cached_tokens") or 0))


def _explain_event(error: Any) -> Exception:
    """An error inside the stream: the server had answered 200 already."""
    words = json.dumps(error)
    code = cast("dict[str, object]", error).get("code") if isinstance(error, dict) else None
    if isinstance(code, int):
        return _explain(code, words, None)
    return _explain(429 if "rate_limit" in words else 503, words, None)


def _explain(status: int, words: str, after_s: float | None) -> Retryable | Rejected | Denied:
    said = f"the model's server answered {status}"
    if any(sign in words for sign in _TOO_LONG) and status < 500:
        return ContextTooLong(said)
    if status in _DENIED or (status == 429 and _NO_MONEY in words):
        return Denied(said)
    if status == 429:
        return Throttled(said, after_s=after_s)
    if status in _TIMED_OUT:
        return Timeout(said, after_s=after_s)
    return Overloaded(said, after_s=after_s) if status >= 500 else Invalid(said)
