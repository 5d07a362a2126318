"""The server's side of the secure remote password protocol, as Cognito does it: SRP-6a, SHA-256, 3,072 bits.

Source: https://datatracker.ietf.org/doc/html/rfc5054 and, for the group, https://datatracker.ietf.org/doc/html/rfc3526
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.cognito.errors import invalid
from localcloud.services.cognito.model import User

__all__ = ["check_claim", "start_srp"]

_N_HEX: Final = (
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"
)
_N: Final = int(_N_HEX, 16)
_G: Final = 2
_INFO: Final = b"Caldera Derived Key\x01"
_KEY_BYTES: Final = 16
MAX_PUBLIC_CHARS: Final = 1_024  # hexadecimal digits of a number below N: 768


def start_srp(proof: bytes, public: str, rng: random.Random) -> tuple[Mapping[str, Any], dict[str, str]]:
    """What the server keeps of an exchange, and what it tells: SALT and SRP_B. `proof`: the hash of name and password.

    Raises CognitoError for a public value that is none.
    """
    theirs = _read(public)
    salt = rng.getrandbits(128)
    verifier = pow(_G, _hash(_padded(salt) + proof), _N)
    secret = rng.getrandbits(256)
    ours = (_hash(_padded(_N) + _padded(_G)) * verifier + pow(_G, secret, _N)) % _N
    mixed = _hash(_padded(theirs) + _padded(ours))
    shared = pow(theirs * pow(verifier, mixed, _N), secret, _N)
    inner = hmac.new(_padded(mixed), _padded(shared), hashlib.sha256).digest()
    key = hmac.new(inner, _INFO, hashlib.sha256).digest()[:_KEY_BYTES]
    return {"key": key}, {"SALT": f"{salt:x}", "SRP_B": f"{ours:x}"}


def check_claim(pool_id: str, user: User, secret: Mapping[str, Any], *, given: Mapping[str, Any]) -> bool:
    """Whether the claim of PASSWORD_VERIFIER could only be made with the password."""
    try:
        block = base64.b64decode(str(given.get("PASSWORD_CLAIM_SECRET_BLOCK") or ""))
        claim = base64.b64decode(str(given.get("PASSWORD_CLAIM_SIGNATURE") or ""))
    except (binascii.Error, ValueError):
        return False
    text = f"{pool_id.partition('_')[2]}{user.username}".encode() + block + str(given.get("TIMESTAMP") or "").encode()
    return hmac.compare_digest(claim, hmac.new(secret["key"], text, hashlib.sha256).digest())


def _read(public: str) -> int:
    try:
        value = int(public, 16) if len(public) <= MAX_PUBLIC_CHARS else 0
    except ValueError:
        value = 0
    if value <= 0 or value % _N == 0:
        raise invalid("SRP_A is not valid.")
    return value


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def _padded(value: int) -> bytes:
    """A number's bytes, with a zero before them where the first bit is set: as Java writes what is not negative."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
