"""Bedrock Runtime: ConverseStream, the events of an answer as the model makes it.

Owns the events' shapes and which errors inside a stream a retry can help; the request is `bedrock.py`'s. Must not know
providers. Events and members that AWS may add are passed over, kinds of content that are no text are told by name.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from sluiceway.aws.bedrock import BEDROCK_RUNTIME, RETRYABLE_CODES, Converse, to_unavailable
from sluiceway.aws.event_stream import Message, MessageParser, TornMessageError
from sluiceway.aws.reply import Fault
from sluiceway.aws.retry import classify
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import STALLED_AFTER_S, Stream, StreamingCaller
from sluiceway.errors import Rejected, ServiceError, ServiceRefused

__all__ = [
    "BlockStart",
    "BlockStop",
    "ConverseEvent",
    "MessageStart",
    "MessageStop",
    "Metadata",
    "OtherDelta",
    "ReasoningDelta",
    "TextDelta",
    "ToolUseDelta",
    "converse_stream",
]

_NAME: Final = ("bedrock-runtime", "ConverseStream")
# Who follows a stream has to try again by itself when it breaks off, and so tries again when it does not begin:
# attempts here would multiply with those, each paid for.
_STREAMING: Final = BEDROCK_RUNTIME._replace(max_attempts=1)
# The exceptions of ConverseStreamOutput, with the statuses that the API model gives them; a stream has none itself
_STATUS: Final = {
    "InternalServerException": 500,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
}


@dataclass(frozen=True, slots=True)
class MessageStart:
    """The answer begins."""

    role: str


@dataclass(frozen=True, slots=True)
class BlockStart:
    """A block begins that is not plain text (text has no start). `tool_use_id` and `name` are "" unless it is a call.

    `index` numbers the blocks of the answer, here and below.
    """

    index: int
    tool_use_id: str
    name: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers; `signature` and `redacted` are its provider's seals."""

    index: int
    text: str
    signature: str
    redacted: bytes


@dataclass(frozen=True, slots=True)
class ToolUseDelta:
    """More of a tool's input: a piece of JSON text, cut anywhere."""

    index: int
    json: str


@dataclass(frozen=True, slots=True)
class OtherDelta:
    """More of a kind of content that has no type here (`citation`, `image`, ...)."""

    index: int
    kind: str


@dataclass(frozen=True, slots=True)
class BlockStop:
    """The block is whole."""

    index: int


@dataclass(frozen=True, slots=True)
class MessageStop:
    """The answer is whole. `stop_reason` as Bedrock names it (`end_turn`, `max_tokens`, ...)."""

    stop_reason: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was billed. It comes after MessageStop, and not from every model."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    latency_ms: int


ConverseEvent: TypeAlias = (
    MessageStart
    | BlockStart
    | TextDelta
    | ReasoningDelta
    | ToolUseDelta
    | OtherDelta
    | BlockStop
    | MessageStop
    | Metadata
)


@asynccontextmanager
async def converse_stream(
    caller: StreamingCaller, request: Converse, *, deadline: float | None = None, idle_s: float = STALLED_AFTER_S
) -> AsyncGenerator[AsyncIterator[ConverseEvent]]:
    """Ask the model; gives the events of its answer as they come. Leaving the context stops the generation.

    The model is asked once, whatever AWS_MAX_ATTEMPTS says. `deadline` is on the event loop's clock (`loop.time()`);
    `idle_s` is the longest silence between two events, in seconds.

    Raises, at the start or at any event, what `converse` raises: `ServiceUnavailable` also where the stream breaks off
    (`ConnectionClosed`, `StreamEnded`: no MessageStop came), stalls (`TimedOut`) or is damaged (`ChecksumMismatch`,
    `MalformedMessage`).
    """
    path = f"/model/{encode_label(request.model_id)}/converse-stream"
    async with AsyncExitStack() as stack:
        try:
            stream = await stack.enter_async_context(
                caller.stream(
                    _STREAMING, "ConverseStream", request.to_wire(), path=path, deadline=deadline, idle_s=idle_s
                )
            )
        except ServiceRefused as error:
            if error.code in RETRYABLE_CODES:
                raise to_unavailable(error) from error
            raise
        yield await stack.enter_async_context(aclosing(_read_events(stream)))


