"""`AWS::CloudFormation::Stack`: a stack inside a stack, from a template on this machine.

Its resources are made by the same handlers, its outputs are the resource's attributes (`Outputs.Name`), its exports are
known to the stacks around it from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

from localcloud.services.cloudformation.model import Stacks, stack_id_of
from localcloud.template.deploy import Deployed, deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.handler import NESTED_STACK, Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.ledger import make_ledger
from localcloud.template.nested import open_child
from localcloud.template.properties import read_properties
from localcloud.template.quotas import StackRoom
from localcloud.template.references import References
from localcloud.template.stack import Settled, Stack, prepare_child
from localcloud.template.stored import ReadParameter, read_stored

__all__ = ["Nesting", "StackHandler"]

_SERVED: Final = Supported()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nesting:
    """What every nested stack is made with. `settled` are the outer stack's, with exports that grow; `allow` as there.

    `handlers` may be filled after this is made.
    """

    handlers: Mapping[str, ResourceHandler]
    stacks: Stacks
    settled: Settled
    exports: MutableMapping[str, str]
    references: References | None = None
    read_parameter: ReadParameter | None = None
    allow: tuple[str, ...] = ()
    deployed: dict[str, Deployed] = field(default_factory=dict[str, Deployed])


class StackHandler:
    """Ref is the stack's ARN; attributes `Outputs.Name`."""

    type: str = NESTED_STACK
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "NotificationARNs": Supported(Support.REFUSED, "nobody is notified of a stack's events here"),
        "Parameters": _SERVED,
        "Tags": Supported(Support.PARTIAL, "no resource inherits them here, and DescribeStacks does not tell them"),
        "TemplateURL": _SERVED,
        "TimeoutInMinutes": _SERVED,
    }

    def __init__(self, nesting: Nesting) -> None:
        self._nesting = nesting

    async def create(self, resource: Resource) -> Physical:
        """Make the stack and all that is in it. Raises TemplateError with the path through both templates."""
        nesting, read = self._nesting, read_properties(resource)
        minutes = read.integer("TimeoutInMinutes", low=1) if "TimeoutInMinutes" in read else 0
        child = await self._prepare(resource)
        watch = nesting.stacks.begin(child, resource.context.stack_name)
        ledger = make_ledger(child.graph, nesting.handlers, allow=_own_names(nesting.allow, resource.logical_id))
        try:
            async with asyncio.timeout(minutes * 60) if minutes else nullcontext():
                deployed = await deploy(child, nesting.handlers, ledger, watch=watch, references=nesting.references)
        except TemplateError as error:
            nesting.stacks.fail(child, str(error))
            raise TemplateError(error.detail, where=f"Resources.{resource.logical_id}/{error.where}") from error
        except TimeoutError as error:
            nesting.stacks.fail(child, "Stack creation time exceeded the specified timeout")
            raise read.error("TimeoutInMinutes", f"the stack was not made within {minutes} min") from error
        return self._keep(child, deployed)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Unmake all that is in it. Raises TemplateError that names what could not be deleted."""
        nesting = self._nesting
        deployed = nesting.deployed.pop(physical.ref, None)
        if deployed is None:
            return
        left = await undeploy(deployed)
        for name in deployed.exports:
            nesting.exports.pop(name, None)
        nesting.stacks.forget(deployed.stack)
        if left:
            raise TemplateError(f"could not be deleted: {', '.join(left)}", where=f"Resources.{resource.logical_id}")

    async def undo(self, resource: Resource) -> None:
        """Nothing: a stack that fails unmakes itself."""

    async def _prepare(self, resource: Resource) -> Stack:
        nesting = self._nesting
        child = open_child(resource.logical_id, resource.properties, resource.context)
        stored = None
        if nesting.read_parameter is not None:
            stored = await read_stored(child.source, child.parameters, nesting.read_parameter)
        settled = replace(nesting.settled, parameters={}, exports=nesting.exports, stored=stored, room=StackRoom())
        return prepare_child(resource.logical_id, resource.properties, resource.context, settled=settled)

    def _keep(self, child: Stack, deployed: Deployed) -> Physical:
        stack_id = stack_id_of(child)
        self._nesting.deployed[stack_id] = deployed
        self._nesting.exports.update(deployed.exports)
        self._nesting.stacks.end(deployed)
        outputs = {f"Outputs.{name}": value for name, value in deployed.outputs.items()}
        return Physical(stack_id, outputs, inner=deployed.made)


def _own_names(allow: tuple[str, ...], logical_id: str) -> tuple[str, ...]:
    """What is allowed, and what is allowed of this stack (`Child.Queue`) by the names it has inside."""
    return (*allow, *(name.removeprefix(f"{logical_id}.") for name in allow if name.startswith(f"{logical_id}.")))
