"""Columns and patterns as people write them: read once, each within its limits, refused with the field that is wrong.

What subscribers, rules and access statements have in common. Must not know what is selected, or for whom.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from sluiceway.errors import Rejected
from sluiceway.rules import patterns
from sluiceway.rules.patterns import Limits, Pattern

__all__ = [
    "LIMITS",
    "MAX_COLUMNS",
    "MAX_PATTERN",
    "compile_pattern",
    "is_path",
    "lies_below",
    "read_columns",
    "read_rows",
    "refuse_pattern",
    "write_canonical",
]

LIMITS: Final = Limits(combinations=100, fields=64)  # EventBridge's are for rules that few people write
MAX_PATTERN: Final = 4_096  # characters of its canonical JSON, as of a filter of an event source mapping
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
MAX_NAMES: Final = 16  # of a path, of a column or in a pattern
MAX_COLUMNS: Final = 32
MAX_COLUMN: Final = 256  # characters


def read_columns(value: object, *, field: str = "columns", reason: str = "invalid-body") -> tuple[str, ...]:
    """Columns, sorted, none below another. Raises: Rejected with `field`, and the place in it."""
    columns = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise Rejected(f"{field} must be an array of 1 to {MAX_COLUMNS} paths", reason=reason, field=field)
    paths: set[str] = set()
    for index, column in enumerate(columns):
        if not is_path(column):
            rule = f"must be a path of 1 to {MAX_NAMES} names joined with dots, {MAX_COLUMN} characters at most"
            raise Rejected(f"{field}[{index}] {rule}", reason=reason, field=f"{field}[{index}]")
        paths.add(cast("str", column))
    return tuple(sorted(path for path in paths if not lies_below(path, paths)))


def is_path(column: object) -> bool:
    """Whether it is a column: names joined with dots, none of them empty."""
    if not isinstance(column, str) or not 1 <= len(column) <= MAX_COLUMN:
        return False
    names = column.split(".")
    return len(names) <= MAX_NAMES and all(names)


def lies_below(path: str, columns: Iterable[str]) -> bool:
    """Whether a path is within one of the columns, and none itself."""
    return any(path.startswith(f"{column}.") for column in columns)


def compile_pattern(value: str | Mapping[str, object], *, field: str = "pattern") -> Pattern:
    """A pattern within the limits. Raises: Rejected (`invalid-pattern`) with the path in it (`pattern.total`)."""
    try:
        compiled = patterns.compile(value, limits=LIMITS)
    except patterns.InvalidPattern as error:
        raise refuse_pattern(error.rule, field, error.field or "") from None
    for path in sorted({each.path for way in compiled.ways for each in way.fields}):
        if path.count(".") >= MAX_NAMES:
            raise refuse_pattern(f"a path has {MAX_NAMES} names at most", field, path)
    return compiled


def refuse_pattern(rule: str, field: str, path: str = "") -> Rejected:
    """The error for a pattern that breaks a rule at `path`."""
    named = f"{field}.{path}" if path else field
    return Rejected(f"{named}: {rule}", reason="invalid-pattern", field=named)


def read_rows(value: object, *, field: str) -> str:
    """The canonical text of a pattern, decoded or text. Raises: Rejected (`invalid-pattern`)."""
    if isinstance(value, str):
        if len(value) > MAX_PATTERN:
            raise refuse_pattern(f"has {MAX_PATTERN} characters at most", field)
        compile_pattern(value, field=field)
        return value
    if not isinstance(value, Mapping):
        raise refuse_pattern("must be a JSON object", field)
    pattern = cast("Mapping[str, object]", value)
    compile_pattern(pattern, field=field)
    text = write_canonical(pattern)
    if len(text) > MAX_PATTERN:
        raise refuse_pattern(f"has {MAX_PATTERN} characters at most", field)
    return text


def write_canonical(pattern: Mapping[str, object]) -> str:
    """The shortest text, names sorted; unless their order has a meaning, as where a path is written twice."""
    as_written, ordered = (
        json.dumps(pattern, ensure_ascii=False, separators=(",", ":"), sort_keys=sort) for sort in (False, True)
    )
    meant, meant_ordered = (
        {way.fields for way in patterns.compile(text, limits=LIMITS).ways} for text in (as_written, ordered)
    )
    return ordered if meant_ordered == meant else as_written