async def _read_events(stream: Stream) -> AsyncGenerator[ConverseEvent]:
    parser = MessageParser()
    request_id = stream.headers.get("x-amzn-requestid", "")
    stopped = False
    try:
        async for piece in stream:
            for message in parser.feed(piece):
                event = _read_message(message, request_id)
                if event is not None:
                    stopped = stopped or isinstance(event, MessageStop)
                    yield event
        parser.end()
    except TornMessageError as error:
        raise Fault(200, error.code, str(error), request_id).outage(*_NAME, after_s=None) from error
    if not stopped:
        ended = Fault(200, "StreamEnded", "the stream ended before the answer did", request_id)
        raise ended.outage(*_NAME, after_s=None)


def _read_message(message: Message, request_id: str) -> ConverseEvent | None:
    """The event in `message`, None for one that is not known here. Raises what an exception in it says."""
    kind = message.headers.get(":message-type")
    if kind != "event":
        raise _read_exception(message, request_id)
    read = _READERS.get(str(message.headers.get(":event-type")))
    if read is None:
        return None
    try:
        return read(cast("Mapping[str, Any]", json.loads(message.payload)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Rejected("an event is not one of ConverseStream", reason="unreadable-answer") from error


def _read_exception(message: Message, request_id: str) -> ServiceError:
    """An exception of the API model (`throttlingException`), or an error outside of it (`:error-code`)."""
    headers = message.headers
    told = str(headers.get(":exception-type") or headers.get(":error-code") or "UnknownError")
    code = told[:1].upper() + told[1:]
    try:
        document = cast("object", json.loads(message.payload or b"{}"))
    except ValueError:
        document = {}
    words = cast("Mapping[str, object]", document).get("message") if isinstance(document, dict) else None
    modelled = ":exception-type" in headers
    fault = Fault(
        _STATUS.get(code, 400 if modelled else 500),
        code,
        str(words or headers.get(":error-message") or ""),
        request_id,
    )
    if code in RETRYABLE_CODES or classify(fault.status, code) is not None:
        return fault.outage(*_NAME, after_s=None)
    return fault.refusal(*_NAME)


def _read_start(payload: Mapping[str, Any]) -> BlockStart:
    tool = cast("Mapping[str, Any]", payload["start"].get("toolUse") or {})
    return BlockStart(int(payload["contentBlockIndex"]), str(tool.get("toolUseId", "")), str(tool.get("name", "")))


def _read_delta(payload: Mapping[str, Any]) -> TextDelta | ReasoningDelta | ToolUseDelta | OtherDelta:
    index, delta = int(payload["contentBlockIndex"]), cast("Mapping[str, Any]", payload["delta"])
    if "text" in delta:
        return TextDelta(index, str(delta["text"]))
    if "toolUse" in delta:
        return ToolUseDelta(index, str(delta["toolUse"]["input"]))
    if "reasoningContent" in delta:
        thought = cast("Mapping[str, Any]", delta["reasoningContent"])
        redacted = base64.b64decode(str(thought.get("redactedContent", "")))
        return ReasoningDelta(index, str(thought.get("text", "")), str(thought.get("signature", "")), redacted)
    return OtherDelta(index, next(iter(delta), ""))


def _read_metadata(payload: Mapping[str, Any]) -> Metadata:
    usage = cast("Mapping[str, Any]", payload["usage"])
    return Metadata(
        input_tokens=int(usage["inputTokens"]),
        output_tokens=int(usage["outputTokens"]),
        cache_read_tokens=int(usage.get("cacheReadInputTokens") or 0),
        cache_write_tokens=int(usage.get("cacheWriteInputTokens") or 0),
        latency_ms=int(payload["metrics"]["latencyMs"]),
    )


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], ConverseEvent]]] = {
    "contentBlockDelta": _read_delta,
    "contentBlockStart": _read_start,
    "contentBlockStop": lambda payload: BlockStop(int(payload["contentBlockIndex"])),
    "messageStart": lambda payload: MessageStart(str(payload["role"])),
    "messageStop": lambda payload: MessageStop(str(payload["stopReason"])),
    "metadata": _read_metadata,
}
