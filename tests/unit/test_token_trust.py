"""rules.tokens.trust and flows.authorize.opening: whom a deployment trusts, and what a wrong setting is told."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.flows.authorize.opening import open_gate, read_issuers
from sluiceway.rules.tokens.claims import Claims
from sluiceway.rules.tokens.trust import is_keys_url, read_trust
from tests.unit.gate_setup import Dice
from tests.unit.token_setup import KEY, SMALL, jwk

KEYS = {"keys": [jwk(KEY, "k1")]}
ONE = {"issuer": "https://one.example/", "audiences": ["a", "b"], "keysUrl": "https://one.example/keys"}
OWN = {"TOKEN_ISSUER": "https://own.example/", "TOKEN_AUDIENCE": "own", "TOKEN_KEYS": json.dumps(KEYS)}
NAMES = (
    "TOKEN_ISSUERS", "TOKEN_ISSUER", "TOKEN_AUDIENCE", "TOKEN_KEYS", "TOKEN_KEYS_URL", "GROUPS_CLAIM", "TENANT_CLAIM",
    "KEYS_STALE_S",
)  # fmt: skip


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """These settings and no others."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_list_of_issuers_is_read():
    """Each with its own audiences, address, keys and claims."""
    second = {"issuer": "two", "audiences": ["c"], "keys": KEYS, "groupsClaim": "roles", "tenantClaim": "org"}
    first, other = read_trust([ONE, second], "TOKEN_ISSUERS")
    assert (first.rules.issuer, first.rules.audiences) == ("https://one.example/", frozenset({"a", "b"}))
    assert (first.keys_url, first.bundle, first.rules.claims) == ("https://one.example/keys", None, Claims())
    assert (other.keys_url, other.rules.claims) == ("", Claims("roles", "org"))
    assert other.bundle is not None
    assert list(other.bundle.keys) == ["k1"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("https://one.example/", r"\[0\] is no object"),
        ({**ONE, "audience": "a"}, r"\[0\] has audience, which is not known"),
        ({**ONE, "issuer": ""}, r"\[0\].issuer"),
        ({**ONE, "issuer": None}, r"\[0\].issuer"),
        ({**ONE, "issuer": "a\nb"}, r"\[0\].issuer"),
        ({**ONE, "audiences": []}, r"\[0\].audiences"),
        ({**ONE, "audiences": "a"}, r"\[0\].audiences"),
        ({**ONE, "audiences": [1]}, r"\[0\].audiences"),
        ({**ONE, "audiences": ["a"] * 33}, r"\[0\].audiences"),
        ({**ONE, "keysUrl": "http://one.example/keys"}, r"\[0\].keysUrl"),
        ({**ONE, "keysUrl": 7}, r"\[0\].keysUrl"),
        ({"issuer": "i", "audiences": ["a"]}, "neither keysUrl nor keys"),
        ({**ONE, "keys": []}, r"\[0\].keys is no usable key set"),
        ({**ONE, "keys": {"keys": [jwk(SMALL, "k")]}}, "2048 to 8192 bits"),
        ({**ONE, "groupsClaim": ""}, r"\[0\].groupsClaim"),
        ({**ONE, "tenantClaim": 7}, r"\[0\].tenantClaim"),
    ],
)
def test_a_wrong_entry_is_told_by_its_place(entry: Any, message: str):
    """The deployment fails at init, with the setting's name."""
    with pytest.raises(Misconfigured, match=message) as caught:
        read_trust([entry], "TOKEN_ISSUERS")
    assert caught.value.what == "TOKEN_ISSUERS"


