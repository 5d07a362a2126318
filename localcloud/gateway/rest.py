"""A deployed stage of a REST API: a request in, an answer out, in the order API Gateway keeps.

Size, route, resource policy, who asks, API key and usage plan, throttle, validation, integration, response; whatever
goes wrong becomes a gateway response. Owns that order; knows no sockets.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-basic-concept.html
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from localcloud.clock import Clock
from localcloud.gateway.access import admit_signed, check_policy, expand_policy
from localcloud.gateway.authorizers import Authorizers
from localcloud.gateway.cognito import PoolTokens, authorize_token
from localcloud.gateway.compression import pack_answer, unpack_request
from localcloud.gateway.definition import Api, Integration, Method
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange, Measured, Stage, Throttle
from localcloud.gateway.gateway_responses import gateway_response
from localcloud.gateway.http_integration import call_http, proxy_http
from localcloud.gateway.invocation import Invoker
from localcloud.gateway.mapping import evaluate_expression
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.ports import Functions, HttpAnswer, HttpCall, HttpCaller, MethodAccess, Roles
from localcloud.gateway.proxy import call_function
from localcloud.gateway.routing import Resources
from localcloud.gateway.service import call_custom_function, call_service, mock_answer
from localcloud.gateway.streaming import stream_function
from localcloud.gateway.telling import (
    REST_NAMES,
    Answered,
    StageTelling,
    Telling,
    measure,
    rest_dimensions,
    stream_of,
)
from localcloud.gateway.throttle import TokenBucket
from localcloud.gateway.usage_plans import Call, UsagePlans
from localcloud.services.contract import Dispatch
from localcloud.traces.recorder import Recorder
from localcloud.traces.requests import RequestSpans

if TYPE_CHECKING:
    from localcloud.gateway.validation import BodyValidator

__all__ = ["MAX_BODY_BYTES", "MAX_HEADER_BYTES", "Backends", "RestStage"]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_HEADER_BYTES: Final = 10_240  # the same page: total combined size of request line and header values

ANY_TYPE: Final = "$default"  # the model of content types without one of their own
KEY_HEADER: Final = "x-api-key"
_REMAPPED: Final = frozenset(
    {"authorization", "connection", "content-length", "content-md5", "date", "expect", "host", "max-forwards", "pragma"}
    | {"proxy-authenticate", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via"}
    | {"www-authenticate", "x-amzn-requestid"}
)  # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_TRACED: Final = ("aws_proxy", "http", "http_proxy")  # kinds of integration whose answers have the trace's id always
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # or half a character
_log = logging.getLogger(__name__)
Setting = TypeVar("Setting", Throttle, Measured)


def _network() -> HttpCaller:
    opened: list[HttpCaller] = []

    async def send(call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        if not opened:
            from localcloud.gateway.http_caller import HttpNetwork  # noqa: PLC0415 - few APIs call out

            opened.append(HttpNetwork())
        return await opened[0](call, limit_bytes=limit_bytes)

    return send


@dataclass(frozen=True, slots=True)
class Backends:
    """What an API leads to. `dispatch` is the AWS front's inner entry; `recorder` is told of what comes in.

    `access`: IAM, without which nobody may invoke a signed method. `tokens`: those of user pools, None where there are
    none. `http`: the network. `plans`: the API keys and usage plans of the account.
    """

    functions: Functions
    dispatch: Dispatch
    roles: Roles
    recorder: Recorder | None = None
    access: MethodAccess | None = None
    tokens: PoolTokens | None = None
    http: HttpCaller = field(default_factory=_network)
    plans: UsagePlans = field(default_factory=UsagePlans)
    telling: Telling | None = None


class RestStage:
    """One stage: its routes, caches and buckets live as long as it does."""

    def __init__(self, api: Api, stage: Stage, *, backends: Backends, clock: Clock, random: Random) -> None:
        self.api = api = expand_policy(api)
        self.stage = stage
        self._backends = backends
        self._clock = clock
        self._random = random
        self._resources = Resources(path for path, methods in api.methods.items() if methods)
        self._invoker = Invoker(backends.functions, backends.dispatch, backends.roles)
        self._authorizers = Authorizers(self._invoker, clock)
        self._buckets: dict[tuple[str, str], TokenBucket | None] = {}
        self._validators = _validators(api)
        self._spans = RequestSpans(backends.recorder)
        self._telling = _telling(backends.telling, api, stage)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; never raises."""
        exchange = Exchange(self.api, self.stage, request, now_s=self._clock.time(), random=self._random)
        resource, _ = self._resources.match(request.path) or ("", {})
        about = {"api": self.api.id, "stage": self.stage.name, "request_id": exchange.request_id}
        span = self._spans.begin_request(exchange.trace_id, request, resource, **about)
        began = asyncio.get_running_loop().time()
        response = await self._guard(exchange)
        if self._telling is not None:
            response = self._telling.tell(_answered(exchange, began), response)
        return self._spans.end_response(span, response)

    async def _guard(self, exchange: Exchange) -> HttpResponse:
        try:
            response = await self._answer(exchange)
            _check_headers(response)
        except GatewayError as error:
            level = logging.WARNING if error.status >= 500 else logging.INFO
            _log.log(level, "gateway.refused %s %s", error, exchange.request_id)
            response = gateway_response(exchange, error)
        except Exception:  # noqa: BLE001 - the outermost edge: a defect becomes a logged 500
            _log.exception("gateway.failed %s", exchange.request_id)
            response = gateway_response(exchange, GatewayError("DEFAULT_5XX", reason="a defect of the gateway"))
        return _finish(exchange, response)

    async def _answer(self, exchange: Exchange) -> HttpResponse:
        request = exchange.request
        if len(request.body) > MAX_BODY_BYTES:
            raise GatewayError("REQUEST_TOO_LARGE", reason="the body")
        exchange.request = unpack_request(request, limit_bytes=MAX_BODY_BYTES)
        self._route(exchange)
        method = exchange.method
        if method is None:
            raise GatewayError("MISSING_AUTHENTICATION_TOKEN", reason=f"no route {request.method} {request.path}")
        await self._authorize(exchange, method)
        self._take_key(exchange, method)
        bucket = self._bucket(method, request.method)
        if bucket is not None and not bucket.take(self._clock.time()):
            raise GatewayError("THROTTLED", reason=f"{method.path} {method.http_method}")
        self._validate(exchange, method)
        answer = await measure(exchange.called, self._integrate(exchange, method), _status)
        return pack_answer(request, answer, from_bytes=self.api.compression_bytes)

    def _route(self, exchange: Exchange) -> None:
        found = self._resources.match(exchange.request.path)
        if found is None:
            return
        path, exchange.path_parameters = found
        methods = self.api.methods[path]
        exchange.method = methods.get(exchange.request.method) or methods.get("ANY")

    async def _authorize(self, exchange: Exchange, method: Method) -> None:
        if method.is_signed:
            if self._backends.access is None:
                raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason="there is no IAM here")
            admit_signed(exchange, self._backends.access)
        elif method.authorizer is None:
            check_policy(exchange)
        elif method.authorizer.kind == "cognito":
            await authorize_token(exchange, method.authorizer, tokens=self._backends.tokens)
            check_policy(exchange)
        else:
            await self._authorizers.authorize(exchange, method.authorizer)

    def _take_key(self, exchange: Exchange, method: Method) -> None:
        """Ask for the method's API key; requests of other methods count for no plan."""
        if not method.needs_key:
            return
        by_header = self.api.key_source == "HEADER"
        value = (exchange.request.header(KEY_HEADER) or "") if by_header else exchange.usage_key
        call = Call(self.api.id, self.stage.name, method.path, method.http_method)
        exchange.api_key = self._backends.plans.admit(value, call, now_s=self._clock.time())

    def _bucket(self, method: Method, http_method: str) -> TokenBucket | None:
        key = (method.path, http_method)
        if key not in self._buckets:
            setting = _setting(self.stage.throttles, *key)
            self._buckets[key] = TokenBucket(setting.rate, setting.burst) if setting is not None else None
        return self._buckets[key]

    def _validate(self, exchange: Exchange, method: Method) -> None:
        if method.validates_parameters:
            sources = exchange.sources()
            from localcloud.gateway.validation import check_parameters  # noqa: PLC0415 - few methods validate anything

            check_parameters(method.required, lambda name: bool(evaluate_expression(name, sources)))
        if method.validates_body:
            of_type, of_any = (
                self._validators.get((method.path, method.http_method, each))
                for each in (exchange.content_type, ANY_TYPE)
            )
            validator = of_type or of_any
            if validator is not None:
                validator.check(exchange.request.body)

    async def _integrate(self, exchange: Exchange, method: Method) -> HttpResponse:
        integration = method.integration
        if integration.streams:
            return await _stream(exchange, integration, self._backends.functions)
        kind, backends = integration.kind, self._backends
        if kind == "aws_proxy":
            return await call_function(exchange, integration, self._invoker)
        if kind == "lambda":
            return await call_custom_function(exchange, integration, self._invoker)
        if kind == "mock":
            return mock_answer(exchange, integration)
        if kind in {"http", "http_proxy"}:
            call = proxy_http if kind == "http_proxy" else call_http
            return await call(exchange, integration, backends.http)
        return await call_service(exchange, integration, dispatch=backends.dispatch, roles=backends.roles)


