"""rules.tokens: strict RS256 tokens of one issuer for one audience."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from sluiceway.rules.tokens import Claims, InvalidKeys, InvalidToken, Verifier, name_caller, read_keys

ISSUER, AUDIENCE, NOW = "https://issuer.example/", "sluiceway", 1_800_000_000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": NOW, "exp": NOW + 60}


def jwk(key: rsa.RSAPrivateKey, kid: str, **changes: Any) -> dict[str, Any]:
    """The public JSON Web Key of `key`."""
    members = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "n": members["n"], "e": members["e"], "kid": kid, "use": "sig", "alg": "RS256", **changes}


def sign(claims: dict[str, Any], *, key: Any = KEY, alg: str = "RS256", **header: Any) -> str:
    """A token over `claims`."""
    return jwt.encode(claims, key, algorithm=alg, headers={"kid": "k1", **header})


def without(name: str) -> dict[str, Any]:
    """The good claims less one."""
    return {claim: value for claim, value in CLAIMS.items() if claim != name}


VERIFIER = Verifier(read_keys({"keys": [jwk(KEY, "k1")]}), issuer=ISSUER, audience=AUDIENCE)


def refusal(token: str, now_s: float = NOW) -> str:
    """Why `token` is refused."""
    with pytest.raises(InvalidToken) as caught:
        VERIFIER.verify(token, now_s=now_s)
    return caught.value.reason


def test_a_good_token_names_its_caller():
    """The caller is 22 letters of SHA-256 over issuer and subject, so it fits into ids and tells nothing."""
    identity = VERIFIER.verify(sign(CLAIMS), now_s=NOW)
    digest = hashlib.sha256(f"{ISSUER}\nuser-1".encode()).digest()
    assert identity.caller == base64.urlsafe_b64encode(digest)[:22].decode()
    assert (identity.subject, identity.issuer, identity.expires_s) == ("user-1", ISSUER, NOW + 60)


@given(one=st.tuples(st.text(), st.text()), two=st.tuples(st.text(), st.text()))
def test_callers_differ_where_issuer_or_subject_differ(one: tuple[str, str], two: tuple[str, str]):
    """Two people are never one caller, unless an issuer's name ended in a line feed, which a setting cannot."""
    names = [name_caller(issuer.replace("\n", ""), subject) for issuer, subject in (one, two)]
    assert (names[0] == names[1]) == ((one[0].replace("\n", ""), one[1]) == (two[0].replace("\n", ""), two[1]))
    assert all(len(name) == 22 and name.replace("-", "").replace("_", "").isalnum() for name in names)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        *[(without(name), "claims") for name in ("exp", "iat")],
        (without("iss"), "issuer"),
        (without("aud"), "audience"),
        (without("sub"), "claims"),
        ({**CLAIMS, "iss": "https://issuer.example"}, "issuer"),
        ({**CLAIMS, "aud": "other"}, "audience"),
        ({**CLAIMS, "aud": ["other", "more"]}, "audience"),
        ({**CLAIMS, "sub": ""}, "subject"),
        ({**CLAIMS, "sub": "s" * 256}, "subject"),
        ({**CLAIMS, "sub": "\ud800"}, "subject"),
        ({**CLAIMS, "exp": True}, "claims"),
        ({**CLAIMS, "exp": str(NOW + 60)}, "claims"),
        ({**CLAIMS, "exp": -1}, "claims"),
        ({**CLAIMS, "exp": 10**30}, "claims"),
        ({**CLAIMS, "exp": float("inf")}, "claims"),
        ({**CLAIMS, "exp": float("nan")}, "claims"),
        ({**CLAIMS, "nbf": "soon"}, "claims"),
        ({**CLAIMS, "nbf": None}, "claims"),
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any], reason: str):
    """Every claim is required, typed and compared to the letter."""
    assert refusal(sign(claims)) in {reason, "claims"}


def test_one_of_several_audiences_is_enough():
    """`aud` may be a list (RFC 7519 section 4.1.3)."""
    assert VERIFIER.verify(sign({**CLAIMS, "aud": ["other", AUDIENCE]}), now_s=NOW).subject == "user-1"


