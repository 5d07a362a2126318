"""Templates with variables, as EventBridge and its pipes fill them. Pure.

A template is JSON where it begins with a brace; then what comes out is minified. A variable outside of quotes is a JSON
value, text with quotes; inside of quotes it is the bare text, which is not escaped. A path that leads nowhere leaves
nothing there, an empty text outside of quotes. Objects and lists inside of quotes lose their own quotes.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from localcloud.json_text import MalformedJson
from localcloud.services.events.json_paths import MISSING
from localcloud.services.events.json_values import Numeral, decode, encode

__all__ = ["InputTooLarge", "Parts", "Variable", "fill_template", "find_key", "is_json", "sample_of", "split_template"]

MAX_FILLED_CHARS: Final = 16 * 1024 * 1024  # ours; the largest that a target takes is a Kinesis record's 10 MiB
_KEY_END: Final = re.compile(r"\s*:")


class InputTooLarge(Exception):
    """A filled template is longer than any target takes."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable in a template. `quoted`: it stands inside of a JSON string."""

    name: str
    quoted: bool


Parts: TypeAlias = tuple[str | Variable, ...]
"""A template's texts and variables, in their order."""


def split_template(template: str, placeholder: re.Pattern[str]) -> Parts:
    """The parts of a template; the first group of `placeholder` is a variable's name."""
    return tuple(_split(template, placeholder))


def fill_template(parts: Parts, value_of: Callable[[str], object], *, as_json: bool) -> str:
    """A template with the values of its variables, which are decoded JSON or MISSING. Raises InputTooLarge."""
    filled: list[str] = []
    left = MAX_FILLED_CHARS
    for part in parts:
        filled.append(part if isinstance(part, str) else _show(value_of(part.name), quoted=part.quoted))
        left -= len(filled[-1])
        if left < 0:
            raise InputTooLarge
    text = "".join(filled)
    if not as_json:
        return text
    try:
        return encode(decode(text))
    except MalformedJson:
        return text  # text of an event that is not escaped breaks it; the target sees what AWS would send


def find_key(parts: Parts) -> Variable | None:
    """A variable that is the name of a member, outside of quotes."""
    for part, after in itertools.pairwise(parts):
        if isinstance(part, Variable) and not part.quoted and isinstance(after, str) and _KEY_END.match(after):
            return part
    return None


def sample_of(parts: Parts) -> str:
    """The template with any values."""
    return "".join(part if isinstance(part, str) else ("x" if part.quoted else "0") for part in parts)


def is_json(template: str) -> bool:
    """Whether a template is a JSON object."""
    return template.lstrip().startswith("{")


def _split(template: str, placeholder: re.Pattern[str]) -> Iterator[str | Variable]:
    at, quoted = 0, False
    for found in placeholder.finditer(template):
        text = template[at : found.start()]
        if text:
            yield text
        quoted = _ends_quoted(text, quoted=quoted)
        yield Variable(found[1], quoted)
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
