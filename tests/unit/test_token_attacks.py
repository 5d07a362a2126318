"""Attacks on tokens: what the field's advisories tell of, and what the form allows; each has the reason it is told by.

The gate is the one of the function, over a source that counts what is fetched: no token makes it fetch anything but the
issuer's own address. tests/unit/test_key_attacks.py has attacks on the keys.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.rules.tokens import InvalidToken, Verifier, read_keys
from sluiceway.rules.tokens.refusals import REASONS
from tests.unit.gate_setup import World
from tests.unit.token_setup import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    KEY,
    KEYS,
    NOW,
    OTHER,
    b64,
    jwk,
    part,
    seal,
    sign,
    signature,
)

VERIFIER = Verifier(
    read_keys({"keys": [jwk(KEY, "k1"), jwk(KEYS["ES256"], "k2"), jwk(KEYS["EdDSA"], "k3"), jwk(OTHER, "k4")]}),
    issuer=ISSUER,
    audience=AUDIENCE,
)


def refusal(token: str, now_s: float = NOW) -> str:
    """Why `token` is refused."""
    with pytest.raises(InvalidToken) as caught:
        VERIFIER.verify(token, now_s=now_s)
    return caught.value.reason


def with_header(raw: str, payload: Any = CLAIMS, *, alg: str = "RS256") -> str:
    """A token whose header is this text, signed with the right key over it: only the form is wrong."""
    return seal(b64(raw.encode()), part(payload), alg=alg)


def with_claims(raw: str) -> str:
    """A token whose claims are this text, signed with the right key."""
    return seal(part({"alg": "RS256", "kid": "k1"}), b64(raw.encode("utf-8", "surrogatepass")))


def claims_text(**members: str) -> str:
    """The good claims as text, with members that are written as given."""
    given = {name: json.dumps(value) for name, value in CLAIMS.items()} | members
    return "{" + ",".join(f'"{name}":{value}' for name, value in given.items()) + "}"


# ---------------------------------------------------------------- algorithms


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "rs256", "", None, 256, ["RS256"], "RS256\x00"])
@pytest.mark.parametrize("tail", ["", "AA"])
def test_no_algorithm_in_any_spelling_passes(alg: Any, tail: str):
    """CVE-2015-9235: `none` and its relatives, with a signature and without."""
    assert refusal(f"{part({'alg': alg, 'typ': 'JWT', 'kid': 'k1'})}.{part(CLAIMS)}.{tail}") == "algorithm"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_hmac_secret(alg: str):
    """CVE-2022-29217 (PyJWT) and CVE-2024-33663 (python-jose): HMAC over the public key, in every encoding of it."""
    public = KEY.public_key()
    spki, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    pem, der, ssh = serialization.Encoding.PEM, serialization.Encoding.DER, serialization.Encoding.OpenSSH
    secrets = [public.public_bytes(pem, spki), public.public_bytes(der, spki), public.public_bytes(pem, pkcs1)]
    secrets += [public.public_bytes(ssh, serialization.PublicFormat.OpenSSH), json.dumps(jwk(KEY, "k1")).encode()]
    body = f"{part({'alg': alg, 'typ': 'JWT', 'kid': 'k1'})}.{part(CLAIMS)}"
    for secret in secrets:
        assert refusal(f"{body}.{b64(hmac.new(secret, body.encode(), 'sha' + alg[2:]).digest())}") == "algorithm"


def test_an_ec_key_is_no_hmac_secret_either():
    """CVE-2024-33663: the same with an ECDSA key in OpenSSH's form."""
    secret = KEYS["ES256"].public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    body = f"{part({'alg': 'HS256', 'kid': 'k2'})}.{part(CLAIMS)}"
    assert refusal(f"{body}.{b64(hmac.digest(secret, body.encode(), 'sha256'))}") == "algorithm"


@pytest.mark.parametrize(
    ("alg", "kid"),
    [("RS384", "k1"), ("RS512", "k1"), ("PS256", "k1"), ("ES256", "k1"), ("EdDSA", "k2"), ("RS256", "k3")],
)
def test_a_key_serves_its_own_algorithm_alone(alg: str, kid: str):
    """The key's `alg`, `kty` and `crv` must fit the header's algorithm, even where the key could make the signature."""
    assert refusal(sign(alg=alg, kid=kid)) == "key-mismatch"


