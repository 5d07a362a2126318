"""Keys, key sets and tokens for tests of tokens: made here by hand, so that what no library would make can be made."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ISSUER, AUDIENCE, NOW = "https://issuer.example/", "sluiceway", 1_800_000_000
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": NOW, "exp": NOW + 60}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
KEYS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), KEY),
    **{name: ec.generate_private_key(curve) for name, curve in CURVES.items()},
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
SIZES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(members: Any) -> str:
    """A part of a token: JSON in base64url."""
    return b64(json.dumps(members).encode())


def number(value: int, size: int = 0) -> str:
    """A JSON Web Key's number, of `size` bytes or as many as it needs."""
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: Any, kid: str, **changes: Any) -> dict[str, Any]:
    """The public JSON Web Key of a private key."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = cast("rsa.RSAPublicKey", public).public_numbers()
        members = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), "alg": "RS256"}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        (name, size), point = SIZES[key.curve.name], key.public_key().public_numbers()
        members = {"kty": "EC", "crv": name, "x": number(point.x, size), "y": number(point.y, size)}
    else:
        members = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
    return {**members, "kid": kid, "use": "sig", **changes}


def signature(alg: str, signed: bytes, key: Any) -> bytes:
    """The signature of `signed`."""
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(alg[2:])
    if alg == "EdDSA":
        return key.sign(signed)
    assert digest is not None
    if alg[:2] == "RS":
        return key.sign(signed, padding.PKCS1v15(), digest)
    if alg[:2] == "PS":
        return key.sign(signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
    size = SIZES[key.curve.name][1]
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def seal(header: str, payload: str, *, alg: str = "RS256", key: Any = None) -> str:
    """A token of two parts that are encoded already."""
    signed = f"{header}.{payload}"
    return f"{signed}.{b64(signature(alg, signed.encode(), key or KEYS[alg]))}"


def sign(claims: Any = CLAIMS, *, alg: str = "RS256", key: Any = None, **header: Any) -> str:
    """A token over `claims`, whose header has a kid of `k1` unless it is told otherwise (None: without)."""
    members = {"alg": alg, "typ": "JWT", "kid": "k1", **header}
    shown = {name: value for name, value in members.items() if value is not None}
    return seal(part(shown), part(claims), alg=alg, key=key)


def without(name: str) -> dict[str, Any]:
    """The good claims less one."""
    return {claim: value for claim, value in CLAIMS.items() if claim != name}
