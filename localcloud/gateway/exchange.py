"""One request on its way through an API: what was asked, what has been decided so far, and its `$context`.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Final

from localcloud.gateway.definition import Api, Method
from localcloud.gateway.mapping import Sources
from localcloud.gateway.message import HttpRequest, query_items
from localcloud.gateway.ports import Identity
from localcloud.gateway.telling import AccessLog, Called
from localcloud.gateway.usage_plans import ApiKey
from localcloud.traces.header import read_root
from localcloud.uuids import new_uuid

__all__ = ["Exchange", "Measured", "Stage", "Throttle", "domain_name", "trace_of"]

_DROPPED: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)  # the gateway's own connection's, or made anew below
_STAGE_VARIABLE: Final = re.compile(r"\$\{stageVariables\.(\w+)\}")
_CERTIFICATE: Final = ("clientCertPem", "issuerDN", "serialNumber", "subjectDN")  # of mutual TLS, which is not here
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


def domain_name(api: Api) -> str:
    """The host name the API has on AWS."""
    suffix = ".cn" if api.region.startswith("cn-") else ""
    return f"{api.id}.execute-api.{api.region}.amazonaws.com{suffix}"


def trace_of(request: HttpRequest, now_s: float, random: Random) -> str:
    """The trace header that a request goes on with: the client's where it names a root, else a new root."""
    given = request.header("x-amzn-trace-id") or ""
    return given if read_root(given) else f"Root=1-{int(now_s):08x}-{random.randbytes(12).hex()}"


@dataclass(frozen=True, slots=True)
class Throttle:
    """A method setting: path and method may be `*`; `rate` requests a second, `burst` at once."""

    path: str
    method: str
    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A method setting: whether a method (which may be `*`, as its path) has metrics of its own."""

    path: str
    method: str
    on: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of an API."""

    name: str
    deployment_id: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    throttles: tuple[Throttle, ...] = ()
    is_traced: bool = False
    measured: tuple[Measured, ...] = ()
    access_log: AccessLog | None = None


