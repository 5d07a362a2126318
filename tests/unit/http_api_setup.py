"""An HTTP API made by the real handlers, on fakes of what it leads to; tokens are real, and so are their keys."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from localcloud.bearer_tokens import IssuerTokens, KeysUnavailable
from localcloud.clock import Clock, LoopClock, run_virtual
from localcloud.compute.streamed import StreamedInvocation
from localcloud.gateway.domain_resources import domain_handlers
from localcloud.gateway.http_api.apis import HttpApis
from localcloud.gateway.http_api.backends import HttpBackends
from localcloud.gateway.http_api.resources import StackHttpApis
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.ports import HttpAnswer, HttpCall, HttpFailed, Identity
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway
from localcloud.gateway.telling import Telling
from localcloud.gateway.v2_resources import v2_handlers
from localcloud.services.contract import WireRequest
from localcloud.services.iam.policy import Decision, Document, Outcome
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from localcloud.template.handler import Physical, Resource, StackContext
from tests.unit.gateway_setup import ACCOUNT, FUNCTION, REGION, ROLE, FakeFunctions, FakeRoles, lambda_uri

ISSUER = "https://issuer.example"
CONTEXT = StackContext("stack", REGION, ACCOUNT, "aws", Path())


@cache
def signing_key(name: str = "one") -> rsa.RSAPrivateKey:
    """An issuer's private key, by its id."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*names: str, alg: str = "RS256") -> dict[str, Any]:
    """The key set with these keys."""
    keys = [
        json.loads(RSAAlgorithm.to_jwk(signing_key(name).public_key())) | {"kid": name, "use": "sig", "alg": alg}
        for name in names
    ]
    return {"keys": keys}


def token(
    now_s: float,
    claims: Mapping[str, Any] | None = None,
    *,
    key: str = "one",
    kid: str | None = None,
    alg: str = "RS256",
) -> str:
    """A token that is good for an hour; a claim of None is left out."""
    said = {"iss": ISSUER, "aud": "app", "sub": "ann", "iat": int(now_s), "exp": int(now_s) + 3600} | dict(claims or {})
    named = {"kid": kid or key}
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(kept, signing_key(key), algorithm=alg, headers=named)


@dataclass
class FakeKeys:
    """An issuer whose keys are `found`; None is an issuer that does not answer."""

    found: dict[str, Any] | None = field(default_factory=lambda: key_set("one"))
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, issuer: str) -> Mapping[str, Any]:
        """The key set."""
        self.asked.append(issuer)
        if self.found is None:
            raise KeysUnavailable("JWKS communication error")
        return self.found


