"""JSON Web Tokens held against the keys of the issuer that they must be of: signature, issuer and dates.

The one verifier of the local cloud's services, RSA alone as API Gateway and AppSync have it. Keys come through a port
and are kept for as long as API Gateway may keep them. PyJWT is imported with the first token. Knows no service.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from localcloud.clock import Clock

if TYPE_CHECKING:
    from sluiceway.rules.tokens.keys import Key

__all__ = ["RSA", "FetchKeys", "IssuerTokens", "KeysUnavailable", "TokenExpired", "TokenInvalid", "read_signed"]

RSA: Final = ("RS256", "RS384", "RS512")
KEPT_S: Final = 2 * 3600.0  # the page above: public keys may be kept for two hours
AGAIN_S: Final = 10.0  # ours: how soon keys are asked for again because a token names one that was not there
MAX_ISSUERS: Final = 100  # ours
_MALFORMED: Final = "the token is malformed"
_NO_CHECKS: Final = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False} | {
    "verify_sub": False,
    "verify_jti": False,
    "verify_iss": False,
}


class TokenInvalid(Exception):
    """A token that is none of the issuer's, or not now; the message is one clients may read."""


class TokenExpired(TokenInvalid):
    """A token whose time is over."""


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had; the message says which step failed."""


FetchKeys: TypeAlias = Callable[[str], Awaitable[Mapping[str, Any]]]
"""The JSON Web Key Set of an issuer, by its `iss`. Raises KeysUnavailable."""


def read_signed(token: str, find: Callable[[str], Any], *, algorithms: Iterable[str] = RSA) -> dict[str, Any]:
    """The claims of a token that the key with its id signed; dates and issuer are not looked at.

    `find` gives the public key for an id, and raises KeyError where there is none. Raises TokenInvalid.
    """
    import jwt  # noqa: PLC0415 - see the module's docstring

    header = _read_header(token)
    if header.get("alg") not in (allowed := tuple(algorithms)):
        raise TokenInvalid("the token is signed with another algorithm")
    options: Any = _NO_CHECKS
    try:
        return jwt.decode(token, find(str(header.get("kid"))), algorithms=list(allowed), options=options)
    except KeyError:
        raise TokenInvalid("the token is signed by an unknown key") from None
    except jwt.InvalidSignatureError:
        raise TokenInvalid("signature is invalid") from None
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise TokenInvalid(_MALFORMED) from None


def _read_header(token: str) -> Mapping[str, Any]:
    """What the token says of itself; nothing of it is believed. Raises TokenInvalid."""
    import jwt  # noqa: PLC0415 - see the module's docstring

    if token.count(".") != 2:
        raise TokenInvalid("token contains an invalid number of segments")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise TokenInvalid(_MALFORMED) from None


@dataclass(slots=True)
class _Kept:
    keys: Mapping[str, Key]
    asked_s: float


class IssuerTokens:
    """Tokens of issuers, with their keys."""

    def __init__(self, fetch: FetchKeys, *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def read(self, token: str, issuer: str) -> dict[str, Any]:
        """The claims of a token of the issuer that is valid now. Raises TokenInvalid, TokenExpired, KeysUnavailable."""
        kept = await self._keys(issuer, str(_read_header(token).get("kid")))

        def find(key_id: str) -> Any:
            return kept[key_id].public

        claims = read_signed(token, find, algorithms=RSA)
        if claims.get("iss") != issuer:
            raise TokenInvalid("the token does not have a valid issuer")
        self._check_dates(claims)
        return claims

    async def _keys(self, issuer: str, key_id: str) -> Mapping[str, Key]:
        now, known = self._clock.time(), self._kept.get(issuer)
        if known is not None:
            age_s = now - known.asked_s
            if age_s < AGAIN_S or (age_s < KEPT_S and key_id in known.keys):
                return known.keys
        from sluiceway.rules.tokens.keys import sift_keys  # noqa: PLC0415 - cryptography: only who sends a token pays

        found = {name: key for name, key in sift_keys(await self._fetch(issuer)).keys.items() if _is_rsa(key)}
        if len(self._kept) >= MAX_ISSUERS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[issuer] = _Kept(found, now)
        return found

    def _check_dates(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.time()
        if now >= _date(claims, "exp"):
            raise TokenExpired("the token has expired")
        for claim in ("nbf", "iat"):
            if claim in claims and _date(claims, claim) > now:
                raise TokenInvalid("the token is not valid yet")


def _is_rsa(key: Key) -> bool:
    return bool(key.algorithms & set(RSA))


def _date(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid(f"the token does not have a valid {name}")
    return float(value)
