"""How a method or an authorizer invokes a function: by its own policy, as a role of the API's owner, or as the caller.

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.ports import FunctionReply, Functions, FunctionUnavailableError, Roles
from localcloud.services.contract import Dispatch, WireRequest

__all__ = ["CALLER", "EVENT", "Invoker", "access_key_of"]

CALLER: Final = re.compile(r"arn:[\w-]+:iam::\*:user/\*")
"""The credentials of whoever signed the request, in the place of a role's.

Source: https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html#apigw-Type-Integration-credentials
"""

EVENT: Final = "Event"
_TOO_LARGE: Final = 413
_THROTTLED: Final = 429


def access_key_of(exchange: Exchange, roles: Roles, role: str) -> str:
    """The access key that an integration's `credentials` stand for. Raises GatewayError."""
    if CALLER.fullmatch(role):
        if exchange.identity is None:
            raise GatewayError("API_CONFIGURATION_ERROR", reason="the caller's credentials are of signed requests only")
        return exchange.identity.access_key
    try:
        return roles.assume(role)
    except LookupError as error:
        reason = f"API Gateway may not assume {role}: {error}"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason) from error


@dataclass(frozen=True, slots=True)
class Invoker:
    """Lambda, either way."""

    functions: Functions
    dispatch: Dispatch
    roles: Roles

    async def invoke(
        self, exchange: Exchange, function_arn: str, payload: bytes, *, role: str, kind: str = "RequestResponse"
    ) -> FunctionReply:
        """Invoke as `role`, or ("") by the function's policy, which the caller has asked already.

        Raises FunctionUnavailableError, or GatewayError where the role cannot be assumed.
        """
        if not role:
            if kind == EVENT:
                return await self.functions.invoke(
                    function_arn, payload, trace_header=exchange.trace_id, invocation_type=kind
                )
            return await self.functions.invoke(function_arn, payload, trace_header=exchange.trace_id)
        access_key = access_key_of(exchange, self.roles, role)
        region = function_arn.split(":")[3] if function_arn.count(":") >= 6 else exchange.api.region
        answer = await self.dispatch(
            WireRequest(
                service="lambda",
                region=region,
                method="POST",
                path=f"/2015-03-31/functions/{quote(function_arn, safe='')}/invocations",
                query="",
                headers={
                    "content-type": "application/json",
                    "host": f"lambda.{region}.amazonaws.com",
                    "x-amz-invocation-type": kind,
                    "x-amzn-trace-id": exchange.trace_id,
                },
                body=payload,
                access_key=access_key,
                request_id=exchange.request_id,
            )
        )
        body = answer.body if isinstance(answer.body, bytes) else b"".join([chunk async for chunk in answer.body])
        if answer.status >= 400:
            raise FunctionUnavailableError(
                f"{answer.status} {body[:200].decode('utf-8', 'replace')}",
                is_too_large=answer.status == _TOO_LARGE,
                is_throttled=answer.status == _THROTTLED,
            )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return FunctionReply(body, headers.get("x-amz-function-error", ""))
