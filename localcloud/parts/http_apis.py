"""API Gateway's HTTP endpoints put together: REST and HTTP APIs, whose tokens they take, and what is beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from localcloud.bearer_tokens import IssuerTokens, KeysUnavailable, TokenExpired, TokenInvalid
from localcloud.front import Front
from localcloud.gateway import cognito
from localcloud.gateway.function_url import FunctionUrls
from localcloud.gateway.http_api.apis import HttpApis
from localcloud.gateway.http_api.backends import HttpBackends
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway
from localcloud.issuer_keys import IssuerKeys
from localcloud.parts.appsync import AppSync
from localcloud.parts.services import Services

__all__ = ["Edge", "PoolVerifier", "open_gateway"]


class PoolVerifier:
    """Tokens of user pools, as REST APIs take them."""

    def __init__(self, tokens: IssuerTokens) -> None:
        self._tokens = tokens

    async def __call__(self, token: str, *, issuer: str, now_s: float) -> Mapping[str, Any]:  # noqa: ARG002 - the port
        """The claims of a valid token. Raises TokenRefused, TokenExpired."""
        try:
            return await self._tokens.read(token, issuer)
        except TokenExpired as error:
            raise cognito.TokenExpired(str(error)) from error
        except (TokenInvalid, KeysUnavailable) as error:
            raise cognito.TokenRefused(str(error)) from error


@dataclass(frozen=True, slots=True)
class Edge:
    """What is served beside APIs; `provider` is the address of the AWS port that has the local issuer."""

    urls: FunctionUrls
    events: AppSync
    provider: str


def open_gateway(services: Services, front: Front, backends: Backends, *, edge: Edge) -> Gateway:
    """The gateway, with the HTTP APIs in it."""
    clock, random = services.clock, services.rng
    keys = IssuerKeys(front.dispatch, provider=edge.provider, send=backends.http, new_id=front.new_request_id)
    tokens = IssuerTokens(keys, clock=clock)
    backends = replace(backends, tokens=PoolVerifier(tokens))
    gateway = Gateway(backends=backends, clock=clock, random=random, urls=edge.urls, events=edge.events)
    gateway.join(HttpApis(HttpBackends(backends, tokens), clock=clock, random=random))
    return gateway
