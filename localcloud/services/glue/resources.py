"""CloudFormation's schema registry: `AWS::Glue::Registry`, `Schema` and `SchemaVersion`, made in moto.

A registry waits until moto is loaded; a schema loads it, for the id of its first version is moto's.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Glue.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.services.contract import WireRequest
from localcloud.services.glue.wire import CONTENT_TYPE, TARGET, GlueService
from localcloud.template.handler import Physical, RefusedHandler, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["RegistryHandler", "SchemaHandler", "SchemaVersionHandler", "refused_handlers"]

DEFAULT_REGISTRY: Final = "default-registry"
_NAME: Final = re.compile(r"[a-zA-Z0-9_$#.-]{1,255}")
_DELEGATED: Final = Supported(Support.DELEGATED)


class RegistryHandler:
    """`AWS::Glue::Registry`. Ref is the ARN; attribute Arn."""

    type: str = "AWS::Glue::Registry"
    support: Supported = Supported(Support.DELEGATED, "answered by moto")
    properties: Mapping[str, Supported] = {"Description": _DELEGATED, "Name": _DELEGATED, "Tags": _DELEGATED}

    def __init__(self, service: Callable[[], GlueService]) -> None:
        self._service = service
        self._made: set[str] = set()

    async def create(self, resource: Resource) -> Physical:
        """Make the registry. Raises TemplateError for a name that no registry can have."""
        read, context = read_properties(resource), resource.context
        name = _name(read, "Name")
        if name in self._made or name == DEFAULT_REGISTRY:
            raise read.error("Name", f"there is already a registry {name}")
        body: dict[str, Any] = {"RegistryName": name, "Description": read.text("Description", ""), "Tags": read.tags()}
        await self._service().prepare(_request("CreateRegistry", body, context.region))
        self._made.add(name)
        arn = f"arn:{context.partition}:glue:{context.region}:{context.account_id}:registry/{name}"
        return Physical(arn, {"Arn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete it with its schemas."""
        self._made.discard(physical.ref.rpartition("/")[2])
        body = {"RegistryId": {"RegistryArn": physical.ref}}
        await self._service().prepare(_request("DeleteRegistry", body, resource.context.region))


class SchemaHandler:
    """`AWS::Glue::Schema`. Ref is the ARN; attributes Arn and InitialSchemaVersionId."""

    type: str = "AWS::Glue::Schema"
    support: Supported = Supported(Support.DELEGATED, "answered by moto, which it loads at the start")
    properties: Mapping[str, Supported] = {
        "CheckpointVersion": Supported(Support.REFUSED, "checkpoints of schemas are not served here"),
        "Compatibility": Supported(),
        "DataFormat": _DELEGATED,
        "Description": _DELEGATED,
        "Name": _DELEGATED,
        "Registry.Arn": _DELEGATED,
        "Registry.Name": _DELEGATED,
        "SchemaDefinition": Supported(),
        "Tags": _DELEGATED,
    }

    def __init__(self, service: Callable[[], GlueService]) -> None:
        self._service = service

    async def create(self, resource: Resource) -> Physical:
        """Make the schema and its first version. Raises TemplateError for what CreateSchema refuses."""
        read = read_properties(resource)
        registry = read.nested("Registry")
        named = {"RegistryArn": registry.text("Arn", ""), "RegistryName": registry.text("Name", "")}
        body: dict[str, Any] = {
            "SchemaName": _name(read, "Name"),
            "Compatibility": read.text("Compatibility"),
            "DataFormat": read.text("DataFormat"),
            "SchemaDefinition": read.text("SchemaDefinition"),
            "Description": read.text("Description", ""),
            "Tags": read.tags(),
        }
        if given := {key: value for key, value in named.items() if value}:
            body["RegistryId"] = given
        told = await _ask(self._service(), "CreateSchema", body, resource=resource, read=read)
        return Physical(
            told["SchemaArn"], {"Arn": told["SchemaArn"], "InitialSchemaVersionId": told["SchemaVersionId"]}
        )

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete it with its versions."""
        body = {"SchemaId": {"SchemaArn": physical.ref}}
        await self._service().prepare(_request("DeleteSchema", body, resource.context.region))


class SchemaVersionHandler:
    """`AWS::Glue::SchemaVersion`. Ref is the version's id; attribute VersionId."""

    type: str = "AWS::Glue::SchemaVersion"
    support: Supported = Supported(Support.DELEGATED, "answered by moto; compared with the versions before it here")
    properties: Mapping[str, Supported] = {
        "Schema.RegistryName": _DELEGATED,
        "Schema.SchemaArn": _DELEGATED,
        "Schema.SchemaName": _DELEGATED,
        "SchemaDefinition": Supported(),
    }

    def __init__(self, service: Callable[[], GlueService]) -> None:
        self._service = service

    async def create(self, resource: Resource) -> Physical:
        """Register it. Raises TemplateError for what is refused, and for a version that is not compatible."""
        read = read_properties(resource)
        schema = read.nested("Schema")
        names = ("RegistryName", "SchemaArn", "SchemaName")
        named = {name: schema.text(name) for name in names if name in schema}
        body = {"SchemaId": named, "SchemaDefinition": read.text("SchemaDefinition")}
        told = await _ask(self._service(), "RegisterSchemaVersion", body, resource=resource, read=read)
        if told["Status"] == "FAILURE":
            raise read.error("SchemaDefinition", "is not compatible with the versions before it")
        return Physical(told["SchemaVersionId"], {"VersionId": told["SchemaVersionId"]})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing: it goes with its schema."""


def refused_handlers() -> list[RefusedHandler]:
    """The types that are not here."""
    return [
        RefusedHandler("AWS::Glue::SchemaVersionMetadata", "metadata of schema versions are put over the API alone")
    ]


async def _ask(
    service: GlueService, operation: str, body: Mapping[str, Any], *, resource: Resource, read: Properties
) -> dict[str, Any]:
    answer = await service.handle(_request(operation, body, resource.context.region))
    told: dict[str, Any] = json.loads(cast("bytes", answer.body))
    if answer.status != 200:
        raise read.error("", str(told.get("message", told.get("Message", answer.status))))
    return told


def _name(read: Properties, member: str) -> str:
    name = read.text(member)
    if not _NAME.fullmatch(name):
        raise read.error(member, f"must be 1 to 255 letters, digits and _-$#., is {name!r}")
    return name


def _request(operation: str, body: Mapping[str, Any], region: str) -> WireRequest:
    return WireRequest(
        service="glue",
        region=region,
        method="POST",
        path="/",
        query="",
        headers={"x-amz-target": TARGET + operation, "content-type": CONTENT_TYPE, "host": "glue"},
        body=json.dumps(body).encode(),
        access_key="local",
        request_id="deployer",
    )
