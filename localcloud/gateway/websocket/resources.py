"""CloudFormation's `AWS::ApiGatewayV2::*`: WebSocket APIs and their parts. HTTP APIs are refused by their protocol.

Parts are read as `parts` says and kept by API; a stage serves a deployment's copy, or the API as it is where it deploys
automatically. The tables are the ledger's.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from localcloud.gateway.websocket.definition import Stage, Throttle, WebSocketApi
from localcloud.gateway.websocket.gateway import BURST, RATE, WebSocketGateway
from localcloud.gateway.websocket.parts import (
    PART_TABLES,
    read_authorizer,
    read_integration,
    read_response,
    read_route,
    read_selection,
)
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["websocket_handlers"]

_SERVED: Final = Supported()
_NO_LOGS: Final = Supported(Support.PARTIAL, "no execution or access log is written")
_NO_METRICS: Final = Supported(Support.PARTIAL, "no metrics are kept")
_HTTP_ONLY: Final = Supported(Support.REFUSED, "HTTP APIs are not served here")
_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits


def _make_id(length: int, *parts: str) -> str:
    """An id as API Gateway's own, the same for the same stack every time."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest())
    characters: list[str] = []
    while len(characters) < length:
        number, rest = divmod(number, len(_ID_CHARACTERS))
        characters.append(_ID_CHARACTERS[rest])
    return "".join(characters)


class _Apis:
    """The APIs of the stack and what their deployments hold."""

    def __init__(self, gateway: WebSocketGateway) -> None:
        self.gateway = gateway
        self.known: dict[str, WebSocketApi] = {}
        self.deployments: dict[str, WebSocketApi] = {}

    def find(self, read: Properties) -> WebSocketApi:
        """The API that ApiId names. Raises TemplateError."""
        api_id = read.text("ApiId")
        if api_id not in self.known:
            raise read.error("ApiId", f"{api_id!r} is no WebSocket API of this stack")
        return self.known[api_id]


