"""CloudFormation's REST API resources: an API, with or without an OpenAPI body, and what is refused beside it.

The tables below are the ledger's; what is inside `Body` is checked key by key when the API is made, and whatever is not
served there ends the deployment with its path.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGateway.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import yaml

from localcloud.gateway.apis import Apis, make_id
from localcloud.gateway.definition import Api
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.openapi import KEY_SOURCES, MAX_COMPRESSION_BYTES, read_api
from localcloud.gateway.part_resources import part_handlers
from localcloud.gateway.plan_resources import plan_handlers
from localcloud.gateway.server import Gateway
from localcloud.gateway.stage_resources import DeploymentHandler, StageHandler
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Document, parse_document
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = [
    "AccountHandler",
    "DocumentationHandler",
    "RestApiHandler",
    "gateway_handlers",
    "make_id",
]

_SERVED: Final = Supported()
_REGIONAL: Final = Supported(Support.PARTIAL, "every API is served on loopback, as a regional one")
_NO_DOCUMENTATION: Final = "no documentation is published here"
_NO_LOGS: Final = "no execution or access log is written"


class RestApiHandler:
    """`AWS::ApiGateway::RestApi`. Ref is the id; attributes RestApiId, RootResourceId."""

    type: str = "AWS::ApiGateway::RestApi"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiKeySourceType": Supported(Support.SERVED, "a key comes in a header or from an authorizer", KEY_SOURCES),
        "BinaryMediaTypes": _SERVED,
        "Body": _SERVED,
        "BodyS3Location": _SERVED,
        "CloneFrom": Supported(Support.REFUSED, "there is no other API to copy here"),
        "Description": _SERVED,
        "DisableExecuteApiEndpoint": Supported(Support.SERVED, "there is no other endpoint here", (False,)),
        "EndpointConfiguration.IpAddressType": _REGIONAL,
        "EndpointConfiguration.Types": _REGIONAL,
        "FailOnWarnings": _SERVED,
        "MinimumCompressionSize": _SERVED,
        "Mode": Supported(Support.SERVED, "an API is made from its Body as a whole", ("overwrite",)),
        "Name": _SERVED,
        "Parameters.endpointConfigurationTypes": _REGIONAL,
        "Policy": _SERVED,
        "Tags": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Read the definition. Raises TemplateError with the path of what is not served."""
        read = read_properties(resource)
        context = resource.context
        api_id = make_id(10, "api", context.stack_name, context.region, resource.logical_id)
        body, name = _read_body(resource, read)
        if not body:
            api = Api(api_id, read.text("Name"), context.region, context.account_id, {})
        else:
            try:
                api = read_api(body, api_id=api_id, region=context.region, account_id=context.account_id)
            except DefinitionError as error:
                where = ".".join(part for part in (read.where, name, error.where) if part)
                raise TemplateError(error.detail, where=where) from error
        self._apis.add(_apply(api, read))
        return Physical(api_id, {"RestApiId": api_id, "RootResourceId": self._apis.root_id(api_id)})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the API."""
        self._apis.remove(physical.ref)


def _apply(api: Api, read: Properties) -> Api:
    """The API with the properties that stand beside a body, and go before what is in it."""
    binary = frozenset(each.replace("~1", "/").lower() for each in read.texts("BinaryMediaTypes"))
    size = read.integer("MinimumCompressionSize", -1, low=0, high=MAX_COMPRESSION_BYTES)
    return replace(
        api,
        name=read.text("Name", api.name),
        binary_types=api.binary_types | binary,
        key_source=read.choice("ApiKeySourceType", KEY_SOURCES, api.key_source),
        policy=_read_policy(read) or api.policy,
        compression_bytes=size if "MinimumCompressionSize" in read else api.compression_bytes,
    )


def _read_policy(read: Properties) -> Document | None:
    if "Policy" not in read:
        return None
    try:
        return parse_document(json_text(read.values["Policy"]), name="of the API", resource_policy=True)
    except MalformedPolicy as error:
        raise read.error("Policy", str(error)) from error


def _read_body(resource: Resource, read: Properties) -> tuple[Mapping[str, Any], str]:
    """The OpenAPI document and the property it is in; an empty one for an API of separate resources."""
    if "Body" in read or "BodyS3Location" not in read:
        return read.mapping("Body"), "Body"
    path = resource.context.base / read.text("BodyS3Location")
    try:
        loaded: object = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise read.error("BodyS3Location", f"cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise read.error("BodyS3Location", "holds no OpenAPI document")
    return cast("Mapping[str, Any]", loaded), "BodyS3Location"


class AccountHandler:
    """`AWS::ApiGateway::Account`. Ref is its logical id."""

    type: str = "AWS::ApiGateway::Account"
    support: Supported = Supported(Support.PARTIAL, _NO_LOGS)
    properties: Mapping[str, Supported] = {"CloudWatchRoleArn": Supported(Support.PARTIAL, _NO_LOGS)}

    async def create(self, resource: Resource) -> Physical:
        """There is nothing to make."""
        return Physical(resource.logical_id, {"Id": resource.logical_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """There is nothing to unmake."""


class DocumentationHandler:
    """`AWS::ApiGateway::DocumentationPart` and `DocumentationVersion`: words that no request ever sees."""

    support: Supported = Supported(Support.PARTIAL, _NO_DOCUMENTATION)
    properties: Mapping[str, Supported] = dict.fromkeys(
        ("Description", "DocumentationVersion", "Location", "Properties", "RestApiId"),
        Supported(Support.PARTIAL, _NO_DOCUMENTATION),
    )

    def __init__(self, name: str, apis: Apis) -> None:
        self.type = f"AWS::ApiGateway::{name}"
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Its API must be there. Raises TemplateError."""
        self._apis.find(read_properties(resource))
        part_id = make_id(6, resource.type, resource.context.stack_name, resource.logical_id)
        return Physical(part_id, {"DocumentationPartId": part_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """There is nothing to unmake."""


class _RefusedHandler:
    """A type that is refused; the ledger says why."""

    properties: Mapping[str, Supported] = {}

    def __init__(self, resource_type: str, reason: str) -> None:
        self.type = resource_type
        self.support = Supported(Support.REFUSED, reason)

    async def create(self, resource: Resource) -> Physical:
        """Refuse. Raises TemplateError."""
        raise TemplateError(f"{self.type} is not served here: {self.support.reason}", where=resource.logical_id)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """There is nothing to unmake."""


_REFUSED: Final[Mapping[str, str]] = {
    "ClientCertificate": "client certificates are not sent",
    "VpcLink": "there is no VPC",
}


def gateway_handlers(gateway: Gateway) -> tuple[ResourceHandler, ...]:
    """The handlers of every `AWS::ApiGateway::*` type, over one gateway."""
    apis = Apis(gateway)
    refused = (_RefusedHandler(f"AWS::ApiGateway::{name}", reason) for name, reason in _REFUSED.items())
    return (
        RestApiHandler(apis),
        DeploymentHandler(apis),
        StageHandler(apis),
        AccountHandler(),
        DocumentationHandler("DocumentationPart", apis),
        DocumentationHandler("DocumentationVersion", apis),
        *part_handlers(apis),
        *plan_handlers(apis),
        *refused,
    )
