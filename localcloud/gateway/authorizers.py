"""Lambda authorizers: identity sources, the call, its policy beside the API's own, and what is kept of it.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.clock import Clock
from localcloud.gateway.access import deny_early, policy_allows
from localcloud.gateway.definition import Authorizer
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.invocation import Invoker
from localcloud.gateway.mapping import evaluate_expression
from localcloud.gateway.policies import Malformed, Verdict, judge, make_context
from localcloud.gateway.ports import FunctionUnavailableError
from localcloud.gateway.vtl import as_text
from localcloud.json_text import parse_json
from localcloud.matching import PatternTooSlow, limit_matching

__all__ = ["Authorizers", "Grant", "function_error", "read_grant"]

TIMEOUT_S: Final = 29.0
MAX_CACHED: Final = 10_000  # ours: entries of one authorizer's cache


@dataclass(frozen=True, slots=True)
class Grant:
    """What an authorizer's function answered, valid until `until_s` (epoch seconds).

    `usage_key`: the value of the API key that the caller has, "" for none.
    """

    principal: str
    context: Mapping[str, Any]
    policy: Any
    until_s: float
    usage_key: str = ""


class Authorizers:
    """The authorizers of one deployed stage, with their caches."""

    def __init__(self, invoker: Invoker, clock: Clock) -> None:
        self._invoker = invoker
        self._clock = clock
        self._grants: dict[tuple[str, tuple[str, ...]], Grant] = {}

    async def authorize(self, exchange: Exchange, authorizer: Authorizer) -> None:
        """Let the request pass and note who sent it. Raises GatewayError."""
        deny_early(exchange)
        identity = _identity(exchange, authorizer)
        key = (authorizer.id, identity)
        grant = self._grants.get(key) if authorizer.ttl_s else None
        if grant is None or grant.until_s <= self._clock.time():
            before_s = self._clock.time()
            grant = await self._ask(exchange, authorizer, identity)
            exchange.authorizer_latency_ms = int((self._clock.time() - before_s) * 1000)
            self._keep(key, grant, authorizer)
        exchange.authorizer = {"principalId": grant.principal, **grant.context}
        try:
            context = make_context(now_s=self._clock.time(), source_ip=exchange.request.source_ip)
            verdict = judge(grant.policy, exchange.method_arn(), context)
        except Malformed as error:
            raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=f"{authorizer.name}: {error}") from error
        exchange.usage_key = grant.usage_key
        if verdict is Verdict.DENIED or (verdict is Verdict.NOT_ALLOWED and not policy_allows(exchange)):
            words = "User is not authorized to access this resource"
            explicit = " with an explicit deny" if verdict is Verdict.DENIED else ""
            raise GatewayError("ACCESS_DENIED", words + explicit, reason=verdict.value)

    def _keep(self, key: tuple[str, tuple[str, ...]], grant: Grant, authorizer: Authorizer) -> None:
        if not authorizer.ttl_s or not key[1]:
            return
        if len(self._grants) >= MAX_CACHED:
            self._grants.pop(next(iter(self._grants)))
        self._grants[key] = grant

    async def _ask(self, exchange: Exchange, authorizer: Authorizer, identity: tuple[str, ...]) -> Grant:
        api = exchange.api
        source = f"{exchange.method_arn().split('/')[0]}/authorizers/{authorizer.id}"
        function_arn = exchange.fill_stage_variables(authorizer.function_arn)
        functions = self._invoker.functions
        if not authorizer.role and not functions.may_invoke(function_arn, source_arn=source):
            reason = f"{authorizer.name}: {function_arn} does not allow {source}"
            raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=reason)
        event = _token_event(exchange, identity[0]) if authorizer.kind == "token" else _request_event(exchange)
        payload = json.dumps(event, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await self._invoker.invoke(exchange, function_arn, payload, role=authorizer.role)
        except TimeoutError as error:
            raise GatewayError("AUTHORIZER_FAILURE", reason=f"{authorizer.name} took too long") from error
        except FunctionUnavailableError as error:
            raise GatewayError("AUTHORIZER_FAILURE", reason=f"{authorizer.name} of {api.id}: {error}") from error
        if reply.error:
            raise function_error(authorizer, reply.payload)
        return read_grant(authorizer, reply.payload, now_s=self._clock.time(), takes_key=True)


def _identity(exchange: Exchange, authorizer: Authorizer) -> tuple[str, ...]:
    """The values of the identity sources; the request never reaches the function where one is missing or empty."""
    sources = exchange.sources()
    values = [evaluate_expression(expression, sources) for expression in authorizer.identity_sources]
    texts = [value for value in values if isinstance(value, str) and value]
    if len(texts) < len(values):
        raise GatewayError("UNAUTHORIZED", reason=f"{authorizer.name}: an identity source is missing")
    if authorizer.validation is not None and not _fits(authorizer.validation, texts[0]):
        raise GatewayError("UNAUTHORIZED", reason=f"{authorizer.name}: the token does not fit the expression")
    return tuple(texts)


def _fits(expression: re.Pattern[str], token: str) -> bool:
    try:
        with limit_matching():
            return expression.fullmatch(token) is not None
    except PatternTooSlow:
        return False


def _token_event(exchange: Exchange, token: str) -> dict[str, Any]:
    return {"type": "TOKEN", "authorizationToken": token, "methodArn": exchange.method_arn()}


def _request_event(exchange: Exchange) -> dict[str, Any]:
    multi_headers, multi_query = exchange.multi_headers(), exchange.multi_query()
    return {
        "type": "REQUEST",
        "methodArn": exchange.method_arn(),
        "resource": exchange.resource_path,
        "path": exchange.request.base + exchange.request.path,
        "httpMethod": exchange.request.method,
        "headers": {name: values[-1] for name, values in multi_headers.items()},
        "multiValueHeaders": multi_headers,
        "queryStringParameters": {name: values[-1] for name, values in multi_query.items()},
        "multiValueQueryStringParameters": multi_query,
        "pathParameters": dict(exchange.path_parameters),
        "stageVariables": dict(exchange.stage.variables),
        "requestContext": exchange.request_context(),
    }


def function_error(authorizer: Authorizer, payload: bytes) -> GatewayError:
    """`Unauthorized`, word for word, is the way a function answers 401; every other error is the function's failure."""
    try:
        message = cast("Any", parse_json(payload)).get("errorMessage")
    except (ValueError, AttributeError):
        message = None
    if message == "Unauthorized":
        return GatewayError("UNAUTHORIZED", reason=f"{authorizer.name} said so")
    return GatewayError("AUTHORIZER_FAILURE", reason=f"{authorizer.name} failed: {message}")


