"""The ledger: how true the local cloud is to this template, resource by resource and property by property.

Made from the handlers' tables alone, before anything is made. What no table names is refused, so nothing is accepted
and ignored. The rules for dotted names stand in `localcloud.template.handler`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from localcloud.template.graph import Graph, Node
from localcloud.template.handler import ResourceHandler, Support, Supported, TakesTime, find_handler
from localcloud.template.intrinsics import find_function, resolve_known
from localcloud.template.properties import scalar_text
from localcloud.template.refused import reason_of

__all__ = ["Ledger", "Line", "make_ledger"]

_POLICY_TABLE: Final[Mapping[str, Supported]] = {
    "CreationPolicy": Supported(Support.REFUSED, "no resource here waits for signals"),
    "DeletionPolicy": Supported(Support.PARTIAL, "what is kept after `down` is decided by --persist alone"),
    "UpdatePolicy": Supported(Support.PARTIAL, "a stack here is made anew, never updated"),
    "UpdateReplacePolicy": Supported(Support.PARTIAL, "a stack here is made anew, never updated"),
}
_HARMLESS: Final = {"DeletionPolicy": ("Delete",), "UpdateReplacePolicy": ("Delete",)}


@dataclass(frozen=True, slots=True)
class Line:
    """One fact. `property` is dotted, "" for the resource as a whole; `allowed`: refused, and the person said go on.

    `logical_id` is dotted for a resource of a nested stack.
    """

    logical_id: str
    type: str
    property: str
    support: Support
    reason: str = ""
    allowed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form of `sluiceway status --json`."""
        return {
            "resource": self.logical_id,
            "type": self.type,
            "property": self.property,
            "support": self.support.value,
            "reason": self.reason,
            "allowed": self.allowed,
        }

    def name(self) -> str:
        """What it is about, as `--allow` takes it: `JobsQueue.FifoQueue`."""
        return f"{self.logical_id}.{self.property}" if self.property else self.logical_id

    def __str__(self) -> str:
        """`refused  JobsQueue.FifoQueue (AWS::SQS::Queue): reason`."""
        said = f": {self.reason}" if self.reason else ""
        mark = "allowed" if self.allowed else self.support.value
        return f"{mark:<9} {self.name()} ({self.type}){said}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every line of a stack. `refused` is empty where the stack may start; `unused`: what was allowed in vain."""

    lines: tuple[Line, ...]
    unused: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Line, ...]:
        """Lines that end the start: refused and not allowed."""
        return tuple(line for line in self.lines if line.support is Support.REFUSED and not line.allowed)

    def of(self, logical_id: str) -> tuple[Line, ...]:
        """The lines of one resource."""
        return tuple(line for line in self.lines if line.logical_id == logical_id)

    def to_json(self) -> list[dict[str, Any]]:
        """Every line, in the template's order."""
        return [line.to_json() for line in self.lines]

    def summary(self) -> str:
        """`27 served, 3 delegated, 4 partial, 0 refused`; allowed ones are counted apart where there are any."""
        counts = Counter("allowed" if line.allowed else line.support.value for line in self.lines)
        shown = [f"{counts[support.value]} {support.value}" for support in Support]
        return ", ".join([*shown, f"{counts['allowed']} allowed"] if counts["allowed"] else shown)

    def text(self) -> str:
        """For a terminal: the counts, then everything that is not plainly served, the gravest first; alike once."""
        order = {Support.REFUSED: 0, Support.PARTIAL: 1, Support.DELEGATED: 2}
        shown = [line for line in self.lines if line.support in order and (line.reason or line.support in _GRAVE)]
        shown.sort(key=lambda line: order[line.support])
        idle = (f"--allow {name}: nothing of that name is refused" for name in self.unused)
        return "\n".join([f"ledger: {self.summary()}", *(f"  {entry}" for entry in (*idle, *_alike(shown)))])


_GRAVE: Final = (Support.REFUSED, Support.PARTIAL)


