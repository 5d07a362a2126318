"""The identity provider in a running cloud: keys that rotate and are withdrawn, and an outage that keeps nobody out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local.conftest import RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

PENALTY_S = 10  # an authorizer asks about unknown ids so seldom
LET_IN, BAD, UNAVAILABLE = 404, 401, 503  # of a job that nobody has; the last two of the authorizer


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose provider may be down without harm to other tests."""
    running = start_cloud(tmp_path_factory.mktemp("identity") / "state", "--model", "scripted")
    yield running
    running.sluiceway("down")


def issuer(cloud: RunningCloud, *words: str) -> Any:
    return json.loads(cloud.sluiceway("issuer", *words, "--json").stdout)


def ask(cloud: RunningCloud, token: str) -> int:
    return call_api(cloud.api, "GET", "jobs/none", token=token).status


def until(cloud: RunningCloud, token: str, wanted: int) -> None:
    """Ask until the answer is as wanted; fails a little after the time in which it has to be."""
    ends = time.monotonic() + 2 * PENALTY_S
    while (status := ask(cloud, token)) != wanted:
        assert time.monotonic() < ends, status
        time.sleep(0.5)


def test_keys_rotate_and_an_outage_keeps_nobody_out(own: RunningCloud) -> None:
    """A new key works at once, and the old one too; in an outage both do; only a key that was never seen must wait."""
    first = own.token()
    (key,) = issuer(own)["keys"]
    assert (ask(own, first), key["signs"]) == (LET_IN, True)
    rotated = issuer(own, "rotate")
    assert [each["signs"] for each in rotated["keys"]] == [True, False]
    assert rotated["keys"][1]["kid"] == key["kid"]
    second = own.token()
    assert (ask(own, second), ask(own, first)) == (LET_IN, LET_IN)
    assert issuer(own, "down")["away"] == "down"
    assert [ask(own, own.token(f"caller{number}")) for number in range(20)] == [LET_IN] * 20
    issuer(own, "rotate")
    unseen = own.token()
    until(own, unseen, UNAVAILABLE)  # at first the keys were read a moment ago, and it was not among them
    assert (ask(own, second), ask(own, "x.y.z")) == (LET_IN, BAD)
    issuer(own, "up")
    until(own, unseen, LET_IN)


def test_what_is_published_says_how_long_to_keep_it(own: RunningCloud) -> None:
    """The key set and the provider's description, as an OpenID provider has them; no private part is in it."""
    aws = own.status["endpoints"]["aws"]
    published = call_api(aws, "GET", "_sluiceway/issuer/jwks.json")
    assert published.headers["cache-control"] == "public, max-age=60"
    assert all(set(key) == {"kty", "use", "alg", "kid", "n", "e"} for key in published.json()["keys"])
    described = call_api(aws, "GET", "_sluiceway/issuer/.well-known/openid-configuration").json()
    assert described["jwks_uri"] == f"{aws}/_sluiceway/issuer/jwks.json"


def test_a_withdrawn_key_is_published_no_more(own: RunningCloud) -> None:
    """The one that signs stays."""
    assert [each["signs"] for each in issuer(own, "withdraw")["keys"]] == [True]


def test_another_site_cannot_rotate_keys(own: RunningCloud) -> None:
    """The AWS port answers no other site's pages, whatever they ask for."""
    aws = own.status["endpoints"]["aws"]
    refused = call_api(aws, "POST", "_sluiceway/issuer/rotate", origin="https://evil.example")
    assert refused.status == 403
