"""Avro schemas as trees with their names resolved: what compatibility is decided on.

Knows every type of the specification; what it does not know it refuses. A record that contains itself is one node.
Source: https://avro.apache.org/docs/1.12.0/specification/#schema-declaration
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

__all__ = ["AvroFault", "AvroField", "AvroNode", "read_avro"]

PRIMITIVES: Final = ("boolean", "bytes", "double", "float", "int", "long", "null", "string")
NAMED: Final = ("enum", "fixed", "record")
MAX_DEPTH: Final = 40
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LOGICAL: Final = ("logicalType", "precision", "scale")


class AvroFault(Exception):
    """What is wrong in a schema, with its place."""


@dataclass(slots=True)
class AvroField:
    """A field of a record. `has_default`: whoever reads may do without it."""

    name: str
    node: AvroNode
    has_default: bool
    default: object
    aliases: tuple[str, ...]


@dataclass(slots=True)
class AvroNode:
    """One type. `branches`: of a union; `items`: of an array or a map; `logical`: what is read into the bytes."""

    kind: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    fields: list[AvroField] = field(default_factory=list[AvroField])
    branches: list[AvroNode] = field(default_factory=list["AvroNode"])
    items: AvroNode | None = None
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0
    logical: tuple[object, ...] = (None, None, None)

    def children(self) -> Iterator[AvroNode]:
        """The types within."""
        yield from (each.node for each in self.fields)
        yield from self.branches
        if self.items is not None:
            yield self.items


def read_avro(document: object) -> AvroNode:
    """The tree of a parsed schema. Raises AvroFault."""
    return _Reading().read(document, "", "schema", depth=0)


class _Reading:
    def __init__(self) -> None:
        self._named: dict[str, AvroNode] = {}

    def read(self, raw: object, namespace: str, place: str, *, depth: int) -> AvroNode:
        """Raises AvroFault."""
        if depth > MAX_DEPTH:
            raise AvroFault(f"{place}: is nested more than {MAX_DEPTH} deep")
        if isinstance(raw, str):
            return self._by_name(raw, namespace, place)
        if isinstance(raw, list):
            return self._union(cast("Sequence[object]", raw), namespace, place, depth=depth + 1)
        if isinstance(raw, dict):
            return self._complex(cast("Mapping[str, Any]", raw), namespace, place, depth=depth)
        raise AvroFault(f"{place}: must be a type")

    def _complex(self, schema: Mapping[str, Any], namespace: str, place: str, *, depth: int) -> AvroNode:
        kind: object = schema.get("type")
        if isinstance(kind, (dict, list)):
            return self.read(cast("object", kind), namespace, place, depth=depth + 1)
        if kind in NAMED:
            return self._declare(cast("str", kind), schema, namespace, place=place, depth=depth + 1)
        if kind in {"array", "map"}:
            inner = "items" if kind == "array" else "values"
            return AvroNode(
                str(kind), items=self.read(schema.get(inner), namespace, f"{place}.{inner}", depth=depth + 1)
            )
        if kind in PRIMITIVES:
            return AvroNode(str(kind), logical=_logical(schema))
        return self._by_name(str(kind), namespace, place)

    def _by_name(self, name: str, namespace: str, place: str) -> AvroNode:
        if name in PRIMITIVES:
            return AvroNode(name)
        found = self._named.get(_full(name, namespace)) or self._named.get(name)
        if found is None:
            raise AvroFault(f"{place}: there is no type {name[:100]!r}")
        return found

    def _union(self, raw: Sequence[object], namespace: str, place: str, *, depth: int) -> AvroNode:
        branches = [self.read(each, namespace, f"{place}[{index}]", depth=depth) for index, each in enumerate(raw)]
        if not branches or any(branch.kind == "union" for branch in branches):
            raise AvroFault(f"{place}: a union has types, and none of them is a union")
        told = [(branch.kind, branch.name) for branch in branches]
        if len(set(told)) != len(told):
            raise AvroFault(f"{place}: a union has each type once")
        return AvroNode("union", branches=branches)

    def _declare(self, kind: str, schema: Mapping[str, Any], namespace: str, *, place: str, depth: int) -> AvroNode:
        name = schema.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise AvroFault(f"{place}.name: must be letters, digits and _, and no digit first")
        own: object = schema.get("namespace", namespace)
        full = _full(name, own if isinstance(own, str) else "")
        if full in self._named:
            raise AvroFault(f"{place}.name: {full} is declared twice")
        within = full.rpartition(".")[0]
        aliases = tuple(_full(alias, within) for alias in _texts(schema.get("aliases", []), f"{place}.aliases"))
        node = self._named[full] = AvroNode(kind, name=full, aliases=aliases, logical=_logical(schema))
        if kind == "record":
            node.fields = self._fields(schema.get("fields"), within, place, depth=depth)
        elif kind == "enum":
            node.symbols = _texts(schema.get("symbols"), f"{place}.symbols")
            node.default = schema.get("default")
            if len(set(node.symbols)) != len(node.symbols) or not node.symbols:
                raise AvroFault(f"{place}.symbols: each symbol once, and at least one")
            if node.default is not None and node.default not in node.symbols:
                raise AvroFault(f"{place}.default: must be one of the symbols")
        else:
            size: object = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise AvroFault(f"{place}.size: must be a whole number from 0 on")
            node.size = size
        return node

    def _fields(self, raw: object, namespace: str, place: str, *, depth: int) -> list[AvroField]:
        if not isinstance(raw, list):
            raise AvroFault(f"{place}.fields: must be a list")
        fields: list[AvroField] = []
        for index, each in enumerate(cast("list[object]", raw)):
            entry: Mapping[str, Any] = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
            name: object = entry.get("name")
            at = f"{place}.fields[{index}]"
            if not isinstance(name, str) or not _NAME.fullmatch(name) or "." in name:
                raise AvroFault(f"{at}.name: must be letters, digits and _, and no digit first")
            node = self.read(entry.get("type"), namespace, f"{at}.type", depth=depth)
            aliases = _texts(entry.get("aliases", []), f"{at}.aliases")
            fields.append(AvroField(name, node, "default" in entry, entry.get("default"), aliases))
        names = [name for each in fields for name in (each.name, *each.aliases)]
        if len(set(names)) != len(names):
            raise AvroFault(f"{place}.fields: each name and alias once")
        return fields


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _texts(raw: object, place: str) -> tuple[str, ...]:
    items = cast("list[object]", raw) if isinstance(raw, list) else [None]
    if not all(isinstance(item, str) and _NAME.fullmatch(item) for item in items):
        raise AvroFault(f"{place}: must be a list of names")
    return tuple(cast("list[str]", items))


def _logical(schema: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(schema.get(name) for name in _LOGICAL)
