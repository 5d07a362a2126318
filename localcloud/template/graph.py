"""The resources of a stack in the order in which they can be made.

Owns conditions applied to resources, the dependencies that references and DependsOn make, and circles named. Knows
nothing of handlers. A reference in the branch of `Fn::If` that is not taken makes no dependency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.intrinsics import evaluate_condition, find_function, resolve, sub_names
from localcloud.template.scope import Scope

__all__ = ["Graph", "Node", "build_graph"]

MAX_RESOURCES: Final = 500  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_OUTPUTS: Final = 200  # same page

_LOGICAL_ID: Final = re.compile(r"[A-Za-z0-9]+")
_ATTRIBUTES: Final = frozenset({
    "Condition", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "Properties", "Type", "UpdatePolicy",
    "UpdateReplacePolicy",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One resource to make: `properties` and `metadata` as written, `policies` its DeletionPolicy and the like."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    policies: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """`nodes` by logical id, each after all that it needs; `scope` knows which resources there are.

    `nested`: the graphs of nested stacks by logical id, as far as they are known before anything is made.
    """

    nodes: Mapping[str, Node]
    scope: Scope
    outputs: Mapping[str, Any]
    nested: Mapping[str, Graph] = field(default_factory=dict[str, "Graph"])


def build_graph(body: Mapping[str, Any], scope: Scope) -> Graph:
    """The graph of a CloudFormation template. Raises TemplateError for unknown names, wrong shapes and circles."""
    declared = _declared(body)
    for name in scope.conditions:
        scope.condition(name, f"Conditions.{name}", evaluate_condition)
    kept = {name: entry for name, entry in declared.items() if _holds(entry, scope, f"Resources.{name}")}
    inner = replace(scope, resources={name: str(entry["Type"]) for name, entry in kept.items()})
    walker = _Walker(inner, frozenset(declared))
    nodes = {name: _make_node(name, entry, walker) for name, entry in kept.items()}
    outputs = _outputs(body, walker)
    return Graph(nodes=_sort(nodes), scope=inner, outputs=outputs)


def _declared(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    resources: Any = body.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise TemplateError("at least one resource is needed", where="Resources")
    found = cast("dict[str, Any]", resources)
    if len(found) > MAX_RESOURCES:
        raise TemplateError(f"has {len(found)} entries, CloudFormation takes {MAX_RESOURCES}", where="Resources")
    for name, entry in found.items():
        _check_entry(name, entry)
    return found


def _check_entry(name: str, entry: Any) -> None:
    where = f"Resources.{name}"
    if not _LOGICAL_ID.fullmatch(name):
        raise TemplateError("a logical id has letters and digits only", where=where)
    if not isinstance(entry, dict) or not isinstance(cast("dict[str, Any]", entry).get("Type"), str):
        raise TemplateError("every resource must be a map with a Type", where=where)
    fields = cast("dict[str, Any]", entry)
    if unknown := sorted(set(fields) - _ATTRIBUTES):
        raise TemplateError(f"{unknown[0]} is no attribute of a resource", where=where)
    for part in ("Properties", "Metadata"):
        if not isinstance(fields.get(part) or {}, dict):
            raise TemplateError("must be a map", where=join_path(where, part))


def _holds(entry: Mapping[str, Any], scope: Scope, where: str) -> bool:
    if "Condition" not in entry:
        return True
    if not isinstance(entry["Condition"], str):
        raise TemplateError("must be the name of a condition", where=f"{where}.Condition")
    return scope.condition(entry["Condition"], f"{where}.Condition", evaluate_condition)


def _make_node(name: str, entry: Mapping[str, Any], walker: _Walker) -> Node:
    where = f"Resources.{name}"
    explicit: Any = entry.get("DependsOn") or []
    needs: dict[str, None] = {}
    for other in cast("list[Any]", explicit) if isinstance(explicit, list) else [explicit]:
        if str(other) not in walker.declared:
            raise TemplateError(f"{other} is no resource of this stack", where=f"{where}.DependsOn")
        if str(other) in walker.scope.resources:  # a dependency on a resource that its condition leaves out is no error
            needs[str(other)] = None
    for other in walker.walk(entry.get("Properties") or {}, f"{where}.Properties"):
        needs[other] = None
    policies = {key: _policy(entry[key], walker.scope, f"{where}.{key}") for key in sorted(_POLICIES) if key in entry}
    return Node(
        logical_id=name,
        type=str(entry["Type"]),
        properties=entry.get("Properties") or {},
        metadata=entry.get("Metadata") or {},
        policies=policies,
        needs=tuple(needs),
    )


def _policy(value: Any, scope: Scope, path: str) -> Any:
    """A function in the place of a policy's word is one of the language extensions."""
    return resolve(value, scope, path) if scope.extensions and find_function(value) is not None else value


