"""Secure remote passwords of user pools, against a client written from the protocol's own page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

import pytest

from localcloud.services.cognito.errors import CognitoError
from localcloud.services.cognito.model import User
from localcloud.services.cognito.srp import check_claim, start_srp

G = 2


def test_the_group_is_that_of_rfc_3526() -> None:
    """N = 2^3072 - 2^3008 - 1 + 2^64 * (floor(2^2942 * pi) + 1690314): its ends, and that it is a safe prime's."""
    n = modulus()
    assert (f"{n:X}"[:24], f"{n:X}"[-24:], n.bit_length()) == (
        "FFFFFFFFFFFFFFFFC90FDAA2",
        "A93AD2CAFFFFFFFFFFFFFFFF",
        3072,
    )
    assert pow(3, n - 1, n) == 1
    assert pow(3, (n - 3) // 2, (n - 1) // 2) == 1


@pytest.mark.parametrize("right", [True, False])
def test_a_claim_holds_for_who_knows_the_password(*, right: bool) -> None:
    """Both sides come to one key where the password is one, whatever numbers they choose; else not."""
    pool, user = "eu-west-1_Abc", User("u", {"sub": "u"}, "CONFIRMED", 0, 0)
    proof = hashlib.sha256(b"Abcu:secret").digest()
    for seed in range(8):
        rng = random.Random(seed)
        n, secret = modulus(), rng.getrandbits(256)
        public = pow(G, secret, n)
        kept, told = start_srp(proof, f"{public:x}", rng)
        password = "secret" if right else "Secret"
        key = client_key(public, secret, told, password)
        block = rng.randbytes(64)
        message = b"Abcu" + block + b"Sat Nov 28 09:00:00 UTC 2026"
        given = {
            "PASSWORD_CLAIM_SECRET_BLOCK": base64.b64encode(block).decode(),
            "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(hmac.digest(key, message, "sha256")).decode(),
            "TIMESTAMP": "Sat Nov 28 09:00:00 UTC 2026",
        }
        assert check_claim(pool, user, kept, given=given) is right
        assert check_claim(pool, user, kept, given={**given, "TIMESTAMP": "Sat Nov 28 09:00:01 UTC 2026"}) is False


@pytest.mark.parametrize("public", ["0", "-1", "zz", "", "f" * 2000])
def test_a_public_value_that_gives_the_key_away_is_refused(public: str) -> None:
    """Zero, and multiples of N, would make every password right; what is below zero is no public value."""
    for value in (public, f"{modulus():x}", f"{2 * modulus():x}"):
        with pytest.raises(CognitoError):
            start_srp(b"x" * 32, value, random.Random(1))


def modulus() -> int:
    """N by its formula."""
    bits = 2942 + 64

    def arctangent(x: int) -> int:
        term = total = (1 << bits) // x
        sign, n = -1, 3
        while term:
            term //= x * x
            total += sign * (term // n)
            sign, n = -sign, n + 2
        return total

    pi = 4 * (4 * arctangent(5) - arctangent(239))
    return 2**3072 - 2**3008 - 1 + 2**64 * ((pi >> 64) + 1690314)


def client_key(public: int, secret: int, told: dict[str, str], password: str) -> bytes:
    """What a client makes of the server's answer."""
    n = modulus()
    salt, theirs = int(told["SALT"], 16), int(told["SRP_B"], 16)
    x = number(padded(salt) + hashlib.sha256(f"Abcu:{password}".encode()).digest())
    u = number(padded(public) + padded(theirs))
    k = number(padded(n) + padded(G))
    shared = pow((theirs - k * pow(G, x, n)) % n, secret + u * x, n)
    inner = hmac.digest(padded(u), padded(shared), "sha256")
    return hmac.digest(inner, b"Caldera Derived Key\x01", "sha256")[:16]


def number(data: bytes) -> int:
    """A hash as a number."""
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def padded(value: int) -> bytes:
    """As a client in JavaScript pads hexadecimal digits."""
    digits = f"{value:x}"
    digits = f"0{digits}" if len(digits) % 2 else digits
    return bytes.fromhex(f"00{digits}" if digits[0] in "89abcdef" else digits)
