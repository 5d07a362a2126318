"""What hangs on conditions of the template, seen whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def branches(value: Any) -> Iterator[Any]:
    """What a value can be, one by one: the members of lists, both sides of `Fn::If`, nothing of `AWS::NoValue`."""
    if isinstance(value, list):
        for each in value:
            yield from branches(each)
    elif isinstance(value, dict) and not value.keys().isdisjoint({"Fn::If", "If"}):  # as JSON, as a tag of YAML
        yield from branches(next(iter(value.values()))[1:])
    elif value != {"Ref": "AWS::NoValue"}:
        yield value
