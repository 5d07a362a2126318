"""The Glue Schema Registry on the wire: its own compatibility rules in front of moto, which accepts any version.

A version that may not follow the ones before is registered as AWS does it: the answer names it, its status is FAILURE,
and it is never AVAILABLE. AWS compares after the answer, which then says PENDING; here it is compared at once. Every
other part of Glue is refused. Source: https://docs.aws.amazon.com/glue/latest/webapi/API_RegisterSchemaVersion.html
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.delegate import Delegate, DelegatedService, DelegateFailed
from localcloud.json_text import MalformedJson, read_json
from localcloud.refusals import refuse
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.modes import FORMATS, MODES, Mode, Verdict, compatible

__all__ = ["GlueService", "open_glue"]

TARGET: Final = "AWSGlue."
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
MAX_FAILED: Final = 1_000  # versions that were refused, remembered so that their status can be asked for
INVALID: Final = "InvalidInputException"
_OF_REGISTRIES: Final = ("CreateRegistry", "DeleteRegistry", "GetRegistry", "ListRegistries")
_OF_SCHEMAS: Final = (
    "CreateSchema", "DeleteSchema", "GetSchema", "GetSchemaByDefinition", "GetSchemaVersion",
    "PutSchemaVersionMetadata", "RegisterSchemaVersion", "UpdateSchema",
)  # fmt: skip
_UNCOMPARED: Final = ("NONE", "DISABLED")


class GlueService(DelegatedService):
    """The schema registry of every Region."""

    def __init__(self, delegate: Delegate) -> None:
        super().__init__("glue", delegate, needs=needed_permissions)
        self._failed: dict[str, dict[str, Any]] = {}
        self._registering = asyncio.Lock()

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        operation = _operation(request)
        if operation not in (*_OF_REGISTRIES, *_OF_SCHEMAS):
            message = f"The local cloud serves the schema registry of Glue, not {operation[:128] or '(none named)'}."
            return refuse(request, 400, code="UnknownOperationException", message=message)
        try:
            body = _read_body(request)
        except MalformedJson as error:
            return refuse(request, 400, code="SerializationException", message=str(error))
        async with self._registering:  # what a version is compared with must not change meanwhile
            if operation == "CreateSchema":
                return await self._create(request, body)
            if operation == "RegisterSchemaVersion":
                return await self._register(request, body)
            failed = self._failed.get(str(body.get("SchemaVersionId")))
            if operation == "GetSchemaVersion" and failed is not None:
                return _respond(failed)
            return await self._ask(request)

    async def _create(self, request: WireRequest, body: Mapping[str, Any]) -> WireResponse:
        """The first version, which must be a schema."""
        mode, data_format = body.get("Compatibility"), body.get("DataFormat")
        if mode in MODES and body.get("SchemaDefinition") is not None:
            fault = _judge(str(body["SchemaDefinition"]), [], mode, data_format=str(data_format))
            if isinstance(fault, str):
                return refuse(request, 400, code=INVALID, message=fault)
        return await self._ask(request)

    async def _register(self, request: WireRequest, body: Mapping[str, Any]) -> WireResponse:
        """A further version, compared where it is new."""
        told = await self._look(request, "GetSchema", {"SchemaId": body.get("SchemaId")})
        same = {"SchemaId": body.get("SchemaId"), "SchemaDefinition": body.get("SchemaDefinition")}
        if told is None or await self._look(request, "GetSchemaByDefinition", same) is not None:
            return await self._ask(request)
        versions = await self._versions(request, body.get("SchemaId"), int(told["LatestSchemaVersion"]))
        definition, mode = str(body.get("SchemaDefinition")), cast("Mode", told["Compatibility"])
        verdict = _judge(definition, versions, mode, data_format=str(told["DataFormat"]))
        if isinstance(verdict, str):
            return refuse(request, 400, code=INVALID, message=verdict)
        if verdict.holds or mode in _UNCOMPARED:
            return await self._ask(request)
        return _respond(self._fail(definition, told))

    def _fail(self, definition: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        version_id = str(uuid.uuid4())
        answer: dict[str, Any] = {
            "SchemaVersionId": version_id,
            "VersionNumber": int(schema["LatestSchemaVersion"]) + 1,
            "Status": "FAILURE",
        }
        self._failed[version_id] = {
            **answer,
            "SchemaDefinition": definition,
            "DataFormat": schema["DataFormat"],
            "SchemaArn": schema["SchemaArn"],
        }
        if len(self._failed) > MAX_FAILED:
            del self._failed[next(iter(self._failed))]
        return answer

    async def _versions(self, request: WireRequest, schema_id: object, latest: int) -> list[str]:
        """The text of each version that is left, the earliest first."""
        found: list[str] = []
        for number in range(1, latest + 1):
            asked = {"SchemaId": schema_id, "SchemaVersionNumber": {"VersionNumber": number}}
            told = await self._look(request, "GetSchemaVersion", asked)
            if told is not None:
                found.append(str(told["SchemaDefinition"]))
        return found

    async def _look(self, request: WireRequest, operation: str, body: Mapping[str, object]) -> dict[str, Any] | None:
        """moto's answer to another question of the same caller, None where it is an error."""
        headers = {**request.headers, "x-amz-target": TARGET + operation}
        answer = await self._ask(replace(request, headers=headers, body=json.dumps(body).encode()))
        return json.loads(cast("bytes", answer.body)) if answer.status == 200 else None

    async def _ask(self, request: WireRequest) -> WireResponse:
        try:
            return await super().handle(request)
        except DelegateFailed as failure:
            if isinstance(failure.error, ImportError):  # the request is not at fault
                raise
            message = f"The request is not valid ({failure})."
            return refuse(request, 400, code=INVALID, message=message)


