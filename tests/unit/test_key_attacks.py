"""Attacks on keys: weak ones, impossible ones, and sets that hold what no issuer should publish.

A key of the deployment that is bad is an error at init. One that an issuer publishes is left out, the others serve, and
a token signed by it is told by the key's own fault.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluiceway.rules.tokens import InvalidKeys, InvalidToken, IssuerRules, read_keys
from sluiceway.rules.tokens.compact import parse_object, read_token
from sluiceway.rules.tokens.keys import KeySet, sift_keys
from sluiceway.rules.tokens.verifier import verify_with
from tests.unit.token_setup import AUDIENCE, CURVES, ISSUER, KEY, KEYS, NOW, OTHER, SMALL, b64, jwk, number, sign

RULES = IssuerRules(ISSUER, frozenset({AUDIENCE}))
P = (1 << 255) - 19


def told(key: dict[str, Any], token: str) -> str:
    """What a token of a key gets that an issuer publishes beside a good one; "" where it is let in."""
    keys = sift_keys({"keys": [key, jwk(OTHER, "good")]})
    assert verify_with(keys, read_token(sign(key=OTHER, kid="good")), RULES, now_s=NOW).subject == "user-1"
    try:
        verify_with(keys, read_token(token), RULES, now_s=NOW)
    except InvalidToken as refused:
        return refused.reason
    return ""


def both(key: dict[str, Any], token: str, message: str) -> str:
    """The same, of a key that the deployment's reader must refuse with `message`."""
    with pytest.raises(InvalidKeys, match=message):
        read_keys({"keys": [key]})
    return told(key, token)


def test_a_small_rsa_key_is_weak():
    """1,024 bits: PyJWT 2.15 warns and verifies. RFC 7518 section 3.3 wants 2,048."""
    assert both(jwk(SMALL, "k1"), sign(key=SMALL), "2048 to 8192 bits") == "weak-key"


def test_a_huge_rsa_key_is_weak():
    """Beyond 8,192 bits a verification is a way to spend our CPU."""
    modulus = number((1 << 8_195) + 1)
    assert both(jwk(KEY, "k1", n=modulus), sign(), "2048 to 8192 bits") == "weak-key"
    assert both(jwk(KEY, "k1", n="_" * 100_000), sign(), "too long") == "invalid-key"


@pytest.mark.parametrize("exponent", [1, 2, 3, 17, 65_536, 1 << 32, (1 << 64) + 1, (1 << 2_047) + 1])
def test_an_rsa_exponent_is_neither_small_nor_huge(exponent: int):
    """1 verifies anything, 3 has a history, and one of 2,048 bits makes each verification a hundred times as dear."""
    assert both(jwk(KEY, "k1", e=number(exponent)), sign(), "public exponent") == "weak-key"


def test_an_even_modulus_is_no_rsa_key():
    """Nor is an even exponent."""
    even = KEY.public_key().public_numbers().n + 1
    assert told(jwk(KEY, "k1", n=number(even)), sign()) in {"invalid-key", "signature"}
    assert both(jwk(KEY, "k1", e=number(65_538)), sign(), "impossible") == "invalid-key"


@pytest.mark.parametrize("alg", sorted(CURVES))
def test_an_ec_key_is_a_point_of_its_curve(alg: str):
    """Off the curve, at infinity, of another curve, or with a coordinate of another length."""
    good = jwk(KEYS[alg], "k1")
    size = len(base64.urlsafe_b64decode(good["x"] + "=="))
    token = sign(alg=alg)
    assert told(good, token) == ""
    off = number(int.from_bytes(base64.urlsafe_b64decode(good["y"] + "=="), "big") ^ 1, size)
    assert both({**good, "y": off}, token, "no point") == "invalid-key"
    assert both({**good, "x": b64(bytes(size)), "y": b64(bytes(size))}, token, "no point") == "invalid-key"
    assert both({**good, "x": b64(b"\xff" * size)}, token, "no point") == "invalid-key"
    assert both({**good, "x": b64(bytes(size - 1))}, token, "has not") == "invalid-key"
    longer = b64(bytes(1) + base64.urlsafe_b64decode(good["x"] + "=="))
    assert both({**good, "x": longer}, token, "too long|has not") == "invalid-key"
    assert both({**good, "y": None}, token, "missing") == "invalid-key"
    assert told({**good, "crv": "secp256k1"}, token) == "unknown-key"


def test_a_key_says_its_curve():
    """A P-256 key that is called P-384 is neither."""
    assert both(jwk(KEYS["ES256"], "k1", crv="P-384"), sign(alg="ES384"), "has not 48") == "invalid-key"
    assert told(jwk(KEYS["ES256"], "k1", crv=None), sign(alg="ES256")) == "unknown-key"


