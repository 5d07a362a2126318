"""The closed list of signature algorithms, all asymmetric, and the check of one signature with one key.

cryptography is imported with the first check, so that nobody else pays for it; a function that verifies tokens carries
it in its own requirements. Why no token library: docs/adr/0012-token-library.md.
Sources: https://www.rfc-editor.org/rfc/rfc7518 section 3 and https://www.rfc-editor.org/rfc/rfc8037 section 3.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

__all__ = ["ALGORITHMS", "CURVE_BYTES", "ORDERS", "Algorithm", "is_signed_with"]


class Algorithm(NamedTuple):
    """What it needs: the key's `kty` and, where it has one, `crv`; its hash."""

    kind: str
    curve: str
    digest: str


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "RS256": Algorithm("RSA", "", "SHA256"),
    "RS384": Algorithm("RSA", "", "SHA384"),
    "RS512": Algorithm("RSA", "", "SHA512"),
    "PS256": Algorithm("RSA", "", "SHA256"),
    "PS384": Algorithm("RSA", "", "SHA384"),
    "PS512": Algorithm("RSA", "", "SHA512"),
    "ES256": Algorithm("EC", "P-256", "SHA256"),
    "ES384": Algorithm("EC", "P-384", "SHA384"),
    "ES512": Algorithm("EC", "P-521", "SHA512"),
    "EdDSA": Algorithm("OKP", "Ed25519", ""),
}
CURVE_BYTES: Final[Mapping[str, int]] = {"P-256": 32, "P-384": 48, "P-521": 66}  # of a coordinate
ORDERS: Final[Mapping[str, int]] = {
    "P-256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "P-384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "P-521": (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}  # SEC 2 version 2.0, sections 2.4.2, 2.5.1 and 2.6.1


def is_signed_with(public: PublicKey, algorithm: str, *, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's over `signed`. The key must be one that `algorithm` needs."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only who verifies pays

    found = ALGORITHMS[algorithm]
    try:
        if found.kind == "RSA":
            _check_rsa(cast("RSAPublicKey", public), algorithm, signed=signed, signature=signature)
        elif found.kind == "EC":
            return _is_ec(cast("EllipticCurvePublicKey", public), found, signed=signed, signature=signature)
        else:
            cast("Ed25519PublicKey", public).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _check_rsa(public: RSAPublicKey, algorithm: str, *, signed: bytes, signature: bytes) -> None:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - the same
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - the same

    digest = getattr(hashes, ALGORITHMS[algorithm].digest)()
    if algorithm.startswith("PS"):  # the salt is as long as the digest, RFC 7518 section 3.5
        public.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    else:
        public.verify(signature, signed, padding.PKCS1v15(), digest)


def _is_ec(public: EllipticCurvePublicKey, algorithm: Algorithm, *, signed: bytes, signature: bytes) -> bool:
    """The signature is r and s, each as long as a coordinate and from 1 to below the order (CVE-2022-21449)."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - the same
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415 - the same

    size, order = CURVE_BYTES[algorithm.curve], ORDERS[algorithm.curve]
    if len(signature) != 2 * size:
        return False
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    if not (0 < r < order and 0 < s < order):
        return False
    public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(getattr(hashes, algorithm.digest)()))
    return True
