"""One request on its way through an HTTP API: what was asked, what has been decided so far, and its `$context`.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Final
from urllib.parse import unquote

from localcloud.gateway.exchange import trace_of
from localcloud.gateway.http_api.definition import HttpApi, Route, Stage
from localcloud.gateway.message import HttpRequest, query_items
from localcloud.gateway.ports import Identity
from localcloud.gateway.telling import Called

__all__ = ["Caller", "Exchange"]

_DROPPED: Final = frozenset(
    {"connection", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "content-length", "forwarded", "x-amzn-trace-id", "x-forwarded-for"}
    | {"x-forwarded-port", "x-forwarded-proto"}
)  # the connection's own, or made anew below
_SPELT: Final = {"user-agent": "User-Agent"}
_IDENTITY: Final = (
    "accessKey",
    "accountId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "principalOrgId",
    "user",
    "userArn",
)


@dataclass(slots=True)
class Caller:
    """Who asks, as far as it was asked: a token's claims, a function's context, or the owner of a key.

    `claims` are texts, as events have them; `scopes` None where the route asks for none; `context` None for none.
    """

    claims: Mapping[str, str] | None = None
    scopes: tuple[str, ...] | None = None
    is_custom: bool = False
    context: Mapping[str, Any] | None = None
    principal: str = ""
    identity: Identity | None = None
    latency_ms: int = 0


@dataclass
class Exchange:
    """The state of one request; `now_s` is when it came (epoch seconds), `random` makes its id."""

    api: HttpApi
    stage: Stage
    request: HttpRequest
    now_s: float
    random: Random
    route: Route = field(default_factory=lambda: Route("", ""))
    path_parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    caller: Caller = field(default_factory=Caller)
    called: Called = field(default_factory=Called)
    error: str = ""

    def __post_init__(self) -> None:
        self.request_id = base64.b64encode(self.random.randbytes(11)).decode("ascii")

    @cached_property
    def trace_id(self) -> str:
        """The X-Amzn-Trace-Id header: the client's, or a new root."""
        return trace_of(self.request, self.now_s, self.random)

    @property
    def domain(self) -> str:
        """The host name that was asked: a custom one, or the API's own."""
        return self.request.name or self.api.domain_name

    @property
    def path(self) -> str:
        """The path without the stage, decoded and cut at a `?` in that, as API Gateway does."""
        return unquote(self.request.path).partition("?")[0]

    @property
    def raw_path(self) -> str:
        """The path with the stage, unless that is `$default`; what a custom name's mapping took stays in it."""
        return f"{self.stage.prefix}{self.request.base}{self.path}"

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """The request's headers as an integration sees them: lower case, but those that the gateway writes itself."""
        kept = [
            (_SPELT.get(name.lower(), name.lower()), value)
            for name, value in self.request.headers
            if name.lower() not in _DROPPED
        ]
        forwarded = self.request.header("x-forwarded-for")
        source = self.request.source_ip
        return [
            ("Content-Length", str(len(self.request.body))),
            ("Host", self.domain),
            ("X-Amzn-Trace-Id", self.trace_id),
            ("X-Forwarded-For", f"{forwarded}, {source}" if forwarded else source),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
            *kept,
        ]

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters."""
        return query_items(self.request.query)

    def route_arn(self) -> str:
        """The request as a policy names it."""
        return self.api.arn(f"{self.stage.name}/{self.request.method}{self.path}")

    def permission_arn(self) -> str:
        """The route as the SourceArn of a function's permission names it: its path, variables and all."""
        _, _, path = self.route.key.partition(" ")
        rest = f"{self.request.method}{path}" if path else self.route.key
        return self.api.arn(f"{self.stage.name}/{rest}")

    def when(self) -> tuple[str, int]:
        """The time of the request: in words (common log format), and in milliseconds."""
        return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.now_s)), int(self.now_s * 1000)

    def log_context(self) -> dict[str, Any]:
        """`$context` of access logs, without what only the answer tells; JWT's claims are the authorizer's."""
        context = self.context()
        error = (
            {"message": self.error, "messageString": json.dumps(self.error), "responseType": ""} if self.error else {}
        )
        return {
            **context,
            "error": error,
            "customDomain": {"basePathMatched": self.request.base.strip("/") if self.request.name else ""},
            "awsEndpointRequestId": "",
        }

    def identity(self) -> dict[str, Any]:
        """`requestContext.identity` of format 1.0."""
        found: dict[str, Any] = dict.fromkeys(_IDENTITY)
        who = self.caller.identity
        if who is not None:
            found |= {
                "accessKey": who.access_key,
                "accountId": who.account,
                "caller": who.user_id,
                "user": who.user_id,
                "userArn": who.arn,
            }
        agent = self.request.header("user-agent") or ""
        return {**found, "sourceIp": self.request.source_ip, "userAgent": agent}

    def context(self) -> dict[str, Any]:
        """`$context` of parameter mappings and identity sources."""
        at, epoch_ms = self.when()
        return {
            "accountId": self.api.account_id,
            "apiId": self.api.id,
            "authorizer": {
                **(self.caller.context or {}),
                **({"claims": self.caller.claims} if self.caller.claims is not None else {}),
                **({"principalId": self.caller.principal} if self.caller.principal else {}),
            },
            "domainName": self.domain,
            "domainPrefix": self.domain.partition(".")[0],
            "extendedRequestId": self.request_id,
            "httpMethod": self.request.method,
            "identity": {name: value for name, value in self.identity().items() if value is not None},
            "path": self.raw_path,
            "protocol": self.request.protocol,
            "requestId": self.request_id,
            "requestTime": at,
            "requestTimeEpoch": epoch_ms,
            "routeKey": self.route.key,
            "stage": self.stage.name,
        }
