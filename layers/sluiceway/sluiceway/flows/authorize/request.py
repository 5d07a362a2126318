"""The flow of an API's authorizer: a request or connection is let in as its token's caller, or refused with a reason.

A refusal is 401 (`Unauthorized`), or, of an HTTP API with simple responses, `isAuthorized: false`, which that API
answers with 403. Keys that cannot be read are neither: the caller may be right, so the API's answer is a 5xx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.codec.authorizer import Unauthorized, encode, stage_resource
from sluiceway.codec.groups import encode_groups
from sluiceway.events.authorizer import AuthorizerReply, AuthorizerRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.authorize.gate import Gate
from sluiceway.flows.authorize.key_ring import KeysUnavailable
from sluiceway.rules.tokens.claims import LEEWAY_S, Identity
from sluiceway.rules.tokens.refusals import InvalidToken
from sluiceway.steps.metrics import count, count_of

__all__ = ["AuthorizerDesk", "authorize_request"]

MAX_REPLY_BYTES: Final = 8 * 1024
# Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html


SURELY_FITS: Final = 400  # characters of groups and tenant, of which each may become 14 in JSON within JSON


@dataclass(frozen=True, slots=True)
class AuthorizerDesk:
    """What an authorizer needs. `simple`: HTTP APIs (payload 2.0) are answered with simple responses."""

    gate: Gate
    simple: bool = False


async def authorize_request(request: AuthorizerRequest, call: Invocation, desk: AuthorizerDesk) -> AuthorizerReply:
    """Allow the whole stage to the token's caller, until the token ends. Raises: Unauthorized, KeysUnavailable."""
    is_simple = desk.simple and request.takes_simple
    try:
        identity = await desk.gate.verify(request.token, deadline=call.deadline)
        return _allow(request, identity, is_simple=is_simple)
    except InvalidToken as refusal:
        count("TokenRefused")
        count_of({"reason": refusal.reason}, {"TokenRefused": 1})
        if not is_simple:
            raise Unauthorized(reason=refusal.reason) from None
        log.warning("invocation.rejected", reason=refusal.reason, field=None)
        return AuthorizerReply("", "", allow=False, simple=True)
    except KeysUnavailable as error:
        count("KeysUnavailable")
        log.error("keys.unavailable", issuer=error.issuer)
        raise


def _allow(request: AuthorizerRequest, identity: Identity, *, is_simple: bool) -> AuthorizerReply:
    """Raises: InvalidToken (`context`) where what the token says is more than a reply can hold."""
    until_s = identity.expires_s + LEEWAY_S
    context = _describe(identity, until_s)
    if request.takes_simple:
        context = {"principalId": identity.caller, **context}  # an HTTP API hands on the context and nothing else
    resource = stage_resource(request.method_arn)
    reply = AuthorizerReply(identity.caller, resource, allow=True, context=context, until_s=until_s, simple=is_simple)
    if (
        sum(map(len, (*identity.groups, identity.tenant))) > SURELY_FITS
        and len(json.dumps(encode(reply))) > MAX_REPLY_BYTES
    ):
        raise InvalidToken("context")
    return reply


def _describe(identity: Identity, until_s: int) -> Mapping[str, str | int | bool]:
    """What decides later what the caller may read, as far as the token says it, and until when it may be asked for."""
    described = {"groups": encode_groups(identity.groups) if identity.groups else "", "tenant": identity.tenant}
    told: dict[str, str | int | bool] = {name: value for name, value in described.items() if value}
    # A connection lives up to two hours, and nobody is asked again: whoever serves it holds this against the time.
    return {**told, "expires_s": until_s}
