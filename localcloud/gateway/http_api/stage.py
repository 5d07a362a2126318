"""A stage of an HTTP API: a request in, an answer out, in the order API Gateway keeps.

Size, route, throttle, authorization, preflight, integration, CORS; whatever goes wrong becomes one of a few answers.
Owns that order; knows no sockets.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop.html
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.gateway.http_api.authorizers import LambdaAuthorizers
from localcloud.gateway.http_api.backends import HttpBackends
from localcloud.gateway.http_api.cors import answer_preflight, apply_cors, is_preflight
from localcloud.gateway.http_api.definition import (
    DEFAULT,
    HttpApi,
    JwtAuthorizer,
    LambdaAuthorizer,
    Route,
    Stage,
)
from localcloud.gateway.http_api.errors import MESSAGES, ApiError, error_response
from localcloud.gateway.http_api.exchange import Caller, Exchange
from localcloud.gateway.http_api.integrations import integrate
from localcloud.gateway.http_api.jwt import authorize_token
from localcloud.gateway.http_api.routing import Routes
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.rest import MAX_BODY_BYTES
from localcloud.gateway.telling import (
    HTTP_NAMES,
    Answered,
    StageTelling,
    Telling,
    measure,
    stream_of,
)
from localcloud.gateway.throttle import TokenBucket
from localcloud.identify import read_scope
from localcloud.traces.requests import RequestSpans

__all__ = ["HttpStage"]

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # or half a character
_log = logging.getLogger(__name__)


class HttpStage:
    """One stage: its caches and buckets live as long as it does. `definition` gives the API that it shows now."""

    def __init__(
        self,
        stage: Stage,
        definition: Callable[[], HttpApi],
        *,
        backends: HttpBackends,
        clock: Clock,
        random: Random,
    ) -> None:
        self.stage = stage
        self._definition = definition
        self._backends = backends
        self._clock = clock
        self._random = random
        self._authorizers = LambdaAuthorizers(backends.to.functions, clock)
        self._buckets: dict[str, TokenBucket | None] = {}
        self._routes: tuple[HttpApi, int, Routes] | None = None
        self._spans = RequestSpans(backends.to.recorder)
        self._telling = _telling(backends.to.telling, definition(), stage)

    @property
    def api(self) -> HttpApi:
        """The API as the stage shows it."""
        return self._definition()

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; never raises."""
        api = self.api
        exchange = Exchange(api, self.stage, request, now_s=self._clock.time(), random=self._random)
        found = self._match(api, request)
        if found is not None:
            exchange.route, exchange.path_parameters = found
        about = {"api": api.id, "stage": self.stage.name, "request_id": exchange.request_id}
        resource = exchange.route.key.partition(" ")[2] or exchange.route.key
        span = self._spans.begin_request(exchange.trace_id, request, resource, **about)
        began = asyncio.get_running_loop().time()
        response = await self._guard(exchange, is_known=found is not None)
        if self._telling is not None:
            response = self._telling.tell(_answered(exchange, began), response)
        return self._spans.end_response(span, response)

    def _match(self, api: HttpApi, request: HttpRequest) -> tuple[Route, dict[str, str]] | None:
        known = self._routes
        if known is None or known[0] is not api or known[1] != api.changes:
            known = self._routes = (api, api.changes, Routes(api.routes.values()))
        return known[2].match(request.method, request.path)

    async def _guard(self, exchange: Exchange, *, is_known: bool) -> HttpResponse:
        try:
            response = await self._answer(exchange, is_known=is_known)
            _check_headers(response)
        except ApiError as error:
            level = logging.WARNING if error.status >= 500 else logging.INFO
            _log.log(level, "http_api.refused %s %s", error, exchange.request_id)
            exchange.error = MESSAGES[error.status]
            response = error_response(error.status, error.headers)
        except Exception:  # noqa: BLE001 - the outermost edge: a defect becomes a logged 500
            _log.exception("http_api.failed %s", exchange.request_id)
            response = error_response(500)
        headers = response.headers
        cors = exchange.api.cors
        if cors is not None and not is_preflight(exchange.request):
            headers = apply_cors(cors, exchange.request, headers)
        return replace(response, headers=(*headers, ("Apigw-Requestid", exchange.request_id)))

    async def _answer(self, exchange: Exchange, *, is_known: bool) -> HttpResponse:
        request, cors = exchange.request, exchange.api.cors
        if len(request.body) > MAX_BODY_BYTES:
            raise ApiError(413, "the body")
        asks = cors is not None and is_preflight(request)
        if not is_known and not asks:
            raise ApiError(404, f"no route {request.method} {request.path}")
        if is_known:
            self._take(exchange.route)
            await self._authorize(exchange)
        if cors is not None and asks:
            return answer_preflight(cors, request)
        integration = exchange.api.integrations.get(exchange.route.integration_id)
        if integration is None:
            raise ApiError(500, f"{exchange.route.key} leads nowhere")
        return await measure(exchange.called, integrate(exchange, integration, self._backends.to), _status)

    def _take(self, route: Route) -> None:
        if route.key not in self._buckets:
            settings = {each.route_key: each for each in self.stage.throttles}
            setting = settings.get(route.key) or settings.get("")
            self._buckets[route.key] = TokenBucket(setting.rate, setting.burst) if setting is not None else None
        bucket = self._buckets[route.key]
        if bucket is not None and not bucket.take(self._clock.time()):
            raise ApiError(429, route.key)

    async def _authorize(self, exchange: Exchange) -> None:
        route = exchange.route
        if route.authorization == "NONE":
            return
        if route.authorization == "AWS_IAM":
            self._identify(exchange)
            return
        authorizer = exchange.api.authorizers.get(route.authorizer_id)
        if isinstance(authorizer, JwtAuthorizer):
            await authorize_token(exchange, authorizer, self._backends.tokens)
        elif isinstance(authorizer, LambdaAuthorizer):
            await self._authorizers.authorize(exchange, authorizer)
        else:
            raise ApiError(500, f"{route.key} has no authorizer")

    def _identify(self, exchange: Exchange) -> None:
        """Who signed. Signatures are not verified, as nowhere in the local cloud."""
        request, access = exchange.request, self._backends.to.access
        scope = read_scope({name.lower(): value for name, value in request.headers}, request.query)
        if scope is None or scope.service != "execute-api" or access is None:
            raise ApiError(403, "the request is not signed for execute-api")
        arn = exchange.route_arn()
        if not access.decide(scope.access_key, arn, policy=None, source_ip=request.source_ip).allowed:
            raise ApiError(403, f"{scope.access_key} may not invoke {arn}")
        exchange.caller = Caller(identity=access.identify(scope.access_key))


