"""A model that needs no model: text made from the prompt alone, the same on every machine, with faults where asked.

A script (a JSON file) tells it what to say and when to fail:

    {"seed": 7, "first_token_s": 0.1, "token_s": 0.02, "context_tokens": 8000,
     "replies": [{"contains": "rivers", "text": "The Rhine, the Nile and the Amazon."}],
     "faults": [{"call": 0, "kind": "throttled"}, {"call": 3, "kind": "unavailable", "after_tokens": 5}]}

Calls are counted from 0 in the order in which they begin; a fault with `every` instead of `call` hits each n-th call.
Its kind is a `FailureKind`, or `stall`: then nothing more is said, and nothing fails until the caller gives up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args

from localcloud.models.engine import Chunk, Delta, FailureKind, Finished, ModelFailure, Prompt, StopText, Usage

__all__ = ["Fault", "Reply", "Script", "ScriptedEngine", "read_script"]

CONTEXT_TOKENS: Final = 128_000  # that of Amazon Nova Micro, the template's default model
FaultKind: TypeAlias = FailureKind | Literal["stall"]
_KINDS: Final = (*get_args(FailureKind), "stall")
_TOKEN: Final = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+$")
_WORDS: Final = (
    "water moves slowly through the open gate and every stone below it holds a small cold light "
    "while boats wait in order for the level to rise because nobody can hurry a river"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say where the last turn contains `contains`."""

    contains: str
    text: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of one call (`call`, from 0) or of each n-th one (`every`), after so many tokens."""

    kind: FaultKind
    call: int | None = None
    every: int | None = None
    after_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """Times in seconds of the event loop."""

    seed: int = 0
    first_token_s: float = 0.0
    token_s: float = 0.0
    context_tokens: int = CONTEXT_TOKENS
    replies: tuple[Reply, ...] = ()
    faults: tuple[Fault, ...] = ()


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
        input_tokens = sum(len(_tokens(text)) for text in (prompt.system, *(turn.text for turn in prompt.turns)))
        if input_tokens > script.context_tokens:
            raise ModelFailure("too_long", f"The input has {input_tokens} tokens, of {script.context_tokens} at most.")
        tokens = _tokens(self._text(prompt))
        most = min(len(tokens), prompt.max_tokens or len(tokens))
        stop, said = StopText(prompt.stop), 0
        await asyncio.sleep(script.first_token_s)
        for token in tokens[:most]:
            if fault is not None and said >= fault.after_tokens:
                break
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
        rest = stop.rest()
        if rest:
            yield Delta(rest)
        yield Finished("max_tokens" if most < len(tokens) else "end_turn", Usage(input_tokens, said))

    def _text(self, prompt: Prompt) -> str:
        last = prompt.turns[-1].text
        for reply in self._script.replies:
            if reply.contains in last:
                return reply.text
        seed = hashlib.sha256(f"{self._script.seed}\0{prompt.system}\0{last}".encode()).digest()
        rng = random.Random(seed)  # noqa: S311 - the same prompt must give the same text
        words = rng.choices(_WORDS.split(), k=rng.randint(16, 48))
        return f"You asked: {' '.join(last.split())[:60]} Scripted answer: {' '.join(words)}."


def read_script(path: Path) -> Script:
    """Read a script file.

    Raises ValueError naming what is wrong in it, OSError where it cannot be read.
    """
    fields = dict(_objects(path, "the script", [json.loads(path.read_text(encoding="utf-8"))])[0])
    replies = tuple(Reply(**_texts(path, reply)) for reply in _objects(path, "replies", fields.pop("replies", [])))
    faults = tuple(_fault(path, fault) for fault in _objects(path, "faults", fields.pop("faults", [])))
    try:
        return Script(**cast("dict[str, int]", fields), replies=replies, faults=faults)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def _objects(path: Path, name: str, value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[object]", value)):
        raise ValueError(f"{path}: {name} is not made of objects")
    return cast("list[Mapping[str, object]]", value)


def _texts(path: Path, value: Mapping[str, object]) -> dict[str, str]:
    if set(value) != {"contains", "text"} or not all(isinstance(item, str) for item in value.values()):
        raise ValueError(f"{path}: a reply has `contains` and `text`, both strings")
    return cast("dict[str, str]", dict(value))


def _fault(path: Path, value: Mapping[str, object]) -> Fault:
    kind = value.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"{path}: the kind of a fault is one of {', '.join(_KINDS)}")
    if ("call" in value) == ("every" in value) or value.keys() - {"kind", "call", "every", "after_tokens"}:
        raise ValueError(f"{path}: a fault has `kind`, either `call` or `every`, and may have `after_tokens`")
    numbers = {name: number for name, number in value.items() if name != "kind"}
    if not all(isinstance(number, int) and number >= (name == "every") for name, number in numbers.items()):
        raise ValueError(f"{path}: the numbers of a fault are whole, `every` at least 1")
    return Fault(cast("FaultKind", kind), **cast("dict[str, int]", numbers))


async def _fail(fault: Fault, call: int) -> None:
    if fault.kind == "stall":
        await asyncio.get_running_loop().create_future()
    else:
        raise ModelFailure(fault.kind, f"The script lets call {call} fail.")


def _hits(fault: Fault, call: int) -> bool:
    return call == fault.call if fault.every is None else call % fault.every == fault.every - 1


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)
