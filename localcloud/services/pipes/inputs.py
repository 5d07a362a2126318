"""What an enrichment and a target are given of an event: input templates, and parameters that are paths. Pure.

A template holds `<$.path>` and `<aws.pipes.…>`; a parameter that begins with `$.` is a path, anything else is meant as
it stands. Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html (dynamic path parameters)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.services.events.json_paths import MISSING, JsonPath, parse_path
from localcloud.services.events.json_values import encode
from localcloud.services.events.templates import Variable, fill_template, is_json, split_template
from localcloud.services.pipes.errors import validation

__all__ = ["InputTemplate", "Item", "Parameter", "Unreadable"]

_PLACEHOLDER: Final = re.compile(r"<(\$[^<>]*|[A-Za-z0-9_.\-]+)>")
_CONSTANTS: Final = frozenset(
    {
        "aws.pipes.pipe-arn",
        "aws.pipes.pipe-name",
        "aws.pipes.source-arn",
        "aws.pipes.enrichment-arn",
        "aws.pipes.target-arn",
        "aws.pipes.event.ingestion-time",
    }
)
_EVENT: Final = "aws.pipes.event"
_DECODED: Final = "aws.pipes.event.json"


@dataclass(frozen=True, slots=True)
class Item:
    """One event on its way: as it came, and as paths see it."""

    value: object
    view: object

    @property
    def text(self) -> str:
        """Its JSON."""
        return encode(self.value)


class Unreadable(Exception):
    """A parameter that is a path finds nothing of use in an event."""


class InputTemplate:
    """A template. Raises PipesError for a placeholder that names nothing."""

    def __init__(self, text: str) -> None:
        self._parts = split_template(text, _PLACEHOLDER)
        self._is_json = is_json(text)
        self._paths: dict[str, JsonPath] = {}
        for part in self._parts:
            if isinstance(part, Variable) and part.name not in {*_CONSTANTS, _EVENT, _DECODED}:
                self._paths[part.name] = _read_path(part.name)

    def fill(self, item: Item, constants: Mapping[str, str]) -> str:
        """The template with what the event and the pipe say. `constants` by their whole names. Raises InputTooLarge."""

        def value_of(name: str) -> object:
            if name in self._paths:
                return self._paths[name].find(item.view)
            return {_EVENT: item.value, _DECODED: item.view}.get(name, constants.get(name, MISSING))

        return fill_template(self._parts, value_of, as_json=self._is_json)


class Parameter:
    """A parameter that may be a path. Raises PipesError for a path that is none."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._path = _read_path(text) if text.startswith("$.") or text == "$" else None

    def find(self, item: Item) -> str:
        """Its text for an event. Raises Unreadable where its path leads nowhere."""
        if self._path is None:
            return self._text
        found = self._path.find(item.view)
        if found is MISSING or found is None:
            raise Unreadable(f"There is nothing at {self._text}.")
        return found if isinstance(found, str) else encode(found)


def _read_path(text: str) -> JsonPath:
    path = parse_path(text)
    if path is None:
        raise validation(f"Invalid json path reference or predefined variable for placeholder: {text}")
    return path
