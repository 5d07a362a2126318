"""Event APIs with everything around them faked but their own rules: functions, IAM; tokens are real."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import jwt

from localcloud.clock import Clock, LoopClock, run_virtual
from localcloud.gateway.appsync.connection import RealtimeConnection
from localcloud.gateway.appsync.http import EventsHttp
from localcloud.gateway.appsync.realtime import SUBPROTOCOL, Realtime
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.issuer import ISSUER, LocalIssuer
from localcloud.services.appsync.admission import Admission
from localcloud.services.appsync.authorizer import LambdaAuthorizer
from localcloud.services.appsync.backends import LocalTokenKeys
from localcloud.services.appsync.broker import Broker
from localcloud.services.appsync.model import EventApi, EventApis, Namespace
from localcloud.services.appsync.ports import InvocationFailed, Signer
from localcloud.services.appsync.settings import EventConfig, Handler, read_event_config
from localcloud.services.appsync.settings import read_data_source as read_source
from localcloud.services.appsync.tokens import TokenReader
from localcloud.services.contract import Denied, Permission
from tests.unit.websocket_setup import FakeWire, text_frame

REGION = "eu-west-1"
AUTHORIZER = f"arn:aws:lambda:{REGION}:123456789012:function:authorize"
ROLE = "arn:aws:iam::123456789012:role/appsync"
EVERY_KIND = ("API_KEY", "AWS_IAM", "AWS_LAMBDA", "AMAZON_COGNITO_USER_POOLS", "OPENID_CONNECT")


@cache
def issuer_folder() -> Path:
    """A folder with an issuer's key, made once."""
    folder = Path(mkdtemp())
    LocalIssuer.open(folder)
    return folder


def token(clock: Clock, *, minutes: int = 5, **claims: Any) -> str:
    """A token of the local issuer."""
    issuer = LocalIssuer.open(issuer_folder())
    now = int(clock.time())
    told = {"iss": ISSUER, "aud": "app", "sub": "ada", "iat": now, "exp": now + minutes * 60, **claims}
    return jwt.encode(told, issuer.key, algorithm="RS256", headers={"kid": issuer.key_id})


def encode_authorization(headers: Mapping[str, str]) -> str:
    """The subprotocol that carries an authorization."""
    return "header-" + base64.urlsafe_b64encode(json.dumps(dict(headers)).encode()).rstrip(b"=").decode()


def signed(access_key: str = "AK", *, region: str = REGION, service: str = "appsync") -> dict[str, str]:
    """The headers of a signed request."""
    credential = f"{access_key}/20270101/{region}/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}


@dataclass
class FakeFunctions:
    """Answers by `answer`, and remembers the events."""

    answer: Callable[[dict[str, Any]], Any] = lambda event: {"isAuthorized": True}
    events: list[dict[str, Any]] = field(default_factory=list)
    delay_s: float = 0.0

    async def authorize(self, function_arn: str, payload: bytes, *, api_arn: str) -> bytes:
        """What `answer` says."""
        assert api_arn.endswith(":apis/" + api_arn[-26:])
        return await self._run(function_arn, payload)

    async def handle(self, function_arn: str, payload: bytes, *, role_arn: str, is_event: bool) -> bytes:
        """What `answer` says."""
        assert role_arn == ROLE
        answer = await self._run(function_arn, payload)
        return b"" if is_event else answer

    async def _run(self, function_arn: str, payload: bytes) -> bytes:
        event = json.loads(payload)
        self.events.append(event)
        await asyncio.sleep(self.delay_s)
        answer = self.answer(event)
        if isinstance(answer, Exception):
            raise InvocationFailed(f"{function_arn}: {answer}")
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


@dataclass
class FakeAccess:
    """Lets everybody in whose key is not `denied`; remembers what was asked."""

    denied: str = "DENIED"
    asked: list[Permission] = field(default_factory=list)

    def refuse(self, access_key: str, permission: Permission) -> Denied | None:
        """Whether the key is the denied one."""
        self.asked.append(permission)
        return Denied("arn", permission, "because") if access_key == self.denied else None

    def signer_of(self, access_key: str) -> Signer:
        """Somebody."""
        return Signer("123456789012", f"arn:aws:sts::123456789012:assumed-role/r/{access_key}", f"{access_key}:f")


