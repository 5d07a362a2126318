"""InputTransformer: a template of a rule's target, filled from an event. Pure.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from localcloud.json_text import MalformedJson
from localcloud.services.events.envelope import Event, write_time
from localcloud.services.events.json_paths import JsonPath
from localcloud.services.events.json_values import decode
from localcloud.services.events.templates import (
    Parts,
    Variable,
    fill_template,
    find_key,
    is_json,
    sample_of,
    split_template,
)

__all__ = ["BadTemplate", "RuleName", "Transformer"]

_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.\-]+)>")
_WHOLE_EVENT: Final = frozenset({"aws.events.event", "aws.events.event.json"})
_PREDEFINED: Final = frozenset(
    {"aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time", *_WHOLE_EVENT}
)
_EVENT_ORDER: Final = ("id", "account", "detail-type", "time", "source", "region", "resources", "version")


class BadTemplate(Exception):
    """A template that PutTargets refuses, in AWS's words around the id of the target."""

    def __init__(self, detail: str, *, opening: str = "InputTemplate") -> None:
        super().__init__(detail)
        self._opening = opening
        self._detail = detail

    def describe(self, target_id: str) -> str:
        """The sentence."""
        return f"{self._opening} for target {target_id} {self._detail}"


class RuleName(NamedTuple):
    """The rule that an event has triggered, and its bus."""

    arn: str
    name: str
    bus_arn: str


class Transformer:
    """An InputTransformer; `paths` by the names of its variables. Raises BadTemplate."""

    def __init__(self, template: str, paths: Mapping[str, JsonPath]) -> None:
        self._parts = split_template(template, _PLACEHOLDER)
        self._paths = paths
        self._is_json = is_json(template)
        _check(template, self._parts, paths)

    def fill(self, event: Event, rule: RuleName) -> str:
        """The template with its variables. Raises InputTooLarge."""
        fields = event.read_fields()

        def value_of(name: str) -> object:
            path = self._paths.get(name)
            return _predefined(name, event, fields=fields, rule=rule) if path is None else path.find(fields)

        return fill_template(self._parts, value_of, as_json=self._is_json)


def _predefined(name: str, event: Event, *, fields: Mapping[str, object], rule: RuleName) -> object:
    values = {
        "aws.events.rule-arn": rule.arn,
        "aws.events.rule-name": rule.name,
        "aws.events.event.ingestion-time": write_time(event.ingested_s),
        "aws.events.event.json": fields,
    }
    if name in values:
        return values[name]
    return {"detailType" if key == "detail-type" else key: fields[key] for key in _EVENT_ORDER}


def _check(template: str, parts: Parts, paths: Mapping[str, JsonPath]) -> None:
    for part in parts:
        if isinstance(part, Variable) and part.name not in paths and part.name not in _PREDEFINED:
            raise BadTemplate(f"contains invalid placeholder {part.name}.")
        if isinstance(part, Variable) and part.name in _WHOLE_EVENT and not is_json(template):
            raise BadTemplate(f"contains placeholder {part.name} valid only for JSON template.")
    if not is_json(template):
        return
    key = find_key(parts)
    if key is not None:
        raise BadTemplate(f"contains invalid placeholder {key.name}.")
    try:
        decode(sample_of(parts))
    except MalformedJson as error:
        raise BadTemplate(f': [Source: (String)"{template}"; {error}]', opening="Invalid InputTemplate") from error
