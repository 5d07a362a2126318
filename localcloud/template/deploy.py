"""Making a stack: each resource by its handler, after all that it needs; and unmaking it.

Owns rollback, outputs and exports. Resources that the ledger refuses and a person allowed are not made: others see a
name that says so. Knows no service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from localcloud.drawing import drawing_for
from localcloud.template.errors import TemplateError, join_path
from localcloud.template.graph import Node
from localcloud.template.handler import (
    LooksAhead,
    Made,
    Physical,
    Resource,
    ResourceHandler,
    Supported,
    TakesTime,
    find_handler,
)
from localcloud.template.intrinsics import resolve, resolve_known
from localcloud.template.ledger import Ledger, Line
from localcloud.template.order import run_in_order
from localcloud.template.properties import scalar_text
from localcloud.template.references import References, answer_references
from localcloud.template.scope import NotYet, Scope
from localcloud.template.stack import Stack

__all__ = ["DELETE_S", "UNDEPLOY_S", "Deployed", "Made", "Step", "Watch", "deploy", "undeploy"]

log: Final = logging.getLogger("localcloud.template")

DELETE_S: Final = 15.0  # of one resource; ours, for `down` has an end
UNDEPLOY_S: Final = 25.0  # of a stack; `sluiceway down` kills after 30 s
MASK: Final = "****"  # of what a custom resource answered with NoEcho
_RETAINED: Final = {"Retain", "RetainExceptOnCreate"}


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a stack. `status`: CREATE_IN_PROGRESS, CREATE_COMPLETE, CREATE_FAILED, or DELETE_ and the like.

    `reason` says why it failed; `physical_id` is "" where there is none yet.
    """

    logical_id: str
    type: str
    status: str
    physical_id: str = ""
    reason: str = ""


