"""Bearer tokens: RS256 JSON Web Tokens of one issuer for one audience, against keys that are already here.

Pure: keys, token and time come as arguments. PyJWT and cryptography do the signature and are imported with the first
key set, so that nobody else pays for them; a function that verifies tokens carries them in its own requirements.
What is decided here and nowhere else: the algorithm is RS256 whatever the token says, the key is the one that `kid`
names, every limit of size and time. Must not know where a token was sent, and never repeats one in an error.
Sources: https://www.rfc-editor.org/rfc/rfc7519 and https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from sluiceway.errors import Rejected

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Claims", "Identity", "InvalidKeys", "InvalidToken", "Verifier", "name_caller", "read_keys"]

ALGORITHM: Final = "RS256"
LEEWAY_S: Final = 30  # for clocks that disagree; RFC 7519 section 4.1.4 allows no more than a few minutes
MAX_TOKEN: Final = 8192  # characters; API Gateway takes 10,240 bytes of headers in all
# Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_KEYS: Final = 16  # an issuer that rotates holds two or three
MIN_KEY_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_KEY_BITS: Final = 8192  # larger ones make verification a way to spend our CPU
MAX_SUBJECT: Final = 255  # OpenID Connect Core section 2
MAX_GROUPS: Final = 100  # of a user: https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html
MAX_GROUP: Final = 128  # characters, as of a user pool's groups
MAX_GROUPS_TOGETHER: Final = 1_000  # characters: an authorizer's context has 8 KB, where each may become six
MAX_TENANT: Final = 128
CALLER_LENGTH: Final = 22  # base64url letters, 132 bits of the digest

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 7519 section 5.1, RFC 9068 section 2.1
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class InvalidToken(Rejected):
    """The token does not let its bearer in. `reason`: a code for logs and metrics, never told to the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is refused: {reason}", reason=reason)


class InvalidKeys(Rejected):
    """The key set cannot be used; the message says what is wrong, without key material."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="invalid-keys")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for. `caller` is short, fixed in length and safe in ids; `expires_s` epoch seconds.

    `groups` are those of the token's claim, `tenant` "" where it has none.
    """

    caller: str
    subject: str
    issuer: str
    expires_s: int
    groups: tuple[str, ...] = ()
    tenant: str = ""


class Claims(NamedTuple):
    """The names of the claims that have a caller's groups and tenant."""

    groups: str = "cognito:groups"
    tenant: str = "custom:tenant"


_CLAIMS: Final = Claims()


def name_caller(issuer: str, subject: str) -> str:
    """The caller's name in our own records: 22 base64url letters of SHA-256 over issuer, line feed, subject."""
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:CALLER_LENGTH]


def read_keys(key_set: Mapping[str, object]) -> dict[str, RSAPublicKey]:
    """The RSA public keys of a JSON Web Key Set by `kid`; keys for another use or algorithm are left out.

    Raises: InvalidKeys where a key lacks a kid or shares it, holds private parts or is too small or large, or where
    none is left. Source: https://www.rfc-editor.org/rfc/rfc7517
    """
    keys: dict[str, RSAPublicKey] = {}
    for fields in filter(_is_for_us, _entries(key_set)):
        kid = fields.get("kid")
        if not isinstance(kid, str) or not kid or kid in keys:
            raise InvalidKeys("its RSA keys need a kid each, all different")
        keys[kid] = _public_key(fields)
    if not keys:
        raise InvalidKeys(f"it has no RSA key for {ALGORITHM} signatures")
    return keys


def _entries(key_set: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = key_set.get("keys")
    if not isinstance(listed, list):
        raise InvalidKeys('it has no list "keys"')
    entries = cast("list[object]", listed)
    if len(entries) > MAX_KEYS:
        raise InvalidKeys(f"it has more than {MAX_KEYS} keys")
    if not all(isinstance(entry, dict) for entry in entries):
        raise InvalidKeys("one of its keys is not an object")
    found = cast("list[Mapping[str, object]]", entries)
    if not all(_PRIVATE_MEMBERS.isdisjoint(fields) for fields in found):
        raise InvalidKeys("it holds a private or symmetric key")
    return found


def _is_for_us(fields: Mapping[str, object]) -> bool:
    return (
        fields.get("kty") == "RSA" and fields.get("use", "sig") == "sig" and fields.get("alg", ALGORITHM) == ALGORITHM
    )


def _public_key(fields: Mapping[str, object]) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import (  # noqa: PLC0415 - only who verifies pays
        RSAPublicNumbers,
    )

    modulus, exponent = _number(fields.get("n")), _number(fields.get("e"))
    if not MIN_KEY_BITS <= modulus.bit_length() <= MAX_KEY_BITS:
        raise InvalidKeys(f"an RSA key has not {MIN_KEY_BITS} to {MAX_KEY_BITS} bits")
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as cause:
        raise InvalidKeys("an RSA key has an impossible modulus or exponent") from cause


def _number(value: object) -> int:
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value) or len(value) * 6 > MAX_KEY_BITS + 64:
        raise InvalidKeys("an RSA key has no usable modulus or exponent")
    return int.from_bytes(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))


