"""Making a stack: each resource by its handler, after all that it needs; and unmaking it.

Owns order, rollback, outputs and exports. Resources that the ledger refuses and a person allowed are not made: others
see a name that says so. Knows no service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.graph import Node
from localcloud.template.handler import Physical, Resource, ResourceHandler
from localcloud.template.intrinsics import resolve, resolve_known
from localcloud.template.ledger import Ledger
from localcloud.template.properties import scalar_text
from localcloud.template.scope import NotYet, Scope
from localcloud.template.stack import Stack

__all__ = ["Deployed", "Made", "deploy", "undeploy"]

log: Final = logging.getLogger("localcloud.template")


@dataclass(frozen=True, slots=True)
class Made:
    """One resource that exists, and who made it."""

    resource: Resource
    physical: Physical
    handler: ResourceHandler


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that exists. `made` in the order of making; `left_out`: refused resources that were allowed."""

    stack: Stack
    made: Mapping[str, Made]
    left_out: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    exports: Mapping[str, str] = field(default_factory=dict[str, str])


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
    progress: Callable[[Made], None] | None = None,
) -> Deployed:
    """Make every resource. `ledger` is this stack's, with nothing refused that is not allowed.

    On failure, and when cancelled, what was made is deleted in reverse. Raises TemplateError that names the resource.
    """
    if ledger.refused:
        raise TemplateError("; ".join(str(line) for line in ledger.refused), where="ledger")
    physical: dict[str, Physical] = {}
    scope = replace(stack.graph.scope, physical=physical)
    made: dict[str, Made] = {}
    left_out: list[str] = []
    whole = False
    try:
        for node in stack.graph.nodes.values():
            if any(line.allowed and not line.property for line in ledger.of(node.logical_id)):
                physical[node.logical_id] = Physical(f"left-out-{node.logical_id}", _LeftOut(node.logical_id))
                left_out.append(node.logical_id)
                continue
            entry = await _make(_settle(node, scope, ledger), handlers[node.type])
            physical[node.logical_id], made[node.logical_id] = entry.physical, entry
            if progress is not None:
                progress(entry)
        outputs, exports = _read_outputs(stack.graph.outputs, scope)
        whole = True
    finally:
        if not whole:  # failed or cancelled
            for entry in reversed(list(made.values())):
                await _delete(entry)
    return Deployed(stack=stack, made=made, left_out=tuple(left_out), outputs=outputs, exports=exports)


async def undeploy(deployed: Deployed) -> tuple[str, ...]:
    """Delete every resource, last made first; a failure is logged and the rest goes on. Logical ids that failed."""
    return tuple(
        [entry.resource.logical_id for entry in reversed(list(deployed.made.values())) if not await _delete(entry)]
    )


def _settle(node: Node, scope: Scope, ledger: Ledger) -> Resource:
    where = f"Resources.{node.logical_id}"
    try:
        properties: Any = resolve(dict(node.properties), scope, f"{where}.Properties")
    except NotYet as error:
        raise TemplateError(f"refers to {error.logical_id}, which is made later", where=where) from error
    for line in ledger.of(node.logical_id):
        if line.allowed:
            _drop(properties, line.property.split("."))
    return Resource(
        logical_id=node.logical_id,
        type=node.type,
        properties=properties,
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


async def _make(resource: Resource, handler: ResourceHandler) -> Made:
    try:
        physical = await handler.create(resource)
    except TemplateError:
        raise
    except Exception as error:  # a handler may fail in any way: whatever it is, the resource is named
        where = f"Resources.{resource.logical_id}"
        raise TemplateError(f"cannot be made: {type(error).__name__}: {error}", where=where) from error
    return Made(resource=resource, physical=physical, handler=handler)


async def _delete(entry: Made) -> bool:
    try:
        await entry.handler.delete(entry.resource, entry.physical)
    except Exception:
        log.exception("stack.delete_failed", extra={"logical_id": entry.resource.logical_id})
        return False
    return True


def _read_outputs(outputs: Mapping[str, Any], scope: Scope) -> tuple[dict[str, str], dict[str, str]]:
    values: dict[str, str] = {}
    exports: dict[str, str] = {}
    for name, entry in outputs.items():
        where = f"Outputs.{name}"
        values[name] = _output_text(entry["Value"], scope, f"{where}.Value")
        if "Export" in entry:
            named = cast("dict[str, Any]", entry["Export"] or {})
            export = _output_text(named.get("Name"), scope, f"{where}.Export.Name")
            if export in exports or export in scope.exports:
                raise TemplateError(f"there is already an export {export}", where=join_path(where, "Export"))
            exports[export] = values[name]
    return values, exports


def _output_text(value: Any, scope: Scope, path: str) -> str:
    text = scalar_text(resolve(value, scope, path))
    if text is None:
        raise TemplateError("must be text", where=path)
    return text
