"""An issuer's JSON Web Key Set: its public keys by id, each with the algorithms that it may sign with.

`read_keys` is for a set that is part of the deployment: one bad key is an error. `sift_keys` is for one that an issuer
publishes: a bad key is left out and remembered with the reason, so that the others serve (RFC 7517 section 5).
Private and symmetric keys are never taken: whoever can read the set could sign with them.
Sources: https://www.rfc-editor.org/rfc/rfc7517 and https://www.rfc-editor.org/rfc/rfc7518 section 6
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from sluiceway.rules.tokens.refusals import InvalidKeys, Reason
from sluiceway.rules.tokens.signatures import ALGORITHMS, CURVE_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from sluiceway.rules.tokens.signatures import PublicKey

__all__ = ["MAX_KEYS", "Key", "KeySet", "read_keys", "sift_keys"]

MAX_KEYS: Final = 64  # an issuer that rotates holds two or three; large providers a dozen
MIN_KEY_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_KEY_BITS: Final = 8192  # larger ones make verification a way to spend our CPU
MIN_EXPONENT: Final = 1 << 16  # FIPS 186-5 appendix A.1.1
MAX_EXPONENT: Final = (1 << 32) - 1  # ours, for the same reason as MAX_KEY_BITS; all but everybody has 65537
MAX_KEY_ID: Final = 256
ED25519_BYTES: Final = 32
_P: Final = (1 << 255) - 19
_SMALL_ORDER: Final = frozenset({
    0, 1, _P - 1,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
})  # fmt: skip
# The y coordinates of the points whose order divides 8: signatures of such a key fit any message. They are the roots of
# y = 0, y^2 = 1 and, for order 8, of x^2 = -y^2 on the curve of RFC 8032 section 5.1.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Key(NamedTuple):
    """One public key and the algorithms that a token signed with it may name."""

    public: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by id. `unusable` are ids of keys that were left out, with the reason that a token signed by one gets."""

    keys: Mapping[str, Key] = field(default_factory=dict[str, "Key"])
    unusable: Mapping[str, Reason] = field(default_factory=dict[str, "Reason"])

    def knows(self, key_id: str) -> bool:
        """Whether it says anything about this key."""
        return key_id in self.keys or key_id in self.unusable


class _Unusable(InvalidKeys):
    """One key cannot be used."""

    def __init__(self, message: str, *, why: Reason = "invalid-key") -> None:
        super().__init__(message)
        self.why: Reason = why


def read_keys(key_set: Mapping[str, object]) -> KeySet:
    """The public signature keys of a key set; keys for another use, kind or algorithm are left out.

    Raises: InvalidKeys where a key lacks a kid or shares it, holds private parts or is too weak, or where none is left.
    """
    keys: dict[str, Key] = {}
    for fields in _entries(key_set):
        if not _PRIVATE_MEMBERS.isdisjoint(fields):
            raise InvalidKeys("it holds a private or symmetric key")
        found = _algorithms(fields)
        if not found:
            continue
        kid = fields.get("kid")
        if not isinstance(kid, str) or not _is_key_id(kid) or kid in keys:
            raise InvalidKeys("its keys need a kid each, all different")
        keys[kid] = Key(_READERS[str(fields["kty"])](fields), found)
    if not keys:
        raise InvalidKeys("it has no key for signatures that are taken here")
    return KeySet(keys)


def sift_keys(key_set: Mapping[str, object]) -> KeySet:
    """What can be used of a key set, which may be nothing. Raises: InvalidKeys where it is no key set at all."""
    keys: dict[str, Key] = {}
    unusable: dict[str, Reason] = {}
    for fields in _entries(key_set):
        kid, found = fields.get("kid"), _algorithms(fields)
        if not found or not isinstance(kid, str) or not _is_key_id(kid):
            continue
        if kid in keys or kid in unusable or not _PRIVATE_MEMBERS.isdisjoint(fields):
            keys.pop(kid, None)
            unusable[kid] = "invalid-key"
            continue
        try:
            keys[kid] = Key(_READERS[str(fields["kty"])](fields), found)
        except _Unusable as error:
            unusable[kid] = error.why
    return KeySet(keys, unusable)


