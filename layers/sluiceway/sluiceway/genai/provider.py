"""The provider interface: what a request to a model is, what comes back, and who answers.

The types are Converse's, less what no provider here serves: they may grow, they are never a provider's own. A provider
retries nothing itself beyond its transport; queues, routing and budgets wrap it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

__all__ = [
    "Answer",
    "CallContext",
    "Delta",
    "Finish",
    "Message",
    "ModelProvider",
    "ModelRequest",
    "StreamEvent",
    "StreamingProvider",
    "Usage",
    "fold_stream",
]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is asked. `max_tokens` (at least 1) is required: quotas reserve it, and unset means the model's maximum.

    `temperature` lies in 0 to 1; None leaves it to the model.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    system: str = ""
    temperature: float | None = None
    stop_sequences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom and until when. `deadline` is on the event loop's clock (`loop.time()`), in seconds."""

    deadline: float
    request_id: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider billed them."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer. `stop_reason` is Converse's: `end_turn`, `max_tokens`, `stop_sequence`."""

    text: str
    stop_reason: str
    usage: Usage
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of a stream."""

    stop_reason: str
    usage: Usage


StreamEvent: TypeAlias = Delta | Finish


class ModelProvider(Protocol):
    """Whoever answers. One instance serves many calls at a time, for the lifetime of an execution environment."""

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        """The whole answer.

        Raises the errors of `sluiceway.genai.faults`; `DeadlineExceeded`; `Rejected` (reason `unreadable-answer`) where
        the answer is not text; `Misconfigured` where the provider cannot be asked at all.
        """
        ...


class StreamingProvider(ModelProvider, Protocol):
    """A provider that hands the answer over as it is made."""

    def stream(
        self, request: ModelRequest, context: CallContext
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """The events of one answer, `Finish` last. Leaving the context stops the generation."""
        ...


async def fold_stream(events: AsyncIterator[StreamEvent], *, latency_ms: int = 0) -> Answer:
    """The answer that `events` add up to."""
    pieces: list[str] = []
    finish = Finish("end_turn", Usage(0, 0))
    async for event in events:
        if isinstance(event, Delta):
            pieces.append(event.text)
        else:
            finish = event
    return Answer("".join(pieces), finish.stop_reason, finish.usage, latency_ms)