@pytest.mark.parametrize(
    ("times", "offset", "reason"),
    [
        ({"exp": NOW}, 29, ""),
        ({"exp": NOW}, 30, "expired"),
        ({"nbf": NOW}, -30, ""),
        ({"nbf": NOW}, -31, "not-yet-valid"),
        ({"iat": NOW}, -30, ""),
        ({"iat": NOW}, -31, "not-yet-valid"),
    ],
)
def test_times_have_30_seconds_of_leeway(times: dict[str, int], offset: int, reason: str):
    """A token is refused from exp + 30 s on, and until 30 s before nbf and iat."""
    token = sign({**CLAIMS, "iat": NOW - 600, "exp": NOW + 600, **times})
    if reason:
        assert refusal(token, NOW + offset) == reason
    else:
        assert VERIFIER.verify(token, now_s=NOW + offset).subject == "user-1"


def test_groups_and_tenant_are_read_from_the_claims_that_are_named():
    """Cognito's by default; a token without them has none, and a claim of another name is none of them."""
    identity = VERIFIER.verify(sign({**CLAIMS, "cognito:groups": ["a", "b b"], "custom:tenant": "t"}), now_s=NOW)
    assert (identity.groups, identity.tenant) == (("a", "b b"), "t")
    bare = VERIFIER.verify(sign({**CLAIMS, "roles": ["a"]}), now_s=NOW)
    assert (bare.groups, bare.tenant) == ((), "")
    other = Verifier(
        read_keys({"keys": [jwk(KEY, "k1")]}), issuer=ISSUER, audience=AUDIENCE, claims=Claims("roles", "org")
    )
    assert other.verify(sign({**CLAIMS, "roles": ["a"], "org": "o", "cognito:groups": ["z"]}), now_s=NOW).groups == (
        "a",
    )


@pytest.mark.parametrize(
    "groups",
    ["admin", {"a": 1}, [1], [""], ["x" * 129], ["a"] * 101, [f"{number:0100}" for number in range(11)], False],
)
def test_groups_that_cannot_be_carried_whole_are_refused(groups: Any):
    """Not cut short: a group that was left out may be one that is denied something."""
    assert refusal(sign({**CLAIMS, "cognito:groups": groups})) == "groups"
    assert refusal(sign({**CLAIMS, "custom:tenant": 7})) == "claims"


def test_another_key_with_our_kid_is_refused():
    """The signature is checked against the key that kid names."""
    assert refusal(sign(CLAIMS, key=OTHER)) == "signature"


@pytest.mark.parametrize("kid", ["k2", ""])
def test_an_unknown_kid_is_refused(kid: str):
    """No key is tried on the off chance."""
    assert refusal(sign(CLAIMS, kid=kid)) == "unknown-key"


def test_a_token_without_kid_is_refused():
    """One key in the set does not make kid optional."""
    assert refusal(jwt.encode(CLAIMS, KEY, algorithm="RS256")) == "unknown-key"


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256"])
def test_other_algorithms_are_refused_though_the_key_fits(alg: str):
    """The algorithm is pinned, not negotiated."""
    assert refusal(sign(CLAIMS, alg=alg)) == "algorithm"


def test_the_public_key_is_no_hmac_secret():
    """The classic confusion: HS256 over the public key's own bytes."""
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = _part({"alg": "HS256", "typ": "JWT", "kid": "k1"})
    body = f"{header}.{_part(CLAIMS)}"
    mac = hmac.new(public, body.encode(), "sha256").digest()
    assert refusal(f"{body}.{_encode(mac)}") == "algorithm"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "rs256", "", None])
def test_unsigned_and_misspelt_algorithms_are_refused(alg: str | None):
    """`none` in any spelling never passes."""
    token = f"{_part({'alg': alg, 'typ': 'JWT', 'kid': 'k1'})}.{_part(CLAIMS)}"
    assert refusal(token + ".") == "malformed"
    assert refusal(token + ".AA") in {"algorithm", "malformed"}


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"b64": True}])
def test_critical_extensions_are_refused(header: dict[str, Any]):
    """We understand none, and must refuse what we do not understand (RFC 7515 section 4.1.11)."""
    token = f"{_part({'alg': 'RS256', 'kid': 'k1', **header})}.{_part(CLAIMS)}.AA"
    assert refusal(token) in {"critical-header", "malformed"}


def test_another_kind_of_token_is_refused():
    """A logout or other typed token is not an access token (RFC 8725 section 3.11)."""
    assert refusal(sign(CLAIMS, typ="logout+jwt")) == "type"
    assert VERIFIER.verify(sign(CLAIMS, typ="at+JWT"), now_s=NOW).subject == "user-1"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "missing"),
        ("a" * 8193, "too-large"),
        ("a.b", "malformed"),
        ("a.b.c.d.e", "malformed"),
        ("é.é.é", "malformed"),
    ],
)
def test_what_is_no_token_is_refused_by_its_form(token: str, reason: str):
    """Size and form are checked before anything is decoded."""
    assert refusal(token) == reason


