"""Resources that a stack of one Region makes in what all Regions share: told to the host, made there, and told back.

The host has the handlers that make them; the cloud of a Region has their tables for the ledger and this way there. Both
ends stand here, so that the words between them are in one place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession

from localcloud.front import OWN_PATHS
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, StackContext, Supported

__all__ = ["RESOURCES_PATH", "MalformedOrder", "SharedHandler", "perform"]

RESOURCES_PATH: Final = f"{OWN_PATHS}resources"


class MalformedOrder(ValueError):
    """An order that no cloud of ours sends; the message says what is wrong with it."""


class SharedHandler:
    """The handler of a type whose resources are made in the host, at `host`; `inner` has its table for the ledger."""

    def __init__(self, inner: ResourceHandler, session: ClientSession, host: str) -> None:
        self.type = inner.type
        self.support: Supported = inner.support
        self.properties: Mapping[str, Supported] = inner.properties
        self._session = session
        self._host = host

    async def create(self, resource: Resource) -> Physical:
        """Make it there. Raises TemplateError as the handler there does."""
        told = await self._ask({"do": "create", "resource": _write(resource)})
        return Physical(told["ref"], told["attributes"])

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Unmake it there. Raises TemplateError where the host is gone."""
        await self._ask({"do": "delete", "resource": _write(resource), "physical": asdict(physical)})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        where = str(request["resource"]["logical_id"])
        try:
            async with self._session.post(self._host + RESOURCES_PATH, json=request) as response:
                told: dict[str, Any] = await response.json()
        except (ClientError, TimeoutError, ValueError) as error:
            raise TemplateError(f"what all Regions share does not answer: {error}", where=where) from error
        if "error" in told:
            raise TemplateError(str(told["error"]), where=str(told.get("where", where)))
        return told


async def perform(handlers: Mapping[str, ResourceHandler], body: bytes) -> dict[str, Any]:
    """What a Region asked for, in the host: `{"ref", "attributes"}`, or `{"error", "where"}`. Raises MalformedOrder."""
    resource, made = _read_order(body)
    handler = handlers.get(resource.type)
    if handler is None:
        raise MalformedOrder("the Regions share no resources of this type")
    try:
        if made is None:
            return asdict(await handler.create(resource))
        await handler.delete(resource, made)
    except TemplateError as error:
        return {"error": error.detail, "where": error.where}
    return {}


def _read_order(body: bytes) -> tuple[Resource, Physical | None]:
    """The resource, and what it was made as where it is to be unmade. Raises MalformedOrder."""
    try:
        asked: dict[str, Any] = json.loads(body)
        resource, do = _read(asked["resource"]), _text(asked["do"])
        physical: dict[str, Any] = asked["physical"] if do == "delete" else {"ref": "", "attributes": {}}
        made = Physical(_text(physical["ref"]), dict(physical["attributes"]))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise MalformedOrder("the body is no order about a resource") from error
    if do not in {"create", "delete"}:
        raise MalformedOrder("an order is to create or to delete")
    return resource, made if do == "delete" else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _write(resource: Resource) -> dict[str, Any]:
    context = {**asdict(resource.context), "base": str(resource.context.base)}
    return {
        "logical_id": resource.logical_id,
        "type": resource.type,
        "properties": dict(resource.properties),
        "metadata": dict(resource.metadata),
        "context": context,
    }


def _read(told: Mapping[str, Any]) -> Resource:
    context: dict[str, str] = told["context"]
    base = Path(context.pop("base"))
    return Resource(
        logical_id=_text(told["logical_id"]),
        type=_text(told["type"]),
        properties=dict(told["properties"]),
        context=StackContext(**context, base=base),
        metadata=dict(told["metadata"]),
    )
