"""Nested stacks: the template that a resource of the outer one names, and the parameters that it gives.

Owns where such a template may be: on this machine, as a path relative to the outer one's folder.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stack.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.handler import StackContext
from localcloud.template.intrinsics import find_function
from localcloud.template.properties import scalar_text
from localcloud.template.source import Source, read_template

__all__ = ["MAX_NESTING", "Child", "open_child"]

MAX_NESTING: Final = 10  # ours: a template that names itself has no end
MAX_NAME_CHARS: Final = 128  # CloudFormation: StackName
_ELSEWHERE: Final = ("http://", "https://", "s3://")


@dataclass(frozen=True, slots=True)
class Child:
    """A nested stack before it is prepared. `pending`: parameters whose values wait for a resource."""

    source: Source
    context: StackContext
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: frozenset[str] = frozenset()


def open_child(logical_id: str, properties: Mapping[str, Any], outer: StackContext) -> Child:
    """Read what a nested stack is made of. Raises TemplateError that names the property, or the file."""
    where = f"Resources.{logical_id}.Properties"
    place = properties.get("TemplateURL")
    if not isinstance(place, str) or not place:
        raise TemplateError("must be text that is known before anything is made", where=f"{where}.TemplateURL")
    if place.startswith(_ELSEWHERE):
        said = f"must be a file on this machine, as a path beside the template; {place} is elsewhere"
        raise TemplateError(said, where=f"{where}.TemplateURL")
    path = Path(outer.base, place)
    name = f"{outer.stack_name}-{logical_id}"[:MAX_NAME_CHARS]
    parameters, pending = _parameters(properties.get("Parameters") or {}, f"{where}.Parameters")
    context = replace(outer, stack_name=name, base=path.parent.resolve())
    return Child(read_template(path), context, parameters, pending)


def _parameters(given: Any, where: str) -> tuple[dict[str, str], frozenset[str]]:
    if not isinstance(given, dict):
        raise TemplateError("must be a map", where=where)
    values: dict[str, str] = {}
    pending: set[str] = set()
    for name, value in cast("dict[str, Any]", given).items():
        text = scalar_text(value)
        if find_function(value) is not None:
            pending.add(name)
        elif text is None:
            raise TemplateError("must be text; a list is joined with commas", where=join_path(where, name))
        else:
            values[name] = text
    return values, frozenset(pending)