def small_order() -> list[bytes]:
    """The points of Ed25519 whose order divides 8, in their one spelling, worked out here from the curve's equation."""
    d = -121665 * pow(121666, P - 2, P) % P
    root = pow(2, (P - 1) // 4, P)

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, P - 2, P) % P
        x = pow(square, (P + 3) // 8, P)
        x = x if x * x % P == square else x * root % P
        return x if x * x % P == square else None

    def double(point: tuple[int, int]) -> tuple[int, int]:
        x, y = point
        both = d * x * x * y * y % P
        return 2 * x * y * pow(1 + both, P - 2, P) % P, (y * y + x * x) * pow(1 - both, P - 2, P) % P

    def order(point: tuple[int, int]) -> int:
        steps, at = 1, point
        while at != (0, 1) and steps < 16:
            at, steps = double(at), steps * 2
        return steps

    # What has order 8 doubles to y = 0, so x^2 = -y^2; with the curve's equation, d y^4 + 2 y^2 - 1 = 0.
    found: set[bytes] = set()
    candidates = {0, 1, P - 1}
    for inner in (1, P - 1):
        y = _root((-1 + inner * _root(1 + d)) * pow(d, P - 2, P))
        candidates |= {y, P - y} if y >= 0 else set()
    for y in candidates:
        x = x_of(y)
        if x is not None and order((x, y)) <= 8:
            for high in {x & 1, (P - x) % P & 1}:
                found.add((y | high << 255).to_bytes(32, "little"))
    return sorted(found)


def _root(value: int) -> int:
    value %= P
    x = pow(value, (P + 3) // 8, P)
    for each in (x, x * pow(2, (P - 1) // 4, P) % P):
        if each * each % P == value:
            return each
    return -1


def test_all_eight_points_of_small_order_are_known():
    """The curve has eight of them: one of order 1, one of 2, two of 4, four of 8."""
    assert len(small_order()) == 8


@pytest.mark.parametrize("raw", small_order(), ids=lambda raw: raw.hex()[:16])
def test_an_ed25519_key_of_small_order_is_weak(raw: bytes):
    """With some of them an all-zero signature fits: libraries verify it, and anybody can write it."""
    header, payload, _ = sign(alg="EdDSA").split(".")
    forged = f"{header}.{payload}.{b64(raw + bytes(32))}"
    assert both({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": b64(raw)}, forged, "small order") == "weak-key"


def test_a_key_of_small_order_is_worth_the_check():
    """What it is for: cryptography verifies a signature of the point 1 over something that nobody signed."""
    identity = ed25519.Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    forged = b"\x01" + bytes(63)
    assert identity.verify(forged, b"anything") is None
    assert identity.verify(forged, b"anything else") is None


@pytest.mark.parametrize("y", [P, P + 1, P + 18, (1 << 255) - 1])
def test_an_ed25519_key_has_one_spelling(y: int):
    """Coordinates from the prime on are others in disguise (RFC 8032 section 5.1.3)."""
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": b64(y.to_bytes(32, "little"))}
    assert both(key, sign(alg="EdDSA"), "one spelling") == "invalid-key"
    assert both({**key, "x": b64(bytes(31))}, sign(alg="EdDSA"), "one spelling") == "invalid-key"


def test_a_private_or_symmetric_key_is_never_taken():
    """Whoever reads the set can sign with it."""
    private = jwk(KEY, "k1", d=number(KEY.private_numbers().d))
    assert both(private, sign(), "private") == "invalid-key"
    assert told({"kty": "oct", "kid": "k1", "alg": "HS256", "k": b64(b"secret" * 8)}, sign()) == "unknown-key"


def test_an_id_that_is_there_twice_is_nobodys():
    """Which of the two would count is anybody's guess."""
    keys = sift_keys({"keys": [jwk(KEY, "k1"), jwk(OTHER, "k1"), jwk(KEY, "k1"), jwk(KEY, "k2")]})
    assert (sorted(keys.keys), dict(keys.unusable)) == (["k2"], {"k1": "invalid-key"})


def test_a_set_of_nothing_is_believed():
    """An issuer that has withdrawn every key says so; a text that is no key set says nothing."""
    assert sift_keys({"keys": []}) == KeySet()
    for other in ({}, {"keys": None}, {"keys": ["k"]}, {"keys": [{}] * 65}):
        with pytest.raises(InvalidKeys):
            sift_keys(other)


@settings(deadline=None)  # signatures take their time on a busy machine
@given(
    fields=st.dictionaries(
        st.sampled_from(["kty", "crv", "kid", "use", "alg", "key_ops", "n", "e", "x", "y", "d"]),
        st.none()
        | st.integers()
        | st.text(max_size=60)
        | st.lists(st.text(max_size=6), max_size=3)
        | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "RS256", "AQAB", b64(bytes(range(32)))]),
    )
)
def test_whatever_a_set_holds_the_good_key_serves(fields: dict[str, Any]):
    """No entry of any shape stops the reading of the others."""
    assume(fields.get("kid") != "good")
    keys = sift_keys({"keys": [fields, jwk(OTHER, "good")]})
    assert verify_with(keys, read_token(sign(key=OTHER, kid="good")), RULES, now_s=NOW).subject == "user-1"


def test_a_published_set_is_read_as_strictly_as_a_token():
    """Twice-named members, other encodings and depth: the same reader."""
    for raw in (b'{"keys":[],"keys":[]}', b"\xff\xfe", b"[" * 50_000, b'{"keys":NaN}'):
        with pytest.raises(InvalidToken):
            parse_object(raw)


def test_curves_are_those_of_cryptography():
    """The orders written down are the curves' own."""
    from sluiceway.rules.tokens.signatures import CURVE_BYTES, ORDERS

    named = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    assert {name: curve.group_order for name, curve in named.items()} == ORDERS
    assert {name: (curve.key_size + 7) // 8 for name, curve in named.items()} == CURVE_BYTES