def _entries(key_set: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = key_set.get("keys")
    if not isinstance(listed, list):
        raise InvalidKeys('it has no list "keys"')
    entries = cast("list[object]", listed)
    if len(entries) > MAX_KEYS:
        raise InvalidKeys(f"it has more than {MAX_KEYS} keys")
    if not all(isinstance(entry, dict) for entry in entries):
        raise InvalidKeys("one of its keys is not an object")
    return cast("list[Mapping[str, object]]", entries)


def _is_key_id(kid: str) -> bool:
    return 0 < len(kid) <= MAX_KEY_ID and kid.isprintable()


def _algorithms(fields: Mapping[str, object]) -> frozenset[str]:
    """Those that the key may be used with, by its kind, curve, use and own `alg`; none where it is not for us."""
    operations = fields.get("key_ops", ["verify"])
    if fields.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    only = fields.get("alg")
    return frozenset(
        name
        for name, needs in ALGORITHMS.items()
        if (needs.kind, needs.curve) == (fields.get("kty"), fields.get("crv", "") if needs.curve else "")
        and only in {None, name}
    )


def _rsa(fields: Mapping[str, object]) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import (  # noqa: PLC0415 - only who verifies pays
        RSAPublicNumbers,
    )

    modulus = int.from_bytes(_octets(fields.get("n"), most=MAX_KEY_BITS // 8 + 8), "big")
    exponent = int.from_bytes(_octets(fields.get("e"), most=MAX_KEY_BITS // 8 + 8), "big")
    if not MIN_KEY_BITS <= modulus.bit_length() <= MAX_KEY_BITS:
        raise _Unusable(f"an RSA key has not {MIN_KEY_BITS} to {MAX_KEY_BITS} bits", why="weak-key")
    if not MIN_EXPONENT < exponent <= MAX_EXPONENT:
        raise _Unusable("the public exponent of an RSA key is not from 65,537 to 2^32 - 1", why="weak-key")
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as cause:
        raise _Unusable("an RSA key has an impossible modulus or exponent") from cause


def _ec(fields: Mapping[str, object]) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - the same

    curve = str(fields["crv"])
    size = CURVE_BYTES[curve]
    x, y = _octets(fields.get("x"), most=size), _octets(fields.get("y"), most=size)
    if not len(x) == len(y) == size:
        raise _Unusable(f"a coordinate of a {curve} key has not {size} bytes")  # RFC 7518 section 6.2.1.2
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curves[curve]())
    try:
        return numbers.public_key()
    except ValueError as cause:
        raise _Unusable(f"a {curve} key is no point of its curve") from cause


def _ed25519(fields: Mapping[str, object]) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - the same

    raw = _octets(fields.get("x"), most=ED25519_BYTES)
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    if len(raw) != ED25519_BYTES or y >= _P:
        raise _Unusable("an Ed25519 key is no point in its one spelling")
    if y in _SMALL_ORDER:
        raise _Unusable("an Ed25519 key has a small order", why="weak-key")
    return Ed25519PublicKey.from_public_bytes(raw)


_READERS: Final[Mapping[str, Callable[[Mapping[str, object]], PublicKey]]] = {"RSA": _rsa, "EC": _ec, "OKP": _ed25519}


def _octets(value: object, *, most: int) -> bytes:
    """Base64url in its one spelling, of 1 to `most` bytes."""
    if not isinstance(value, str) or not 0 < len(value) <= most * 4 // 3 + 2:
        raise _Unusable("a key's number is missing or too long")
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        raise _Unusable("a key's number is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != value.encode("utf-8", "surrogatepass"):
        raise _Unusable("a key's number is not base64url")
    return raw
