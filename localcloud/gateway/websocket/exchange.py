"""One event on a connection (opened, a message, closed): its ids, its `$context` and the event a function gets.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Final

from localcloud.gateway.mapping import Sources
from localcloud.gateway.message import HttpRequest, query_items
from localcloud.gateway.websocket.definition import CONNECT, DISCONNECT, Stage, WebSocketApi
from localcloud.gateway.websocket.selection import find_in_body
from localcloud.json_text import MalformedJson, parse_json

__all__ = ["Client", "Ending", "Exchange", "make_id"]

_IDENTITY: Final = (
    "accountId",
    "apiKey",
    "apiKeyId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "sourceIp",
    "user",
    "userAgent",
    "userArn",
)
_DROPPED: Final = frozenset(
    {"connection", "host", "upgrade", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
)  # the gateway's own connection's, or made anew below


def make_id(random: Random) -> str:
    """An id in the form of API Gateway's: 15 characters and a `=`."""
    return base64.urlsafe_b64encode(random.randbytes(11)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: the close code (1006 where the client just went) and the reason it came with."""

    code: int
    reason: str


@dataclass
class Client:
    """Who is at the other end, from the handshake on. `authorizer` is what the authorizer said, None without one."""

    connection_id: str
    handshake: HttpRequest
    connected_at_s: float
    trace_id: str
    authorizer: dict[str, Any] | None = None

    @property
    def source_ip(self) -> str:
        """The client's address."""
        return self.handshake.source_ip

    @property
    def user_agent(self) -> str:
        """What the client says it is, "" where it says nothing."""
        return self.handshake.header("user-agent") or ""


@dataclass
class Exchange:
    """The state of one event; `now_s` is when it happened (epoch seconds), `random` makes its ids."""

    api: WebSocketApi
    stage: Stage
    client: Client
    route_key: str
    now_s: float
    random: Random
    body: str | None = None
    ending: Ending | None = None
    integration_latency_ms: int = 0
    error: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.request_id = make_id(self.random)
        self.message_id = make_id(self.random) if self.event_type == "MESSAGE" else ""

    @cached_property
    def trace_id(self) -> str:
        """The trace header: the handshake's for `$connect`, a root of its own for each later event."""
        if self.route_key == CONNECT:
            return self.client.trace_id
        return f"Root=1-{int(self.now_s):08x}-{self.random.randbytes(12).hex()}"

    @property
    def event_type(self) -> str:
        """CONNECT, MESSAGE or DISCONNECT."""
        return {CONNECT: "CONNECT", DISCONNECT: "DISCONNECT"}.get(self.route_key, "MESSAGE")

    @cached_property
    def document(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return parse_json(self.body or "")
        except MalformedJson:
            return None

    def route_arn(self) -> str:
        """What permissions of functions and policies of authorizers name."""
        return self.api.arn(f"{self.stage.name}/{self.route_key}")

    def look_up(self, name: str) -> str | None:
        """The value of a selection expression's variable."""
        if name == "request.body":
            return self.body
        if name.startswith("request.body."):
            return find_in_body(self.document, name.removeprefix("request.body."))
        scope, _, rest = name.partition(".")
        if scope == "stageVariables":
            return self.stage.variables.get(rest)
        return None

    @cached_property
    def headers(self) -> dict[str, list[str]]:
        """The handshake's headers with every value, as functions see them; none for a message."""
        client, given = self.client, self.client.handshake
        host, seen = self.api.domain_name, client.source_ip
        if self.event_type == "DISCONNECT":
            return {"Host": [host], "x-api-key": [""], "X-Forwarded-For": [seen], "x-restapi": [""]}
        if self.event_type == "MESSAGE":
            return {}
        forwarded = given.header("x-forwarded-for")
        sent = [(name, value) for name, value in given.headers if name.lower() not in _DROPPED]
        added = [
            ("Host", host),
            ("X-Amzn-Trace-Id", client.trace_id),
            ("X-Forwarded-For", f"{forwarded}, {seen}" if forwarded else seen),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
        ]
        spelt: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        for name, value in [*sent, *added]:
            values.setdefault(spelt.setdefault(name.lower(), name), []).append(value)
        return values

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The handshake's query parameters with every value; none for a message or a disconnection."""
        values: dict[str, list[str]] = {}
        if self.event_type == "CONNECT":
            for name, value in query_items(self.client.handshake.query):
                values.setdefault(name, []).append(value)
        return values

    def sources(self) -> Sources:
        """What parameter mappings and identity sources read."""
        return Sources(
            headers=self.headers,
            query=self.query,
            context=self.context(),
            stage_variables=self.stage.variables,
            body=self.document if self.document is not None else self.body,
        )

    def event(self) -> dict[str, Any]:
        """What a function behind the route gets."""
        event: dict[str, Any] = {}
        if self.headers:
            event |= {"headers": _last(self.headers), "multiValueHeaders": self.headers}
        if self.query:
            event |= {"queryStringParameters": _last(self.query), "multiValueQueryStringParameters": self.query}
        if self.stage.variables:
            event["stageVariables"] = dict(self.stage.variables)
        event["requestContext"] = self.request_context()
        if self.body is not None:
            event["body"] = self.body
        return {**event, "isBase64Encoded": False}

    def authorizer_event(self) -> dict[str, Any]:
        """What a REQUEST authorizer gets.

        Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
        """
        upgrade = {"Connection": ["upgrade"], "content-length": ["0"], "Upgrade": ["websocket"]}
        headers = self.headers | upgrade
        return {
            "type": "REQUEST",
            "methodArn": self.route_arn(),
            "headers": _last(headers),
            "multiValueHeaders": headers,
            "queryStringParameters": _last(self.query),
            "multiValueQueryStringParameters": self.query,
            "stageVariables": dict(self.stage.variables),
            "requestContext": self.request_context(),
        }

    def request_context(self) -> dict[str, Any]:
        """`requestContext` of a function's event."""
        client = self.client
        identity = {"sourceIp": client.source_ip}
        if client.user_agent:
            identity = {"userAgent": client.user_agent, **identity}
        context = self._named_context() | {"identity": identity}
        if client.authorizer is not None:
            latency = {"integrationLatency": self.integration_latency_ms} if self.event_type == "CONNECT" else {}
            context["authorizer"] = {**client.authorizer, **latency}
        return context

    def context(self) -> dict[str, Any]:
        """`$context` of templates: documented variables without a value are ""."""
        given = {"sourceIp": self.client.source_ip, "userAgent": self.client.user_agent}
        return {
            "messageId": "",
            **self._named_context(),
            "authorizer": {"principalId": "", **(self.client.authorizer or {})},
            "error": {"message": "", "messageString": "", "validationErrorString": "", **self.error},
            "identity": dict.fromkeys(_IDENTITY, "") | given,
            "status": "",
        }

    def _named_context(self) -> dict[str, Any]:
        context: dict[str, Any] = {
            "routeKey": self.route_key,
            "eventType": self.event_type,
            "extendedRequestId": self.request_id,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.now_s)),
            "messageDirection": "IN",
            "stage": self.stage.name,
            "connectedAt": int(self.client.connected_at_s * 1000),
            "requestTimeEpoch": int(self.now_s * 1000),
            "requestId": self.request_id,
            "domainName": self.api.callback_host or self.api.domain_name,
            "connectionId": self.client.connection_id,
            "apiId": self.api.id,
        }
        if self.message_id:
            context["messageId"] = self.message_id
        if self.ending is not None:
            context |= {"disconnectStatusCode": self.ending.code, "disconnectReason": self.ending.reason}
        return context


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: each[-1] for name, each in values.items()}