async def _stream(exchange: Exchange, integration: Integration, functions: Functions) -> HttpResponse:
    response = await stream_function(exchange, integration, functions)
    try:
        _check_headers(response)
    except GatewayError:
        if response.stream is not None:
            await response.stream.aclose()
        raise
    return response


def _validators(api: Api) -> Mapping[tuple[str, str, str], BodyValidator]:
    schemas = {
        (path, method.http_method, content_type): schema
        for path, methods in api.methods.items()
        for method in methods.values()
        for content_type, schema in method.models.items()
    }
    if not schemas:
        return {}
    from localcloud.gateway.validation import BodyValidator  # noqa: PLC0415 - few APIs have models

    return {place: BodyValidator(schema) for place, schema in schemas.items()}


def _telling(telling: Telling | None, api: Api, stage: Stage) -> StageTelling | None:
    if telling is None:
        return None
    name, in_stage = rest_dimensions(api.id, api.name), {"Stage": stage.name}

    def is_measured(method: str, resource: str) -> bool:
        found = _setting(stage.measured, resource, method)
        return found is not None and found.on

    return StageTelling(
        telling=telling,
        names=REST_NAMES,
        region=api.region,
        sets=[name, name | in_stage],
        own=name | in_stage,
        log=stage.access_log,
        stream=stream_of(api.id, stage.name),
        is_measured=is_measured,
    )


