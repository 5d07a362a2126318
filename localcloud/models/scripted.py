"""A model that needs no model: text made from the prompt alone, the same on every machine, with faults where asked.

`script.py` says what it can be told. It goes on from the beginning of an answer to the character, wherever that was
cut, even inside a token; from a beginning that is not this answer's it says the whole answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from localcloud.models.engine import Chunk, Delta, Finished, ModelFailure, Prompt, StopText, Usage
from localcloud.models.script import Fault, Reply, Script, read_script

__all__ = ["Fault", "Reply", "Script", "ScriptedEngine", "read_script"]

_TOKEN: Final = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+$")
_WORDS: Final = (
    "water moves slowly through the open gate and every stone below it holds a small cold light "
    "while boats wait in order for the level to rise because nobody can hurry a river"
)


class ScriptedEngine:
    """Says what its script says. `calls` counts the prompts taken, `active` those being answered now."""

    name = "scripted"

    def __init__(self, script: Script | None = None) -> None:
        self._script = script or Script()
        self.calls = 0
        self.active = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to let go."""

    def renewed(self) -> ScriptedEngine:
        """The same script, from its first call on."""
        return ScriptedEngine(self._script)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """The scripted text, token by token. Raises ModelFailure."""
        self.active += 1
        try:
            async with aclosing(self._say(prompt)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self.active -= 1

    async def _say(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        script, call = self._script, self.calls
        self.calls += 1
        fault = next((fault for fault in script.faults if _hits(fault, call)), None)
        input_tokens = self._take(prompt)
        tokens = _tokens(self._text(prompt).removeprefix(prompt.prefill))
        most = min(len(tokens), prompt.max_tokens or len(tokens))
        stop, said = StopText(prompt.stop), 0
        await asyncio.sleep(self._thinks_s(prompt))
        for token in tokens[: most if fault is None else min(most, fault.after_tokens)]:
            said += 1
            shown = stop.feed(token)
            if shown:
                yield Delta(shown)
            if stop.stopped:
                yield Finished("stop_sequence", Usage(input_tokens, said))
                return
            await asyncio.sleep(script.token_s)
        if fault is not None:
            await _fail(fault, call)
            yield Finished("guardrail_intervened", Usage(input_tokens, said))
            return
        rest = stop.rest()
        if rest:
            yield Delta(rest)
        yield Finished("max_tokens" if most < len(tokens) else "end_turn", Usage(input_tokens, said))

    def _take(self, prompt: Prompt) -> int:
        """How many tokens the prompt has. Raises ModelFailure where the model cannot answer it."""
        if prompt.prefill and not self._script.prefill:
            raise ModelFailure("no_prefill", "The script lets the model go on from no text.")
        tokens = sum(len(_tokens(text)) for text in (prompt.system, *(turn.text for turn in prompt.turns)))
        if tokens > self._script.context_tokens:
            raise ModelFailure("too_long", f"The input has {tokens} tokens, of {self._script.context_tokens} at most.")
        return tokens

    def _text(self, prompt: Prompt) -> str:
        asked, reply = prompt.asked[-1].text, self._reply(prompt)
        if reply is not None and reply.tokens is None:
            return reply.text
        return self._make_text(prompt.system, asked, self._script.tokens if reply is None else reply.tokens)

    def _thinks_s(self, prompt: Prompt) -> float:
        reply = self._reply(prompt)
        own_s = None if reply is None else reply.first_token_s
        return self._script.first_token_s if own_s is None else own_s

    def _reply(self, prompt: Prompt) -> Reply | None:
        asked = prompt.asked[-1].text
        return next((reply for reply in self._script.replies if reply.contains in asked), None)

    def _make_text(self, system: str, asked: str, tokens: int | None) -> str:
        seed = hashlib.sha256(f"{self._script.seed}\0{system}\0{asked}".encode()).digest()
        rng = random.Random(seed)  # noqa: S311 - the same prompt must give the same text
        words = rng.choices(_WORDS.split(), k=tokens or rng.randint(16, 48))
        text = f"You asked: {' '.join(asked.split())[:60]} Scripted answer: {' '.join(words)}."
        return text if tokens is None else "".join(_tokens(text)[:tokens])


async def _fail(fault: Fault, call: int) -> None:
    """Raises ModelFailure, unless the fault is that the rest is filtered."""
    if fault.kind == "stall":
        await asyncio.get_running_loop().create_future()
    elif fault.kind != "filtered":
        raise ModelFailure(fault.kind, f"The script lets call {call} fail.")


def _hits(fault: Fault, call: int) -> bool:
    return call == fault.call if fault.every is None else call % fault.every == fault.every - 1


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)