def test_a_256_bit_algorithm_is_tied_to_its_curve():
    """ES256 with a key on another curve (RFC 7518 section 3.4)."""
    signed = f"{part({'alg': 'ES256', 'kid': 'k1'})}.{part(CLAIMS)}"
    wide = f"{signed}.{b64(signature('ES384', signed.encode(), KEYS['ES384']))}"
    verifier = Verifier(read_keys({"keys": [jwk(KEYS["ES384"], "k1")]}), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(InvalidToken, match="key-mismatch"):
        verifier.verify(wide, now_s=NOW)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["http://example.com/UNDEFINED"], [], "exp", {"exp": 1}, 0])
def test_a_critical_extension_is_refused(crit: Any):
    """CVE-2026-32597 (PyJWT) and CVE-2025-59420 (Authlib): nothing is understood, so nothing may be critical."""
    assert refusal(sign(crit=crit)) == "critical-header"
    assert refusal(with_header('{"alg":"RS256","kid":"k1","crit":null}')) == "critical-header"


def test_a_payload_that_is_not_encoded_is_refused():
    """`b64` (RFC 7797), with `crit` or without: others would verify other bytes."""
    assert refusal(sign(b64=False)) == "critical-header"
    assert refusal(sign(b64=True, crit=["b64"])) == "critical-header"


def test_a_compressed_token_is_refused():
    """`zip` is of encrypted tokens (RFC 7516 section 4.1.3); one that inflates is a way to fill memory."""
    assert refusal(sign(zip="DEF")) == "compressed"


def test_a_token_in_a_token_is_refused():
    """Nested tokens (RFC 7519 appendix A.2), and claims that are a token and no object."""
    assert refusal(sign(cty="JWT")) == "nested"
    inner = seal(part({"alg": "RS256", "kid": "k1"}), b64(sign().encode()))
    assert refusal(inner) == "malformed"


def test_an_encrypted_token_is_refused():
    """Five parts are a JWE, RFC 7516: to decrypt one proves nothing about who wrote it."""
    header = part({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "k1", "cty": "JWT"})
    assert refusal(f"{header}.{b64(b'key')}.{b64(b'iv')}.{b64(b'text')}.{b64(b'tag')}") == "encrypted"


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE+JSON", 7, None, ["JWT"]])
def test_another_kind_of_token_is_refused(kind: Any):
    """A logout or other typed token is not an access token (RFC 8725 section 3.11)."""
    assert refusal(with_header(json.dumps({"alg": "RS256", "kid": "k1", "typ": kind}))) == "type"
    assert VERIFIER.verify(sign(typ="at+JWT"), now_s=NOW).subject == "user-1"


@pytest.mark.parametrize("kid", ["", None, 7, "k" * 257, "k1\n", "k1\x00", ["k1"], {"kid": "k1"}])
def test_a_key_id_is_a_short_text(kid: Any):
    """A header without one is no reason to try the only key; control characters have no business in logs."""
    assert refusal(with_header(json.dumps({"alg": "RS256", "kid": kid}))) == "key-id"
    assert refusal(sign(kid=None)) == "key-id"


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null", "/etc/passwd", "k1/../k1", "file:///dev/null", "https://evil.example/key",
        "' OR 1=1 --", "k1' UNION SELECT 'x", "k1; id", "$(id)", "__class__", "K1", " k1", "k1 ", "k" * 256,
    ],
)  # fmt: skip
def test_a_key_id_is_looked_up_and_nothing_else(kid: str):
    """Paths, statements and commands are names of keys that are not there."""
    assert refusal(sign(kid=kid)) == "unknown-key"


def test_addresses_and_keys_in_a_header_are_passed_over():
    """`jku`, `x5u`, `jwk` and `x5c` (CVE-2018-0114): no fetch, and a key that a token brings does not verify it."""
    evil = {
        "jku": "https://evil.example/keys.json",
        "x5u": "https://evil.example/chain.pem",
        "jwk": jwk(OTHER, "k1"),
        "x5c": [base64.b64encode(b"certificate").decode()],
    }

    async def main() -> tuple[str, str, str, int]:
        world = World()
        world.publish({"k1": KEY})
        gate = world.gate()
        good = await world.ask(gate, world.sign(**evil))
        forged = await world.ask(gate, world.sign(key=OTHER, **evil))
        unknown = await world.ask(gate, world.sign(key=OTHER, kid="evil", **evil))
        return good, forged, unknown, len(world.fetched)

    assert run_virtual(main) == ("allowed", "signature", "unknown-key", 2)  # at the start, and for the unknown id


