"""What an HTTP API is: plain data, read and checked; parts refer to one another by id, as API Gateway's resources do.

Knows no CloudFormation, no OpenAPI and no sockets. A deployment is a copy (`snapshot`) that later changes do not reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from localcloud.gateway.http_api.cors import Cors
from localcloud.gateway.telling import AccessLog
from localcloud.gateway.v2_api import Throttle, V2Api

__all__ = ["DEFAULT", "Authorizer", "HttpApi", "Integration", "JwtAuthorizer", "LambdaAuthorizer", "Route", "Stage"]

DEFAULT: Final = "$default"
"""The route that takes what no other does, and the stage that has no part of the path."""


@dataclass(frozen=True, slots=True)
class Integration:
    """Where a route leads: `kind` function (`uri` is its ARN), http (`uri` an address) or service (`subtype`).

    `payload` is 1.0 or 2.0; `method` "" or ANY sends the request's own; `parameters` as written; `responses` are
    parameter mappings by status; `timeout_s` 0.05 to 30.
    """

    id: str
    kind: str
    uri: str = ""
    method: str = ""
    subtype: str = ""
    credentials: str = ""
    payload: str = "2.0"
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    responses: Mapping[int, Mapping[str, str]] = field(default_factory=dict[int, Mapping[str, str]])
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class JwtAuthorizer:
    """Tokens of one issuer, for any of the audiences, found at `source`."""

    id: str
    name: str
    source: str
    issuer: str
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """A function that decides. `payload` 1.0 or 2.0; `simple`: it may answer isAuthorized; `ttl_s` 0 keeps nothing."""

    id: str
    name: str
    function_arn: str
    sources: tuple[str, ...]
    payload: str
    simple: bool = False
    ttl_s: int = 0


Authorizer: TypeAlias = JwtAuthorizer | LambdaAuthorizer


@dataclass(frozen=True, slots=True)
class Route:
    """A route key and what it leads to. `authorization` is NONE, JWT, CUSTOM or AWS_IAM; `scopes` are for JWT."""

    id: str
    key: str
    integration_id: str = ""
    authorization: str = "NONE"
    authorizer_id: str = ""
    scopes: tuple[str, ...] = ()
    operation: str = ""


@dataclass
class HttpApi(V2Api):
    """An HTTP API and its parts by id. `changes` counts them: what was made of the parts before is old."""

    cors: Cors | None = None
    is_open: bool = True
    routes: dict[str, Route] = field(default_factory=dict[str, Route])
    integrations: dict[str, Integration] = field(default_factory=dict[str, Integration])
    authorizers: dict[str, Authorizer] = field(default_factory=dict[str, Authorizer])
    changes: int = 0

    def put(self, part: Route | Integration | Authorizer) -> None:
        """Add a part, or put it in place of the one with its id."""
        if isinstance(part, Route):
            self.routes[part.id] = part
        elif isinstance(part, Integration):
            self.integrations[part.id] = part
        else:
            self.authorizers[part.id] = part
        self.changes += 1

    def drop(self, part_id: str) -> None:
        """Take a part away; nothing happens where there is none."""
        for kept in (self.routes, self.integrations, self.authorizers):
            kept.pop(part_id, None)
        self.changes += 1

    def snapshot(self) -> HttpApi:
        """The API as it is now."""
        return replace(
            self,
            routes=dict(self.routes),
            integrations=dict(self.integrations),
            authorizers=dict(self.authorizers),
        )

    def without_routes(self) -> HttpApi:
        """The API with nothing to reach."""
        return replace(self, routes={})

    def route(self, key: str) -> Route | None:
        """The route of exactly this key."""
        return next((route for route in self.routes.values() if route.key == key), None)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its name, variables, throttles and access log.

    `measured`: whether a route has metrics of its own, by its key; "" for the routes that are not named.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    throttles: tuple[Throttle, ...] = ()
    measured: Mapping[str, bool] = field(default_factory=dict[str, bool])
    access_log: AccessLog | None = None

    @property
    def prefix(self) -> str:
        """Its part of the path, "" for `$default`."""
        return "" if self.name == DEFAULT else f"/{self.name}"
