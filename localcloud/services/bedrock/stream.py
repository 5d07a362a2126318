"""ConverseStream's answer: the events of `application/vnd.amazon.eventstream` as the model makes its text.

Owns the order of events and which exception inside a stream a model's failure is; knows no request.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html

A guardrail that intervenes does so as in its asynchronous mode: the text before it has been sent, nothing after it is,
and the stop reason tells. Source: https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-streaming.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from typing import Final

from localcloud.models.engine import Chunk, Delta, Engine, ModelFailure, Prompt
from localcloud.services.bedrock.errors import describe_usage, exception_in_stream
from localcloud.services.contract import BodyCut
from sluiceway.aws.event_stream import encode_message

__all__ = ["EVENT_STREAM", "AnswerBody", "begin_answer"]

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_LOG: Final = logging.getLogger(__name__)


class AnswerBody:
    """The events of one answer, each as it happens. `aclose` stops the generation."""

    def __init__(
        self, chunks: AsyncGenerator[Chunk], first: Chunk | None, *, started: float, give_up_at: float
    ) -> None:
        self._chunks = chunks
        self._events = _make_events(chunks, first, started=started, give_up_at=give_up_at)

    def __aiter__(self) -> AnswerBody:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Nobody reads on."""
        await self._events.aclose()
        await self._chunks.aclose()  # the events may not have begun


async def begin_answer(engine: Engine, prompt: Prompt, *, within_s: float) -> AnswerBody:
    """Let the model begin: what fails before its first text is an answer of its own, not an event.

    `within_s` bounds the whole generation, in seconds. Raises ModelFailure and TimeoutError.
    """
    started = asyncio.get_running_loop().time()
    chunks = engine.generate(prompt)
    begun = False
    try:
        async with asyncio.timeout_at(started + within_s):
            first = await anext(chunks, None)
        begun = True
    finally:
        if not begun:
            await chunks.aclose()
    return AnswerBody(chunks, first, started=started, give_up_at=started + within_s)


async def _make_events(
    chunks: AsyncGenerator[Chunk], chunk: Chunk | None, *, started: float, give_up_at: float
) -> AsyncGenerator[bytes]:
    yield _event("messageStart", {"role": "assistant"})
    said = False
    try:
        while isinstance(chunk, Delta):
            said = True
            yield _event("contentBlockDelta", {"delta": {"text": chunk.text}, "contentBlockIndex": 0})
            async with asyncio.timeout_at(give_up_at):
                chunk = await anext(chunks, None)
        if chunk is None:
            raise ModelFailure("failed", "The model's answer broke off.")  # noqa: TRY301 - the engine's fault as well
    except TimeoutError:
        yield _fail(ModelFailure("timeout", ""))
        return
    except ModelFailure as failure:
        _LOG.warning("bedrock.stream_failed kind=%s message=%s", failure.kind, failure.message)
        yield _fail(failure)
        return
    if said:
        yield _event("contentBlockStop", {"contentBlockIndex": 0})
    yield _event("messageStop", {"stopReason": chunk.reason})
    latency_ms = round((asyncio.get_running_loop().time() - started) * 1000)
    yield _event("metadata", {"usage": describe_usage(chunk.usage), "metrics": {"latencyMs": latency_ms}})


def _fail(failure: ModelFailure) -> bytes:
    """The event that tells `failure`. Raises BodyCut for a connection that breaks."""
    if failure.kind == "cut":
        raise BodyCut
    if failure.kind == "corrupt":
        whole = _event("contentBlockDelta", {"delta": {"text": "damaged"}, "contentBlockIndex": 0})
        return whole[:-1] + bytes((whole[-1] ^ 0xFF,))
    return _message("exception", *exception_in_stream(failure))


def _event(name: str, payload: dict[str, object]) -> bytes:
    return _message("event", name, payload)


def _message(kind: str, name: str, payload: dict[str, object]) -> bytes:
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return encode_message(headers, json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