class Verifier:
    """Verifies tokens of `issuer` for `audience`, both compared to the letter. `claims` names those that are read."""

    def __init__(
        self, keys: Mapping[str, RSAPublicKey], *, issuer: str, audience: str, claims: Claims = _CLAIMS
    ) -> None:
        import jwt  # noqa: PLC0415 - only who verifies pays, and at init

        self._jwt = jwt
        self._keys = dict(keys)
        self._issuer = issuer
        self._audience = audience
        self._read = claims

    def verify(self, token: str, *, now_s: float) -> Identity:
        """Whom `token` speaks for at `now_s` (epoch seconds), within 30 s of leeway.

        Raises: InvalidToken with a reason: `missing`, `too-large`, `malformed`, `algorithm`, `critical-header`, `type`,
        `unknown-key`, `signature`, `issuer`, `audience`, `claims`, `subject`, `groups`, `expired`, `not-yet-valid`.
        """
        if not token:
            raise InvalidToken("missing")
        if len(token) > MAX_TOKEN:
            raise InvalidToken("too-large")
        if not _COMPACT.fullmatch(token):
            raise InvalidToken("malformed")
        claims = self._claims(token, self._key_for(token))
        expires_s = _check_times(claims, now_s)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
            raise InvalidToken("subject")
        try:
            caller = name_caller(self._issuer, subject)
        except UnicodeEncodeError:
            raise InvalidToken("subject") from None  # half of a surrogate pair is no character
        groups, tenant = _read_groups(claims.get(self._read.groups)), claims.get(self._read.tenant, "")
        if not isinstance(tenant, str) or len(tenant) > MAX_TENANT:
            raise InvalidToken("claims")
        return Identity(caller, subject, self._issuer, expires_s, groups, tenant)

    def _key_for(self, token: str) -> RSAPublicKey:
        try:
            header = self._jwt.get_unverified_header(token)
        except (self._jwt.InvalidTokenError, ValueError, RecursionError):
            raise InvalidToken("malformed") from None
        if header.get("alg") != ALGORITHM:
            raise InvalidToken("algorithm")
        if "crit" in header or "b64" in header:
            raise InvalidToken("critical-header")  # we understand no extension, RFC 7515 section 4.1.11
        if str(header.get("typ", "")).lower() not in _TYPES:
            raise InvalidToken("type")
        kid = header.get("kid")
        if not isinstance(kid, str) or kid not in self._keys:
            raise InvalidToken("unknown-key")
        return self._keys[kid]

    def _claims(self, token: str, key: RSAPublicKey) -> Mapping[str, object]:
        """The claims of a token whose signature, issuer and audience are right; the rest is still to check."""
        library = self._jwt
        try:
            return library.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                },
            )
        except library.InvalidSignatureError:
            raise InvalidToken("signature") from None
        except library.InvalidIssuerError:
            raise InvalidToken("issuer") from None
        except library.InvalidAudienceError:
            raise InvalidToken("audience") from None
        except library.MissingRequiredClaimError:
            raise InvalidToken("claims") from None
        except (library.InvalidTokenError, ValueError, RecursionError):
            raise InvalidToken("malformed") from None


def _read_groups(value: object) -> tuple[str, ...]:
    """The groups, () where there is no claim. One that cannot be carried whole is refused: a group may be denied."""
    groups = cast("list[object]", value) if isinstance(value, list) else []
    names = tuple(group for group in groups if isinstance(group, str) and 1 <= len(group) <= MAX_GROUP)
    if value is not None and (not isinstance(value, list) or len(names) != len(groups)):
        raise InvalidToken("groups")
    if len(names) > MAX_GROUPS or sum(map(len, names)) > MAX_GROUPS_TOGETHER:
        raise InvalidToken("groups")
    return names


def _check_times(claims: Mapping[str, object], now_s: float) -> int:
    """`exp`, in whole seconds. RFC 7519 sections 4.1.4 to 4.1.6."""
    expires_s = _date(claims, "exp")
    if now_s >= expires_s + LEEWAY_S:
        raise InvalidToken("expired")
    starts_s = [_date(claims, name) for name in ("iat", "nbf") if name in claims]
    if any(now_s < start_s - LEEWAY_S for start_s in starts_s):
        raise InvalidToken("not-yet-valid")
    return int(expires_s)


def _date(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12 or math.isnan(value):
        raise InvalidToken("claims")
    return float(value)
