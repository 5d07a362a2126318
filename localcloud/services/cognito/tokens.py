"""The tokens of a user pool: signed with a key of its own, made when the first is needed, and read again.

cryptography and PyJWT cost 0.2 s at import, a key 0.1 s: only a pool that signs pays for them.
Source: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-with-identity-providers.html
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from localcloud.services.cognito.errors import refused
from localcloud.services.cognito.model import Client, Pool, Refresh, User, UserPools
from localcloud.uuids import new_uuid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["Issued", "Override", "SignIn", "Signers", "Tokens", "lifetime_s"]

KEY_BITS: Final = 2_048  # as Cognito's own
SCOPE: Final = "aws.cognito.signin.user.admin"
_UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_DEFAULTS: Final = {"AccessToken": (1, "hours"), "IdToken": (1, "hours"), "RefreshToken": (30, "days")}
_RESERVED: Final = frozenset({
    "acr", "amr", "at_hash", "aud", "auth_time", "azp", "client_id", "exp", "iat", "identities", "iss", "jti", "nbf",
    "nonce", "origin_jti", "sub", "token_use", "username", "version",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Override:
    """What a PreTokenGeneration function changed of a kind of token, and of the groups (None: nothing)."""

    added: Mapping[str, Any] = field(default_factory=dict[str, Any])
    suppressed: frozenset[str] = frozenset()
    scopes_added: tuple[str, ...] = ()
    scopes_suppressed: frozenset[str] = frozenset()
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who signs in, where, over which client."""

    pool: Pool
    client: Client
    user: User


@dataclass(frozen=True, slots=True)
class Issued:
    """What a sign-in gives, as AuthenticationResult has it."""

    access: str
    identity: str
    refresh: str
    expires_s: int

    def tell(self) -> dict[str, Any]:
        """The members of AuthenticationResult."""
        told: dict[str, Any] = {
            "AccessToken": self.access,
            "ExpiresIn": self.expires_s,
            "IdToken": self.identity,
            "TokenType": "Bearer",
        }
        return told | ({"RefreshToken": self.refresh} if self.refresh else {})


@dataclass(frozen=True, slots=True)
class _Key:
    key: rsa.RSAPrivateKey
    key_id: str


