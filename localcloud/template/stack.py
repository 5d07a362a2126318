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
from localcloud.template.handler import StackContext
from localcloud.template.include import expand_includes
from localcloud.template.parameters import Parameter, ParameterValue, read_parameters, resolve_parameters
from localcloud.template.rules import check_rules
from localcloud.template.scope import Scope
from localcloud.template.source import Source
from localcloud.template.translate import LANGUAGE_EXTENSIONS, translate

__all__ = ["Settled", "Stack", "prepare_stack", "stack_context"]

DEFAULT_REGION: Final = "us-east-1"

_SECTIONS: Final = frozenset({
    "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Mappings", "Metadata", "Outputs", "Parameters",
    "Resources", "Rules", "Transform",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """What a person may decide about a deployment. `cache` is the folder of translations, None for none.

    `stored` reads an SSM parameter, `secrets` a dynamic reference by (service, key): None where nothing can.
    """

    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    exports: Mapping[str, str] = field(default_factory=dict[str, str])
    cache: Path | None = None
    stored: Callable[[str], str] | None = None
    secrets: Callable[[str, str], str] | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack ready to be deployed. `cached`: what SAM makes of the template was remembered from an earlier start."""

    context: StackContext
    graph: Graph
    declared: Mapping[str, Parameter]
    metadata: Mapping[str, Any]
    cached: bool

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
    declared = read_parameters(source.body)
    values = resolve_parameters(declared, settled.parameters, stored=settled.stored)
    outer = Scope(
        context=context,
        parameters=values,
        mappings=_section(source.body, "Mappings"),
        conditions=_section(source.body, "Conditions"),
        exports=settled.exports,
        secrets=settled.secrets,
        extensions=LANGUAGE_EXTENSIONS in str(source.body.get("Transform", "")),
    )
    check_rules(_section(source.body, "Rules"), outer)
    expanded = expand_includes(source.body, outer)
    translation = translate(expanded, values, region=context.region, cache=settled.cache)
    body = translation.body
    scope = replace(outer, mappings=_section(body, "Mappings"), conditions=_section(body, "Conditions"))
    return Stack(
        context=context,
        graph=build_graph(body, scope),
        declared=declared,
        metadata=_section(source.body, "Metadata"),
        cached=translation.cached,
    )


def _section(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: Any = body.get(name) or {}
    if not isinstance(found, dict):
        raise TemplateError("must be a map", where=name)
    return cast("dict[str, Any]", found)
