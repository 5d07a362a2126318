"""Recorded cases on disk, and whether a reply is the one that was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

__all__ = ["ANY", "NOT_RECORDED", "TOKEN", "Case", "NotRecorded", "differences", "load_cases"]

ANY: Final = "{{any}}"  # in a reply: whatever stands here is right
TOKEN: Final = "{{token}}"  # in an event: the bearer token of this run  # noqa: S105 - a placeholder, not a secret
_REPLY, _FRAME = ".reply.json", ".frame.json"


class NotRecorded:
    """Nothing is recorded; `null` may well be."""


NOT_RECORDED: Final = NotRecorded()


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded event. `function` is its folder, `reply` what the function replied.

    `frame`, of a WebSocket's message: the last of the frames that its sender got.
    """

    function: str
    name: str
    path: Path
    event: dict[str, Any]
    reply: object = NOT_RECORDED
    frame: object = NOT_RECORDED

    @property
    def principal(self) -> str:
        """The authorizer's principal inside the event, "" where it has none."""
        context = cast("dict[str, Any]", self.event.get("requestContext") or {})
        authorizer = cast("dict[str, Any]", context.get("authorizer") or {})
        return str(authorizer.get("principalId") or "")

    def as_sent(self, *, token: str, caller: str) -> dict[str, Any]:
        """The event with this run's token, and its principal replaced by `caller` ("" keeps the recorded one)."""
        text = json.dumps(self.event).replace(TOKEN, token)
        if caller and self.principal:
            text = text.replace(self.principal, caller)
        return cast("dict[str, Any]", json.loads(text))

    @property
    def needs_token(self) -> bool:
        """Whether the event carries the token's placeholder."""
        return TOKEN in json.dumps(self.event)


def load_cases(folder: Path, *, names: Sequence[str] = ()) -> Iterator[Case]:
    """Every `<function>/<case>.json` below `folder`, sorted; only those in `names` (function or function/case) if any.

    Raises ValueError naming the file that is not JSON, or a name that matches nothing.
    """
    seen: set[str] = set()
    for path in sorted(folder.glob("*/*.json")):
        if path.name.endswith((_REPLY, _FRAME)):
            continue
        function, name = path.parent.name, path.stem
        if names and not {function, f"{function}/{name}"} & set(names):
            continue
        seen |= {function, f"{function}/{name}"}
        reply, frame = (_recorded(path.with_name(f"{name}{kind}")) for kind in (_REPLY, _FRAME))
        yield Case(function, name, path, cast("dict[str, Any]", _read(path)), reply, frame)
    if missing := sorted(set(names) - seen):
        message = f"no recorded case is called {', '.join(missing)}"
        raise ValueError(message)


def _recorded(path: Path) -> object:
    return _read(path) if path.exists() else NOT_RECORDED


def _read(path: Path) -> object:
    try:
        return cast("object", json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        message = f"{path} is not JSON: {error}"
        raise ValueError(message) from error


def differences(expected: object, actual: object, *, at: str = "$") -> list[str]:
    """Where `actual` is not as recorded, one sentence each. Text that is JSON on both sides is compared as JSON."""
    if expected == ANY:
        return []
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _object_differences(cast("dict[str, object]", expected), cast("dict[str, object]", actual), at)
    if isinstance(expected, list) and isinstance(actual, list):
        return _list_differences(cast("list[object]", expected), cast("list[object]", actual), at)
    if isinstance(expected, str) and isinstance(actual, str) and expected != actual:
        inner = _parsed(expected), _parsed(actual)
        if all(isinstance(each, dict | list) for each in inner):
            return differences(*inner, at=at)
    if expected == actual and isinstance(expected, bool) == isinstance(actual, bool):  # in Python true equals 1
        return []
    return [f"{at}: expected {_short(cast('object', expected))}, got {_short(cast('object', actual))}"]


def _object_differences(expected: Mapping[str, object], actual: Mapping[str, object], at: str) -> list[str]:
    missing = [f"{at}.{name}: missing" for name in expected if name not in actual]
    extra = [f"{at}.{name}: not in the recorded reply" for name in actual if name not in expected]
    inner = [
        line
        for name in expected
        if name in actual
        for line in differences(expected[name], actual[name], at=f"{at}.{name}")
    ]
    return missing + extra + inner


def _list_differences(expected: list[object], actual: list[object], at: str) -> list[str]:
    if len(expected) != len(actual):
        return [f"{at}: expected {len(expected)} elements, got {len(actual)}"]
    pairs = zip(expected, actual, strict=True)
    return [line for index, (one, other) in enumerate(pairs) for line in differences(one, other, at=f"{at}[{index}]")]


def _parsed(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except ValueError:
        return None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