_POLICIES: Final = {"CreationPolicy", "DeletionPolicy", "UpdatePolicy", "UpdateReplacePolicy"}


def _outputs(body: Mapping[str, Any], walker: _Walker) -> dict[str, Any]:
    declared: Any = body.get("Outputs") or {}
    if not isinstance(declared, dict):
        raise TemplateError("must be a map", where="Outputs")
    entries = cast("dict[str, Any]", declared)
    if len(entries) > MAX_OUTPUTS:
        raise TemplateError(f"has {len(entries)} entries, CloudFormation takes {MAX_OUTPUTS}", where="Outputs")
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        where = f"Outputs.{name}"
        if not isinstance(entry, dict) or "Value" not in entry:
            raise TemplateError("must be a map with a Value", where=where)
        fields = cast("dict[str, Any]", entry)
        if _holds(fields, walker.scope, where):
            list(walker.walk({key: fields[key] for key in ("Value", "Export") if key in fields}, where))
            found[name] = fields
    return found


@dataclass(frozen=True, slots=True)
class _Walker:
    """Finds the resources that a value refers to."""

    scope: Scope
    declared: frozenset[str]

    def walk(self, value: Any, path: str) -> Iterator[str]:
        """Logical ids in the order met, repeated ones too. Raises TemplateError for a name that means nothing."""
        if isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                yield from self.walk(item, join_path(path, index))
        elif isinstance(value, dict):
            items = cast("dict[str, Any]", value)
            function = find_function(items)
            if function is not None:
                yield from self._walk_function(function[0], function[1], join_path(path, function[0]))
            else:
                for key, item in items.items():
                    yield from self.walk(item, join_path(path, key))

    def _walk_function(self, name: str, argument: Any, path: str) -> Iterator[str]:
        if name == "Fn::If" and isinstance(argument, list) and len(cast("list[Any]", argument)) == 3:
            condition, then, otherwise = cast("list[Any]", argument)
            taken = then if self.scope.condition(str(condition), path, evaluate_condition) else otherwise
            yield from self.walk(taken, path)
        elif name == "Ref":
            yield from self._name(str(cast("object", argument)), path)
        elif name == "Fn::GetAtt":
            parts: list[Any] = ["" if argument is None else argument]
            if isinstance(argument, str):
                parts = argument.split(".", 1)
            elif isinstance(argument, list) and argument:
                parts = cast("list[Any]", argument)
            yield from self._name(str(parts[0]), path)
            yield from self.walk(parts[1:], path)
        else:
            if name == "Fn::Sub":
                for used in sub_names(argument):
                    yield from self._name(used.partition(".")[0], path)
            yield from self.walk(argument, path)

    def _name(self, name: str, path: str) -> Iterator[str]:
        if name in self.scope.resources:
            yield name
        elif name in self.declared:
            raise TemplateError(f"{name} is left out by its condition", where=path)
        elif name not in self.scope.parameters and not name.startswith("AWS::"):
            raise TemplateError(f"{name} is no parameter, and no resource of this stack", where=path)


def _sort(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Every node after what it needs, else in the template's order. Raises TemplateError with the circle's names."""
    found: dict[str, Node] = {}
    open_names: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found:
            return
        if name in open_names:
            names = list(open_names)
            circle = [*names[names.index(name) :], name]
            raise TemplateError(f"circular dependency between resources: {' -> '.join(circle)}", where="Resources")
        open_names[name] = None
        for other in nodes[name].needs:
            visit(other)
        del open_names[name]
        found[name] = nodes[name]

    for name in nodes:
        visit(name)
    return found
