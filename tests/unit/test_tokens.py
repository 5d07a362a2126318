"""rules.tokens: asymmetric tokens of one issuer for one audience, against keys that are here."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.rules.tokens import Claims, InvalidKeys, InvalidToken, Verifier, name_caller, read_keys
from sluiceway.rules.tokens.refusals import REASONS, Reason
from sluiceway.rules.tokens.signatures import ALGORITHMS
from tests.unit.token_setup import AUDIENCE, CLAIMS, ISSUER, KEY, KEYS, NOW, OTHER, jwk, sign, without

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


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_every_algorithm_of_the_list_is_taken(alg: str):
    """With a key of its kind and curve, whether that says which algorithm it is for or not."""
    for changes in ({"alg": alg}, {"alg": None}, {"key_ops": ["verify"], "alg": alg}):
        members = {name: value for name, value in jwk(KEYS[alg], "k1", **changes).items() if value is not None}
        verifier = Verifier(read_keys({"keys": [members]}), issuer=ISSUER, audience=AUDIENCE)
        assert verifier.verify(sign(alg=alg), now_s=NOW).subject == "user-1"


def test_the_list_of_algorithms_is_closed():
    """All asymmetric; a longer list is a decision, and its attacks want tests."""
    assert sorted(ALGORITHMS) == [
        "ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
    ]  # fmt: skip
    assert get_args(Reason).__len__() == len(REASONS)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        *[(without(name), "missing-claim") for name in ("exp", "iat", "iss", "aud", "sub")],
        ({**CLAIMS, "iss": "https://issuer.example"}, "issuer"),
        ({**CLAIMS, "aud": "other"}, "audience"),
        ({**CLAIMS, "aud": ["other", "more"]}, "audience"),
        ({**CLAIMS, "sub": ""}, "subject"),
        ({**CLAIMS, "sub": "s" * 256}, "subject"),
        ({**CLAIMS, "sub": "\ud800"}, "subject"),
        ({**CLAIMS, "sub": 7}, "subject"),
        ({**CLAIMS, "nbf": "soon"}, "date"),
        ({**CLAIMS, "nbf": None}, "date"),
        ({**CLAIMS, "iat": None}, "date"),
        ({**CLAIMS, "custom:tenant": 7}, "tenant"),
        ({**CLAIMS, "custom:tenant": "t" * 129}, "tenant"),
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any], reason: str):
    """Every claim is required, typed and compared to the letter."""
    assert refusal(sign(claims)) == reason


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


@pytest.mark.parametrize(
    ("token", "reason"),
    [("", "missing"), ("a" * 8193, "too-large"), ("a.b", "malformed"), ("é.é.é", "malformed"), ("...", "malformed")],
)
def test_what_is_no_token_is_refused_by_its_form(token: str, reason: str):
    """Size and form are checked before anything is decoded."""
    assert refusal(token) == reason


def test_a_refusal_never_repeats_the_token():
    """Errors end in logs."""
    token = sign({**CLAIMS, "sub": "secret-person", "aud": "x"})
    with pytest.raises(InvalidToken) as caught:
        VERIFIER.verify(token, now_s=NOW)
    assert (str(caught.value), caught.value.__cause__) == ("the token is refused: audience", None)
    for part in token.split("."):
        assert part not in repr(caught.value)


def test_a_key_set_keeps_only_keys_for_us():
    """Encryption keys, other algorithms and other kinds are left out; rotation keeps several."""
    keys = read_keys(
        {
            "keys": [
                jwk(KEY, "k1"),
                jwk(OTHER, "k2", alg="RSA-OAEP"),
                jwk(OTHER, "k3", use="enc"),
                jwk(OTHER, "k4", key_ops=["sign"]),
                {"kty": "EC", "kid": "k5", "crv": "secp256k1", "x": "AA", "y": "AA"},
                {"kty": "OKP", "kid": "k6", "crv": "X25519", "x": "AA"},
                {name: value for name, value in jwk(OTHER, "k7").items() if name not in {"use", "alg"}},
                jwk(KEYS["ES256"], "k8"),
            ]
        }
    ).keys
    assert {kid: sorted(key.algorithms) for kid, key in keys.items()} == {
        "k1": ["RS256"],
        "k7": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "k8": ["ES256"],
    }
    assert keys["k1"].public == KEY.public_key()


@pytest.mark.parametrize(
    ("key_set", "message"),
    [
        ({}, 'no list "keys"'),
        ({"keys": {}}, 'no list "keys"'),
        ({"keys": []}, "no key for signatures"),
        ({"keys": ["k"]}, "not an object"),
        ({"keys": [jwk(KEY, "k")] * 65}, "more than 64"),
        ({"keys": [jwk(KEY, "k"), jwk(OTHER, "k")]}, "all different"),
        ({"keys": [jwk(KEY, "")]}, "kid"),
        ({"keys": [{**jwk(KEY, "k"), "kid": None}]}, "kid"),
        ({"keys": [jwk(KEY, "k", n="!")]}, "base64url"),
        ({"keys": [jwk(KEY, "k", n="_" * 1400)]}, "too long"),
        ({"keys": [jwk(KEY, "k", n=5)]}, "missing"),
        ({"keys": [jwk(KEY, "k", n=jwk(KEY, "k")["n"] + "=")]}, "base64url"),
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
    """Importing the rules imports no cryptography, and nothing here imports a token library."""
    code = "import sys, sluiceway.rules.tokens; print(sorted({'jwt', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "layers/sluiceway"}, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]"


def test_a_verification_imports_no_token_library():
    """The signature is cryptography's; what is read around it is ours (docs/adr/0012-token-library.md)."""
    code = (
        "import sys, json; from sluiceway.rules.tokens import Verifier, read_keys;"
        f"keys = read_keys(json.loads({json.dumps(json.dumps({'keys': [jwk(KEY, 'k1')]}))}));"
        f"Verifier(keys, issuer={ISSUER!r}, audience={AUDIENCE!r}).verify({sign()!r}, now_s={NOW});"
        "print(sorted({'jwt', 'joserfc', 'ssl'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "layers/sluiceway"}, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]"
