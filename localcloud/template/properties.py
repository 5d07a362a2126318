"""Typed reading of resolved resource properties, for handlers.

CloudFormation converts scalars to the type that a property has: `"30"` and `30`, `"true"` and `true` are the same to
it, and a `Ref` to a Number parameter is text. So handlers never read a scalar raw, they ask here.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.handler import Resource

__all__ = ["Properties", "json_text", "read_properties", "scalar_text"]

T = TypeVar("T")


def scalar_text(value: object) -> str | None:
    """The text that CloudFormation makes of a scalar; None for lists, maps and null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, Decimal)):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def json_text(value: object) -> str:
    """A property that is JSON, as an API takes it: the text itself, or what CloudFormation has a map for."""
    return scalar_text(value) or json.dumps(value, separators=(",", ":"), default=_plain)


def read_properties(resource: Resource) -> Properties:
    """The properties of `resource`, ready to be read; errors name the logical id and the property."""
    return Properties(resource.properties, where=f"{resource.logical_id}.Properties")


class Properties:
    """One map of properties. Every reader raises TemplateError with the path of what it cannot read."""

    def __init__(self, values: Mapping[str, Any], *, where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def error(self, name: str, detail: str) -> TemplateError:
        """The error that names property `name`."""
        return TemplateError(detail, where=join_path(self.where, name) if name else self.where)

    def text(self, name: str, default: str | None = None) -> str:
        """A string; numbers and booleans become text. Required where `default` is None."""
        value = self.values.get(name)
        if value is None:
            return self._default(name, default)
        text = scalar_text(value)
        if text is None:
            raise self.error(name, f"must be text, is {_kind(value)}")
        return text

    def integer(self, name: str, default: int | None = None, *, low: int | None = None, high: int | None = None) -> int:
        """A whole number from `low` to `high`. Required where `default` is None."""
        if self.values.get(name) is None:
            return self._default(name, default)
        number = self.number(name)
        if not number.is_integer():
            raise self.error(name, f"must be a whole number, is {number}")
        self._bound(name, number, low=low, high=high)
        return int(number)

    def number(
        self, name: str, default: float | None = None, *, low: float | None = None, high: float | None = None
    ) -> float:
        """A number from `low` to `high`. Required where `default` is None."""
        value = self.values.get(name)
        if value is None:
            return self._default(name, default)
        text = None if isinstance(value, bool) else scalar_text(value)
        try:
            number = float(Decimal(text or ""))
        except (InvalidOperation, ValueError):  # the latter of a signalling NaN
            number = math.nan
        if not math.isfinite(number):
            raise self.error(name, f"must be a number, is {text or _kind(value)!r}")
        self._bound(name, number, low=low, high=high)
        return number

    def flag(self, name: str, default: bool | None = None) -> bool:  # noqa: FBT001 - the default of a boolean property
        """A boolean, also written as text. Required where `default` is None."""
        value = self.values.get(name)
        if value is None:
            return self._default(name, default)
        text = (scalar_text(value) or "").lower()
        if text not in {"true", "false"}:
            raise self.error(name, f"must be true or false, is {_kind(value)}")
        return text == "true"

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Text that is one of `choices`. Required where `default` is None."""
        text = self.text(name, default)
        if text not in choices:
            raise self.error(name, f"must be one of {', '.join(choices)}, is {text!r}")
        return text

    def items(self, name: str) -> list[Any]:
        """A list, [] where absent. As CloudFormation does, a lone value is not made a list."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(name, f"must be a list, is {_kind(value)}")
        return cast("list[Any]", value)

    def texts(self, name: str) -> list[str]:
        """A list of strings, [] where absent."""
        found: list[str] = []
        for index, value in enumerate(self.items(name)):
            text = scalar_text(value)
            if text is None:
                raise self.error(f"{name}[{index}]", f"must be text, is {_kind(value)}")
            found.append(text)
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        """A map, {} where absent."""
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(name, f"must be a map, is {_kind(value)}")
        return cast("dict[str, Any]", value)

    def text_map(self, name: str) -> dict[str, str]:
        """A map of strings (environment variables), {} where absent."""
        nested = self.nested(name)
        return {key: nested.text(key) for key in nested.values}

    def nested(self, name: str) -> Properties:
        """The map `name` as Properties of its own, empty where absent."""
        return Properties(self.mapping(name), where=join_path(self.where, name))

    def each(self, name: str) -> list[Properties]:
        """A list of maps, each as Properties, [] where absent."""
        found: list[Properties] = []
        for index, value in enumerate(self.items(name)):
            where = join_path(join_path(self.where, name), index)
            if not isinstance(value, dict):
                raise TemplateError(f"must be a map, is {_kind(value)}", where=where)
            found.append(Properties(cast("dict[str, Any]", value), where=where))
        return found

    def tags(self, name: str = "Tags") -> dict[str, str]:
        """`[{Key, Value}]` as a map."""
        return {tag.text("Key"): tag.text("Value") for tag in self.each(name)}

    def _default(self, name: str, default: T | None) -> T:
        if default is None:
            raise self.error(name, "is required")
        return default

    def _bound(self, name: str, number: float, *, low: float | None, high: float | None) -> None:
        if (low is not None and number < low) or (high is not None and number > high):
            raise self.error(name, f"must be from {low} to {high}, is {number:g}")


def _plain(value: object) -> int | float:
    """A number that JSON can write."""
    if not isinstance(value, Decimal):
        raise TypeError(f"no JSON for {type(value).__name__}")
    return int(value) if value == value.to_integral_value() else float(value)


def _kind(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a map" if isinstance(value, dict) else repr(value)
