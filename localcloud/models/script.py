"""What the scripted model is told: a JSON file, read and checked.

    {"seed": 7, "first_token_s": 0.1, "token_s": 0.02, "context_tokens": 8000, "tokens": 400, "prefill": true,
     "replies": [{"contains": "rivers", "text": "The Rhine, the Nile and the Amazon."},
                 {"contains": "story", "tokens": 2000, "first_token_s": 20}],
     "faults": [{"call": 0, "kind": "throttled"}, {"call": 3, "kind": "filtered", "after_tokens": 5}]}

Calls are counted from 0 in the order in which they begin; a fault with `every` instead of `call` hits each n-th call.
Its kind is a `FailureKind`, or `filtered`: the rest is withheld by a guardrail, or `stall`: then nothing more is said,
and nothing fails until the caller gives up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from localcloud.models.engine import FailureKind

__all__ = ["Fault", "Reply", "Script", "read_script"]

CONTEXT_TOKENS: Final = 128_000  # that of Amazon Nova Micro, the template's default model
FaultKind: TypeAlias = FailureKind | Literal["filtered", "stall"]
_KINDS: Final = (*get_args(FailureKind), "filtered", "stall")
_SECONDS: Final = ("first_token_s", "token_s")
_AT_LEAST_1: Final = ("context_tokens", "tokens")


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say where the question contains `contains`: `text`, or as many `tokens` made from the prompt.

    `first_token_s`: how long it thinks, None as long as for the others.
    """

    contains: str
    text: str = ""
    tokens: int | None = None
    first_token_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of one call (`call`, from 0) or of each n-th one (`every`), after so many tokens."""

    kind: FaultKind
    call: int | None = None
    every: int | None = None
    after_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """Times in seconds of the event loop. `tokens` is the length of the text made from the prompt, None a short one.

    Without `prefill` a prompt that ends with the beginning of the answer is refused, as by models that cannot go on.
    """

    seed: int = 0
    first_token_s: float = 0.0
    token_s: float = 0.0
    context_tokens: int = CONTEXT_TOKENS
    tokens: int | None = None
    prefill: bool = True
    replies: tuple[Reply, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_script(path: Path) -> Script:
    """Read a script file.

    Raises ValueError naming what is wrong in it, OSError where it cannot be read.
    """
    fields = dict(_objects(path, "the script", [json.loads(path.read_text(encoding="utf-8"))])[0])
    replies = tuple(_reply(path, reply) for reply in _objects(path, "replies", fields.pop("replies", [])))
    faults = tuple(_fault(path, fault) for fault in _objects(path, "faults", fields.pop("faults", [])))
    for name, value in fields.items():
        _check_setting(path, name, value)
    try:
        return Script(**cast("dict[str, Any]", fields), replies=replies, faults=faults)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def _objects(path: Path, name: str, value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[object]", value)):
        raise ValueError(f"{path}: {name} is not made of objects")
    return cast("list[Mapping[str, object]]", value)


def _check_setting(path: Path, name: str, value: object) -> None:
    if name == "prefill":
        if not isinstance(value, bool):
            raise ValueError(f"{path}: prefill is true or false")
    elif name in _SECONDS:
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"{path}: {name} is a number of seconds, at least 0")
    elif not _is_whole(value, at_least=1 if name in _AT_LEAST_1 else None):
        raise ValueError(f"{path}: {name} is a whole number{', at least 1' if name in _AT_LEAST_1 else ''}")


def _reply(path: Path, value: Mapping[str, object]) -> Reply:
    says = value.keys() - {"contains", "first_token_s"}
    texts = [item for name, item in value.items() if name not in {"tokens", "first_token_s"}]
    if "contains" not in value or len(says) != 1 or not says <= {"text", "tokens"}:
        raise ValueError(f"{path}: a reply has `contains` and either `text` or `tokens`")
    if not all(isinstance(item, str) for item in texts) or not _is_whole(value.get("tokens", 1), at_least=1):
        raise ValueError(f"{path}: `contains` and `text` of a reply are strings, its `tokens` a number, at least 1")
    thinks_s = value.get("first_token_s")
    if thinks_s is not None:
        _check_setting(path, "first_token_s", thinks_s)
    tokens = cast("int | None", value.get("tokens"))
    return Reply(str(value["contains"]), str(value.get("text", "")), tokens, cast("float | None", thinks_s))


def _fault(path: Path, value: Mapping[str, object]) -> Fault:
    kind = value.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"{path}: the kind of a fault is one of {', '.join(_KINDS)}")
    if ("call" in value) == ("every" in value) or value.keys() - {"kind", "call", "every", "after_tokens"}:
        raise ValueError(f"{path}: a fault has `kind`, either `call` or `every`, and may have `after_tokens`")
    numbers = {name: number for name, number in value.items() if name != "kind"}
    if not all(_is_whole(number, at_least=int(name == "every")) for name, number in numbers.items()):
        raise ValueError(f"{path}: the numbers of a fault are whole, `every` at least 1")
    return Fault(cast("FaultKind", kind), **cast("dict[str, int]", numbers))


def _is_whole(value: object, *, at_least: int | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return at_least is None or value >= at_least