def _alike(lines: Iterable[Line]) -> Iterator[str]:
    """Lines that say the same of several resources of one type, once with all their names."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        key = (line.type, line.property, line.support.value, line.reason, str(line.allowed))
        groups.setdefault(key, []).append(line)
    for group in groups.values():
        first = group[0]
        others = f" [and {', '.join(line.logical_id for line in group[1:])}]" if len(group) > 1 else ""
        yield f"{first}{others}"


def make_ledger(graph: Graph, handlers: Mapping[str, ResourceHandler], *, allow: Iterable[str] = ()) -> Ledger:
    """The ledger of a stack. `allow`: `Type`, `Type.Property`, `LogicalId` or `LogicalId.Property` to go on with.

    A name without a property allows all that is refused of it. Raises TemplateError where properties make no sense.
    """
    names = dict.fromkeys(allow)
    lines = list(_graph_lines(graph, handlers))
    refused = [line for line in lines if line.support is Support.REFUSED]
    unused = tuple(name for name in names if not any(name in _names(line) for line in refused))
    return Ledger(tuple(_allow(line, names) if line.support is Support.REFUSED else line for line in lines), unused)


def _graph_lines(graph: Graph, handlers: Mapping[str, ResourceHandler], prefix: str = "") -> Iterator[Line]:
    """The lines of every resource, those of a nested stack after its own, by dotted ids (`Child.Queue`)."""
    for node in graph.nodes.values():
        for line in _lines(node, graph, find_handler(handlers, node.type)):
            yield replace(line, logical_id=f"{prefix}{line.logical_id}")
        if node.logical_id in graph.nested:
            yield from _graph_lines(graph.nested[node.logical_id], handlers, f"{prefix}{node.logical_id}.")


def _allow(line: Line, allowed: Container[str]) -> Line:
    return _as_allowed(line) if any(name in allowed for name in _names(line)) else line


def _names(line: Line) -> list[str]:
    """What allows a refused line: its type or its id, or either with the property or one around it."""
    parts = line.property.split(".") if line.property else []
    inner = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return [
        name
        for owner in (line.type, line.logical_id)
        for name in (owner, *(f"{owner}.{property_}" for property_ in inner))
    ]


def _as_allowed(line: Line) -> Line:
    return Line(line.logical_id, line.type, line.property, line.support, line.reason, allowed=True)


def _lines(node: Node, graph: Graph, handler: ResourceHandler | None) -> Iterator[Line]:
    if handler is None:
        reason = reason_of(node.type)
        yield Line(node.logical_id, node.type, "", Support.REFUSED, reason)
        return
    yield Line(node.logical_id, node.type, "", handler.support.support, handler.support.reason)
    if handler.support.support is Support.REFUSED:
        return
    for name, value in node.policies.items():
        if value not in _HARMLESS.get(name, ()) and not (name == "DeletionPolicy" and isinstance(handler, TakesTime)):
            entry = _POLICY_TABLE[name]
            yield Line(node.logical_id, node.type, name, entry.support, entry.reason)
    values = resolve_known(dict(node.properties), graph.scope, f"Resources.{node.logical_id}.Properties")
    seen: set[Line] = set()
    for name, entry in _judge(values, handler.properties):
        line = Line(node.logical_id, node.type, name, entry.support, entry.reason)
        if line not in seen:
            seen.add(line)
            yield line


def _judge(
    values: Mapping[str, Any], table: Mapping[str, Supported], *, prefix: str = "", above: Supported | None = None
) -> Iterator[tuple[str, Supported]]:
    """Each property of a map and what the table says of it; `above` is what its parent's own entry says."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        entry = table.get(name, above)
        nested = any(other.startswith(f"{name}.") for other in table)
        maps = [item for item in _maps(value) if item] if nested else []
        if not maps:
            yield name, _weigh(name, value, entry, partly=nested)
            continue
        if name in table:
            yield name, table[name]
        for item in maps:
            yield from _judge(item, table, prefix=f"{name}.", above=entry)


def _maps(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _maps(item)
    elif isinstance(value, dict) and find_function(cast("dict[str, Any]", value)) is None:
        yield cast("dict[str, Any]", value)


def _weigh(name: str, value: Any, entry: Supported | None, *, partly: bool) -> Supported:
    if entry is None and partly and _is_hollow(value):
        return Supported()
    if entry is None:
        return Supported(Support.REFUSED, f"{name.rpartition('.')[2]} is not served here")
    if entry.values and find_function(value) is None and not _is_among(value, entry.values):
        served = ", ".join(str(scalar_text(item)) for item in entry.values)
        return Supported(Support.REFUSED, f"{entry.reason or 'not served here'} (is {value!r}, served: {served})")
    difference = entry.differs(value) if entry.differs and isinstance(value, str) else ""
    return Supported(Support.PARTIAL, difference) if difference else entry


def _is_hollow(value: Any) -> bool:
    """Whether there is nothing in it that could be served or refused."""
    if isinstance(value, list):
        return all(_is_hollow(item) for item in cast("list[Any]", value))
    return value is None or value == {}


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    texts = {scalar_text(item) for item in values}
    return all(find_function(item) is not None or item in values or scalar_text(item) in texts for item in items)
