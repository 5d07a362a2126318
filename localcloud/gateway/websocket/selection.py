"""Selection expressions: text with variables that comes to a key (`$request.body.action`, `\\$default`). Pure.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-selection-expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from localcloud.gateway.jsonpath import Absent, JsonPathError, find
from localcloud.gateway.vtl import as_text

__all__ = ["DEFAULT", "Selection", "find_in_body", "parse_selection"]

DEFAULT: Final = "$default"
_TOKEN: Final = re.compile(
    r"\\\$|\$\{(?P<braced>[^{}]+)\}|\$(?P<bare>[A-Za-z_][\w\[\]]*(?:\.[\w\[\]-]+)*)|(?P<stray>\$)"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """An expression read: pieces of text and, where the flag is set, names of variables."""

    parts: tuple[tuple[bool, str], ...]

    def evaluate(self, look_up: Callable[[str], str | None]) -> str:
        """The key; a variable without a value is nothing."""
        return "".join((look_up(text) or "") if is_variable else text for is_variable, text in self.parts)


def parse_selection(text: str, *, variables: tuple[str, ...]) -> Selection:
    """Read `text`, whose variables start with one of `variables`. Raises ValueError."""
    if text == DEFAULT:  # written without its backslash, as many templates do
        return Selection(((False, DEFAULT),))
    parts: list[tuple[bool, str]] = []
    end = 0
    for found in _TOKEN.finditer(text):
        if found.start() > end:
            parts.append((False, text[end : found.start()]))
        end = found.end()
        if found["stray"]:
            raise ValueError(f"{text!r} has a $ that names nothing")
        name = found["braced"] or found["bare"]
        if name and not any(name == each or name.startswith(f"{each}.") for each in variables):
            raise ValueError(f"${name} is not served here (only {', '.join(f'${each}' for each in variables)})")
        parts.append((True, name) if name else (False, "$"))
    if end < len(text):
        parts.append((False, text[end:]))
    return Selection(tuple(parts))


def find_in_body(document: object, path: str) -> str | None:
    """The value at `path` (`action`, `a.b`), as text; the whole document for "". None where nothing is there."""
    try:
        value = find(document, f"$.{path}" if path else "$")
    except JsonPathError:
        return None
    return None if value is None or isinstance(value, Absent) else as_text(value)
