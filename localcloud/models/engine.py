"""What a language model is to the local cloud: a prompt in, text as it is made, usage at the end.

Knows no AWS API and no model. An engine is started once, serves many prompts at the same time, and is closed once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

__all__ = [
    "READY_WITHIN_S",
    "Chunk",
    "Delta",
    "Engine",
    "FailureKind",
    "Finished",
    "ModelFailure",
    "Prompt",
    "Role",
    "StopText",
    "Turn",
    "Usage",
]

READY_WITHIN_S: Final = 30.0  # how long a prompt waits for a model that is still loading

FailureKind: TypeAlias = Literal[
    "corrupt", "cut", "failed", "no_prefill", "not_ready", "throttled", "timeout", "too_long", "unavailable"
]
Role: TypeAlias = Literal["user", "assistant"]
StopReason: TypeAlias = Literal["end_turn", "guardrail_intervened", "max_tokens", "stop_sequence"]


class ModelFailure(Exception):
    """The model gave no answer, or not all of it. `kind` says what to do about it; `no_prefill`: it continues none.

    `cut` and `corrupt` are failures of the way between: the answer's connection breaks, or its bytes are damaged.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation to go on with. `max_tokens` None: the engine's own bound; `temperature`, `top_p`: 0 to 1.

    A last turn of the assistant (a prefill) is the beginning of the answer: the engine says only what comes after it.
    """

    turns: tuple[Turn, ...]
    system: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[Turn, ...]:
        """The turns without the beginning of the answer."""
        return self.turns[:-1] if self.prefill else self.turns

    @property
    def prefill(self) -> str:
        """The beginning of the answer that the turns end with, "" where they end with a question."""
        return self.turns[-1].text if self.turns and self.turns[-1].role == "assistant" else ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `cached` of the `input` were read from the engine's prefix cache."""

    input: int
    output: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """More text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last chunk."""

    reason: StopReason
    usage: Usage


Chunk: TypeAlias = Delta | Finished


class Engine(Protocol):
    """A model. Closing the generator that `generate` gives, or cancelling its reader, stops the generation."""

    name: str

    async def start(self) -> None:
        """Begin to load; comes back at once."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

    def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """Text as it is made, then one `Finished`. Raises ModelFailure."""
        ...


class StopText:
    """Cuts text at the first stop sequence, holding back what may be the beginning of one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(sequence for sequence in stop if sequence)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What may be shown now. `stopped` tells that a stop sequence was found; feed nothing more then."""
        self._held += text
        cuts = [at for at in (self._held.find(sequence) for sequence in self._stop) if at >= 0]
        if cuts:
            self.stopped = True
            shown, self._held = self._held[: min(cuts)], ""
            return shown
        keep = max((_overlap(self._held, sequence) for sequence in self._stop), default=0)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return shown

    def rest(self) -> str:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str) -> int:
    """How many characters at the end of `text` begin `sequence`."""
    for size in range(min(len(text), len(sequence) - 1), 0, -1):
        if sequence.startswith(text[-size:]):
            return size
    return 0
