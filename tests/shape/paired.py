"""template.yaml as each deployment of a pair gets it: with samconfig.toml's parameters, and what is asked for.

The parameters' rules hold, conditions are taken, intrinsics that wait for no resource have their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from localcloud.template.intrinsics import resolve_known
from localcloud.template.source import Source, read_settings, read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from tests.shape.conftest import ROOT

__all__ = ["EAST", "GIVEN", "WEST", "Deployment", "Role", "deployed"]

EAST: Final = "us-east-1"
WEST: Final = "us-west-2"
GIVEN: Final = {"TokenIssuer": "https://issuer.example", "TokenKeys": '{"keys": []}'}
Role = Literal["alone", "primary", "secondary"]


@dataclass(frozen=True)
class Deployment:
    """One stack. `resources`: type and properties by logical id, of those that there are."""

    stack: Stack
    types: Mapping[str, str]
    resources: Mapping[str, dict[str, Any]]
    outputs: Mapping[str, Any]

    def of(self, type_: str) -> dict[str, dict[str, Any]]:
        """The properties of all resources of a type."""
        return {name: self.resources[name] for name, found in self.types.items() if found == type_}

    def granted(self, role: str) -> Iterator[tuple[str, str, Any]]:
        """Each (effect, action, resource) of a role, of its own policies and those that name it."""
        documents = [each["PolicyDocument"] for each in self.resources[role].get("Policies", [])]
        documents += [
            each["PolicyDocument"] for each in self.of("AWS::IAM::Policy").values() if {"Ref": role} in each["Roles"]
        ]
        for statement in (each for document in documents for each in document["Statement"]):
            for action in _listed(statement["Action"]):
                for resource in _listed(statement["Resource"]):
                    yield statement["Effect"], action, resource


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def deployed(role: Role, **overrides: str) -> Deployment:
    """The stack of a Region. Raises TemplateError for parameters that do not go together."""
    return _deployed(role, tuple(sorted(overrides.items())))


@cache
def _template() -> Source:
    return read_template(ROOT / "template.yaml")


@cache
def _deployed(role: Role, overrides: tuple[tuple[str, str], ...]) -> Deployment:
    environment = "prod" if role == "alone" else role
    parameters = read_settings(ROOT / "samconfig.toml", environment=environment).parameters
    context = stack_context(ROOT, region=WEST if role == "secondary" else EAST)
    settled = Settled(
        parameters={**parameters, **GIVEN, **dict(overrides)}, secrets=lambda _service, key: f"read:{key}"
    )
    stack = prepare_stack(_template(), context, settled)
    scope, nodes = stack.graph.scope, stack.graph.nodes
    return Deployment(
        stack,
        {name: node.type for name, node in nodes.items()},
        {name: resolve_known(node.properties, scope, name) for name, node in nodes.items()},
        resolve_known(dict(stack.graph.outputs), scope, "Outputs"),
    )
