"""`Fn::ForEach` of AWS::LanguageExtensions: a piece of a map, written once for every member of a collection.

Pure: text and maps in, maps out. `${Name}` and `{"Ref": "Name"}` become the member, `&{Name}` the member without what
is no letter or digit.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.properties import scalar_text

__all__ = ["FOR_EACH", "is_loop", "repeat"]

FOR_EACH: Final = "Fn::ForEach::"
MAX_MEMBERS: Final = 500  # of one collection; ours, as many as a template has resources
MAX_PUT_CHARS: Final = 1024 * 1024  # that one member may put into the map; ours, as much as a whole template
_NAME: Final = re.compile(r"[A-Za-z0-9]+")

Resolve = Callable[[Any, str], Any]
"""A collection's value, given with its path. Raises TemplateError."""


def is_loop(key: str) -> bool:
    """Whether a key of a map is a loop."""
    return key.startswith("Fn::ForEach")


def repeat(key: str, argument: Any, *, resolve: Resolve, path: str) -> Iterator[tuple[str, Any]]:
    """The keys and values that a loop stands for; loops inside it are left as loops, with the member put in.

    Raises TemplateError for what is no loop.
    """
    if not _NAME.fullmatch(key.removeprefix(FOR_EACH)) or not key.startswith(FOR_EACH):
        raise TemplateError("is written Fn::ForEach::Name, with letters and digits", where=path)
    parts = cast("list[Any]", argument) if isinstance(argument, list) else []
    if len(parts) != 3 or not isinstance(parts[0], str) or not isinstance(parts[2], dict):
        raise TemplateError("takes an identifier, a collection, and a map to repeat", where=path)
    identifier, body = parts[0], cast("dict[str, Any]", parts[2])
    if not _NAME.fullmatch(identifier):
        raise TemplateError("an identifier has letters and digits only", where=join_path(path, 0))
    if not any(is_loop(name) or _mentions(name, identifier) for name in body):
        raise TemplateError(f"a key of the map must have ${{{identifier}}} or &{{{identifier}}} in it", where=path)
    written = json.dumps(body, ensure_ascii=False, default=str)
    places = written.count(f"{{{identifier}}}") + written.count(f'"{identifier}"')
    for member in _members(resolve(parts[1], join_path(path, 1)), join_path(path, 1)):
        if places * len(member) > MAX_PUT_CHARS:
            raise TemplateError(f"a member puts more than {MAX_PUT_CHARS} characters into the map", where=path)
        for name, value in body.items():
            yield _fill(name, identifier, member), _put(value, identifier, member)


def _members(found: Any, path: str) -> list[str]:
    if not isinstance(found, list):
        raise TemplateError("the collection must be a list", where=path)
    texts = [scalar_text(item) for item in cast("list[Any]", found)]
    if None in texts:
        raise TemplateError("the collection must hold text", where=path)
    if len(texts) > MAX_MEMBERS:
        raise TemplateError(f"the collection has {len(texts)} members, {MAX_MEMBERS} are taken", where=path)
    return list(dict.fromkeys(text for text in texts if text is not None))


def _mentions(text: str, identifier: str) -> bool:
    return f"${{{identifier}}}" in text or f"&{{{identifier}}}" in text


def _fill(text: str, identifier: str, member: str) -> str:
    bare = re.sub(r"[^A-Za-z0-9]", "", member)
    return text.replace(f"${{{identifier}}}", member).replace(f"&{{{identifier}}}", bare)


def _put(value: Any, identifier: str, member: str) -> Any:
    if isinstance(value, str):
        return _fill(value, identifier, member)
    if isinstance(value, list):
        return [_put(item, identifier, member) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("Mapping[str, Any]", value)
    if dict(items) == {"Ref": identifier}:
        return member
    return {_fill(key, identifier, member): _put(item, identifier, member) for key, item in items.items()}