def open_glue(delegate: Delegate) -> GlueService:
    """The schema registry over the delegate."""
    return GlueService(delegate)


def needed_permissions(request: WireRequest) -> tuple[Permission, ...]:
    """The operation on its registry or schema; a version by its id, and a list, is asked for of everything.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html
    """
    operation = _operation(request)
    try:
        body = _read_body(request)
    except MalformedJson:
        return ()
    if operation not in (*_OF_REGISTRIES, *_OF_SCHEMAS):
        return ()
    return (Permission(f"glue:{operation}", _resource(operation, body, request.region)),)


def _resource(operation: str, body: Mapping[str, Any], region: str) -> str:
    prefix = f"arn:aws:glue:{region}:{ACCOUNT_ID}"
    given: object = body.get("SchemaId") or body.get("RegistryId")
    named: Mapping[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    arn = named.get("SchemaArn") or named.get("RegistryArn")
    registry = named.get("RegistryName") or body.get("RegistryName") or "default-registry"
    schema = named.get("SchemaName") or body.get("SchemaName")
    if operation == "ListRegistries" or (operation in _OF_SCHEMAS and not schema and not arn):
        return "*"
    if arn and operation != "CreateSchema":
        return str(arn)
    return f"{prefix}:schema/{registry}/{schema}" if operation in _OF_SCHEMAS else f"{prefix}:registry/{registry}"


def _judge(definition: str, old: list[str], mode: Mode, *, data_format: str) -> Verdict | str:
    """What is said of a version; text: why it cannot be said."""
    if data_format not in FORMATS:
        if mode in _UNCOMPARED:
            return Verdict()
        return (
            f"The local cloud compares versions of {' and '.join(FORMATS)}; {data_format[:20]} needs NONE or DISABLED."
        )
    try:
        if mode in _UNCOMPARED:
            json.loads(definition)
            return Verdict()
        return compatible(definition, old, mode, data_format=data_format)
    except (ValueError, RecursionError):
        return "Schema definition is not valid: it is no JSON."
    except Misconfigured as error:
        return f"Schema definition is not valid, or holds what the local cloud does not compare: {error}"


def _operation(request: WireRequest) -> str:
    return request.target.removeprefix(TARGET) if request.target.startswith(TARGET) else ""


def _read_body(request: WireRequest) -> Mapping[str, Any]:
    """Raises MalformedJson."""
    raw: object = read_json(request.body or b"{}")
    if not isinstance(raw, dict):
        raise MalformedJson("the request must be a JSON object")
    return cast("dict[str, Any]", raw)


def _respond(answer: Mapping[str, Any]) -> WireResponse:
    return WireResponse(200, json.dumps(answer).encode(), {"content-type": CONTENT_TYPE})