@dataclass
class Exchange:
    """The state of one request; `now_s` is when it came (epoch seconds), `random` makes its ids.

    `identity`: who signed it, `usage_key`: the API key's value that its authorizer gave, `api_key`: the one it came by.
    """

    api: Api
    stage: Stage
    request: HttpRequest
    now_s: float
    random: Random
    method: Method | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    authorizer: dict[str, Any] | None = None
    authorizer_latency_ms: int = 0
    identity: Identity | None = None
    usage_key: str = ""
    api_key: ApiKey | None = None
    called: Called = field(default_factory=Called)
    error: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.request_id = new_uuid(self.random)
        self.extended_id = base64.b64encode(self.random.randbytes(11)).decode("ascii")

    @cached_property
    def trace_id(self) -> str:
        """The X-Amzn-Trace-Id header: the client's, or a new root."""
        return trace_of(self.request, self.now_s, self.random)

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """The request's headers as an integration sees them."""
        kept = [(name, value) for name, value in self.request.headers if name.lower() not in _DROPPED]
        forwarded = self.request.header("x-forwarded-for")
        chain = f"{forwarded}, {self.request.source_ip}" if forwarded else self.request.source_ip
        return [
            *kept,
            ("Host", self.domain),
            ("X-Amzn-Trace-Id", self.trace_id),
            ("X-Forwarded-For", chain),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
        ]

    @property
    def domain(self) -> str:
        """The host name that was asked: a custom one, or the API's own."""
        return self.request.name or domain_name(self.api)

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters."""
        return query_items(self.request.query)

    @property
    def resource_path(self) -> str:
        """The matched resource's path, "" before routing."""
        return self.method.path if self.method is not None else ""

    @property
    def content_type(self) -> str:
        """The media type of the body, lower case and without parameters; application/json where none is sent."""
        given = self.request.header("content-type") or "application/json"
        return given.partition(";")[0].strip().lower()

    def method_arn(self) -> str:
        """What an authorizer's policy is about."""
        api = self.api
        path = self.request.path.lstrip("/")
        partition = "aws-cn" if api.region.startswith("cn-") else "aws"
        prefix = f"arn:{partition}:execute-api:{api.region}:{api.account_id}:{api.id}"
        return f"{prefix}/{self.stage.name}/{self.request.method}/{path}"

    def fill_stage_variables(self, text: str) -> str:
        """`text` with the stage's variables in the place of `${stageVariables.name}`; one that is not there is ""."""
        return _STAGE_VARIABLE.sub(lambda found: self.stage.variables.get(found[1], ""), text)

    def multi_headers(self) -> dict[str, list[str]]:
        """Headers with every value, spelt as first sent."""
        spelt: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        for name, value in self.headers:
            values.setdefault(spelt.setdefault(name.lower(), name), []).append(value)
        return values

    def multi_query(self) -> dict[str, list[str]]:
        """Query parameters with every value."""
        values: dict[str, list[str]] = {}
        for name, value in self.query:
            values.setdefault(name, []).append(value)
        return values

    def sources(self) -> Sources:
        """What parameter mappings of the request read."""
        return Sources(
            headers=self.multi_headers(),
            query=self.multi_query(),
            path=self.path_parameters,
            context=self.context(),
            stage_variables=self.stage.variables,
        )

    def request_context(self) -> dict[str, Any]:
        """`requestContext` of a Lambda event."""
        context = self._named_context()
        context["identity"] = {name: value or None for name, value in self._identity().items()}
        if self.authorizer is not None:
            authorizer = self.method.authorizer if self.method is not None else None
            is_pool = authorizer is not None and authorizer.kind == "cognito"  # nobody is asked about its tokens
            asked = {} if is_pool else {"integrationLatency": self.authorizer_latency_ms}
            context["authorizer"] = {**self.authorizer, **asked}
        if self.method is not None and self.method.operation:
            context["operationName"] = self.method.operation
        return context

    def context(self) -> dict[str, Any]:
        """`$context` of templates: documented variables without a value are "", as API Gateway's own templates need."""
        return {
            **self._named_context(),
            "awsEndpointRequestId": "",
            "authorizer": {"principalId": "", **(self.authorizer or {})},
            "error": dict(self.error),
            "identity": _no_identity() | self._identity(),
            "isCanaryRequest": "",
            "operationName": self.method.operation if self.method is not None else "",
            "requestOverride": {"header": {}, "querystring": {}, "path": {}},
            "responseOverride": {"header": {}},
            "wafResponseCode": "",
            "webaclArn": "",
            "xrayTraceId": self.trace_id if self.stage.is_traced else "",
        }

    def log_context(self) -> dict[str, Any]:
        """`$context` of access logs, without what only the answer tells.

        Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
        """
        latency = str(self.authorizer_latency_ms) if self.authorizer_latency_ms else ""
        known = {"latency": latency, "integrationLatency": latency}
        return {
            **self.context(),
            "authorizer": {**known, **(self.authorizer or {})},
            "customDomain": {"basePathMatched": self.request.base.strip("/") if self.request.name else ""},
        }

    def _identity(self) -> dict[str, str]:
        found = dict.fromkeys(_IDENTITY, "")
        if self.identity is not None:
            caller = self.identity
            found |= {"accessKey": caller.access_key, "accountId": caller.account, "userArn": caller.arn}
            found |= {"caller": caller.user_id, "user": caller.user_id}
        if self.api_key is not None:
            found |= {"apiKey": self.api_key.value, "apiKeyId": self.api_key.id}
        agent = self.request.header("user-agent") or ""
        return found | {"sourceIp": self.request.source_ip, "userAgent": agent}

    def _named_context(self) -> dict[str, Any]:
        api, request = self.api, self.request
        return {
            "accountId": api.account_id,
            "apiId": api.id,
            "deploymentId": self.stage.deployment_id,
            "domainName": self.domain,
            "domainPrefix": self.domain.partition(".")[0],
            "extendedRequestId": self.extended_id,
            "httpMethod": request.method,
            "path": f"{request.base if request.name else '/' + self.stage.name}{request.path}",
            "protocol": request.protocol,
            "requestId": self.request_id,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.now_s)),
            "requestTimeEpoch": int(self.now_s * 1000),
            "resourceId": self.method.resource_id if self.method is not None else "",
            "resourcePath": self.resource_path,
            "stage": self.stage.name,
        }


def _no_identity() -> dict[str, Any]:
    """What `$context.identity` has beside the identity of an event, where nothing is known of it."""
    certificate = {**dict.fromkeys(_CERTIFICATE, ""), "validity": {"notAfter": "", "notBefore": ""}}
    return {"apiKey": "", "apiKeyId": "", "clientCert": certificate}
