"""The contract between the deployer and the services: one handler a CloudFormation resource type.

A handler says, property by property, what it does with it. The ledger is made from these tables alone, so a property
without a line is refused: nothing is accepted and ignored.

A table names top-level properties (`VisibilityTimeout`) or nested ones (`ScalingConfig.MaximumConcurrency`; items of a
list are transparent: `Rules.Prefix`). The entry of a property stands for everything inside it, except for what dotted
entries say; where a property has dotted entries only, whatever they do not name is refused.

Values are resolved, yet scalars come as the template or a parameter wrote them (`"30"` for 30, `"true"` for true):
read them through `localcloud.template.properties.read_properties`. Local code and content folders come as in a template
that was never packaged: `Code` of a function, `Content` of a layer, `BodyS3Location` of an API are then text, a path
relative to `StackContext.base` (or `{"ZipFile": ...}` for inline code). `metadata["SamResourceId"]` is the logical id
in the SAM template, which names the `build-<id>` target of `BuildMethod: makefile`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

__all__ = [
    "CUSTOM_RESOURCE",
    "NESTED_STACK",
    "LooksAhead",
    "Made",
    "Physical",
    "RefusedHandler",
    "Resource",
    "ResourceHandler",
    "StackContext",
    "Support",
    "Supported",
    "TakesTime",
    "find_handler",
]

CUSTOM_RESOURCE: Final = "AWS::CloudFormation::CustomResource"  # `Custom::Anything` is another name of it
NESTED_STACK: Final = "AWS::CloudFormation::Stack"


class Support(Enum):
    """How true the local cloud is to a resource or one of its properties."""

    SERVED = "served"  # behaves as on AWS
    DELEGATED = "delegated"  # moto behaves for us
    PARTIAL = "partial"  # known difference, named in the reason
    REFUSED = "refused"  # not here; the command ends unless allowed


@dataclass(frozen=True, slots=True)
class Supported:
    """One entry of a handler's table; `reason` is a sentence for people, required unless served.

    `values`: where given, only these values are supported (anything else is refused, with the reason).
    `differs`: what differs here for one supported value, "" where nothing does; a difference makes it PARTIAL.
    `vital`: what holds it is nothing without it. Where a refused value is allowed, the list's item that holds it is
    left out, or the resource.
    """

    support: Support = Support.SERVED
    reason: str = ""
    values: tuple[Any, ...] = ()
    differs: Callable[[str], str] | None = None
    vital: bool = False


@dataclass(frozen=True, slots=True)
class StackContext:
    """What every resource of a stack shares. `base` is the folder of the template, for relative code paths."""

    stack_name: str
    region: str
    account_id: str
    partition: str
    base: Path


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource with every intrinsic resolved. `metadata` and `type` as in the template."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    context: StackContext
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Physical:
    """What a created resource is to others: `Ref` and `Fn::GetAtt` (dotted attribute names).

    `inner`: the resources of a nested stack, by logical id. `hidden`: outputs that show an attribute are masked.
    """

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inner: Mapping[str, Made] = field(default_factory=dict[str, "Made"])
    hidden: bool = False


class ResourceHandler(Protocol):
    """Creates resources of one type. `properties` is the handler's table for the ledger (top-level or dotted names)."""

    type: str
    support: Supported
    properties: Mapping[str, Supported]

    async def create(self, resource: Resource) -> Physical:
        """Make it. Raises TemplateError naming the resource and property where the properties make no sense."""
        ...

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Unmake it, at `down` or after a failed start."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """One resource that exists, and who made it."""

    resource: Resource
    physical: Physical
    handler: ResourceHandler


@runtime_checkable
class TakesTime(Protocol):
    """A handler that waits for others: resources that need nothing of it are made in the meantime."""

    async def undo(self, resource: Resource) -> None:
        """Unmake what `create` had begun when it failed or was cancelled."""
        ...


@runtime_checkable
class LooksAhead(Protocol):
    """A handler that has long work which needs no other resource."""

    async def look_ahead(self, resources: Sequence[Resource]) -> None:
        """Do it for all resources of the type, before any of a stack is made; properties are what is known by then.

        Raises TemplateError.
        """
        ...


def find_handler(handlers: Mapping[str, ResourceHandler], resource_type: str) -> ResourceHandler | None:
    """The handler of a type; `Custom::Anything` is a custom resource."""
    return handlers.get(CUSTOM_RESOURCE if resource_type.startswith("Custom::") else resource_type)


class RefusedHandler:
    """A type that is not here: the ledger says so, with the reason, and nothing is made."""

    properties: Mapping[str, Supported] = {}

    def __init__(self, resource_type: str, reason: str) -> None:
        self.type = resource_type
        self.support = Supported(Support.REFUSED, reason)

    async def create(self, resource: Resource) -> Physical:
        """Nothing: where the ledger was overruled, a name stands for the resource."""
        return Physical(f"{resource.context.stack_name}-{resource.logical_id}")

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing."""
