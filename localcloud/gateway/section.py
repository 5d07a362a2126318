"""Typed reading of a part of an OpenAPI body, which knows where it is: every complaint names its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from localcloud.gateway.errors import DefinitionError

__all__ = ["Section"]


class Section:
    """A mapping of the body, at the dotted path `where`."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def at(self, key: str) -> str:
        """The path of `key`."""
        return f"{self.where}.{key}" if self.where else key

    def error(self, key: str, detail: str) -> DefinitionError:
        """An error at `key`."""
        return DefinitionError(detail, where=self.at(key))

    def refuse_unknown(self, known: frozenset[str], *, only_prefix: str = "") -> None:
        """Raise DefinitionError for a key that is not `known` (and starts with `only_prefix`): nothing is ignored."""
        for key in self.values:
            if key not in known and key.lower().startswith(only_prefix):
                raise self.error(key, "is not served here")

    def refuse_unless(self, key: str, *allowed: object) -> None:
        """Raise DefinitionError where `key` is there with another value."""
        if key in self.values and self.values[key] not in allowed:
            shown = ", ".join(repr(each) for each in allowed) or "nothing"
            raise self.error(key, f"{self.values[key]!r} is not served here (only {shown})")

    def text(self, key: str, default: str = "") -> str:
        """A string. Raises DefinitionError."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.error(key, "must be a string")
        return value

    def whole(self, key: str, default: int) -> int:
        """An integer, which may be written as text. Raises DefinitionError."""
        value = self.values.get(key, default)
        try:
            return int(value)
        except (TypeError, ValueError) as error:
            raise self.error(key, f"must be a whole number, not {value!r}") from error

    def truth(self, key: str, *, default: bool = False) -> bool:
        """A boolean, which may be written as text. Raises DefinitionError."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise self.error(key, "must be true or false")

    def section(self, key: str) -> Section:
        """A mapping, empty where absent. Raises DefinitionError."""
        value: object = self.values.get(key) or {}
        if not isinstance(value, dict):
            raise self.error(key, "must be an object")
        return Section(cast("Mapping[str, Any]", value), self.at(key))

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Every entry as a mapping. Raises DefinitionError."""
        for key in self.values:
            yield str(key), self.section(key)

    def items(self, key: str) -> list[Any]:
        """A list, empty where absent. Raises DefinitionError."""
        value: object = self.values.get(key) or []
        if not isinstance(value, list):
            raise self.error(key, "must be a list")
        return cast("list[Any]", value)

    def texts(self, key: str) -> dict[str, str]:
        """A mapping of strings, empty where absent. Raises DefinitionError."""
        part = self.section(key)
        return {str(name): part.text(name) for name in part.values}