# ---------------------------------------------------------------- JSON and base64url


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"none","alg":"RS256","kid":"k1"}',
        '{"alg":"RS256","alg":"RS256","kid":"k1"}',
        '{"alg":"RS256","kid":"k2","kid":"k1"}',
        '{"alg":"RS256","\\u0061lg":"RS256","kid":"k1"}',
        '{"alg":"RS256","kid":"k1","jwk":{"a":1,"a":2}}',
    ],
)
def test_a_member_that_is_there_twice_is_refused_in_a_header(header: str):
    """Which of the two counts differs from reader to reader (RFC 7515 section 4)."""
    assert refusal(with_header(header)) == "duplicate-member"


@pytest.mark.parametrize("again", ['"sub":"admin"', '"exp":9999999999', '"iss":"x"', '"x":{"a":1,"a":2}'])
def test_a_member_that_is_there_twice_is_refused_in_claims(again: str):
    """RFC 7519 section 4; at any depth."""
    assert refusal(with_claims(f"{claims_text()[:-1]},{again}}}")) == "duplicate-member"


def test_bytes_have_one_spelling():
    """Padding, foreign letters, the other alphabet and bits behind the last byte: the signature would still fit."""
    token = sign()
    header, payload, tail = token.split(".")
    last = tail[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(last) ^ 1]  # 2,048 bits leave four bits of the last letter unused
    assert base64.urlsafe_b64decode(f"{tail[:-1]}{twin}==") == base64.urlsafe_b64decode(f"{tail}==")
    assert refusal(f"{header}.{payload}.{tail[:-1]}{twin}") == "not-canonical"
    for junk in ("=", "==", "\n", " ", "!", "*"):
        assert refusal(token + junk) in {"not-canonical", "malformed"}
        assert refusal(f"{header}{junk}.{payload}.{tail}") in {"not-canonical", "malformed"}
    letters = {"-": "+", "_": "/"}
    assert any(letter in token for letter in letters)
    assert refusal("".join(letters.get(letter, letter) for letter in token)) in {"not-canonical", "malformed"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("[]", "malformed"),
        ('"text"', "malformed"),
        ("null", "malformed"),
        ("", "malformed"),
        ("{", "malformed"),
        ("{}{}", "malformed"),
        ("\ufeff{}", "malformed"),
        ('{"a":\ud800}', "malformed"),
        ("{'a':1}", "malformed"),
        ('{"a":1,}', "malformed"),
        ("{}", "missing-claim"),
    ],
)
def test_claims_are_one_json_object(raw: str, reason: str):
    """Signed by the issuer or not, what is no object is refused by its form."""
    assert refusal(with_claims(raw)) == reason


def test_utf_16_is_no_utf_8():
    """RFC 7519 section 7.2; a decoder that guesses reads it."""
    assert refusal(seal(part({"alg": "RS256", "kid": "k1"}), b64(claims_text().encode("utf-16")))) == "malformed"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json_is_refused_before_it_is_parsed(opening: str):
    """100,000 levels are too large a token; what fits is stopped at 32 levels, on every Python."""
    bomb = opening * 100_000
    assert refusal(with_claims(bomb)) == "too-large"
    assert refusal(with_claims((opening * 5_000)[:5_000])) == "too-deep"
    assert refusal(f"{b64((opening * 5_000)[:5_000].encode())}.{part(CLAIMS)}.AA") == "too-deep"
    deep = f'{{"a":{opening * 33}'
    assert refusal(with_claims(deep)) == "too-deep"


def test_what_only_looks_deep_is_read():
    """Brackets in texts are no levels, nor are forty lists beside one another."""
    flat = claims_text(note=json.dumps('[{\\"' * 60), more=json.dumps([[], {}] * 20))
    assert VERIFIER.verify(with_claims(flat), now_s=NOW).subject == "user-1"


def test_an_oversized_token_is_refused_unread():
    """8,192 characters are read, 8,193 are not."""
    assert refusal(sign({**CLAIMS, "pad": "x" * 8_192})) == "too-large"
    assert VERIFIER.verify(sign({**CLAIMS, "pad": "x" * 5_000}), now_s=NOW).subject == "user-1"


# ---------------------------------------------------------------- claims


