"""Bearer tokens as AppSync takes them: JSON Web Tokens (RS256) of the one issuer whose keys are here.

The local issuer stands for OpenID Connect providers of its name and for every user pool.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/configure-event-api-auth.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.bearer_tokens import TokenInvalid, read_signed
from localcloud.clock import Clock
from localcloud.services.appsync.errors import AppSyncError, unauthorized
from localcloud.services.appsync.ports import TokenKeys
from localcloud.services.appsync.settings import COGNITO, Provider, fits_pattern

__all__ = ["TokenReader", "bare_token", "looks_like_token"]

MAX_TOKEN_CHARS: Final = 8192  # ours; longer ones cost time before they are refused
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def bare_token(authorization: str) -> str:
    """The token of an Authorization header, which may use the Bearer scheme."""
    scheme, _, rest = authorization.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def looks_like_token(text: str) -> bool:
    """Whether this may be a JSON Web Token at all."""
    return len(text) <= MAX_TOKEN_CHARS and _COMPACT.fullmatch(text) is not None


class TokenReader:
    """Verifies tokens. `keys` are asked when the first token comes, and for ids that they lacked."""

    def __init__(self, keys: TokenKeys, *, clock: Clock) -> None:
        self._source = keys
        self._clock = clock
        self._keys: Mapping[str, Any] | None = None

    def read(self, token: str, provider: Provider) -> dict[str, Any]:
        """The claims of a token that `provider` takes. Raises AppSyncError."""
        expected = self._source.issuer if provider.kind == COGNITO else str(provider.settings["issuer"]).rstrip("/")
        if expected != self._source.issuer:
            raise unauthorized(f"Tokens of {expected} cannot be verified by this local cloud.")
        claims = self._verify(token)
        self._check_times(claims, provider)
        _check_client(claims, provider)
        return claims

    def _verify(self, token: str) -> dict[str, Any]:
        try:
            claims = read_signed(token, self._find, algorithms=("RS256",))
        except TokenInvalid:
            raise unauthorized("Unable to parse JWT token.") from None
        if claims.get("iss") != self._source.issuer:
            raise unauthorized("Unable to parse JWT token.")
        return claims

    def _find(self, kid: str) -> Any:
        """The key with this id. Raises KeyError where the issuer has none, now: it may have been made a moment ago."""
        if self._keys is None or kid not in self._keys:
            self._keys = self._source.keys()
        return self._keys[kid]

    def _check_times(self, claims: Mapping[str, Any], provider: Provider) -> None:
        """`exp`, and the two limits of an OpenID Connect provider, in milliseconds."""
        now = self._clock.time()
        if now >= _date(claims, "exp"):
            raise unauthorized("Token has expired.")
        for claim, name in (("iat", "iatTTL"), ("auth_time", "authTTL")):
            most_ms = int(provider.settings.get(name) or 0)
            if most_ms and now >= _date(claims, claim) + most_ms / 1000:
                raise unauthorized("Token has expired.")


def _check_client(claims: Mapping[str, Any], provider: Provider) -> None:
    """The application's id, a regular expression in both kinds of provider."""
    pattern = str(provider.settings.get("appIdClientRegex" if provider.kind == COGNITO else "clientId") or "")
    if not pattern:
        return
    found = [claims.get(name) for name in ("aud", "azp", "client_id")]
    clients = [str(each) for value in found for each in _listed(value)]
    if not any(fits_pattern(pattern, client) for client in clients):
        raise unauthorized()


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _date(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AppSyncError("UnauthorizedException", "Unable to parse JWT token.", 401)
    return float(value)