class Signers:
    """The key of each pool."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    async def key_set(self, pool: Pool) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        made = await self._key(pool)
        numbers = made.key.public_key().public_numbers()
        jwk = {"alg": "RS256", "kty": "RSA", "use": "sig", "kid": made.key_id}
        return {"keys": [jwk | {"n": _number(numbers.n), "e": _number(numbers.e)}]}

    async def sign(self, pool: Pool, claims: Mapping[str, Any]) -> str:
        """A token."""
        made = await self._key(pool)
        import jwt  # noqa: PLC0415 - see the module's docstring

        return jwt.encode(dict(claims), made.key, algorithm="RS256", headers={"kid": made.key_id})

    async def read(self, pool: Pool, token: str) -> dict[str, Any]:
        """The claims of a token that this pool signed, whatever its dates. Raises CognitoError."""
        made = await self._key(pool)
        import jwt  # noqa: PLC0415 - as above

        try:
            options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
            return jwt.decode(token, made.key.public_key(), algorithms=["RS256"], options=options)
        except jwt.PyJWTError as error:
            raise refused("Invalid Access Token") from error

    async def _key(self, pool: Pool) -> _Key:
        if pool.id not in self._keys:
            made = await asyncio.to_thread(_make_key)
            self._keys.setdefault(pool.id, made)
        return self._keys[pool.id]


class Tokens:
    """Issues and reads tokens."""

    def __init__(self, pools: UserPools, signers: Signers) -> None:
        self._pools = pools
        self._signers = signers

    async def issue(self, who: SignIn, *, overrides: Mapping[str, Override], origin: Refresh | None = None) -> Issued:
        """Tokens of a sign-in; of a refresh (`origin`) without a new refresh token. `overrides` by `id`, `access`."""
        pool, client = who.pool, who.client
        now = int(self._pools.clock.time())
        origin_jti = origin.origin if origin is not None else new_uuid(self._pools.rng)
        common = {
            "sub": who.user.sub,
            "iss": pool.issuer,
            "origin_jti": origin_jti,
            "event_id": new_uuid(self._pools.rng),
            "auth_time": origin.auth_time_s if origin is not None else now,
            "iat": now,
        }
        expires_s = lifetime_s(client, "AccessToken")
        access = self._access(who, overrides.get("access", Override()))
        identity = self._identity(who, overrides.get("id", Override()))
        refresh = "" if origin is not None else self._keep(who, origin_jti)
        return Issued(
            access=await self._sign(pool, {**common, **access, "exp": now + expires_s}),
            identity=await self._sign(pool, {**common, **identity, "exp": now + lifetime_s(client, "IdToken")}),
            refresh=refresh,
            expires_s=expires_s,
        )

    async def key_set(self, pool: Pool) -> dict[str, Any]:
        """The pool's key set."""
        return await self._signers.key_set(pool)

    async def user_of(self, token: str) -> tuple[Pool, User, dict[str, Any]]:
        """Whose access token this is. Raises CognitoError: NotAuthorizedException."""
        pool = self._pool_of(token)
        claims = await self._signers.read(pool, token)
        if claims.get("token_use") != "access":
            raise refused("Invalid Access Token")
        if int(claims["exp"]) <= self._pools.clock.time():
            raise refused("Access Token has expired")
        user = pool.users.get(str(claims["username"]))
        if user is None or not user.enabled:
            raise refused("Invalid Access Token")
        if claims["origin_jti"] in pool.revoked:
            raise refused("Access Token has been revoked")
        return pool, user, claims

    def _pool_of(self, token: str) -> Pool:
        """The pool that a token names, before anything of it is believed."""
        import jwt  # noqa: PLC0415 - as above

        try:
            named: Any = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise refused("Invalid Access Token") from error
        found = [pool for pool in self._pools.pools.values() if pool.issuer == named.get("iss")]
        if not found:
            raise refused("Invalid Access Token")
        return found[0]

    async def _sign(self, pool: Pool, claims: Mapping[str, Any]) -> str:
        return await self._signers.sign(pool, {**claims, "jti": new_uuid(self._pools.rng)})

    def _access(self, who: SignIn, override: Override) -> dict[str, Any]:
        scopes = [each for each in (SCOPE, *override.scopes_added) if each not in override.scopes_suppressed]
        own = {
            "client_id": who.client.id,
            "token_use": "access",
            "scope": " ".join(scopes),
            "username": who.user.username,
            **_groups(who.pool, who.user, override),
        }
        return _overridden(own, override)

    def _identity(self, who: SignIn, override: Override) -> dict[str, Any]:
        readable = who.client.settings.get("ReadAttributes")
        shown = {
            name: value == "true" if name.endswith("_verified") else value
            for name, value in who.user.attributes.items()
            if name != "sub" and (not readable or name in readable)
        }
        own = {
            **shown,
            "aud": who.client.id,
            "token_use": "id",
            "cognito:username": who.user.username,
            **_groups(who.pool, who.user, override),
        }
        roles = [group.role_arn for group in who.pool.groups_of(who.user) if group.role_arn]
        if roles:
            own |= {"cognito:roles": roles, "cognito:preferred_role": roles[0]}
        return _overridden(own, override)

    def _keep(self, who: SignIn, origin: str) -> str:
        now = self._pools.clock.time()
        token = base64.urlsafe_b64encode(self._pools.rng.randbytes(192)).decode()
        kept = Refresh(
            username=who.user.username,
            client_id=who.client.id,
            auth_time_s=int(now),
            origin=origin,
            until_s=now + lifetime_s(who.client, "RefreshToken"),
            epoch=who.user.epoch,
        )
        self._pools.keep(who.pool.refreshes, token, kept)
        return token


def lifetime_s(client: Client, kind: str) -> int:
    """How long a token of a client counts: `AccessToken`, `IdToken`, `RefreshToken`, in their units."""
    default, unit = _DEFAULTS[kind]
    given = client.settings.get(f"{kind}Validity")
    units: Mapping[str, str] = client.settings.get("TokenValidityUnits") or {}
    return int(given) * _UNITS[units.get(kind, unit)] if given else default * _UNITS[unit]


def _groups(pool: Pool, user: User, override: Override) -> dict[str, Any]:
    names = override.groups if override.groups is not None else [group.name for group in pool.groups_of(user)]
    return {"cognito:groups": list(names)} if names else {}


def _overridden(claims: dict[str, Any], override: Override) -> dict[str, Any]:
    """Claims that are Cognito's own stay as they are."""
    added = {name: value for name, value in override.added.items() if not _is_own(name)}
    kept = {name: value for name, value in claims.items() if name not in override.suppressed or _is_own(name)}
    return kept | added


def _is_own(name: str) -> bool:
    return name in _RESERVED or name.startswith("cognito:")


def _make_key() -> _Key:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - see the module's docstring

    key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    digest = hashlib.sha256(_number(key.public_key().public_numbers().n).encode()).digest()
    return _Key(key, base64.b64encode(digest).decode())


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
