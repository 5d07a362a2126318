"""From a template file to a stack that can be deployed: read, parameters, includes, translation, graph.

Owns the order of these steps, and what a stack is called. Knows nothing of handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from localcloud.services.contract import ACCOUNT_ID
from localcloud.template.errors import TemplateError
from localcloud.template.graph import Graph, build_graph
from localcloud.template.handler import NESTED_STACK, StackContext
from localcloud.template.include import expand_includes
from localcloud.template.intrinsics import resolve_known
from localcloud.template.nested import MAX_NESTING, open_child
from localcloud.template.parameters import Parameter, ParameterValue, read_parameters, resolve_parameters
from localcloud.template.quotas import StackRoom, check_quotas
from localcloud.template.references import check_references
from localcloud.template.rules import check_rules
from localcloud.template.scope import Scope
from localcloud.template.source import Source
from localcloud.template.translate import LANGUAGE_EXTENSIONS, translate

__all__ = ["Settled", "Stack", "prepare_child", "prepare_stack", "stack_context"]

DEFAULT_REGION: Final = "us-east-1"

_CODE_PATHS: Final = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}
_SECTIONS: Final = frozenset({
    "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Mappings", "Metadata", "Outputs", "Parameters",
    "Resources", "Rules", "Transform",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """What a person may decide about a deployment. `cache` is the folder of translations, None for none.

    `stored` reads an SSM parameter, `secrets` a dynamic reference by (service, key): None where nothing can.
    `pending`: parameters of a nested stack whose values are made later; `depth` counts the stacks around it, `room`
    those of the whole deployment.
    """

    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    exports: Mapping[str, str] = field(default_factory=dict[str, str])
    cache: Path | None = None
    stored: Callable[[str], str] | None = None
    secrets: Callable[[str, str], str] | None = None
    pending: frozenset[str] = frozenset()
    depth: int = 0
    room: StackRoom = field(default_factory=StackRoom)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack ready to be deployed. `cached`: what SAM makes of the template was remembered from an earlier start.

    `source` is the template as written, `body` as it is after every transform.
    """

    context: StackContext
    graph: Graph
    declared: Mapping[str, Parameter]
    metadata: Mapping[str, Any]
    cached: bool
    source: Source
    body: Mapping[str, Any]

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """Every parameter's value, those marked NoEcho as ****."""
        values = self.graph.scope.parameters
        return {name: "****" if self.declared[name].hidden else value for name, value in values.items()}


def stack_context(
    base: Path, *, stack_name: str = "sluiceway", region: str = DEFAULT_REGION, account_id: str = ACCOUNT_ID
) -> StackContext:
    """The context of a stack whose template lies in `base`; the partition follows from the Region."""
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return StackContext(stack_name=stack_name, region=region, account_id=account_id, partition=partition, base=base)


def prepare_stack(source: Source, context: StackContext, settled: Settled | None = None) -> Stack:
    """Make a stack of a template. Raises TemplateError for everything that CloudFormation or SAM would refuse."""
    settled = settled or Settled()
    if unknown := sorted(set(source.body) - _SECTIONS):
        raise TemplateError("this section is not served here", where=unknown[0])
    check_quotas(source.body)
    declared = read_parameters(source.body)
    values = resolve_parameters(declared, settled.parameters, stored=settled.stored, pending=settled.pending)
    outer = Scope(
        context=context,
        parameters=values,
        mappings=_section(source.body, "Mappings"),
        conditions=_section(source.body, "Conditions"),
        exports=settled.exports,
        secrets=settled.secrets,
        extensions=LANGUAGE_EXTENSIONS in str(source.body.get("Transform", "")),
    )
    check_references(source.body)
    check_rules(_section(source.body, "Rules"), outer)
    expanded = expand_includes(source.body, outer)
    translation = translate(expanded, values, region=context.region, cache=settled.cache)
    body = translation.body
    check_quotas(body)
    if settled.depth:
        body = _with_whole_paths(body, context.base)
    scope = replace(outer, mappings=_section(body, "Mappings"), conditions=_section(body, "Conditions"))
    graph = build_graph(body, replace(scope, growing=_has_nested(body)))
    return Stack(
        context=context,
        graph=replace(graph, nested=_prepare_nested(graph, context, settled)),
        declared=declared,
        metadata=_section(source.body, "Metadata"),
        cached=translation.cached,
        source=source,
        body=body,
    )


def prepare_child(logical_id: str, properties: Mapping[str, Any], outer: StackContext, *, settled: Settled) -> Stack:
    """The nested stack that a resource names; `settled` is that of the stack around it. Raises TemplateError."""
    if settled.depth >= MAX_NESTING:
        raise TemplateError(f"stacks are nested more than {MAX_NESTING} deep", where=f"Resources.{logical_id}")
    child = open_child(logical_id, properties, outer)
    inner = replace(settled, parameters=child.parameters, pending=child.pending, depth=settled.depth + 1)
    try:
        return prepare_stack(child.source, child.context, inner)
    except TemplateError as error:
        raise TemplateError(error.detail, where=f"Resources.{logical_id}/{error.where}") from error


def _has_nested(body: Mapping[str, Any]) -> bool:
    """Whether there are nested stacks, whose exports others may import."""
    resources: Any = body.get("Resources")
    entries: list[Any] = list(cast("dict[str, Any]", resources).values()) if isinstance(resources, dict) else []
    return any(
        isinstance(entry, dict) and cast("dict[str, Any]", entry).get("Type") == NESTED_STACK for entry in entries
    )


def _prepare_nested(graph: Graph, context: StackContext, settled: Settled) -> dict[str, Graph]:
    found: dict[str, Graph] = {}
    for name, node in graph.nodes.items():
        if node.type == NESTED_STACK:
            properties = resolve_known(dict(node.properties), graph.scope, f"Resources.{name}.Properties")
            settled.room.take(f"Resources.{name}")
            before = replace(settled, stored=str)  # a name stands for the value that is read when the stack is made
            found[name] = prepare_child(name, properties, context, settled=before).graph
    return found


def _with_whole_paths(body: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """`body` with the paths of code from the root: a nested template's are relative to its own folder."""
    resources = {
        name: _with_whole_path(cast("dict[str, Any]", entry), base) if isinstance(entry, dict) else entry
        for name, entry in _section(body, "Resources").items()
    }
    return {**body, "Resources": resources}


def _with_whole_path(entry: dict[str, Any], base: Path) -> dict[str, Any]:
    key = _CODE_PATHS.get(str(entry.get("Type")))
    properties: Any = entry.get("Properties")
    path: Any = cast("dict[str, Any]", properties).get(key) if key and isinstance(properties, dict) else None
    if not isinstance(path, str):
        return entry
    return {**entry, "Properties": {**properties, key: str(base / path)}}


def _section(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: Any = body.get(name) or {}
    if not isinstance(found, dict):
        raise TemplateError("must be a map", where=name)
    return cast("dict[str, Any]", found)
