"""Document paths: `colour`, `#sizes[2].width`. Parsing, looking up, and the two ways in which paths get in each
other's way.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.Attributes.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.faults import Fault, Faults
from localcloud.services.dynamodb.expressions.lexer import Cursor
from localcloud.services.dynamodb.values import Value

__all__ = ["Path", "check_disjoint", "find_value", "parse_path"]

MAX_DEPTH: Final = 32  # Constraints.html, "Nested attribute depth"


@dataclass(frozen=True, slots=True)
class Path:
    """A place in an item: an attribute's name, then names (str) and list positions (int)."""

    parts: tuple[str | int, ...]

    @property
    def root(self) -> str:
        """The top-level attribute."""
        return str(self.parts[0])

    def __str__(self) -> str:
        shown = (f"[{part}]" if isinstance(part, int) else part for part in self.parts)
        return f"[{', '.join(shown)}]"


def parse_path(cursor: Cursor, bindings: Bindings) -> Path:
    """The path under the cursor. Raises DynamoError (syntax error) where there is none."""
    parts: list[str | int] = [_parse_name(cursor, bindings)]
    while True:
        if cursor.accept("."):
            parts.append(_parse_name(cursor, bindings))
        elif cursor.accept("["):
            if cursor.token.kind != "index":
                cursor.fail()
            parts.append(int(cursor.take().text))
            cursor.expect("]")
        else:
            break
    if len(parts) > MAX_DEPTH:
        cursor.faults.stop(f"The document path has too many nesting elements; nesting levels: {len(parts)}")
    return Path(tuple(parts))


def find_value(item: Mapping[str, Value], path: Path) -> Value | None:
    """The value at `path`, None where there is none."""
    value = item.get(path.root)
    for part in path.parts[1:]:
        if value is None:
            return None
        if isinstance(part, int):
            value = value.data[part] if value.type == "L" and part < len(value.data) else None
        else:
            value = value.data.get(part) if value.type == "M" else None
    return value


def check_disjoint(paths: Sequence[Path], faults: Faults) -> None:
    """Note a fault where one path holds another (overlap), or two want another type at one place (conflict)."""
    if len(paths) < 2 or len({path.root for path in paths}) == len(paths):
        return
    for one, two in combinations(paths, 2):
        fault = _clash(one.parts, two.parts)
        if fault is not None:
            word = "overlap" if fault is Fault.OVERLAP else "conflict"
            faults.note(
                fault,
                f"Two document paths {word} with each other; "
                f"must remove or rewrite one of these paths; path one: {one}, path two: {two}",
            )


def _clash(one: Sequence[str | int], two: Sequence[str | int]) -> Fault | None:
    for left, right in zip(one, two, strict=False):
        if type(left) is not type(right):
            return Fault.CONFLICT
        if left != right:
            return None
    return Fault.OVERLAP


def _parse_name(cursor: Cursor, bindings: Bindings) -> str:
    if cursor.token.kind not in {"name", "alias"}:
        cursor.fail()
    return bindings.name(cursor.take().text, cursor.faults)
