"""JWT authorizers: the token of a request, verified, for an audience and with the scopes of the route.

The words of `www-authenticate` are API Gateway's where they are known (docs/fidelity/http-api.md says which).
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.bearer_tokens import IssuerTokens, KeysUnavailable, TokenInvalid
from localcloud.gateway.http_api.definition import JwtAuthorizer
from localcloud.gateway.http_api.errors import ApiError
from localcloud.gateway.http_api.exchange import Caller, Exchange
from localcloud.gateway.http_api.mapping import evaluate, read_variable

__all__ = ["authorize_token"]

_BEARER: Final = "bearer "


async def authorize_token(exchange: Exchange, authorizer: JwtAuthorizer, tokens: IssuerTokens) -> None:
    """Let the request pass and note its claims. Raises ApiError 401, or 403 where it lacks the route's scopes."""
    scopes = exchange.route.scopes
    given = evaluate(authorizer.source, lambda name: read_variable(name, exchange)).strip()
    token = given[len(_BEARER) :].strip() if f"{given} ".lower().startswith(_BEARER) else given
    if not token:
        raise ApiError(401, f"{authorizer.name}: there is no token", headers=(("www-authenticate", "Bearer"),))
    try:
        claims = await tokens.read(token, authorizer.issuer)
        _check_audience(claims, authorizer)
    except (TokenInvalid, KeysUnavailable) as error:
        raise ApiError(401, str(error), headers=(_explain(scopes, "invalid_token", str(error)),)) from error
    granted = _granted(claims)
    if scopes and not granted & set(scopes):
        words = "the token does not have a valid scope"
        raise ApiError(403, words, headers=(_explain(scopes, "insufficient_scope", words),))
    exchange.caller = Caller(claims={name: claim_text(value) for name, value in claims.items()}, scopes=scopes or None)


def _explain(scopes: tuple[str, ...], error: str, words: str) -> tuple[str, str]:
    return "www-authenticate", f'Bearer scope="{" ".join(scopes)}" error="{error}" error_description="{words}"'


def _check_audience(claims: Mapping[str, Any], authorizer: JwtAuthorizer) -> None:
    """`aud` where it is there, else `client_id`, must be one of the authorizer's. Raises TokenInvalid."""
    found = claims.get("aud", claims.get("client_id"))
    audiences = cast("list[object]", found) if isinstance(found, list) else [found]
    if not set(authorizer.audience) & {each for each in audiences if isinstance(each, str)}:
        raise TokenInvalid("the token does not have a valid audience")


def _granted(claims: Mapping[str, Any]) -> set[str]:
    granted: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            granted.update(value.split())
        elif isinstance(value, list):
            granted.update(str(each) for each in cast("list[object]", value))
    return granted


def claim_text(value: object) -> str:
    """A claim as events have it: text, and a list's members between brackets with spaces between them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(claim_text(each) for each in cast('list[object]', value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
