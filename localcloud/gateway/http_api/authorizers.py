"""Lambda authorizers of HTTP APIs: identity sources, the call, its answer, and what is kept of it.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.clock import Clock
from localcloud.gateway.http_api.definition import LambdaAuthorizer
from localcloud.gateway.http_api.errors import ApiError
from localcloud.gateway.http_api.exchange import Caller, Exchange
from localcloud.gateway.http_api.mapping import evaluate, read_variable
from localcloud.gateway.http_api.payload import authorizer_event, to_json
from localcloud.gateway.policies import Malformed, Verdict, judge, make_context
from localcloud.gateway.ports import Functions, FunctionUnavailableError
from localcloud.json_text import MalformedJson, parse_json

__all__ = ["LambdaAuthorizers"]

TIMEOUT_S: Final = 10.0  # Lambda authorizer response, https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
MAX_CACHED: Final = 10_000  # ours: entries of one stage


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a function answered, valid until `until_s`; `policy` None where it was a plain yes or no."""

    allowed: bool
    policy: object
    context: Mapping[str, Any] | None
    principal: str
    until_s: float


class LambdaAuthorizers:
    """The Lambda authorizers of one stage, with their caches."""

    def __init__(self, functions: Functions, clock: Clock) -> None:
        self._functions = functions
        self._clock = clock
        self._grants: dict[tuple[str, tuple[str, ...]], _Grant] = {}

    async def authorize(self, exchange: Exchange, authorizer: LambdaAuthorizer) -> None:
        """Let the request pass and note what was said of it. Raises ApiError 401, 403 or 500."""
        values = [evaluate(source, lambda name: read_variable(name, exchange)) for source in authorizer.sources]
        if not all(values):
            raise ApiError(401, f"{authorizer.name}: an identity source is missing")
        key = (authorizer.id, tuple(values))
        before_s = self._clock.time()
        grant = self._grants.get(key)
        if grant is None or grant.until_s <= before_s:
            grant = await self._ask(exchange, authorizer, values)
            if authorizer.ttl_s and values:
                self._keep(key, grant)
        latency_ms = int((self._clock.time() - before_s) * 1000)
        self._judge(exchange, authorizer, grant)
        exchange.caller = Caller(
            is_custom=True, context=grant.context, principal=grant.principal, latency_ms=latency_ms
        )

    def _keep(self, key: tuple[str, tuple[str, ...]], grant: _Grant) -> None:
        if len(self._grants) >= MAX_CACHED:
            self._grants.pop(next(iter(self._grants)))
        self._grants[key] = grant

    def _judge(self, exchange: Exchange, authorizer: LambdaAuthorizer, grant: _Grant) -> None:
        allowed = grant.allowed
        if grant.policy is not None:
            context = make_context(now_s=self._clock.time(), source_ip=exchange.request.source_ip)
            try:
                allowed = judge(grant.policy, exchange.route_arn(), context) is Verdict.ALLOWED
            except Malformed as error:
                raise ApiError(500, f"{authorizer.name}: {error}") from error
        if not allowed:
            raise ApiError(403, f"{authorizer.name} says no")

    async def _ask(self, exchange: Exchange, authorizer: LambdaAuthorizer, values: list[str]) -> _Grant:
        arn, source = authorizer.function_arn, exchange.api.arn(f"authorizers/{authorizer.id}")
        if not self._functions.may_invoke(arn, source_arn=source):
            raise ApiError(500, f"{authorizer.name}: {arn} does not allow {source}")
        payload = to_json(authorizer_event(exchange, values, payload=authorizer.payload))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await self._functions.invoke(arn, payload, trace_header=exchange.trace_id)
        except TimeoutError as error:
            raise ApiError(500, f"{authorizer.name} took too long") from error
        except FunctionUnavailableError as error:
            raise ApiError(500, f"{authorizer.name}: {error}") from error
        found = _read_object(authorizer, reply.payload)
        if reply.error:
            if found.get("errorMessage") == "Unauthorized":  # word for word, the way a function answers 401
                raise ApiError(401, f"{authorizer.name} said so")
            raise ApiError(500, f"{authorizer.name} failed: {found.get('errorMessage')}")
        return _read_grant(authorizer, found, until_s=self._clock.time() + authorizer.ttl_s)


def _read_object(authorizer: LambdaAuthorizer, payload: bytes) -> dict[str, Any]:
    try:
        found = parse_json(payload)
    except MalformedJson as error:
        raise ApiError(500, f"{authorizer.name}: its answer is not JSON") from error
    if not isinstance(found, dict):
        raise ApiError(500, f"{authorizer.name}: its answer is not an object")
    return cast("dict[str, Any]", found)


def _read_grant(authorizer: LambdaAuthorizer, found: dict[str, Any], *, until_s: float) -> _Grant:
    """The answer: a yes or no where simple responses are on, else a policy. Raises ApiError 500."""
    context = found.get("context")
    if context is not None and not isinstance(context, dict):
        raise ApiError(500, f"{authorizer.name}: its context is not an object")
    said = cast("Mapping[str, Any] | None", context)
    if authorizer.simple:
        if not isinstance(found.get("isAuthorized"), bool):
            raise ApiError(500, f"{authorizer.name}: its answer has no isAuthorized")
        return _Grant(found["isAuthorized"], None, said, "", until_s)
    principal, policy = found.get("principalId"), found.get("policyDocument")
    if not isinstance(policy, dict):
        raise ApiError(500, f"{authorizer.name}: its answer has no policyDocument")
    if not isinstance(principal, str) or not principal:
        raise ApiError(500, f"{authorizer.name}: its answer has no principalId")
    return _Grant(allowed=False, policy=cast("object", policy), context=said, principal=principal, until_s=until_s)
