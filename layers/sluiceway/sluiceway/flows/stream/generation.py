"""Asking the model for one answer, as often as it takes: text goes into a transcript, the end is what is returned.

Before the first text a failure is retried. After it nothing is ever appended silently: the model is asked to go on from
what it said (another attempt), or to begin again where it cannot, and readers are told where to cut. Usage is counted
whatever happens, estimated where the model does not tell it. Must not know readers or stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sluiceway import log
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable
from sluiceway.events.http import describe_problem
from sluiceway.flows.stream.transcript import Ending, Transcript
from sluiceway.genai.faults import ContentFiltered, Denied, Invalid, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import (
    CallContext,
    Delta,
    Message,
    ModelRequest,
    StreamingProvider,
    Usage,
    estimate_usage,
)
from sluiceway.ports import Chance
from sluiceway.rules.answers import MAX_ANSWER

__all__ = ["Generation", "Model", "continue_at"]

MAX_FAILURES: Final = 4  # in a row, without one new character
FIRST_PAUSE_S: Final = 0.25  # doubled with each failure in a row, drawn from its upper half
LONGEST_PAUSE_S: Final = 8.0
CHARACTERS_A_TOKEN: Final = 8  # more than texts have: a continuation says a little more rather than being cut short


@dataclass(frozen=True, slots=True)
class Model:
    """How the model is asked.

    `continues`: it goes on from a text that ends the conversation (prefill). `history`: how many characters of earlier
    turns it is reminded of, at the most.
    """

    provider: StreamingProvider
    max_output_tokens: int
    continues: bool = True
    history: int = 0


class Generation:
    """One worker's asking for one answer to `request`.

    `begin_attempt(at)` makes it known that another attempt goes on at that offset, and cuts the transcript there.
    """

    def __init__(
        self,
        request: ModelRequest,
        transcript: Transcript,
        *,
        model: Model,
        context: CallContext,
        begin_attempt: Callable[[int], Awaitable[None]],
    ) -> None:
        self._request = request
        self._transcript = transcript
        self._model = model
        self._context = context
        self._begin_attempt = begin_attempt
        self._continues = model.continues
        self._spent: list[Usage] = []
        self._asked: ModelRequest | None = None
        self._asked_at = 0

    async def run(self, chance: Chance) -> Ending:
        """Generate to the end. Being cancelled stops the model. Raises what `begin_attempt` raises."""
        failures = 0
        while True:
            length = self._transcript.length
            outcome = await self._try_once()
            if isinstance(outcome, Ending):
                return outcome
            failures = 1 if self._transcript.length > length else failures + 1
            if failures >= MAX_FAILURES:
                return _rest(_reason(outcome), "The model cannot go on now; resume to try again")
            await self._pause(failures, chance.draw(), outcome.after_s or 0.0)
            await self._prepare()

    def usage(self) -> Mapping[str, int]:
        """Token counts by name, summed over the tries; `estimated` is 1 where the model did not tell them all."""
        tries = list(self._spent)
        if self._asked is not None:
            tries.append(estimate_usage(self._asked, self._transcript.text(self._asked_at)))
        return {
            "input_tokens": sum(each.input_tokens for each in tries),
            "output_tokens": sum(each.output_tokens for each in tries),
            "cache_read_tokens": sum(each.cache_read_tokens for each in tries),
            "cache_write_tokens": sum(each.cache_write_tokens for each in tries),
            "estimated": int(any(each.estimated for each in tries)),
        }

    async def _try_once(self) -> Ending | Retryable:
        """The answer's end, or the failure after which another try may bring it."""
        try:
            return await self._stream()
        except Retryable as error:
            log.warning("answer.attempt_failed", reason=_reason(error), length=self._transcript.length)
            if isinstance(error, DeadlineExceeded):
                return _rest("deadline-exceeded", "The worker ran out of time; resume to go on")
            return error
        except Rejected as error:
            return self._take_refusal(error)
        except Misconfigured as error:
            log.failure("answer.misconfigured", error)
            return _fail(_reason(error), "This deployment cannot answer now")
        finally:
            self._settle_usage()

    def _settle_usage(self) -> None:
        """Count the try under way as it is: it was left or broke off."""
        if self._asked is not None:
            self._spent.append(estimate_usage(self._asked, self._transcript.text(self._asked_at)))
            self._asked = None

    def _take_refusal(self, error: Rejected) -> Ending | Retryable:
        if isinstance(error, ContentFiltered):
            return _fail(error.reason, "The answer was withheld", retracted=self._transcript.length > 0)
        if isinstance(error, Invalid) and self._continues and self._transcript.length:
            self._continues = False
            return Retryable("this model does not go on from a text; it begins again")
        return _fail(error.reason, "The model cannot answer this")

    async def _stream(self) -> Ending:
        request = self._asked = self._ask()
        transcript, self._asked_at = self._transcript, self._transcript.length
        async with self._model.provider.stream(request, self._context) as events:
            async for event in events:
                if isinstance(event, Delta):
                    transcript.add(event.text[: MAX_ANSWER - transcript.length])
                    if transcript.length >= MAX_ANSWER:
                        return Ending("finished", "size_limit")
                else:
                    self._spent.append(event.usage)
                    self._asked = None
                    return Ending("finished", event.stop_reason)
        raise Overloaded("the answer had no end")

    def _ask(self) -> ModelRequest:
        said = self._transcript.text(0)
        if not said:
            return self._request
        return replace(
            self._request,
            messages=(*self._request.messages, Message("assistant", said)),
            max_tokens=max(1, self._request.max_tokens - len(said) // CHARACTERS_A_TOKEN),
        )

    async def _pause(self, failures: int, chance: float, after_s: float) -> None:
        """Back off, unless the deadline comes first: the next try then says so."""
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1))
        until = asyncio.get_running_loop().time() + max(after_s, longest * (0.5 + chance / 2))
        await asyncio.sleep(max(0.0, min(until, self._context.deadline) - asyncio.get_running_loop().time()))

    async def _prepare(self) -> None:
        """Before another try: where this attempt has said something, or has to begin again, the next one is another."""
        said = self._transcript.text(0)
        at = continue_at(said, continues=self._continues)
        if at < self._transcript.length or self._transcript.length > self._transcript.starts[-1]:
            await self._begin_attempt(at)


def continue_at(said: str, *, continues: bool) -> int:
    """Where the next attempt goes on: some models refuse a text that ends in white space, so that is said again."""
    return len(said.rstrip()) if continues else 0


def _fail(reason: str, title: str, *, retracted: bool = False) -> Ending:
    return Ending("failed", problem=describe_problem(reason, title), retracted=retracted)


def _rest(reason: str, title: str) -> Ending:
    return Ending("paused", problem=describe_problem(reason, title))


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "service-unavailable")


_REASONS: Final[Mapping[type[Exception], str]] = {
    Throttled: "model-throttled",
    Overloaded: "model-overloaded",
    Timeout: "model-timeout",
    Denied: "model-denied",
    Misconfigured: "misconfigured",
}
