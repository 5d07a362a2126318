"""What is put into a template before anything else reads it: `AWS::Include` of a local file, and `Fn::ForEach`.

CloudFormation runs includes inside resources before the SAM transform, and loops before it too where the language
extensions come first in `Transform`, as they must; so both are expanded here first.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-include.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.foreach import is_loop, repeat
from localcloud.template.intrinsics import resolve
from localcloud.template.scope import Scope
from localcloud.template.source import parse_template

__all__ = ["expand_includes"]

MAX_WRITTEN: Final = 10_000  # entries that all loops of a template write; ours
MAX_WRITTEN_CHARS: Final = 10 * 1024 * 1024  # of these entries together; ours, ten times what a template may have


def expand_includes(body: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """`body` with every include and every loop replaced by what it stands for. Locations are relative to the template.

    Raises TemplateError for other macros, for S3 locations, and for loops that are none or have no end.
    """
    expansion = _Expansion(scope)
    return cast("dict[str, Any]", expansion.expand(dict(body), ""))


class _Expansion:
    """One template; `left` is how much loops may still write."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._left = MAX_WRITTEN
        self._left_chars = MAX_WRITTEN_CHARS

    def expand(self, value: Any, path: str) -> Any:
        """`value` with includes and loops replaced."""
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return [self.expand(item, join_path(path, index)) for index, item in enumerate(items)]
        if not isinstance(value, dict):
            return value
        entries = cast("dict[str, Any]", value)
        found: dict[str, Any] = {}
        for key, item in entries.items():
            if is_loop(key):
                self._repeat(key, item, found, path=path)
            elif key != "Fn::Transform":
                found[key] = self.expand(item, join_path(path, key))
        return _merge(entries["Fn::Transform"], found, self._scope, path=path) if "Fn::Transform" in entries else found

    def _repeat(self, key: str, item: Any, found: dict[str, Any], *, path: str) -> None:
        where = join_path(path, key)
        if not self._scope.extensions:
            raise TemplateError("Fn::ForEach needs Transform: AWS::LanguageExtensions", where=where)
        for name, value in repeat(key, item, resolve=lambda given, at: resolve(given, self._scope, at), path=where):
            self._left -= 1
            if self._left < 0:
                raise TemplateError(f"loops write more than {MAX_WRITTEN} entries", where=where)
            self._left_chars -= len(json.dumps(value, ensure_ascii=False, default=str))
            if self._left_chars < 0:
                raise TemplateError(f"loops write more than {MAX_WRITTEN_CHARS} characters", where=where)
            written = self.expand({name: value}, path)
            if twice := sorted(set(written) & set(found)):
                raise TemplateError(f"writes {twice[0]} twice", where=where)
            found.update(written)


def _merge(call: Any, beside: dict[str, Any], scope: Scope, *, path: str) -> Any:
    included = _include(call, scope, join_path(path, "Fn::Transform"))
    if not beside:
        return included
    if not isinstance(included, dict):
        raise TemplateError("the included file must hold a map to stand beside other keys", where=path)
    return {**cast("dict[str, Any]", included), **beside}


def _include(call: Any, scope: Scope, path: str) -> Any:
    named = cast("dict[str, Any]", call) if isinstance(call, dict) else {}
    if named.get("Name") != "AWS::Include":
        raise TemplateError(f"the macro {named.get('Name', call)} is not served here", where=path)
    parameters: Any = named.get("Parameters")
    location = cast("dict[str, Any]", parameters).get("Location") if isinstance(parameters, dict) else None
    place = resolve(location, scope, join_path(path, "Parameters.Location"))
    if not isinstance(place, str) or not place or place.startswith("s3://"):
        raise TemplateError(f"Location must be a local file, is {place!r}", where=path)
    file = Path(scope.context.base, place)
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{place} cannot be read: {error}", where=path) from error
    return parse_template(text, name=place)