Watch = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that exists. `made` in the order of making; `left_out`: refused resources that were allowed.

    `exported`: the name of each output's export, by the output's.
    """

    stack: Stack
    made: Mapping[str, Made]
    left_out: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    exports: Mapping[str, str] = field(default_factory=dict[str, str])
    watch: Watch | None = None
    exported: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def whole(self) -> dict[str, Made]:
        """What was made, with the resources of nested stacks by dotted ids (`Child.Queue`)."""
        return _flatten(self.made, "")


def _flatten(made: Mapping[str, Made], prefix: str) -> dict[str, Made]:
    found: dict[str, Made] = {}
    for name, entry in made.items():
        found[prefix + name] = entry
        found |= _flatten(entry.physical.inner, f"{prefix}{name}.")
    return found


class _LeftOut(Mapping[str, Any]):
    """The attributes of a resource that was left out: every one, as a name that says so."""

    def __init__(self, logical_id: str) -> None:
        self._logical_id = logical_id

    def __getitem__(self, name: str) -> str:
        return f"left-out-{self._logical_id}.{name}"

    def __contains__(self, _name: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


async def deploy(
    stack: Stack,
    handlers: Mapping[str, ResourceHandler],
    ledger: Ledger,
    *,
    watch: Watch | None = None,
    references: References | None = None,
) -> Deployed:
    """Make every resource. `ledger` is this stack's, with nothing refused that is not allowed.

    `references` answers dynamic references; None refuses them. On failure, and when cancelled, what was made is deleted
    in reverse. Raises TemplateError that names the resource.
    """
    if ledger.refused:
        raise TemplateError("; ".join(str(line) for line in ledger.refused), where="ledger")
    making = _Making(stack, handlers, ledger, watch=watch, references=references)
    whole = False
    try:
        await making.run()
        outputs, exports, exported = await _read_outputs(stack.graph.outputs, making.scope, references)
        whole = True
    finally:
        if not whole:  # failed or cancelled
            await making.roll_back()
    return Deployed(stack, making.made, tuple(making.left_out), outputs, exports, watch, exported)


async def undeploy(deployed: Deployed) -> tuple[str, ...]:
    """Delete every resource before what it needs; a failure is logged and the rest goes on, and all of it has an end.

    Logical ids that failed.
    """
    nodes = deployed.stack.graph.nodes
    unmaking = _Unmaking(deployed.made, deployed.watch)
    order = list(reversed(list(deployed.made)))
    users: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for other in nodes[name].needs:
            if other in users:
                users[other].append(name)
    slow = {name for name in order if isinstance(deployed.made[name].handler, TakesTime)}
    unmaking.kept = {name for name in slow if nodes[name].policies.get("DeletionPolicy") in _RETAINED}
    try:
        async with asyncio.timeout(UNDEPLOY_S):
            await run_in_order(users, unmaking.delete, slow=slow)
    except TimeoutError:
        log.error("stack.delete_unfinished", extra={"left": [name for name in order if name not in unmaking.ended]})  # noqa: TRY400 - a time-out's trace says nothing
    return tuple(name for name in order if name not in unmaking.ended)


class _Making:
    """One stack as it grows."""

    def __init__(
        self,
        stack: Stack,
        handlers: Mapping[str, ResourceHandler],
        ledger: Ledger,
        *,
        watch: Watch | None,
        references: References | None,
    ) -> None:
        self.physical: dict[str, Physical] = {}
        self.scope = replace(stack.graph.scope, physical=self.physical)
        self.made: dict[str, Made] = {}
        self.left_out: list[str] = []
        self._begun: dict[str, tuple[Resource, ResourceHandler]] = {}
        self._nodes, self._handlers, self._ledger = stack.graph.nodes, handlers, ledger
        self._watch, self._references = watch, references

    async def run(self) -> None:
        """Make everything. Raises TemplateError."""
        needs = {node.logical_id: node.needs for node in self._nodes.values()}
        slow = {
            name for name, node in self._nodes.items() if isinstance(find_handler(self._handlers, node.type), TakesTime)
        }
        await self._look_ahead()
        await run_in_order(needs, self._make, slow=slow)

    async def _look_ahead(self) -> None:
        seen: dict[str, list[Resource]] = {}
        for node in self._nodes.values():
            if isinstance(find_handler(self._handlers, node.type), LooksAhead):
                seen.setdefault(node.type, []).append(_foresee(node, self.scope))
        for kind, resources in seen.items():
            handler = find_handler(self._handlers, kind)
            if isinstance(handler, LooksAhead):
                await handler.look_ahead(resources)

    async def roll_back(self) -> None:
        """Unmake what was made, and what was begun, last first."""
        unmaking = _Unmaking(self.made, self._watch)
        for name, (resource, handler) in reversed(list(self._begun.items())):
            if name in self.made and self._nodes[name].policies.get("DeletionPolicy") == "Retain":
                if not isinstance(handler, TakesTime):
                    await unmaking.delete(name)
            elif name in self.made:
                await unmaking.delete(name)
            elif isinstance(handler, TakesTime):
                await unmaking.attempt(resource, handler.undo(resource), "")

    async def _make(self, name: str) -> None:
        node = self._nodes[name]
        handler = find_handler(self._handlers, node.type)
        if any(line.allowed and _holds_all(line, handler) for line in self._ledger.of(name)):
            self.physical[name] = Physical(f"left-out-{name}", _LeftOut(name))
            self.left_out.append(name)
            return
        if handler is None:
            raise TemplateError(f"{node.type} is not served here", where=f"Resources.{name}")
        vital = {path: entry for path, entry in handler.properties.items() if entry.vital}
        resource = await _settle(node, self.scope, self._ledger, references=self._references, vital=vital)
        self._tell(node, "CREATE_IN_PROGRESS")
        self._begun[name] = (resource, handler)
        try:
            physical = await _create(resource, handler)
        except TemplateError as error:
            self._tell(node, "CREATE_FAILED", reason=str(error))
            raise
        self.physical[name], self.made[name] = physical, Made(resource, physical, handler)
        self._begun[name] = self._begun.pop(name)  # in the order of ends, for the way back
        self._tell(node, "CREATE_COMPLETE", physical_id=physical.ref)

    def _tell(self, node: Node, status: str, *, physical_id: str = "", reason: str = "") -> None:
        if self._watch is not None:
            self._watch(Step(node.logical_id, node.type, status, physical_id, reason))


class _Unmaking:
    """Deletes; what fails is logged. `ended`: the names that are gone. `kept`: those that stay by their own policy."""

    def __init__(self, made: Mapping[str, Made], watch: Watch | None) -> None:
        self.ended: set[str] = set()
        self.kept: set[str] = set()
        self._made, self._watch = made, watch

    async def delete(self, name: str) -> None:
        """Delete one resource."""
        entry = self._made[name]
        if name in self.kept:
            self.ended.add(name)
            self._tell(entry.resource, "DELETE_SKIPPED", entry.physical.ref)
        elif await self.attempt(
            entry.resource, entry.handler.delete(entry.resource, entry.physical), entry.physical.ref
        ):
            self.ended.add(name)

    async def attempt(self, resource: Resource, deleting: Any, physical_id: str) -> bool:
        """Await what deletes a resource, for DELETE_S at most; whether it was deleted."""
        self._tell(resource, "DELETE_IN_PROGRESS", physical_id)
        try:
            async with asyncio.timeout(DELETE_S):
                await deleting
        except TemplateError as error:
            log.error("stack.delete_failed", extra={"logical_id": resource.logical_id, "reason": str(error)})  # noqa: TRY400 - a sentence that says it all
            self._tell(resource, "DELETE_FAILED", physical_id, reason=str(error))
            return False
        except Exception as error:  # whatever a handler does, the others are deleted
            log.exception("stack.delete_failed", extra={"logical_id": resource.logical_id})
            self._tell(resource, "DELETE_FAILED", physical_id, reason=str(error) or type(error).__name__)
            return False
        self._tell(resource, "DELETE_COMPLETE", physical_id)
        return True

    def _tell(self, resource: Resource, status: str, physical_id: str, *, reason: str = "") -> None:
        if self._watch is not None:
            self._watch(Step(resource.logical_id, resource.type, status, physical_id, reason))


def _holds_all(line: Line, handler: ResourceHandler | None) -> bool:
    """Whether what a line is about is the whole resource, or that without which it is nothing."""
    entry = handler.properties.get(line.property) if handler is not None and "." not in line.property else None
    return not line.property or (entry is not None and entry.vital)


async def _settle(
    node: Node, scope: Scope, ledger: Ledger, *, references: References | None, vital: Mapping[str, Supported]
) -> Resource:
    where = f"Resources.{node.logical_id}"
    try:
        properties: Any = resolve(dict(node.properties), scope, f"{where}.Properties")
    except NotYet as error:
        raise TemplateError(f"refers to {error.logical_id}, which is made later", where=where) from error
    properties = await answer_references(properties, references, path=f"{where}.Properties", resource_type=node.type)
    for line in ledger.of(node.logical_id):
        if line.allowed and line.property in vital:
            *holder, name = line.property.split(".")
            _drop_items(properties, holder, name=name, served=vital[line.property].values)
        elif line.allowed:
            _drop(properties, line.property.split("."))
    return Resource(
        logical_id=node.logical_id,
        type=node.type,
        properties=properties,
        context=scope.context,
        metadata=resolve_known(dict(node.metadata), scope, f"{where}.Metadata"),
    )


def _foresee(node: Node, scope: Scope) -> Resource:
    """What is known of a resource before any is made; functions that wait for others stay as written."""
    where = f"Resources.{node.logical_id}"
    return Resource(
        logical_id=node.logical_id,
        type=node.type,
        properties=resolve_known(dict(node.properties), scope, f"{where}.Properties"),
        context=scope.context,
        metadata=resolve_known(dict(node.metadata), scope, f"{where}.Metadata"),
    )


def _drop(value: Any, names: list[str]) -> None:
    """Take an allowed, refused property away, in every item where it is inside a list."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _drop(item, names)
    elif isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if len(names) == 1:
            items.pop(names[0], None)
        else:
            _drop(items.get(names[0]), names[1:])


