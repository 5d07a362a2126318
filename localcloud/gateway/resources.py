"""CloudFormation's REST API resources: an API defined by its OpenAPI body, its deployments and its stages.

The tables below are the ledger's; what is inside `Body` is checked key by key when the API is made, and whatever is not
served there ends the deployment with its path.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGateway.html
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import yaml

from localcloud.gateway.definition import Api
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.exchange import Stage, Throttle
from localcloud.gateway.openapi import read_api
from localcloud.gateway.server import Gateway
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = [
    "AccountHandler",
    "Apis",
    "DeploymentHandler",
    "RestApiHandler",
    "StageHandler",
    "gateway_handlers",
    "make_id",
]

_SERVED: Final = Supported()
_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits
_REGIONAL: Final = Supported(Support.PARTIAL, "every API is served on loopback, as a regional one")
_NO_CACHE: Final = "responses are not cached here"
_NO_METRICS: Final = "no metrics are kept"
_NO_LOGS: Final = "no execution or access log is written"
_BURST: Final = 5000  # account default, https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_RATE: Final = 10_000


def make_id(length: int, *parts: str) -> str:
    """An id as AWS's own, of `length` lower-case letters and digits, the same for the same parts every time."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest())
    characters: list[str] = []
    while len(characters) < length:
        number, rest = divmod(number, len(_ID_CHARACTERS))
        characters.append(_ID_CHARACTERS[rest])
    return "".join(characters)


@dataclass(slots=True)
class _Known:
    api: Api
    deployments: dict[str, Api]


class Apis:
    """The APIs that have been made, and the definitions that their deployments hold."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._known: dict[str, _Known] = {}

    def add(self, api: Api) -> None:
        """Know an API."""
        self._known[api.id] = _Known(api, {})

    def remove(self, api_id: str) -> None:
        """Forget an API and its deployments."""
        self._known.pop(api_id, None)

    def snapshot(self, read: Properties, deployment_id: str) -> None:
        """Keep the API's definition of now. Raises TemplateError where RestApiId is none."""
        known = self._find(read)
        known.deployments[deployment_id] = known.api

    def deployed(self, read: Properties, deployment_id: str) -> Api:
        """A deployment's definition. Raises TemplateError."""
        known = self._find(read)
        if deployment_id not in known.deployments:
            raise read.error("DeploymentId", f"{deployment_id!r} is no deployment of the API")
        return known.deployments[deployment_id]

    def _find(self, read: Properties) -> _Known:
        api_id = read.text("RestApiId")
        if api_id not in self._known:
            raise read.error("RestApiId", f"{api_id!r} is no API of this stack")
        return self._known[api_id]


class RestApiHandler:
    """`AWS::ApiGateway::RestApi`. Ref is the id; attributes RestApiId, RootResourceId."""

    type: str = "AWS::ApiGateway::RestApi"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiKeySourceType": Supported(Support.SERVED, "API keys are not served", ("HEADER",)),
        "BinaryMediaTypes": _SERVED,
        "Body": _SERVED,
        "BodyS3Location": _SERVED,
        "CloneFrom": Supported(Support.REFUSED, "an API is made from its Body here"),
        "Description": _SERVED,
        "DisableExecuteApiEndpoint": Supported(Support.SERVED, "there is no other endpoint here", (False,)),
        "EndpointConfiguration.IpAddressType": _REGIONAL,
        "EndpointConfiguration.Types": _REGIONAL,
        "FailOnWarnings": _SERVED,
        "MinimumCompressionSize": Supported(Support.REFUSED, "payloads are not compressed here"),
        "Mode": Supported(Support.SERVED, "an API is made from its Body as a whole", ("overwrite",)),
        "Name": _SERVED,
        "Parameters.endpointConfigurationTypes": _REGIONAL,
        "Policy": Supported(Support.REFUSED, "resource policies of APIs are not evaluated here"),
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
        try:
            api = read_api(body, api_id=api_id, region=context.region, account_id=context.account_id)
        except DefinitionError as error:
            where = ".".join(part for part in (read.where, name, error.where) if part)
            raise TemplateError(error.detail, where=where) from error
        binary = frozenset(each.replace("~1", "/").lower() for each in read.texts("BinaryMediaTypes"))
        self._apis.add(replace(api, name=read.text("Name", api.name), binary_types=api.binary_types | binary))
        return Physical(api_id, {"RestApiId": api_id, "RootResourceId": make_id(10, "root", api_id)})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the API."""
        self._apis.remove(physical.ref)


def _read_body(resource: Resource, read: Properties) -> tuple[Mapping[str, Any], str]:
    if "Body" in read:
        return read.mapping("Body"), "Body"
    if "BodyS3Location" not in read:
        raise read.error("Body", "is missing: an API without a definition is not served here")
    path = resource.context.base / read.text("BodyS3Location")
    try:
        loaded: object = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise read.error("BodyS3Location", f"cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise read.error("BodyS3Location", "holds no OpenAPI document")
    return cast("Mapping[str, Any]", loaded), "BodyS3Location"


class DeploymentHandler:
    """`AWS::ApiGateway::Deployment`. Ref and DeploymentId are the id."""

    type: str = "AWS::ApiGateway::Deployment"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "DeploymentCanarySettings": Supported(Support.REFUSED, "canaries are not served here"),
        "Description": _SERVED,
        "RestApiId": _SERVED,
        "StageDescription": Supported(Support.REFUSED, "write an AWS::ApiGateway::Stage"),
        "StageName": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        read = read_properties(resource)
        deployment_id = make_id(6, "deployment", resource.context.stack_name, resource.logical_id)
        self._apis.snapshot(read, deployment_id)
        if "StageName" in read:
            api = self._apis.deployed(read, deployment_id)
            self._apis.gateway.deploy(api, Stage(read.text("StageName"), deployment_id))
        return Physical(deployment_id, {"DeploymentId": deployment_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take away the stage it made, where it made one."""
        read = read_properties(resource)
        if "StageName" in read:
            self._apis.gateway.remove(read.text("RestApiId"), read.text("StageName"))


