"""What is put into a template before anything else reads it: `Fn::Transform` with `AWS::Include` of a local file.

CloudFormation runs includes inside resources before the SAM transform, so they are expanded here first.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-include.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.intrinsics import resolve
from localcloud.template.scope import Scope
from localcloud.template.source import parse_template

__all__ = ["expand_includes"]


def expand_includes(body: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """`body` with every include replaced by what its file holds. Locations are relative to the template's folder.

    Raises TemplateError for other macros, for S3 locations, and for Fn::ForEach.
    """
    return cast("dict[str, Any]", _expand(dict(body), scope, ""))


def _expand(value: Any, scope: Scope, path: str) -> Any:
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_expand(item, scope, join_path(path, index)) for index, item in enumerate(items)]
    if not isinstance(value, dict):
        return value
    entries = cast("dict[str, Any]", value)
    found: dict[str, Any] = {}
    for key, item in entries.items():
        if key.startswith("Fn::ForEach"):
            raise TemplateError("Fn::ForEach is not served here", where=join_path(path, key))
        if key != "Fn::Transform":
            found[key] = _expand(item, scope, join_path(path, key))
    return _merge(entries["Fn::Transform"], found, scope, path=path) if "Fn::Transform" in entries else found


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