@dataclass
class FakeAccess:
    """One key that may do everything."""

    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def identify(self, access_key: str) -> Identity:
        """The owner."""
        return Identity(access_key, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAANN")

    def decide(self, access_key: str, method_arn: str, *, policy: Document | None, source_ip: str) -> Decision:
        """Yes to AKIAGOOD."""
        assert policy is None
        assert source_ip == "127.0.0.1"
        self.asked.append((access_key, method_arn))
        return Decision(Outcome.ALLOWED if access_key == "AKIAGOOD" else Outcome.IMPLICIT_DENY)


@dataclass
class FakeNetwork:
    """Answers every call alike, or with an exception."""

    answer: HttpAnswer | Exception = field(default_factory=lambda: HttpAnswer(200, (("X-Back", "1"),), b"back"))
    calls: list[HttpCall] = field(default_factory=list[HttpCall])

    async def __call__(self, call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        """The answer."""
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        if len(self.answer.body) > limit_bytes:
            raise HttpFailed("too large")
        return self.answer


class WholeFunctions(FakeFunctions):
    """Functions whose responses are never streamed."""

    async def invoke_stream(self, function_arn: str, payload: bytes, *, trace_header: str) -> StreamedInvocation:
        """Never called."""
        raise NotImplementedError(function_arn, payload, trace_header)


class World:
    """A gateway with HTTP APIs, and what they lead to."""

    def __init__(self, clock: Clock, telling: Telling | None = None) -> None:
        self.clock = clock
        self.functions = WholeFunctions({"Work": b'{"statusCode":200,"body":"done"}'})
        self.keys = FakeKeys()
        self.access = FakeAccess()
        self.network = FakeNetwork()
        self.queues = Queues(clock=clock, rng=random.Random(2))
        self.requests: list[WireRequest] = []
        sqs = SqsService(self.queues)
        self.answer: Callable[[WireRequest], Any] = sqs.handle

        async def dispatch(request: WireRequest) -> Any:
            self.requests.append(request)
            return await self.answer(request)

        backends = Backends(
            self.functions, dispatch, FakeRoles(), access=self.access, http=self.network, telling=telling
        )
        self.gateway = Gateway(backends=backends, clock=clock, random=random.Random(3))
        tokens = IssuerTokens(self.keys, clock=clock)
        apis = HttpApis(HttpBackends(backends, tokens), clock=clock, random=random.Random(4))
        self.gateway.join(apis)
        handlers = [*v2_handlers(StackHttpApis(apis)), *domain_handlers(self.gateway)]
        self.handlers = {handler.type: handler for handler in handlers}
        self.made: dict[str, tuple[Resource, Physical]] = {}
        self.api_id = ""

    async def make(self, kind: str, name: str = "", /, **properties: Any) -> str:
        """Make one resource; its Ref. `ApiId` is the first API's where it is not given."""
        type_ = f"AWS::ApiGatewayV2::{kind}"
        if kind not in {"Api", "DomainName"}:
            properties.setdefault("ApiId", self.api_id)
        resource = Resource(name or f"{kind}{len(self.made)}", type_, properties, CONTEXT)
        physical = await self.handlers[type_].create(resource)
        self.made[resource.logical_id] = (resource, physical)
        if kind == "Api":
            self.api_id = self.api_id or physical.ref
        return physical.ref

    async def make_body(self, paths: Mapping[str, Any], stage: str = "$default", /, **root: Any) -> None:
        """An API of an OpenAPI body, with a stage that deploys automatically."""
        body = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths, **root}
        await self.make("Api", Body=body)
        await self.make("Stage", StageName=stage, AutoDeploy=True)

    async def make_route(self, key: str, integration: Mapping[str, Any] | None = None, /, **route: Any) -> None:
        """A route and its integration, a function's by default."""
        given = dict(integration or {})
        if "IntegrationType" not in given:
            work = {"IntegrationType": "AWS_PROXY", "IntegrationUri": f"{FUNCTION}Work", "PayloadFormatVersion": "2.0"}
            given = work | given
        target = await self.make("Integration", **given)
        await self.make("Route", RouteKey=key, Target=f"integrations/{target}", **route)

    async def make_open(self, **api: Any) -> None:
        """An API without routes, with a `$default` stage that deploys automatically."""
        await self.make("Api", Name="t", ProtocolType="HTTP", **api)
        await self.make("Stage", StageName="$default", AutoDeploy=True)

    async def ask(
        self, method: str, path: str, body: bytes = b"", /, *, query: str = "", host: str = "", **headers: str
    ) -> HttpResponse:
        """One request; headers in snake case. `path` is below the API's own address, or `host`'s."""
        sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self.send(HttpRequest(method, path, query, sent, body, host or "localhost"), below=not host)

    async def send(self, request: HttpRequest, *, below: bool = True) -> HttpResponse:
        """One request as it is, but for the API's id before its path."""
        path = f"/{self.api_id}{request.path}" if below else request.path
        asked = HttpRequest(request.method, path, request.query, request.headers, request.body, request.host)
        return await self.gateway.handle(asked)

    @property
    def event(self) -> dict[str, Any]:
        """What the function got last."""
        return self.functions.events[-1][1]


def in_world(run: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run on the virtual clock."""

    async def main() -> None:
        await run(World(LoopClock(asyncio.get_running_loop())))

    run_virtual(main)


def function(payload: str = "2.0", name: str = "Work", **more: Any) -> dict[str, Any]:
    """An OpenAPI operation that leads to a function."""
    integration = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": lambda_uri(name),
        "payloadFormatVersion": payload,
    }
    return {"x-amazon-apigateway-integration": integration, **more}


__all__ = [
    "ACCOUNT", "FUNCTION", "ISSUER", "REGION", "ROLE", "FakeAccess", "FakeKeys", "FakeNetwork", "World", "function",
    "in_world", "key_set", "lambda_uri", "signing_key", "token",
]  # fmt: skip