def _telling(telling: Telling | None, api: HttpApi, stage: Stage) -> StageTelling | None:
    if telling is None:
        return None
    in_stage = {"ApiId": api.id, "Stage": stage.name}

    def is_measured(method: str, resource: str) -> bool:
        measured = stage.measured
        key = f"{method} {resource}" if method != DEFAULT else DEFAULT
        return measured.get(key, measured.get("", False))

    return StageTelling(
        telling=telling,
        names=HTTP_NAMES,
        region=api.region,
        sets=[{"ApiId": api.id}, in_stage],
        own=in_stage,
        log=stage.access_log,
        stream=stream_of(api.id, stage.name),
        is_measured=is_measured,
    )


def _answered(exchange: Exchange, began: float) -> Answered:
    """`$default` is a route without a method: both dimensions are its key."""
    method, _, resource = exchange.route.key.partition(" ")
    return Answered(
        began=began,
        called=exchange.called,
        method=method,
        resource=resource or method,
        in_bytes=len(exchange.request.body),
        context=exchange.log_context,
    )


def _status(response: HttpResponse) -> int:
    return response.status


def _check_headers(response: HttpResponse) -> None:
    for name, value in response.headers:
        if _CONTROL.search(value):
            raise ApiError(500, f"{name!r} cannot be a header with that value")