@pytest.mark.parametrize(
    "issuer",
    [
        "h", "https://", "https://issuer.example", ISSUER[:-1], ISSUER + "x", ISSUER + ".evil.example", "x" + ISSUER,
        ISSUER.upper(), f" {ISSUER}", f"{ISSUER} ", f"{ISSUER}\n", f"{ISSUER}#", f"https://evil.example/?{ISSUER}",
        [ISSUER], {"iss": ISSUER}, 7, "", None, list(ISSUER),
    ],
)  # fmt: skip
def test_an_issuer_is_compared_to_the_letter(issuer: Any):
    """CVE-2024-53861 (PyJWT): a part of the issuer is not the issuer, nor is more of it, nor a list with it."""
    assert refusal(sign({**CLAIMS, "iss": issuer})) == "issuer"


@pytest.mark.parametrize(
    "audience",
    [
        "s", "sluice", "sluiceway2", "Sluiceway", " sluiceway", ["other"], [], {}, {AUDIENCE: 1}, 7, None, True,
        [AUDIENCE, 7], [AUDIENCE, None], [[AUDIENCE]], list(AUDIENCE), [AUDIENCE] * 33,
    ],
)  # fmt: skip
def test_an_audience_is_a_text_or_texts(audience: Any):
    """One of them ours; a list with something else in it is read differently by others."""
    assert refusal(sign({**CLAIMS, "aud": audience})) == "audience"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ['"1800000060"', "true", "null", "[]", "{}", "1e400", "-1e400", "-1", "1e12"])
def test_a_date_is_a_number_that_a_clock_can_show(name: str, value: str):
    """PyJWT 2.15 takes the text of a number for `exp`, which others compare as text."""
    assert refusal(with_claims(claims_text(**{name: value}))) == "date"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1" * 5_000, "0x7f", "01", "+1", "1_000"])
def test_a_number_that_json_has_not_is_malformed(value: str):
    """NaN compares as never expired."""
    assert refusal(with_claims(claims_text(exp=value))) == "malformed"


def test_a_token_without_an_end_is_refused():
    """PyJWT 2.15 lets it in unless `exp` is demanded."""
    endless = {name: value for name, value in CLAIMS.items() if name != "exp"}
    assert jwt.decode(sign(endless), KEY.public_key(), ["RS256"], audience=AUDIENCE, options={"verify_iat": False})
    assert refusal(sign(endless)) == "missing-claim"


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_zero_signs_nothing(alg: str):
    """CVE-2022-21449, the psychic signature: r and s from 1 to below the order, and no other length."""
    verifier = Verifier(read_keys({"keys": [jwk(KEYS[alg], "k1")]}), issuer=ISSUER, audience=AUDIENCE)
    header, payload, good = sign(alg=alg).split(".")
    size = len(base64.urlsafe_b64decode(good + "==")) // 2
    order = KEYS[alg].private_numbers().public_numbers.curve.group_order
    one, zero, whole = (number.to_bytes(size, "big") for number in (1, 0, order))
    below = (order - 1).to_bytes(size, "big")
    forged = [zero + zero, zero + one, one + zero, whole + whole, one + whole, whole + one, below + below, one + one]
    r, s = (base64.urlsafe_b64decode(good + "==")[at : at + size] for at in (0, size))
    forged += [r + b"\x00" + s, b"\x00" + r + s, r + s + b"\x00", s + r]  # the same numbers in another spelling
    for raw in [*forged, b"", bytes(1), bytes(2 * size - 1), bytes(2 * size + 1), b"\xff" * 2 * size]:
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(f"{header}.{payload}.{b64(raw)}", now_s=NOW)
        assert caught.value.reason == "signature"


