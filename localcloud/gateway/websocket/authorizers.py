"""The REQUEST authorizer of `$connect`: identity sources, the call, its policy. Nothing is cached.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from localcloud.clock import Clock
from localcloud.gateway.authorizers import Grant, function_error, read_grant
from localcloud.gateway.definition import Authorizer
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.mapping import evaluate_expression
from localcloud.gateway.policies import Malformed, Verdict, judge, make_context
from localcloud.gateway.ports import Functions, FunctionUnavailableError
from localcloud.gateway.websocket.exchange import Exchange

__all__ = ["authorize"]

TIMEOUT_S: Final = 29.0  # integration timeout, the WebSocket quotas page
MAX_RESULT_BYTES: Final = 8 * 1024  # Lambda authorizer result size, the WebSocket quotas page


async def authorize(exchange: Exchange, authorizer: Authorizer, *, functions: Functions, clock: Clock) -> None:
    """Let the client connect and note who it is. Raises GatewayError: UNAUTHORIZED, ACCESS_DENIED, AUTHORIZER_*."""
    sources = exchange.sources()
    for expression in authorizer.identity_sources:
        if not evaluate_expression(expression, sources):
            raise GatewayError("UNAUTHORIZED", reason=f"{authorizer.name}: {expression} is missing")
    before_s = clock.time()
    grant = await _ask(exchange, authorizer, functions, clock=clock)
    exchange.integration_latency_ms = int((clock.time() - before_s) * 1000)
    try:
        context = make_context(now_s=clock.time(), source_ip=exchange.client.source_ip)
        verdict = judge(grant.policy, exchange.route_arn(), context)
    except Malformed as error:
        raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=f"{authorizer.name}: {error}") from error
    if verdict is not Verdict.ALLOWED:
        raise GatewayError("ACCESS_DENIED", reason=f"{authorizer.name}: {verdict.value}")
    exchange.client.authorizer = {"principalId": grant.principal, **grant.context}


async def _ask(exchange: Exchange, authorizer: Authorizer, functions: Functions, *, clock: Clock) -> Grant:
    arn, source = authorizer.function_arn, exchange.api.arn(f"authorizers/{authorizer.id}")
    if not functions.may_invoke(arn, source_arn=source):
        raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=f"{authorizer.name}: {arn} does not allow {source}")
    payload = json.dumps(exchange.authorizer_event(), ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reply = await functions.invoke(arn, payload, trace_header=exchange.client.trace_id)
    except TimeoutError as error:
        raise GatewayError("AUTHORIZER_FAILURE", reason=f"{authorizer.name} took too long") from error
    except FunctionUnavailableError as error:
        raise GatewayError("AUTHORIZER_FAILURE", reason=f"{authorizer.name}: {error}") from error
    if reply.error:
        raise function_error(authorizer, reply.payload)
    if len(reply.payload) > MAX_RESULT_BYTES:
        raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason=f"{authorizer.name}: its answer is over 8 KB")
    return read_grant(authorizer, reply.payload, now_s=clock.time())