def _drop_items(value: Any, holder: list[str], *, name: str, served: tuple[Any, ...]) -> None:
    """Take the items of the list at `holder` away whose `name` is not among the values that are served."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _drop_items(item, holder, name=name, served=served)
    elif isinstance(value, dict) and len(holder) > 1:
        _drop_items(cast("dict[str, Any]", value).get(holder[0]), holder[1:], name=name, served=served)
    elif isinstance(value, dict):
        parent = cast("dict[str, Any]", value)
        items = parent.get(holder[0])
        if isinstance(items, list):
            kept = cast("list[dict[str, Any]]", items)
            parent[holder[0]] = [item for item in kept if item.get(name) in served]


async def _create(resource: Resource, handler: ResourceHandler) -> Physical:
    try:
        with drawing_for(resource.logical_id):
            return await handler.create(resource)
    except TemplateError:
        raise
    except Exception as error:  # a handler may fail in any way: whatever it is, the resource is named
        where = f"Resources.{resource.logical_id}"
        raise TemplateError(f"cannot be made: {type(error).__name__}: {error}", where=where) from error


async def _read_outputs(
    outputs: Mapping[str, Any], scope: Scope, references: References | None
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The outputs, what is exported by its name, and the names by output."""
    values: dict[str, str] = {}
    exports: dict[str, str] = {}
    exported: dict[str, str] = {}
    for name, entry in outputs.items():
        where = f"Outputs.{name}"
        value = _output_text(entry["Value"], scope, f"{where}.Value")
        values[name] = await answer_references(value, references, path=f"{where}.Value", resource_type="")
        if "Export" in entry:
            named = cast("dict[str, Any]", entry["Export"] or {})
            export = _output_text(named.get("Name"), scope, f"{where}.Export.Name")
            if export in exports or export in scope.exports:
                raise TemplateError(f"there is already an export {export}", where=join_path(where, "Export"))
            exports[export], exported[name] = values[name], export
    secret = [text for physical in scope.physical.values() if physical.hidden for text in _texts(physical)]
    shown = {name: MASK if any(text in value for text in secret) else value for name, value in values.items()}
    return shown, exports, exported


def _texts(physical: Physical) -> list[str]:
    return [text for value in physical.attributes.values() if (text := scalar_text(value))]


def _output_text(value: Any, scope: Scope, path: str) -> str:
    try:
        text = scalar_text(resolve(value, scope, path))
    except NotYet as error:
        raise TemplateError(f"refers to {error.logical_id}, which is not there", where=path) from error
    if text is None:
        raise TemplateError("must be text", where=path)
    return text