class StageHandler:
    """`AWS::ApiGateway::Stage`. Ref is the name."""

    type: str = "AWS::ApiGateway::Stage"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "AccessLogSetting": Supported(Support.PARTIAL, _NO_LOGS),
        "CacheClusterEnabled": Supported(Support.SERVED, _NO_CACHE, (False,)),
        "CacheClusterSize": Supported(Support.REFUSED, _NO_CACHE),
        "CanarySetting": Supported(Support.REFUSED, "canaries are not served here"),
        "ClientCertificateId": Supported(Support.REFUSED, "client certificates are not sent here"),
        "DeploymentId": _SERVED,
        "Description": _SERVED,
        "DocumentationVersion": _SERVED,
        "MethodSettings.CacheDataEncrypted": Supported(Support.REFUSED, _NO_CACHE),
        "MethodSettings.CacheTtlInSeconds": Supported(Support.REFUSED, _NO_CACHE),
        "MethodSettings.CachingEnabled": Supported(Support.SERVED, _NO_CACHE, (False,)),
        "MethodSettings.DataTraceEnabled": Supported(Support.PARTIAL, _NO_LOGS),
        "MethodSettings.HttpMethod": _SERVED,
        "MethodSettings.LoggingLevel": Supported(Support.PARTIAL, _NO_LOGS),
        "MethodSettings.MetricsEnabled": Supported(Support.PARTIAL, _NO_METRICS),
        "MethodSettings.ResourcePath": _SERVED,
        "MethodSettings.ThrottlingBurstLimit": _SERVED,
        "MethodSettings.ThrottlingRateLimit": _SERVED,
        "RestApiId": _SERVED,
        "StageName": _SERVED,
        "Tags": _SERVED,
        "TracingEnabled": Supported(Support.PARTIAL, "trace ids are passed on; no segments are sent"),
        "Variables": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Serve the deployment. Raises TemplateError."""
        read = read_properties(resource)
        name, deployment_id = read.text("StageName"), read.text("DeploymentId")
        stage = Stage(
            name=name,
            deployment_id=deployment_id,
            variables=read.text_map("Variables"),
            throttles=tuple(_throttle(each) for each in read.each("MethodSettings") if _throttles(each)),
            is_traced=read.flag("TracingEnabled", False),
        )
        self._apis.gateway.deploy(self._apis.deployed(read, deployment_id), stage)
        return Physical(name, {"StageName": name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Serve the stage no longer."""
        self._apis.gateway.remove(read_properties(resource).text("RestApiId"), physical.ref)


def _throttles(read: Properties) -> bool:
    return "ThrottlingRateLimit" in read or "ThrottlingBurstLimit" in read


def _throttle(read: Properties) -> Throttle:
    path = read.text("ResourcePath", "/*")
    if path.startswith("/~1"):
        path = path[1:]
    return Throttle(
        path=path.replace("~1", "/"),
        method=read.text("HttpMethod", "*").upper(),
        rate=read.number("ThrottlingRateLimit", _RATE, low=0),
        burst=read.integer("ThrottlingBurstLimit", _BURST, low=0),
    )


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


_IN_BODY: Final = "write it into the RestApi's Body"
_REFUSED: Final[Mapping[str, str]] = {
    "ApiKey": "API keys are not served",
    "Authorizer": _IN_BODY,
    "ClientCertificate": "client certificates are not sent",
    "GatewayResponse": _IN_BODY,
    "Method": _IN_BODY,
    "Model": _IN_BODY,
    "RequestValidator": _IN_BODY,
    "Resource": _IN_BODY,
    "UsagePlan": "usage plans are not served",
    "UsagePlanKey": "usage plans are not served",
    "VpcLink": "there is no VPC",
}


def gateway_handlers(gateway: Gateway) -> tuple[ResourceHandler, ...]:
    """The handlers of every `AWS::ApiGateway::*` type, over one gateway."""
    apis = Apis(gateway)
    refused = (_RefusedHandler(f"AWS::ApiGateway::{name}", reason) for name, reason in _REFUSED.items())
    return (RestApiHandler(apis), DeploymentHandler(apis), StageHandler(apis), AccountHandler(), *refused)