def test_an_issuer_is_there_once_and_they_are_few():
    """Twice would leave open whose keys count."""
    with pytest.raises(Misconfigured, match="twice"):
        read_trust([ONE, {**ONE, "audiences": ["z"]}], "TOKEN_ISSUERS")
    with pytest.raises(Misconfigured, match="1 to 16"):
        read_trust([{**ONE, "issuer": str(number)} for number in range(17)], "TOKEN_ISSUERS")


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://one.example/keys", True),
        ("https://one.example:8443/keys?x=1", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]:80/keys", True),
        ("http://one.example/keys", False),
        ("http://127.0.0.1.evil.example/keys", False),
        ("http://localhost.evil.example/keys", False),
        ("http://127.0.0.1@evil.example/keys", False),
        ("https://user@one.example/keys", False),
        ("https://one.example/keys#a", False),
        ("https:///keys", False),
        ("https://", False),
        ("file:///etc/passwd", False),
        ("ftp://one.example/keys", False),
        ("one.example/keys", False),
        ("https://one.example/k eys", False),
        ("https://one.example/keys\r\nx: y", False),
        ("https://éxample/keys", False),
        ("", False),
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str, good: bool):
    """Whoever can change what is read makes every token."""
    assert is_keys_url(url) is good


def test_the_short_form_is_one_issuer(monkeypatch: pytest.MonkeyPatch):
    """With the deployment's keys, an address, or both."""
    given(monkeypatch, **OWN, GROUPS_CLAIM="roles")
    (own,) = read_issuers()
    assert (own.rules.issuer, own.rules.audiences, own.keys_url) == ("https://own.example/", frozenset({"own"}), "")
    assert (own.rules.claims.groups, own.bundle is not None) == ("roles", True)
    given(monkeypatch, **OWN, TOKEN_KEYS_URL="https://own.example/keys")
    assert read_issuers()[0][1:] == ("https://own.example/keys", own.bundle)
    given(monkeypatch, **(OWN | {"TOKEN_KEYS": ""}), TOKEN_KEYS_URL="https://own.example/keys")
    assert read_issuers()[0][1:] == ("https://own.example/keys", None)


def test_the_list_is_beside_the_short_form_or_alone(monkeypatch: pytest.MonkeyPatch):
    """The same issuer in both is an error."""
    given(monkeypatch, **OWN, TOKEN_ISSUERS=json.dumps([ONE]))
    assert [each.rules.issuer for each in read_issuers()] == ["https://own.example/", "https://one.example/"]
    given(monkeypatch, TOKEN_ISSUERS=json.dumps([ONE]))
    assert [each.rules.issuer for each in read_issuers()] == ["https://one.example/"]
    given(monkeypatch, **OWN, TOKEN_ISSUERS=json.dumps([{**ONE, "issuer": OWN["TOKEN_ISSUER"]}]))
    with pytest.raises(Misconfigured, match="as well"):
        read_issuers()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"TOKEN_ISSUER": ""}, "TOKEN_ISSUER"),
        ({"TOKEN_AUDIENCE": ""}, "TOKEN_AUDIENCE"),
        ({"TOKEN_KEYS": ""}, "TOKEN_KEYS"),
        ({"TOKEN_KEYS": "{}"}, "TOKEN_KEYS"),
        ({"TOKEN_KEYS_URL": "http://own.example/keys"}, "TOKEN_KEYS_URL"),
        ({"TOKEN_ISSUERS": "{}"}, "TOKEN_ISSUERS"),
        ({"TOKEN_ISSUERS": "["}, "TOKEN_ISSUERS"),
        ({"TOKEN_ISSUERS": "[1]"}, "TOKEN_ISSUERS"),
        ({"KEYS_STALE_S": "-1"}, "KEYS_STALE_S"),
        ({"KEYS_STALE_S": "604801"}, "KEYS_STALE_S"),
    ],
)
async def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], what: str):
    """At init, before any token comes."""
    given(monkeypatch, **(OWN | changes))

    class Clock:
        def now_ms(self) -> int:
            return 0

    @asynccontextmanager
    async def refuse(_url: str) -> Any:
        raise AssertionError
        yield

    with pytest.raises(Misconfigured) as caught:
        async with open_gate(open_source=refuse, clock=Clock(), chance=Dice()):
            pass
    assert caught.value.what == what
