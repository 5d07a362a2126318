"""A Kinesis stream as a source: a span of it, parents before children, at a share of its reads or by a consumer.

Owns how a cursor is written, and the consumer's life: it is registered for the replay and removed after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast

from localcloud.replay.items import Item, Outcome, item_of_kinesis
from localcloud.replay.patience import keep_trying
from localcloud.replay.ports import Outlook
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import StreamingCaller
from sluiceway.errors import Misconfigured, Retryable, ServiceRefused
from sluiceway.flows.consume import Replay, ReplayOptions, open_replay
from sluiceway.ports import Chance
from sluiceway.rules.consuming.spans import Checkpoint, Span

__all__ = ["StreamSource", "open_consumer", "open_stream", "read_cursor", "read_span", "write_cursor", "write_span"]

MAX_WAITS: Final = 60  # seconds, one look each, until a consumer is active
REMOVE_S: Final = 10.0


class StreamSource:
    """The records of a replay, each as its producer wrote it."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    @property
    def outlook(self) -> Outlook:
        """Up to the span's end."""
        return Outlook(end_ms=self._replay.span.until_ms or 0)

    async def next(self) -> Item | None:
        """As the port says. An aggregate that cannot be opened is sent as it is, for it is what the stream has."""
        try:
            return item_of_kinesis(await anext(self._replay))
        except StopAsyncIteration:
            return None

    def cursor(self) -> Mapping[str, Any]:
        """How far each shard is."""
        return write_cursor(self._replay.progress.cursor)

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing: the stream keeps its records."""


@asynccontextmanager
async def open_stream(reader: KinesisReader, span: Span, *, options: ReplayOptions) -> AsyncGenerator[StreamSource]:
    """The source. `span` has an end; `options.done` is where an earlier run was. Raises SluicewayError."""
    async with open_replay(reader, span, options=options) as replay:
        yield StreamSource(replay)


@asynccontextmanager
async def open_consumer(
    caller: StreamingCaller, reader: KinesisReader, name: str, *, chance: Chance
) -> AsyncGenerator[KinesisReader]:
    """The same stream, pushed to a consumer that is registered now and removed in the end. Raises SluicewayError."""
    async with AsyncExitStack() as stack:
        consumer = await reader.register_consumer(name)
        stack.push_async_callback(_remove, caller, consumer.arn, chance)
        for _ in range(MAX_WAITS):
            if consumer.status == "ACTIVE":
                yield reader.with_consumer(consumer.arn)
                return
            await asyncio.sleep(1.0)
            consumer = await reader.describe_consumer(name)
        raise Retryable(f"the consumer {name} is {consumer.status} after {MAX_WAITS} s")


async def _remove(caller: StreamingCaller, arn: str, chance: Chance) -> None:
    async def attempt() -> None:
        deadline = asyncio.get_running_loop().time() + REMOVE_S
        await caller.call(KINESIS, "DeregisterStreamConsumer", {"ConsumerARN": arn}, deadline=deadline)

    try:
        await keep_trying(attempt, chance=chance)
    except ServiceRefused as error:
        if error.code != "ResourceNotFoundException":
            raise


def write_cursor(cursor: Mapping[str, Checkpoint]) -> dict[str, Any]:
    """A cursor as JSON: a sequence number and a place in an aggregate (or null) by shard."""
    return {shard_id: list(checkpoint) for shard_id, checkpoint in cursor.items()}


def read_cursor(told: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """What `write_cursor` wrote. Raises Misconfigured."""
    try:
        cursor: dict[str, Checkpoint] = {}
        for shard_id, (number, sub) in cast("Mapping[str, tuple[str, int | None]]", told).items():
            if number and number != "SHARD_END":
                int(number)
            cursor[shard_id] = Checkpoint(str(number), None if sub is None else int(sub))
    except (AttributeError, TypeError, ValueError) as error:
        raise Misconfigured("the resume file's cursor is not one of a stream", what="--resume") from error
    return cursor


def write_span(span: Span) -> dict[str, Any]:
    """A span as JSON."""
    return {"kind": span.kind, "at_ms": span.at_ms, "after": dict(span.after), "until_ms": span.until_ms}


def read_span(told: Mapping[str, Any]) -> Span:
    """What `write_span` wrote. Raises Misconfigured."""
    try:
        return Span(**told)
    except (TypeError, ValueError) as error:
        raise Misconfigured("the resume file's plan is not one of a stream", what="--resume") from error