class _ApiHandler:
    """`AWS::ApiGatewayV2::Api`. Ref and ApiId are the id; attribute ApiEndpoint."""

    type: str = "AWS::ApiGatewayV2::Api"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiKeySelectionExpression": Supported(Support.REFUSED, "API keys are not served here"),
        "BasePath": _HTTP_ONLY,
        "Body": _HTTP_ONLY,
        "BodyS3Location": _HTTP_ONLY,
        "CorsConfiguration": _HTTP_ONLY,
        "CredentialsArn": _HTTP_ONLY,
        "Description": _SERVED,
        "DisableExecuteApiEndpoint": Supported(Support.SERVED, "there is no other endpoint here", (False,)),
        "DisableSchemaValidation": Supported(Support.PARTIAL, "models are not served here, so nothing is validated"),
        "FailOnWarnings": _SERVED,
        "IpAddressType": Supported(Support.PARTIAL, "every API is served on loopback"),
        "Name": _SERVED,
        "ProtocolType": Supported(Support.SERVED, "HTTP APIs are not served here", ("WEBSOCKET",)),
        "RouteKey": _HTTP_ONLY,
        "RouteSelectionExpression": _SERVED,
        "Tags": _SERVED,
        "Target": _HTTP_ONLY,
        "Version": _SERVED,
    }

    def __init__(self, apis: _Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Make an API without routes. Raises TemplateError."""
        read, context = read_properties(resource), resource.context
        read.choice("ProtocolType", ("WEBSOCKET",))
        selection = read_selection(read, "RouteSelectionExpression", ("request.body",))
        if selection is None:
            raise read.error("RouteSelectionExpression", "is required")
        api = WebSocketApi(
            id=_make_id(10, "websocket", context.stack_name, context.region, resource.logical_id),
            name=read.text("Name"),
            region=context.region,
            account_id=context.account_id,
            partition=context.partition,
            selection=selection,
        )
        self._apis.known[api.id] = api
        return Physical(api.id, {"ApiId": api.id, "ApiEndpoint": f"wss://{api.domain_name}"})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the API."""
        self._apis.known.pop(physical.ref, None)


class _PartHandler:
    """A part of an API. Ref is its id; `attribute` names it as well where there is one."""

    support: Supported = _SERVED

    def __init__(self, apis: _Apis, name: str, put: Callable[[WebSocketApi, Properties, str], None]) -> None:
        self.type = f"AWS::ApiGatewayV2::{name}"
        self.properties: Mapping[str, Supported] = PART_TABLES[name]
        self._name = name
        self._apis = apis
        self._put = put

    async def create(self, resource: Resource) -> Physical:
        """Add the part to its API. Raises TemplateError."""
        read = read_properties(resource)
        api = self._apis.find(read)
        part_id = _make_id(7, self._name, resource.context.stack_name, resource.logical_id)
        self._put(api, read, part_id)
        return Physical(part_id, {f"{self._name}Id": part_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take the part away."""
        api = self._apis.known.get(read_properties(resource).text("ApiId"))
        if api is not None:
            for kept in (api.routes, api.integrations, api.responses, api.route_responses, api.authorizers):
                kept.pop(physical.ref, None)


def _put_route(api: WebSocketApi, read: Properties, part_id: str) -> None:
    route = read_route(read, part_id)
    if api.route(route.key) is not None:
        raise read.error("RouteKey", f"the API has a route {route.key} already")
    if route.integration_id and route.integration_id not in api.integrations:
        raise read.error("Target", f"{route.integration_id!r} is no integration of the API")
    if route.authorizer_id and route.authorizer_id not in api.authorizers:
        raise read.error("AuthorizerId", f"{route.authorizer_id!r} is no authorizer of the API")
    api.routes[part_id] = route


def _put_integration(api: WebSocketApi, read: Properties, part_id: str) -> None:
    api.integrations[part_id] = read_integration(read, part_id)


def _put_response(api: WebSocketApi, read: Properties, part_id: str) -> None:
    response = read_response(read)
    if response.integration_id not in api.integrations:
        raise read.error("IntegrationId", f"{response.integration_id!r} is no integration of the API")
    api.responses[part_id] = response


def _put_route_response(api: WebSocketApi, read: Properties, part_id: str) -> None:
    read.choice("RouteResponseKey", ("$default",))
    if read.text("RouteId") not in api.routes:
        raise read.error("RouteId", f"{read.text('RouteId')!r} is no route of the API")
    api.route_responses[part_id] = read.text("RouteId")


def _put_authorizer(api: WebSocketApi, read: Properties, part_id: str) -> None:
    api.authorizers[part_id] = read_authorizer(read, part_id)


class _DeploymentHandler:
    """`AWS::ApiGatewayV2::Deployment`. Ref and DeploymentId are the id."""

    type: str = "AWS::ApiGatewayV2::Deployment"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {"ApiId": _SERVED, "Description": _SERVED, "StageName": _SERVED}

    def __init__(self, apis: _Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        read = read_properties(resource)
        api = self._apis.find(read).snapshot()
        if not api.routes:
            raise read.error("ApiId", "at least one route is required before deploying the API (DependsOn the routes)")
        deployment_id = _make_id(6, "deployment", resource.context.stack_name, resource.logical_id)
        self._apis.deployments[deployment_id] = api
        if "StageName" in read:
            self._apis.gateway.deploy(Stage(read.text("StageName")), lambda: api)
        return Physical(deployment_id, {"DeploymentId": deployment_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take away the stage it made, where it made one."""
        read = read_properties(resource)
        self._apis.deployments.pop(physical.ref, None)
        if "StageName" in read:
            self._apis.gateway.remove(read.text("ApiId"), read.text("StageName"))


class _StageHandler:
    """`AWS::ApiGatewayV2::Stage`. Ref is the name."""

    type: str = "AWS::ApiGatewayV2::Stage"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "AccessLogSettings": _NO_LOGS,
        "AccessPolicyId": _HTTP_ONLY,
        "ApiId": _SERVED,
        "AutoDeploy": _SERVED,
        "ClientCertificateId": Supported(Support.REFUSED, "client certificates are not sent here"),
        "DefaultRouteSettings.DataTraceEnabled": _NO_LOGS,
        "DefaultRouteSettings.DetailedMetricsEnabled": _NO_METRICS,
        "DefaultRouteSettings.LoggingLevel": _NO_LOGS,
        "DefaultRouteSettings.ThrottlingBurstLimit": _SERVED,
        "DefaultRouteSettings.ThrottlingRateLimit": _SERVED,
        "DeploymentId": _SERVED,
        "Description": _SERVED,
        "RouteSettings": Supported(Support.PARTIAL, "throttles are served; no logs are written and no metrics kept"),
        "StageName": _SERVED,
        "StageVariables": _SERVED,
        "Tags": _SERVED,
    }

    def __init__(self, apis: _Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Serve the API at the stage. Raises TemplateError."""
        read = read_properties(resource)
        api, name = self._apis.find(read), read.text("StageName")
        settings = read.nested("RouteSettings")
        throttles = [_throttle(settings.nested(key), key) for key in settings.values]
        if "DefaultRouteSettings" in read:
            throttles.append(_throttle(read.nested("DefaultRouteSettings"), ""))
        stage = Stage(name, read.text_map("StageVariables"), tuple(each for each in throttles if each is not None))
        self._apis.gateway.deploy(stage, self._definition(read, api))
        return Physical(name, {"StageName": name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Serve the stage no longer; its connections are closed."""
        self._apis.gateway.remove(read_properties(resource).text("ApiId"), physical.ref)

    def _definition(self, read: Properties, api: WebSocketApi) -> Callable[[], WebSocketApi]:
        if read.flag("AutoDeploy", False):
            return lambda: api
        if "DeploymentId" not in read:
            empty = replace(api, routes={})  # as on AWS: a stage that nothing was deployed to
            return lambda: empty
        deployment = self._apis.deployments.get(read.text("DeploymentId"))
        if deployment is None or deployment.id != api.id:
            raise read.error("DeploymentId", f"{read.text('DeploymentId')!r} is no deployment of the API")
        return lambda: deployment


def _throttle(read: Properties, route_key: str) -> Throttle | None:
    if "ThrottlingRateLimit" not in read and "ThrottlingBurstLimit" not in read:
        return None
    return Throttle(
        route_key,
        rate=read.number("ThrottlingRateLimit", RATE, low=0),
        burst=read.integer("ThrottlingBurstLimit", BURST, low=0),
    )


def websocket_handlers(gateway: WebSocketGateway) -> tuple[ResourceHandler, ...]:
    """The handlers of the `AWS::ApiGatewayV2::*` types that are served, over one gateway."""
    apis = _Apis(gateway)
    return (
        _ApiHandler(apis),
        _PartHandler(apis, "Route", _put_route),
        _PartHandler(apis, "Integration", _put_integration),
        _PartHandler(apis, "IntegrationResponse", _put_response),
        _PartHandler(apis, "RouteResponse", _put_route_response),
        _PartHandler(apis, "Authorizer", _put_authorizer),
        _DeploymentHandler(apis),
        _StageHandler(apis),
    )
