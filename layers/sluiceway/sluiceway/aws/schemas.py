"""The Glue Schema Registry: versions by id, which are kept for ever, and new versions of schemas.

Owns the request shapes and what is remembered. A schema from here is text: never hand one to `JsonSchema`, which
compiles it; whoever may register a version would run code. Source: the service model 2017-03-31,
https://docs.aws.amazon.com/glue/latest/webapi/API_GetSchemaVersion.html and API_RegisterSchemaVersion.html
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Caller
from sluiceway.errors import Rejected, ServiceError, ServiceUnavailable
from sluiceway.ports.schemas import SchemaName, SchemaVersion

__all__ = ["GLUE", "GlueSchemaRegistry"]

GLUE: Final = ServiceSpec("glue", "glue", "json-1.1", "GLUE", target_prefix="AWSGlue")
MAX_VERSIONS: Final = 256  # kept; of 170,000 characters at most each
UNKNOWN_S: Final = 30.0  # for so long an id that named nothing is not asked about again: a record may name any
EVOLUTION_CHECKS: Final = 10  # of a version that is PENDING, as the registry's own client does it
EVOLUTION_PAUSE_S: Final = 1.0


class GlueSchemaRegistry:
    """The port `SchemaRegistry`. One for each process; concurrent calls for one id share a request.

    Raises what `Caller.call` raises.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._known: OrderedDict[UUID, SchemaVersion] = OrderedDict()
        self._unknown: OrderedDict[UUID, float] = OrderedDict()
        self._asking: dict[UUID, asyncio.Lock] = {}

    async def find_version(self, version_id: UUID, *, deadline: float | None = None) -> SchemaVersion | None:
        """As the port says."""
        lock = self._asking.setdefault(version_id, asyncio.Lock())
        try:
            async with lock:
                return await self._find_version(version_id, deadline)
        finally:
            if not lock.locked() and self._asking.get(version_id) is lock:
                del self._asking[version_id]

    async def find_id(self, name: SchemaName, definition: str, *, deadline: float | None = None) -> UUID | None:
        """As the port says. The registry compares the text as it is written."""
        request = {"SchemaId": _write_name(name), "SchemaDefinition": definition}
        answer = await self._ask("GetSchemaByDefinition", request, deadline)
        return UUID(str(answer["SchemaVersionId"])) if answer and answer.get("Status") == "AVAILABLE" else None

    async def register(self, name: SchemaName, definition: str, *, deadline: float | None = None) -> UUID:
        """As the port says. A version is compared with the ones before after the answer; that is waited for."""
        request = {"SchemaId": _write_name(name), "SchemaDefinition": definition}
        answer: Mapping[str, Any] = (
            await self._caller.call(GLUE, "RegisterSchemaVersion", request, deadline=deadline)
        ).json()
        version_id, status = UUID(str(answer["SchemaVersionId"])), answer.get("Status")
        for _ in range(EVOLUTION_CHECKS):
            if status != "PENDING":
                break
            await asyncio.sleep(EVOLUTION_PAUSE_S)
            told = await self._ask("GetSchemaVersion", {"SchemaVersionId": str(version_id)}, deadline)
            status = told.get("Status") if told else "FAILURE"
        if status == "AVAILABLE":
            self._unknown.pop(version_id, None)
            return version_id
        if status == "PENDING":
            why = "the version is still compared with the ones before it"
            raise ServiceUnavailable(why, service="glue", operation="RegisterSchemaVersion", code="PENDING", status=200)
        why = f"{name.registry}/{name.schema} does not take this version after the ones before it"
        raise Rejected(why, reason="schema-incompatible")

    async def _find_version(self, version_id: UUID, deadline: float | None) -> SchemaVersion | None:
        found = self._known.get(version_id)
        if found is not None:
            self._known.move_to_end(version_id)
            return found
        loop = asyncio.get_running_loop()
        if self._unknown.get(version_id, 0.0) > loop.time():
            return None
        answer = await self._ask("GetSchemaVersion", {"SchemaVersionId": str(version_id)}, deadline)
        if answer is None or answer.get("Status") != "AVAILABLE":
            self._unknown[version_id] = loop.time() + UNKNOWN_S
            self._unknown.move_to_end(version_id)
            _bound(self._unknown)
            return None
        self._unknown.pop(version_id, None)
        found = SchemaVersion(version_id, str(answer["DataFormat"]), str(answer["SchemaDefinition"]))
        self._known[version_id] = found
        _bound(self._known)
        return found

    async def _ask(
        self, operation: str, request: Mapping[str, object], deadline: float | None
    ) -> Mapping[str, Any] | None:
        """The answer, None where there is no such thing."""
        try:
            return (await self._caller.call(GLUE, operation, request, deadline=deadline)).json()
        except ServiceError as error:
            if error.code == "EntityNotFoundException":
                return None
            raise


def _write_name(name: SchemaName) -> dict[str, str]:
    return {"RegistryName": name.registry, "SchemaName": name.schema}


def _bound(entries: OrderedDict[UUID, Any]) -> None:
    if len(entries) > MAX_VERSIONS:
        entries.popitem(last=False)
