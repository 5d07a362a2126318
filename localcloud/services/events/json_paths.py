"""The JSON paths of EventBridge: `$.detail.items[0].id`, `$.detail.items[*].id`. Pure.

Dots, names, indices and stars; no quotes, filters or slices.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias, cast

__all__ = ["MISSING", "JsonPath", "parse_path"]

MISSING: Final = object()
"""What a path finds that leads nowhere; null is a value."""

_Step: TypeAlias = str | int | None  # a name, an index, everything
_STEP: Final = re.compile(r"""\.(?P<name>[^.\[\]'"\s*]+)|(?P<star>\.\*|\[\*\])|\[(?P<index>\d{1,9})\]""")


class JsonPath:
    """A parsed path; `parse_path` makes them."""

    __slots__ = ("steps", "text")

    def __init__(self, text: str, steps: tuple[_Step, ...]) -> None:
        self.text = text
        self.steps = steps

    def find(self, value: object) -> object:
        """What lies at the path in a decoded JSON value; with a star in it the list of all that do; else MISSING."""
        found = list(_walk([value], self.steps))
        if None in self.steps:
            return found
        return found[0] if found else MISSING


def parse_path(text: str) -> JsonPath | None:
    """The path in `text`, None where it is none."""
    if not text.startswith("$"):
        return None
    steps: list[_Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            return None
        if found["star"]:
            steps.append(None)
        else:
            steps.append(found["name"] or int(found["index"]))
        at = found.end()
    return JsonPath(text, tuple(steps))


def _walk(values: list[object], steps: tuple[_Step, ...]) -> Iterator[object]:
    for step in steps:
        values = [found for value in values for found in _take(value, step)]
    yield from values


def _take(value: object, step: _Step) -> Iterator[object]:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if step is None:
            yield from members.values()
        elif isinstance(step, str) and step in members:
            yield members[step]
    elif isinstance(value, list):
        items = cast("list[object]", value)
        if step is None:
            yield from items
        elif isinstance(step, int) and step < len(items):
            yield items[step]
