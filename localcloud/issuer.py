"""The local issuer of bearer tokens: an RSA key made at first use, a key set of its public half, tokens signed with it.

After a rotation the set has the keys before it too, until they are withdrawn. The key never leaves the state folder; a
deployed stack has its own identity provider and knows nothing of this one.
cryptography and PyJWT cost 0.2 s at import: only the making of a key or a token pays for them.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localcloud.clock import Clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = [
    "ISSUER",
    "ISSUER_PATH",
    "MAX_PUBLISHED",
    "LocalIssuer",
    "keys_url",
    "read_key_set",
    "rotate_key",
    "withdraw_keys",
]

ISSUER: Final = "https://issuer.sluiceway.localhost"
ISSUER_PATH: Final = "/_sluiceway/issuer"  # of the AWS port: see `localcloud.identity`
KEY_BITS: Final = 2048  # RS256 minimum, RFC 7518 section 3.3
MAX_MINUTES: Final = 24 * 60
MAX_PUBLISHED: Final = 4  # keys, the one that signs among them: the set is a parameter of at most 3,000 characters
_OWN_CLAIMS: Final = frozenset({"iss", "aud", "sub", "iat", "exp"})


def read_key_set(folder: Path) -> str:
    """The public key set of the issuer in `folder`, as it was written beside the key; both are made where missing.

    Raises ValueError where the key's file holds no RSA key.
    """
    published = folder / "issuer.jwks.json"
    if not published.exists() or not (folder / "issuer.pem").exists():
        published.parent.mkdir(parents=True, exist_ok=True)
        published.write_text(LocalIssuer.open(folder).key_set(), encoding="utf-8")
    return published.read_text(encoding="utf-8")


def keys_url(aws: str) -> str:
    """Where the key set is published, below the address of an AWS port."""
    return f"{aws}{ISSUER_PATH}/jwks.json"


def rotate_key(folder: Path) -> str:
    """Sign with a new key from now on; the ones before it stay published. Its id. Takes some 100 ms of CPU.

    Raises ValueError where the key's file holds no RSA key.
    """
    kept = json.loads(read_key_set(folder))["keys"]
    (folder / "issuer.pem").unlink()
    issuer = LocalIssuer.open(folder)
    _publish(folder, [*json.loads(issuer.key_set())["keys"], *kept][:MAX_PUBLISHED])
    return issuer.key_id


def withdraw_keys(folder: Path) -> None:
    """Publish the key that signs, and no other any more. Raises as `rotate_key`."""
    read_key_set(folder)
    _publish(folder, json.loads(LocalIssuer.open(folder).key_set())["keys"])


def _publish(folder: Path, keys: list[dict[str, str]]) -> None:
    """Whole or not at all: functions read it at any time."""
    fresh = folder / "issuer.jwks.json.new"
    fresh.write_text(json.dumps({"keys": keys}, separators=(",", ":")), encoding="utf-8")
    fresh.replace(folder / "issuer.jwks.json")


def _number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class LocalIssuer:
    """One issuer: its RSA key and the key's id."""

    key: rsa.RSAPrivateKey
    key_id: str

    @classmethod
    def open(cls, folder: Path) -> LocalIssuer:
        """The issuer kept in `folder`/issuer.pem, made (mode 0600) if there is none."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the module's docstring
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - the same

        path = folder / "issuer.pem"
        if path.exists():
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                message = f"{path} holds no RSA private key; remove it and a new one is made"
                raise ValueError(message)
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            folder.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return cls(key, sha256(_number(key.public_key().public_numbers().n).encode()).hexdigest()[:16])

    def key_set(self) -> str:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id}
        return json.dumps({"keys": [jwk | {"n": _number(numbers.n), "e": _number(numbers.e)}]}, separators=(",", ":"))

    def token(
        self, *, subject: str, audience: str, minutes: int, clock: Clock, claims: Mapping[str, object] | None = None
    ) -> str:
        """A signed token for `subject`, good for `minutes` (1 to 1,440), with `claims` beside the issuer's own.

        Raises ValueError for other minutes, and for a claim that is the issuer's.
        """
        if not 1 <= minutes <= MAX_MINUTES:
            message = f"minutes must be 1 to {MAX_MINUTES}, not {minutes}"
            raise ValueError(message)
        if own := sorted(_OWN_CLAIMS & (claims or {}).keys()):
            message = f"the claim {own[0]} is the issuer's own"
            raise ValueError(message)
        import jwt  # noqa: PLC0415 - see the module's docstring

        now = int(clock.time())
        own_claims = {"iss": ISSUER, "aud": audience, "sub": subject, "iat": now, "exp": now + minutes * 60}
        return jwt.encode({**(claims or {}), **own_claims}, self.key, algorithm="RS256", headers={"kid": self.key_id})
