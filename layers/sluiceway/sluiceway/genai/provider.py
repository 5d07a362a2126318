"""The provider interface: what a request to a model is, what comes back, and who answers.

The types are Converse's, less what no provider here serves: they may grow, they are never a provider's own. A provider
retries nothing itself beyond its transport; queues, routing and budgets wrap it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

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
    "estimate_usage",
    "fold_stream",
]

CHARACTERS_A_TOKEN: Final = (
    4  # of English; https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is asked. `max_tokens` (at least 1) is required: quotas reserve it, and unset means the model's maximum.

    `temperature` lies in 0 to 1; None leaves it to the model.

    A last message of the role `assistant` (a prefill) is the beginning of the answer: "go on from this text". The
    provider gives only what comes after it, and `max_tokens` bounds that alone. The text must not be blank nor end in
    white space, which some models refuse; white space that was stripped comes again, as the beginning of the rest. A
    model that goes on from nothing refuses before the first event (`Invalid`).
    """

    messages: tuple[Message, ...]
    max_tokens: int
    system: str = ""
    temperature: float | None = None
    stop_sequences: tuple[str, ...] = ()

    @property
    def prefill(self) -> str:
        """The beginning of the answer that the request ends with, "" where it ends with a question."""
        ends_with_answer = bool(self.messages) and self.messages[-1].role == "assistant"
        return self.messages[-1].text if ends_with_answer else ""


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom and until when. `deadline` is on the event loop's clock (`loop.time()`), in seconds."""

    deadline: float
    request_id: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider billed them, or (`estimated`) as they are guessed from the text where it did not say."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False


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
        """The whole answer, after the request's prefill.

        Raises the errors of `sluiceway.genai.faults`; `DeadlineExceeded`; `Rejected` (reason `unreadable-answer`) where
        the answer is not text; `Misconfigured` where the provider cannot be asked at all.
        """
        ...


class StreamingProvider(ModelProvider, Protocol):
    """A provider that hands the answer over as it is made."""

    def stream(
        self, request: ModelRequest, context: CallContext
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """The events of one answer, `Finish` last, after the request's prefill. Leaving the context stops it.

        Raises what `converse` raises, at the start or at any event. A provider retries before the first event only;
        whoever has shown a `Delta` decides what a later error means. An answer that was left or broke off has no
        `Finish`: `estimate_usage` tells what it will have cost.
        """
        ...


def estimate_usage(request: ModelRequest, said: str) -> Usage:
    """What asking `request` and hearing `said` costs, where the provider does not tell: four characters a token."""
    asked = len(request.system) + sum(len(message.text) for message in request.messages)
    return Usage(_estimate_tokens(asked), _estimate_tokens(len(said)), estimated=True)


def _estimate_tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_A_TOKEN)


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
