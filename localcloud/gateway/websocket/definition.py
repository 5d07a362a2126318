"""What a WebSocket API is: plain data, with its selection expressions and mapping templates read.

Knows no CloudFormation and no sockets. Parts refer to one another by id, as API Gateway's resources do; a deployment is
a copy (`snapshot`) that later changes do not reach.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from localcloud.gateway.definition import Authorizer, Template
from localcloud.gateway.telling import AccessLog
from localcloud.gateway.v2_api import Throttle, V2Api
from localcloud.gateway.websocket.selection import Selection

__all__ = ["CONNECT", "DISCONNECT", "Integration", "IntegrationResponse", "Route", "Stage", "WebSocketApi"]

CONNECT: Final = "$connect"
DISCONNECT: Final = "$disconnect"


@dataclass(frozen=True, slots=True)
class Integration:
    """Where a route leads: `kind` aws_proxy (`uri` is a function's ARN), aws or mock.

    `passthrough` is never, when_no_match or when_no_templates; `timeout_s` 0.05 to 29.
    """

    id: str
    kind: str
    method: str = ""
    uri: str = ""
    credentials: str = ""
    passthrough: str = "when_no_match"
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    templates: Mapping[str, Template] = field(default_factory=dict[str, Template])
    template_selection: Selection | None = None
    timeout_s: float = 29.0


@dataclass(frozen=True, slots=True)
class IntegrationResponse:
    """How an integration's answer becomes the message back; `status` is None for the `$default` one."""

    integration_id: str
    status: re.Pattern[str] | None
    templates: Mapping[str, Template] = field(default_factory=dict[str, Template])
    template_selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route key and what it leads to. `answers`: its RouteResponseSelectionExpression says `$default`."""

    id: str
    key: str
    integration_id: str = ""
    authorizer_id: str = ""
    answers: bool = False


@dataclass
class WebSocketApi(V2Api):
    """A WebSocket API and its parts by id; `route_responses` are the ids of routes that have a `$default` one.

    `callback_host` is where `https://<domainName>/<stage>` reaches the management API, "" for the name on AWS alone.
    """

    selection: Selection
    routes: dict[str, Route] = field(default_factory=dict[str, Route])
    integrations: dict[str, Integration] = field(default_factory=dict[str, Integration])
    responses: dict[str, IntegrationResponse] = field(default_factory=dict[str, IntegrationResponse])
    route_responses: dict[str, str] = field(default_factory=dict[str, str])
    authorizers: dict[str, Authorizer] = field(default_factory=dict[str, Authorizer])
    callback_host: str = ""

    def snapshot(self) -> WebSocketApi:
        """The API as it is now."""
        return replace(
            self,
            routes=dict(self.routes),
            integrations=dict(self.integrations),
            responses=dict(self.responses),
            route_responses=dict(self.route_responses),
            authorizers=dict(self.authorizers),
        )

    def without_routes(self) -> WebSocketApi:
        """The API with nothing to reach."""
        return replace(self, routes={})

    def route(self, key: str) -> Route | None:
        """The route of exactly this key."""
        return next((route for route in self.routes.values() if route.key == key), None)

    def is_two_way(self, route: Route) -> bool:
        """Whether what the integration answers goes back to the client."""
        return route.answers and route.id in self.route_responses.values()


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its name, variables, throttles and access log."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    throttles: tuple[Throttle, ...] = ()
    access_log: AccessLog | None = None
