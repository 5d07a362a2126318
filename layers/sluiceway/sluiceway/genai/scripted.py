"""A model that follows a script: seeded text, faults on the calls that are named, and a cadence in loop time.

For tests and simulations. The same seed and request give the same answer on every machine; waits are the event
loop's, so a virtual clock makes them instant. Token counts are exact: a token is a word or a run of other characters.

A request that ends with the beginning of the answer gets the rest of it, to the character, wherever it was cut; where
that is not how the answer begins, the whole answer.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from sluiceway.errors import DeadlineExceeded, SluicewayError
from sluiceway.genai.faults import Invalid
from sluiceway.genai.provider import (
    Answer,
    CallContext,
    Delta,
    Finish,
    ModelRequest,
    StreamEvent,
    Usage,
    estimate_usage,
    fold_stream,
)

__all__ = ["Script", "ScriptedProvider", "count_tokens"]

_TOKEN: Final = re.compile(r"\w+|[^\w\s]+")
_WORDS: Final = (
    "water",
    "gate",
    "channel",
    "river",
    "stone",
    "mill",
    "turn",
    "flow",
    "slow",
    "bright",
    "cold",
    "upper",
    "lower",
    "bank",
    "reed",
    "boat",
)


@dataclass(frozen=True, slots=True)
class Script:
    """How the model behaves. Times in seconds.

    `faults` maps the number of a call (0 is the first) to what it raises instead of answering, or once it has said
    `fault_after` tokens. `first_s` passes before the first token, `token_s` between tokens. `answer` replaces the
    seeded text. `tokens` is the seeded text's length. Without `tells_usage` the usage is an estimate, as where a
    provider does not tell it. Without `prefill` a request that ends with the beginning of its answer is `Invalid`.
    """

    seed: int = 0
    tokens: int = 24
    answer: str = ""
    first_s: float = 0.0
    token_s: float = 0.0
    faults: Mapping[int, SluicewayError] = field(default_factory=dict[int, SluicewayError])
    fault_after: int = 0
    tells_usage: bool = True
    prefill: bool = True


class ScriptedProvider:
    """Answers by `script`. `calls` counts the calls begun, `active` those that run now."""

    def __init__(self, script: Script | None = None) -> None:
        self._script = script or Script()
        self.calls = 0
        self.active = 0

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        """The whole answer. Raises the call's scripted fault, or `DeadlineExceeded`."""
        started = asyncio.get_running_loop().time()
        async with self.stream(request, context) as events:
            answer = await fold_stream(events)
        latency_ms = round((asyncio.get_running_loop().time() - started) * 1000)
        return Answer(answer.text, answer.stop_reason, answer.usage, latency_ms)

    @asynccontextmanager
    async def stream(self, request: ModelRequest, context: CallContext) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """The answer token by token; leaving the context stops it."""
        fault = self._script.faults.get(self.calls)
        self.calls += 1
        self.active += 1
        events = self._events(request, context.deadline, fault)
        try:
            if request.prefill and not self._script.prefill:
                raise Invalid("the model goes on from no text")
            if fault is not None and not self._script.fault_after:
                await _wait(self._script.first_s, context.deadline)
                raise fault
            yield events
        finally:
            self.active -= 1
            await events.aclose()

    async def _events(
        self, request: ModelRequest, deadline: float, fault: SluicewayError | None
    ) -> AsyncGenerator[StreamEvent, None]:
        text = self._script.answer or self._compose(request)
        pieces = _pieces(text.removeprefix(request.prefill))
        await _wait(self._script.first_s, deadline)
        for index, piece in enumerate(pieces[: request.max_tokens]):
            if index:
                await _wait(self._script.token_s, deadline)
            if fault is not None and index == self._script.fault_after:
                raise fault
            yield Delta(piece)
        if fault is not None:
            raise fault  # of a call that says less than it would have said before it failed
        stopped = "max_tokens" if len(pieces) > request.max_tokens else "end_turn"
        yield Finish(stopped, self._count(request, pieces[: request.max_tokens]))

    def _count(self, request: ModelRequest, said: list[str]) -> Usage:
        if not self._script.tells_usage:
            return estimate_usage(request, "".join(said))
        asked = sum(count_tokens(message.text) for message in request.messages) + count_tokens(request.system)
        return Usage(asked, len(said))

    def _compose(self, request: ModelRequest) -> str:
        prefilled = bool(request.messages) and request.messages[-1].role == "assistant"
        asked = request.messages[:-1] if prefilled else request.messages
        said = "\x00".join(message.text for message in asked)
        chance = random.Random(f"{self._script.seed}\x00{request.system}\x00{said}")  # noqa: S311 - seeded on purpose
        return " ".join(chance.choice(_WORDS) for _ in range(self._script.tokens))


def count_tokens(text: str) -> int:
    """How many tokens the scripted model sees in `text`."""
    return len(_TOKEN.findall(text))


def _pieces(text: str) -> list[str]:
    """`text` cut before each token but the first; joined again it is `text`."""
    starts = [match.start() for match in _TOKEN.finditer(text)]
    if not starts:
        return [text] if text else []
    edges = [0, *starts[1:], len(text)]
    return [text[edge:following] for edge, following in itertools.pairwise(edges)]


async def _wait(seconds: float, deadline: float) -> None:
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.sleep(seconds)
    except TimeoutError as error:
        raise DeadlineExceeded("the model was not done by the deadline") from error