@pytest.mark.parametrize("junk", ["\n", " ", "=", "!", "\x00"])
def test_a_signature_has_one_spelling(junk: str):
    """Python's decoder skips foreign letters; a token with them is another token, and refused."""
    assert refusal(sign(CLAIMS) + junk) == "malformed"


@given(position=st.integers(min_value=0), letter=st.sampled_from("ABab01-_."))
def test_a_changed_letter_is_refused(position: int, letter: str):
    """No single change of header, claims or signature passes."""
    token = sign(CLAIMS)
    index = position % (len(token) - 1)  # the last letter holds padding bits, which decoders ignore
    if token[index] != letter:
        with pytest.raises(InvalidToken):
            VERIFIER.verify(token[:index] + letter + token[index + 1 :], now_s=NOW)


@given(parts=st.lists(st.binary(min_size=1, max_size=60), min_size=3, max_size=3))
def test_noise_is_refused(parts: list[bytes]):
    """Whatever the three parts decode to, the answer is InvalidToken."""
    with pytest.raises(InvalidToken):
        VERIFIER.verify(".".join(_encode(part) for part in parts), now_s=NOW)


def test_deeply_nested_json_is_refused():
    """A bomb within 8 KiB is malformed, not a crash."""
    assert refusal(f"{_encode(b'[' * 3000)}.{_encode(b'{}')}.AA") == "malformed"


def test_a_refusal_never_repeats_the_token():
    """Errors end in logs."""
    token = sign({**CLAIMS, "sub": "secret-person", "aud": "x"})
    with pytest.raises(InvalidToken) as caught:
        VERIFIER.verify(token, now_s=NOW)
    assert (token in repr(caught.value), caught.value.__cause__, caught.value.__suppress_context__) == (
        False,
        None,
        True,
    )


def test_a_key_set_keeps_only_keys_for_us():
    """Encryption keys, other algorithms and other kinds are left out; rotation keeps several."""
    keys = read_keys(
        {
            "keys": [
                jwk(KEY, "k1"),
                jwk(OTHER, "k2", alg="RS512"),
                jwk(OTHER, "k3", use="enc"),
                {"kty": "EC", "kid": "k4", "crv": "P-256", "x": "AA", "y": "AA"},
                {name: value for name, value in jwk(OTHER, "k5").items() if name not in {"use", "alg"}},
            ]
        }
    )
    assert sorted(keys) == ["k1", "k5"]
    assert keys["k1"].public_numbers() == KEY.public_key().public_numbers()


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("key_set", "message"),
    [
        ({}, 'no list "keys"'),
        ({"keys": {}}, 'no list "keys"'),
        ({"keys": []}, "no RSA key"),
        ({"keys": ["k"]}, "not an object"),
        ({"keys": [jwk(KEY, "k")] * 17}, "more than 16"),
        ({"keys": [jwk(KEY, "k"), jwk(OTHER, "k")]}, "all different"),
        ({"keys": [jwk(KEY, "")]}, "kid"),
        ({"keys": [{**jwk(KEY, "k"), "kid": None}]}, "kid"),
        ({"keys": [jwk(SMALL, "k")]}, "2048 to 8192 bits"),
        ({"keys": [jwk(KEY, "k", e="Ag")]}, "impossible"),
        ({"keys": [jwk(KEY, "k", n="!")]}, "modulus or exponent"),
        ({"keys": [jwk(KEY, "k", n="_" * 1400)]}, "modulus or exponent"),
        ({"keys": [jwk(KEY, "k", n=5)]}, "modulus or exponent"),
        ({"keys": [jwk(KEY, "k", d="AQAB")]}, "private"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}]}, "symmetric"),
    ],
)
def test_a_key_set_that_cannot_be_trusted_is_refused(key_set: dict[str, Any], message: str):
    """The deployment is told at init, without key material."""
    with pytest.raises(InvalidKeys, match=message) as caught:
        read_keys(key_set)
    assert "AQAB" not in str(caught.value)


def test_nobody_else_pays_for_cryptography():
    """Importing the rules imports neither PyJWT nor cryptography."""
    code = "import sys, sluiceway.rules.tokens; print(sorted({'jwt', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "layers/sluiceway"}, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(members: dict[str, Any]) -> str:
    return _encode(json.dumps(members).encode())