def test_a_signature_in_der_is_none():
    """RFC 7518 section 3.4 has r and s side by side; a second form would be a second spelling."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signed = f"{part({'alg': 'ES256', 'kid': 'k2'})}.{part(CLAIMS)}"
    assert refusal(f"{signed}.{b64(KEYS['ES256'].sign(signed.encode(), ec.ECDSA(hashes.SHA256())))}") == "signature"


@pytest.mark.parametrize("raw", [b"", bytes(64), bytes(63), bytes(65), b"\x01" + bytes(63), b"\xff" * 64])
def test_an_ed25519_signature_has_64_bytes_that_fit(raw: bytes):
    """All zeros verify with a key of small order, which is none that is taken."""
    assert refusal(f"{part({'alg': 'EdDSA', 'kid': 'k3'})}.{part(CLAIMS)}.{b64(raw)}") == "signature"


def test_another_key_with_our_kid_is_refused():
    """The signature is checked against the key that kid names."""
    assert refusal(sign(key=OTHER)) == "signature"
    assert refusal(sign(kid="k4")) == "signature"


def test_an_rsa_signature_of_another_length_is_refused():
    """Shorter, longer, empty, and zero."""
    header, payload, _ = sign().split(".")
    for raw in (b"", bytes(255), bytes(256), bytes(257), b"\xff" * 256):
        assert refusal(f"{header}.{payload}.{b64(raw)}") == "signature"


# ---------------------------------------------------------------- no mutation passes

GOOD = {alg: sign(alg=alg, kid=kid) for alg, kid in (("RS256", "k1"), ("ES256", "k2"), ("EdDSA", "k3"))}


@settings(deadline=None)  # signatures take their time on a busy machine
@given(
    alg=st.sampled_from(sorted(GOOD)),
    edits=st.lists(
        st.tuples(
            st.sampled_from(["replace", "insert", "delete", "swap", "double"]),
            st.integers(min_value=0, max_value=8_191),
            st.sampled_from("ABab01-_.=+/ \n\x00é"),
        ),
        min_size=1,
        max_size=4,
    ),
)
@example(alg="RS256", edits=[("replace", 8_191, "A")])
def test_no_mutation_of_a_good_token_passes(alg: str, edits: list[tuple[str, int, str]]):
    """Whatever letters are changed, added, left out, exchanged or doubled: what is another text is refused."""
    token = GOOD[alg]
    for how, place, letter in edits:
        at = place % len(token)
        if how == "replace":
            token = token[:at] + letter + token[at + 1 :]
        elif how == "insert":
            token = token[:at] + letter + token[at:]
        elif how == "delete":
            token = token[:at] + token[at + 1 :]
        elif how == "swap":
            token = token[:at] + token[at : at + 2][::-1] + token[at + 2 :]
        else:
            token = token[:at] + token[at : at + 8] * 2 + token[at + 8 :]
    if token == GOOD[alg]:
        assert VERIFIER.verify(token, now_s=NOW).subject == "user-1"
    else:
        assert refusal(token) in REASONS


@settings(deadline=None)  # signatures take their time on a busy machine
@given(
    claims=st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "cty", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from([ISSUER, AUDIENCE, NOW]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        ),
    )
)
def test_claims_that_pass_here_pass_in_pyjwt(claims: dict[str, Any]):
    """Whatever an issuer signs, nobody is let in whom PyJWT, asked as strictly as it can be, refuses."""
    token = sign({**CLAIMS, **claims})
    try:
        identity = VERIFIER.verify(token, now_s=NOW)
    except InvalidToken:
        return
    options: Any = {"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False}
    read = jwt.decode(
        token, KEY.public_key(), algorithms=["RS256"], issuer=ISSUER, audience=AUDIENCE,
        options={**options, "verify_iat": False},
    )  # fmt: skip
    assert (read["sub"], int(read["exp"])) == (identity.subject, identity.expires_s)


@settings(deadline=None)  # signatures take their time on a busy machine
@given(parts=st.lists(st.binary(min_size=0, max_size=60), min_size=1, max_size=6))
def test_noise_is_refused(parts: list[bytes]):
    """Whatever the parts decode to, the answer is InvalidToken."""
    assert refusal(".".join(b64(each) for each in parts)) in REASONS


def test_an_issuers_key_signs_for_no_other_issuer():
    """With several issuers each key set counts for its own tokens alone, whatever ids they share."""

    async def main() -> list[str]:
        world = World()
        world.publish({"k1": KEY})
        other = World(issuer="https://other.example/", loop_clock=world.clock)
        other.publish({"k1": OTHER})
        gate = world.gate(other)
        return [
            await world.ask(gate, world.sign()),
            await world.ask(gate, other.sign(key=OTHER)),
            await world.ask(gate, other.sign(key=KEY)),
            await world.ask(gate, world.sign(key=OTHER)),
            await world.ask(gate, world.sign(claims={"iss": "https://third.example/"})),
        ]

    assert run_virtual(main) == ["allowed", "allowed", "signature", "signature", "issuer"]