def config_of(*kinds: str, publish: tuple[str, ...] = (), **providers: Mapping[str, Any]) -> EventConfig:
    """A configuration with these kinds for everything; `publish` for publishing alone."""
    own: dict[str, Any] = {
        "AWS_LAMBDA": {"lambdaAuthorizerConfig": {"authorizerUri": AUTHORIZER}},
        "AMAZON_COGNITO_USER_POOLS": {"cognitoConfig": {"userPoolId": "pool", "awsRegion": REGION}},
        "OPENID_CONNECT": {"openIDConnectConfig": {"issuer": ISSUER}},
    }
    modes = [{"authType": kind} for kind in kinds]
    return read_event_config(
        {
            "authProviders": [{"authType": kind, **own.get(kind, {}), **providers.get(kind, {})} for kind in kinds],
            "connectionAuthModes": modes,
            "defaultPublishAuthModes": [{"authType": kind} for kind in publish] or modes,
            "defaultSubscribeAuthModes": modes,
        }
    )


@dataclass
class Client:
    """A client on an open connection."""

    connection: RealtimeConnection
    wire: FakeWire

    async def say(self, **message: Any) -> list[dict[str, Any]]:
        """What comes back of a message, at once."""
        self.connection.receive(text_frame(json.dumps(message)))
        await asyncio.sleep(0.001)
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        """What has come since the last call."""
        return [json.loads(text) for text in self.wire.texts()]


@dataclass
class World:
    """One Event API with a namespace `default`, and a key."""

    clock: Clock
    apis: EventApis
    api: EventApi
    broker: Broker
    http: EventsHttp
    realtime: Realtime
    functions: FakeFunctions
    access: FakeAccess
    key: str

    @property
    def auth(self) -> dict[str, str]:
        """The headers of the API key."""
        return {"x-api-key": self.key, "host": self.api.http_domain}

    async def post(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "",
        method: str = "POST",
        host: str = "h",
    ) -> tuple[int, Any]:
        """Status and JSON of a publication; without `headers` with the key."""
        answer = await self.answer(body, headers, path=path, method=method, host=host)
        return answer.status, json.loads(answer.body)

    async def answer(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "",
        method: str = "POST",
        host: str = "h",
    ) -> HttpResponse:
        """The whole answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = self.auth if headers is None else headers
        request = HttpRequest(
            method=method, path=path or f"/{self.api.id}/event", query="", headers=tuple(shown.items()), body=content,
            host=host,
        )  # fmt: skip
        answer = await self.http.handle(request)
        assert answer is not None
        return answer

    async def connect(
        self, headers: Mapping[str, str] | None = None, *, protocols: str | None = None, path: str = "", host: str = "h"
    ) -> Client:
        """A client that has connected, or was refused; without `headers` with the key."""
        shown = self.auth if headers is None else headers
        offered = protocols if protocols is not None else f"{SUBPROTOCOL}, {encode_authorization(shown)}"
        handshake = HttpRequest(
            "GET",
            path or f"/{self.api.id}/event/realtime",
            "",
            (("Host", host), ("Sec-WebSocket-Protocol", offered)),
            b"",
        )
        connection = await self.realtime.connect(handshake)
        assert connection is not None
        client = Client(connection, FakeWire())
        connection.open(client.wire)
        return client

    async def subscriber(self, channel: str, given: str = "s") -> Client:
        """A client that has subscribed."""
        client = await self.connect()
        answer = await client.say(type="subscribe", id=given, channel=channel, authorization=self.auth)
        assert answer == [{"id": given, "type": "subscribe_success"}]
        return client

    def handle(self, name: str, *, is_event: bool = False) -> None:
        """Give the namespace a handler."""
        namespace = self.api.namespaces["default"]
        namespace.handlers = {**namespace.handlers, name: Handler("fn", is_event=is_event)}


def run(test: Callable[[World], Awaitable[None]], *, config: EventConfig | None = None) -> None:
    """Run `test` in a new world, in virtual time."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        functions, access = FakeFunctions(), FakeAccess()
        apis = EventApis(clock=clock, rng=random.Random(1))
        tokens = TokenReader(LocalTokenKeys(issuer_folder()), clock=clock)
        authorizer = LambdaAuthorizer(functions, clock=clock)
        admission = Admission(apis, access, tokens=tokens, authorizer=authorizer)
        broker = Broker(apis, admission, functions, rng=random.Random(2))
        api = apis.create("events", REGION, config=config or config_of("API_KEY"))
        values = {"name": "fn", "type": "AWS_LAMBDA", "serviceRoleArn": ROLE}
        api.sources["fn"] = read_source({**values, "lambdaConfig": {"lambdaFunctionArn": AUTHORIZER}})
        apis.put_namespace(api, Namespace("default"), is_new=True)
        key = apis.create_key(api, description="", expires_s=None).id
        async with asyncio.TaskGroup() as group:
            realtime = Realtime(broker, group=group)
            http = EventsHttp(broker)
            await test(World(clock, apis, api, broker, http, realtime, functions, access, key))
            realtime.close()

    run_virtual(main)
