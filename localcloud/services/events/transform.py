"""What of an event a target is given: all of it, a constant, a part of it, or a template filled from it. Pure.

A template is JSON where it begins with a brace; then what comes out is minified. A variable outside of quotes is a JSON
value, text with quotes; inside of quotes it is the bare text, which is not escaped. A path that leads nowhere leaves
nothing there, an empty text outside of quotes. Objects and lists inside of quotes lose their own quotes.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from localcloud.json_text import MalformedJson
from localcloud.services.events.envelope import Event, write_time
from localcloud.services.events.json_paths import MISSING, JsonPath
from localcloud.services.events.json_values import Numeral, decode, encode

__all__ = ["BadTemplate", "InputTooLarge", "RuleName", "Transformer", "read_template"]

MAX_FILLED_CHARS: Final = 16 * 1024 * 1024  # ours; the largest that a target takes is a Kinesis record's 10 MiB
_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.\-]+)>")
_KEY_END: Final = re.compile(r"\s*:")
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


class InputTooLarge(Exception):
    """A filled template is longer than any target takes."""


class RuleName(NamedTuple):
    """The rule that an event has triggered, and its bus."""

    arn: str
    name: str
    bus_arn: str


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable in a template. `quoted`: it stands inside of a JSON string."""

    name: str
    quoted: bool


class Transformer:
    """An InputTransformer; `read_template` makes its parts. `paths` by the names of its variables."""

    def __init__(self, template: str, paths: Mapping[str, JsonPath]) -> None:
        self._parts = read_template(template, paths)
        self._paths = paths
        self._is_json = _is_json(template)

    def fill(self, event: Event, rule: RuleName) -> str:
        """The template with its variables. Raises InputTooLarge."""
        fields = event.read_fields()
        filled: list[str] = []
        left = MAX_FILLED_CHARS
        for part in self._parts:
            filled.append(part if isinstance(part, str) else self._fill(part, event, fields=fields, rule=rule))
            left -= len(filled[-1])
            if left < 0:
                raise InputTooLarge
        text = "".join(filled)
        if not self._is_json:
            return text
        try:
            return encode(decode(text))
        except MalformedJson:
            return text  # text of an event that is not escaped breaks it; the target sees what AWS would send

    def _fill(self, part: _Variable, event: Event, *, fields: Mapping[str, object], rule: RuleName) -> str:
        path = self._paths.get(part.name)
        if path is not None:
            return _show(path.find(fields), quoted=part.quoted)
        values = {
            "aws.events.rule-arn": rule.arn,
            "aws.events.rule-name": rule.name,
            "aws.events.event.ingestion-time": write_time(event.ingested_s),
        }
        if part.name in values:
            return _show(values[part.name], quoted=part.quoted)
        if part.name == "aws.events.event.json":
            return _show(fields, quoted=part.quoted)
        named = {"detailType" if key == "detail-type" else key: fields[key] for key in _EVENT_ORDER}
        return _show(named, quoted=part.quoted)


def read_template(template: str, paths: Mapping[str, JsonPath]) -> tuple[str | _Variable, ...]:
    """The texts and variables of a template. Raises BadTemplate."""
    parts = tuple(_split(template))
    for part in parts:
        if isinstance(part, str):
            continue
        if part.name not in paths and part.name not in _PREDEFINED:
            raise BadTemplate(f"contains invalid placeholder {part.name}.")
        if part.name in _WHOLE_EVENT and not _is_json(template):
            raise BadTemplate(f"contains placeholder {part.name} valid only for JSON template.")
    if _is_json(template):
        _check_json(template, parts)
    return parts


def _check_json(template: str, parts: tuple[str | _Variable, ...]) -> None:
    """A template of JSON is an object whatever its variables hold, and none of them is the name of a member."""
    sample = ""
    for index, part in enumerate(parts):
        if isinstance(part, str):
            sample += part
            continue
        after = parts[index + 1] if index + 1 < len(parts) else ""
        if isinstance(after, str) and not part.quoted and _KEY_END.match(after):
            raise BadTemplate(f"contains invalid placeholder {part.name}.")
        sample += "x" if part.quoted else "0"
    try:
        decode(sample)
    except MalformedJson as error:
        raise BadTemplate(f': [Source: (String)"{template}"; {error}]', opening="Invalid InputTemplate") from error


def _split(template: str) -> Iterator[str | _Variable]:
    at, quoted = 0, False
    for found in _PLACEHOLDER.finditer(template):
        text = template[at : found.start()]
        if text:
            yield text
        quoted = _ends_quoted(text, quoted=quoted)
        yield _Variable(found[1], quoted)
        at = found.end()
    if at < len(template):
        yield template[at:]


def _ends_quoted(text: str, *, quoted: bool) -> bool:
    """Whether the end of `text` lies inside of quotes, where its beginning lies inside if `quoted`."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
    return quoted


def _show(value: object, *, quoted: bool) -> str:
    if value is MISSING:
        return "" if quoted else '""'
    if isinstance(value, str):
        return value if quoted else encode(value)
    text = encode(value)
    if quoted and not isinstance(value, Numeral):
        return text.replace('"', "")
    return text


def _is_json(template: str) -> bool:
    return template.lstrip().startswith("{")
