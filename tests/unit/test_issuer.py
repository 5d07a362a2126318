"""The local issuer: a key that stays, a key set that matches it, tokens that the authorizer's rules accept."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import jwt
import pytest

from localcloud.clock import SystemClock
from localcloud.issuer import ISSUER, MAX_PUBLISHED, LocalIssuer, read_key_set, rotate_key, withdraw_keys
from sluiceway.rules.tokens import Verifier, name_caller, read_keys


def test_the_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    """Opening again gives the same key; its file is readable by its owner only."""
    first, second = LocalIssuer.open(tmp_path), LocalIssuer.open(tmp_path)
    assert first.key_set() == second.key_set() == read_key_set(tmp_path)
    assert stat.S_IMODE((tmp_path / "issuer.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in read_key_set(tmp_path)


def test_the_published_set_follows_a_new_key(tmp_path: Path) -> None:
    """Where the key was removed, the old set is not served for the new one."""
    old = read_key_set(tmp_path)
    (tmp_path / "issuer.pem").unlink()
    assert read_key_set(tmp_path) != old
    assert read_key_set(tmp_path) == LocalIssuer.open(tmp_path).key_set()


def test_tokens_pass_the_authorizers_rules(tmp_path: Path) -> None:
    """A token verifies against the key set, for its issuer, audience and subject."""
    clock = SystemClock()
    token = LocalIssuer.open(tmp_path).token(subject="alice", audience="sluiceway", minutes=5, clock=clock)
    verifier = Verifier(read_keys(json.loads(read_key_set(tmp_path))), issuer=ISSUER, audience="sluiceway")
    identity = verifier.verify(token, now_s=clock.time())
    assert identity.caller == name_caller(ISSUER, "alice")
    assert jwt.decode(token, options={"verify_signature": False})["exp"] <= clock.time() + 300


@pytest.mark.parametrize("minutes", [0, -1, 1441])
def test_a_lifetime_outside_its_range_is_refused(tmp_path: Path, minutes: int) -> None:
    """1 to 1,440 minutes."""
    with pytest.raises(ValueError, match="1 to 1440"):
        LocalIssuer.open(tmp_path).token(subject="a", audience="b", minutes=minutes, clock=SystemClock())


def test_a_token_has_the_claims_that_were_asked_for(tmp_path: Path) -> None:
    """Groups and a tenant are told to the functions by claims; the issuer's own are not for the asking."""
    issuer, clock = LocalIssuer.open(tmp_path), SystemClock()
    told = {"cognito:groups": ["admin"], "custom:tenant": "acme"}
    token = issuer.token(subject="alice", audience="sluiceway", minutes=5, clock=clock, claims=told)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert told.items() <= claims.items()
    assert claims.keys() - told.keys() == {"iss", "aud", "sub", "iat", "exp"}
    for name in ("iss", "aud", "sub", "iat", "exp"):
        with pytest.raises(ValueError, match=f"the claim {name} is the issuer's own"):
            issuer.token(subject="alice", audience="sluiceway", minutes=5, clock=clock, claims={name: 1})


def test_a_file_that_is_no_rsa_key_is_named(tmp_path: Path) -> None:
    """Another kind of key in issuer.pem is an error that names the file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "issuer.pem").write_bytes(other)
    with pytest.raises(ValueError, match=r"issuer\.pem"):
        read_key_set(tmp_path)


def test_a_rotation_keeps_the_keys_before_it_published(tmp_path: Path) -> None:
    """The new key signs and stands first; the set stays within what a parameter holds; withdrawn keys are gone."""
    kids = [LocalIssuer.open(tmp_path).key_id]
    read_key_set(tmp_path)
    for _ in range(MAX_PUBLISHED):
        kids.insert(0, rotate_key(tmp_path))
        assert LocalIssuer.open(tmp_path).key_id == kids[0]
        assert [key["kid"] for key in json.loads(read_key_set(tmp_path))["keys"]] == kids[:MAX_PUBLISHED]
    assert len(read_key_set(tmp_path)) <= 3_000
    withdraw_keys(tmp_path)
    assert [key["kid"] for key in json.loads(read_key_set(tmp_path))["keys"]] == kids[:1]
    assert stat.S_IMODE((tmp_path / "issuer.pem").stat().st_mode) == 0o600
