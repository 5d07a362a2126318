"""The events of ConverseStream as a provider's: text, then how it ended and what it cost.

Owns what counts as the end: `metadata`, which tells the usage, comes after `messageStop`, late or never, so an answer
that is whole waits for it a little and does without. Must not know connections or requests to Bedrock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from sluiceway.aws.bedrock_stream import (
    BlockStart,
    ConverseEvent,
    MessageStop,
    Metadata,
    OtherDelta,
    TextDelta,
    ToolUseDelta,
)
from sluiceway.errors import (
    DeadlineExceeded,
    Rejected,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
)
from sluiceway.genai.bedrock import check_stop_reason, translate
from sluiceway.genai.provider import Delta, Finish, ModelRequest, StreamEvent, Usage, estimate_usage
from sluiceway.genai.surrogates import PairJoiner

__all__ = ["follow_answer"]

METADATA_WAIT_S: Final = 5.0  # it comes within milliseconds where it comes


async def follow_answer(events: AsyncIterator[ConverseEvent], request: ModelRequest) -> AsyncGenerator[StreamEvent]:
    """The answer to `request` as it is made. Raises the errors of `sluiceway.genai.faults`, and as the events do."""
    joiner, said = PairJoiner(), list[str]()
    try:
        async for event in events:
            if isinstance(event, MessageStop):
                break
            text = joiner.join(_read_text(event))
            if text:
                said.append(text)
                yield Delta(text)
        else:
            return  # `events` raises where the answer is not whole
    except (ServiceUnavailable, ServiceRefused, ServiceMisconfigured) as error:
        raise translate(error) from error
    rest = joiner.rest()
    if rest:
        said.append(rest)
        yield Delta(rest)
    usage = await _find_usage(events)
    check_stop_reason(event.stop_reason)
    yield Finish(event.stop_reason, usage or estimate_usage(request, "".join(said)))


async def _find_usage(events: AsyncIterator[ConverseEvent]) -> Usage | None:
    """What was billed, read to the end of the stream so that its connection serves again."""
    usage: Usage | None = None
    try:
        async with asyncio.timeout(METADATA_WAIT_S):
            async for event in events:
                if isinstance(event, Metadata):
                    usage = Usage(
                        event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens
                    )
    except (TimeoutError, ServiceUnavailable, ServiceRefused, DeadlineExceeded):
        return usage  # the answer itself is whole
    return usage


def _read_text(event: ConverseEvent) -> str:
    """The text in `event`, "" where it has none. Raises Rejected where the model answers with something else."""
    if isinstance(event, TextDelta):
        return event.text
    if isinstance(event, BlockStart | ToolUseDelta | OtherDelta):
        raise Rejected("the model answers with something that is not text", reason="unreadable-answer")
    return ""  # a model's reasoning is not its answer
