"""References within a JSON Schema: what they name, and the circles that may not be.

A record may be nested as deep as its sender likes. A definition that refers to itself follows it, a step for each
level, unless a level leads back in two ways: then each doubles the steps. Such a schema is refused beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

__all__ = ["Node", "find_definition", "find_doubling", "find_endless"]

Node: TypeAlias = bool | dict[str, Any]
"""A schema or one of its parts."""

_GROUPS: Final = ("$defs", "definitions")
_ALONE: Final = ("else", "if", "not", "then")
_BOTH: Final = ("contains", "propertyNames")
_LISTS: Final = ("allOf", "anyOf", "oneOf")


def find_definition(root: Mapping[str, Any], ref: str) -> Node | None:
    """What `#/definitions/<name>` or `#/$defs/<name>` names in the schema, None where it names nothing."""
    parts = ref.split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in _GROUPS:
        return None
    return cast("Mapping[str, Node]", root.get(parts[1]) or {}).get(parts[2])


def find_endless(root: Mapping[str, Any]) -> str:
    """The definition that comes back to itself while one value is looked at, "" for none."""
    edges = {place: set(_refers_at_once(node)) for place, node in _definitions(root).items()}
    edges["#"] = set(_refers_at_once(dict(root)))
    done: set[str] = set()
    while True:  # take away what refers to nothing that is left
        found = {place for place, others in edges.items() if place not in done and others <= done}
        if not found:
            return min(set(edges) - done, default="")
        done |= found


def find_doubling(root: Mapping[str, Any]) -> str:
    """The definition that one of its own levels leads back to in two ways, "" for none."""
    definitions = _definitions(root)
    edges = {place: set(_references(node)) for place, node in definitions.items()}
    reach = {place: _close(edges, place) for place in edges}
    for place, node in definitions.items():
        circle = {other for other in reach[place] if place in reach.get(other, ())}
        if any(_leads_twice(part, circle) for part in _dicts(node)):
            return place
    return ""


def count_looks(root: Mapping[str, Any]) -> int:
    """How often one value, with what lies within it, may be held against something; what comes back counts once.

    Definitions that each lead to the next in two ways double that with each of them: for thirty it takes days. Raises
    RecursionError for a chain of very many.
    """
    definitions = _definitions(root)
    known: dict[str, int] = {}

    def look(node: Node) -> int:
        if isinstance(node, bool):
            return 1
        ref = str(node.get("$ref", ""))
        if ref in definitions and ref not in known:
            known[ref] = 0
            known[ref] = look(definitions[ref])
        both, either = _parts_within(node)
        most = [max(map(look, parts), default=0) for parts in either]
        return 1 + known.get(ref, 0) + sum(map(look, [*_parts_at_once(node), *both])) + sum(most)

    return look(dict(root))


def _parts_within(node: dict[str, Any]) -> tuple[list[Node], tuple[list[Node], list[Node]]]:
    """Parts that members or items are held against: all of those that may be, and one each of members and of items."""
    items = node.get("items", True)
    members = [*node.get("properties", {}).values(), node.get("additionalProperties", True)]
    elements = [*(cast("list[Node]", items) if isinstance(items, list) else [items]), node.get("additionalItems", True)]
    both = [*node.get("patternProperties", {}).values(), *(node[name] for name in _BOTH if name in node)]
    return both, (members, elements)


def _definitions(root: Mapping[str, Any]) -> dict[str, Node]:
    return {f"#/{group}/{name}": node for group in _GROUPS for name, node in root.get(group, {}).items()}


def _close(edges: Mapping[str, set[str]], place: str) -> set[str]:
    """What can be come to from a definition, itself only where it is in a circle."""
    found: set[str] = set()
    todo = list(edges[place])
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += edges.get(each, ())
    return found


def _leads_twice(node: Mapping[str, Any], circle: set[str]) -> bool:
    """Whether two parts, which may both look at the same value, lead into the circle."""
    same = _parts_at_once(dict(node))
    members = [*node.get("patternProperties", {}).values(), node.get("properties", {})]
    items = [node.get("items", {}), node.get("contains", {})]
    return any(sum(not circle.isdisjoint(_references(part)) for part in group) > 1 for group in (same, members, items))


def _parts_at_once(node: dict[str, Any]) -> list[Node]:
    """The parts that a value itself is held against."""
    parts: list[Node] = [part for keyword in _LISTS for part in node.get(keyword, ())]
    parts += [node[keyword] for keyword in _ALONE if keyword in node]
    return parts + [part for part in node.get("dependencies", {}).values() if not isinstance(part, list)]


def _refers_at_once(node: Node) -> Iterator[str]:
    """What a value is held against where it is held against this."""
    if isinstance(node, bool):
        return
    if "$ref" in node:
        yield str(node["$ref"])
    for part in _parts_at_once(node):
        yield from _refers_at_once(part)


def _references(value: object) -> Iterator[str]:
    """Every reference within."""
    for part in _dicts(value):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]


def _dicts(value: object) -> Iterator[Mapping[str, Any]]:
    """Every object within, itself included."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        yield members
        for each in members.values():
            yield from _dicts(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _dicts(each)
