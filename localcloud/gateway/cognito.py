"""Cognito user pool authorizers: the token of a request, verified, and its claims as methods see them.

Without scopes a method takes identity tokens, with scopes access tokens that have one of them.
Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-enable-cognito-user-pool.html
and https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from localcloud.gateway.definition import Authorizer
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.mapping import evaluate_expression
from localcloud.gateway.vtl import as_text
from localcloud.json_text import parse_json
from localcloud.matching import PatternTooSlow, limit_matching

__all__ = ["PoolTokens", "TokenExpired", "TokenRefused", "authorize_token", "issuer_of"]

_BEARER: Final = "bearer "
_DATES: Final = frozenset({"exp", "iat"})
MAX_TOKEN_CHARS: Final = 10_240  # of all headers together: api-gateway-execution-service-limits-table


class TokenRefused(Exception):
    """A token that is no valid one of its issuer; the message says why, for the log."""


class TokenExpired(TokenRefused):
    """A token that was valid."""


class PoolTokens(Protocol):
    """The tokens of user pools."""

    async def __call__(self, token: str, *, issuer: str, now_s: float) -> Mapping[str, Any]:
        """The claims of a token whose signature, issuer and dates hold. Raises TokenRefused, TokenExpired."""
        ...


def issuer_of(pool_arn: str) -> str:
    """The `iss` of a pool's tokens."""
    region, pool = pool_arn.split(":")[3], pool_arn.rpartition("/")[2]
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://cognito-idp.{region}.amazonaws.com{suffix}/{pool}"


async def authorize_token(exchange: Exchange, authorizer: Authorizer, *, tokens: PoolTokens | None) -> None:
    """Let the request pass and note its claims. Raises GatewayError."""
    scopes = exchange.method.scopes if exchange.method is not None else frozenset[str]()
    given = evaluate_expression(authorizer.identity_sources[0], exchange.sources())
    if not isinstance(given, str) or not given or len(given) > MAX_TOKEN_CHARS:
        raise _unauthorized(authorizer, "there is no token")
    token = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else given.strip()
    claims = await _verify(exchange, authorizer, token, tokens=tokens)
    use = claims.get("token_use")
    if scopes:
        granted = str(claims.get("scope", "")).split()
        if use != "access" or not scopes & set(granted):
            raise _unauthorized(authorizer, f"{use} token without one of {', '.join(sorted(scopes))}")
    elif use != "id":
        raise _unauthorized(authorizer, f"{use} token where there are no scopes")
    if authorizer.validation is not None and not _fits(authorizer, claims):
        raise _unauthorized(authorizer, "the audience does not fit the expression")
    exchange.authorizer = {"claims": {name: _text(name, value) for name, value in claims.items()}}


async def _verify(
    exchange: Exchange, authorizer: Authorizer, token: str, *, tokens: PoolTokens | None
) -> Mapping[str, Any]:
    issuer = _claimed_issuer(token)
    if issuer not in {issuer_of(pool) for pool in authorizer.pools}:
        raise _unauthorized(authorizer, "the token is of no pool of the authorizer")
    if tokens is None:
        raise GatewayError("AUTHORIZER_CONFIGURATION_ERROR", reason="there are no user pools here")
    try:
        return await tokens(token, issuer=issuer, now_s=exchange.now_s)
    except TokenExpired as error:
        words = "The incoming token has expired"
        raise GatewayError("UNAUTHORIZED", words, reason=f"{authorizer.name}: {error}") from error
    except TokenRefused as error:
        raise _unauthorized(authorizer, str(error)) from error


def _claimed_issuer(token: str) -> str:
    """The issuer that the token says it is of, "" where it is no token; nothing of it is believed yet."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        body = parse_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return ""
    return str(cast("dict[str, Any]", body).get("iss", "")) if isinstance(body, dict) else ""


def _fits(authorizer: Authorizer, claims: Mapping[str, Any]) -> bool:
    audience = claims.get("aud", claims.get("client_id", ""))
    try:
        with limit_matching():
            return authorizer.validation is not None and authorizer.validation.fullmatch(str(audience)) is not None
    except PatternTooSlow:
        return False


def _text(name: str, value: Any) -> str:
    """A claim as REST APIs show it: dates as Java prints them, lists joined."""
    if name in _DATES and isinstance(value, int | float):
        return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(value))
    if isinstance(value, list):
        return ",".join(as_text(each) for each in cast("list[Any]", value))
    return as_text(value)


def _unauthorized(authorizer: Authorizer, reason: str) -> GatewayError:
    return GatewayError("UNAUTHORIZED", reason=f"{authorizer.name}: {reason}")
