"""WebSocket APIs of a stack: what `AWS::ApiGatewayV2::*` resources make of them.

Parts are read as `parts` says and kept by API; a stage serves a deployment's copy, or the API as it is where it deploys
automatically.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

from typing import Final

from localcloud.gateway.resources import make_id
from localcloud.gateway.telling import read_access_log
from localcloud.gateway.v2_api import Deployments, Throttle
from localcloud.gateway.websocket.definition import Stage, WebSocketApi
from localcloud.gateway.websocket.gateway import BURST, RATE, WebSocketGateway
from localcloud.gateway.websocket.parts import (
    read_authorizer,
    read_integration,
    read_response,
    read_route,
    read_selection,
    refuse_for_websocket,
)
from localcloud.template.handler import Physical, Resource
from localcloud.template.properties import Properties

__all__ = ["WebSocketApis"]

_HTTP_ONLY: Final = ("Body", "BodyS3Location", "CorsConfiguration", "RouteKey", "Target")


class WebSocketApis:
    """The WebSocket APIs of the stack and what their deployments hold."""

    protocol: str = "WEBSOCKET"

    def __init__(self, gateway: WebSocketGateway) -> None:
        self._gateway = gateway
        self._known: dict[str, WebSocketApi] = {}
        self._deployments = Deployments[WebSocketApi]()

    def has(self, api_id: str) -> bool:
        """Whether it is one of them."""
        return api_id in self._known

    def make(self, resource: Resource, read: Properties) -> Physical:
        """Make an API without routes. Raises TemplateError."""
        context = resource.context
        refuse_for_websocket(read, *_HTTP_ONLY)
        if read.flag("DisableExecuteApiEndpoint", default=False):
            raise read.error("DisableExecuteApiEndpoint", "there is no other endpoint of a WebSocket API here")
        selection = read_selection(read, "RouteSelectionExpression", ("request.body",))
        if selection is None:
            raise read.error("RouteSelectionExpression", "is required")
        api = WebSocketApi(
            id=make_id(10, "websocket", context.stack_name, context.region, resource.logical_id),
            name=read.text("Name"),
            region=context.region,
            account_id=context.account_id,
            partition=context.partition,
            selection=selection,
            callback_host=self._gateway.callback_host,
        )
        self._known[api.id] = api
        self._gateway.known.add(api.id)
        return Physical(api.id, {"ApiId": api.id, "ApiEndpoint": f"wss://{api.domain_name}"})

    def forget(self, api_id: str) -> None:
        """Forget the API."""
        self._known.pop(api_id, None)
        self._gateway.known.discard(api_id)

    def put(self, kind: str, read: Properties, part_id: str) -> None:
        """Add a part. Raises TemplateError."""
        _PUT[kind](self._known[read.text("ApiId")], read, part_id)

    def drop(self, api_id: str, part_id: str) -> None:
        """Take the part away."""
        api = self._known[api_id]
        for kept in (api.routes, api.integrations, api.responses, api.route_responses, api.authorizers):
            kept.pop(part_id, None)

    def deploy(self, read: Properties, deployment_id: str) -> None:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        api = self._deployments.keep(deployment_id, self._known[read.text("ApiId")], read)
        if "StageName" in read:
            self._gateway.deploy(Stage(read.text("StageName")), lambda: api)

    def undeploy(self, read: Properties, deployment_id: str) -> None:
        """Take away the stage it made, where it made one."""
        self._deployments.drop(deployment_id)
        if "StageName" in read:
            self._gateway.remove(read.text("ApiId"), read.text("StageName"))

    def make_stage(self, read: Properties) -> None:
        """Serve the API at the stage. Raises TemplateError."""
        api, name = self._known[read.text("ApiId")], read.text("StageName")
        settings = read.nested("RouteSettings")
        throttles = [_throttle(settings.nested(key), key) for key in settings.values]
        if "DefaultRouteSettings" in read:
            throttles.append(_throttle(read.nested("DefaultRouteSettings"), ""))
        stage = Stage(
            name,
            read.text_map("StageVariables"),
            tuple(each for each in throttles if each is not None),
            read_access_log(read, "AccessLogSettings"),
        )
        self._gateway.deploy(stage, self._deployments.shown_by(read, api))

    def remove_stage(self, api_id: str, name: str) -> None:
        """Serve the stage no longer; its connections are closed."""
        self._gateway.remove(api_id, name)


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


_PUT: Final = {
    "Route": _put_route,
    "Integration": _put_integration,
    "IntegrationResponse": _put_response,
    "RouteResponse": _put_route_response,
    "Authorizer": _put_authorizer,
}


def _throttle(read: Properties, route_key: str) -> Throttle | None:
    if "ThrottlingRateLimit" not in read and "ThrottlingBurstLimit" not in read:
        return None
    return Throttle(
        route_key,
        rate=read.number("ThrottlingRateLimit", RATE, low=0),
        burst=read.integer("ThrottlingBurstLimit", BURST, low=0),
    )