def _answered(exchange: Exchange, began: float) -> Answered:
    method = exchange.method
    return Answered(
        began=began,
        called=exchange.called,
        method=method.http_method if method is not None else "",
        resource=exchange.resource_path,
        in_bytes=len(exchange.request.body),
        context=exchange.log_context,
    )


def _status(response: HttpResponse) -> int:
    return response.status


def _setting(settings: tuple[Setting, ...], path: str, method: str) -> Setting | None:
    """The most specific method setting: path and method, then any method of the path, then `/*/*`."""
    for wanted in ((path, method), (path, "*"), ("/*", method), ("/*", "*")):
        for each in settings:
            if (each.path, each.method) == wanted:
                return each
    return None


def _check_headers(response: HttpResponse) -> None:
    for name, value in response.headers:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{name!r} cannot be a header with that value")


def _finish(exchange: Exchange, response: HttpResponse) -> HttpResponse:
    """The headers every answer has; what belongs to the connection is renamed as API Gateway renames it."""
    headers = [
        (f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name, value) for name, value in response.headers
    ]
    headers += [("x-amzn-RequestId", exchange.request_id), ("x-amz-apigw-id", exchange.extended_id)]
    if exchange.stage.is_traced or (exchange.method is not None and exchange.method.integration.kind in _TRACED):
        headers = [each for each in headers if each[0].lower() != "x-amzn-trace-id"]
        headers.append(("X-Amzn-Trace-Id", exchange.trace_id))
    return replace(response, headers=tuple(headers))