def read_grant(authorizer: Authorizer, payload: bytes, *, now_s: float, takes_key: bool = False) -> Grant:
    """What the function answered; `takes_key`: the API may have usage plans. Raises GatewayError."""
    try:
        reply = parse_json(payload)
    except ValueError as error:
        raise _misconfigured(authorizer, "its answer is not JSON") from error
    if not isinstance(reply, dict):
        raise _misconfigured(authorizer, "its answer is not an object")
    parts = cast("dict[str, Any]", reply)
    principal = parts.get("principalId")
    if not isinstance(principal, str) or not principal:
        raise _misconfigured(authorizer, "its answer has no principalId")
    usage_key = parts.get("usageIdentifierKey") or ""
    if not isinstance(usage_key, str):
        raise _misconfigured(authorizer, "its usageIdentifierKey is not a string")
    if usage_key and not takes_key:
        raise _misconfigured(authorizer, "usageIdentifierKey is not served here")
    context = _read_context(authorizer, parts.get("context"))
    policy = parts.get("policyDocument")
    if not isinstance(policy, dict):
        raise _misconfigured(authorizer, "its answer has no policyDocument")
    return Grant(principal, context, cast("Any", policy), now_s + authorizer.ttl_s, usage_key)


def _read_context(authorizer: Authorizer, context: object) -> dict[str, str]:
    """Strings, numbers and booleans, all as text; anything else is not a valid context."""
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise _misconfigured(authorizer, "its context is not an object")
    texts: dict[str, str] = {}
    for name, value in cast("dict[str, Any]", context).items():
        if isinstance(value, (dict, list)):
            raise _misconfigured(authorizer, f"its context has an object or a list at {name}")
        if value is not None:
            texts[name] = as_text(value)
    return texts


def _misconfigured(authorizer: Authorizer, what: str) -> GatewayError:
    return GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=f"{authorizer.name}: {what}")
