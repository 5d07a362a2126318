"""The identity provider in a console: which tokens it makes, what it refuses, and what it asks of the provider."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from localcloud.clock import SystemClock
from localcloud.console.identity import Identity
from localcloud.console.refusals import ApiError
from localcloud.console.site import Asked
from localcloud.identity import IdentityProvider
from localcloud.issuer import ISSUER


def identity(folder: Path, *, audience: str = "sluiceway", at: str = "http://127.0.0.1:1") -> Identity:
    return Identity(at, folder=folder, audience=audience, clock=SystemClock())


@pytest.mark.parametrize(
    ("body", "subject"),
    [(b"", "developer"), (b" \n", "developer"), (b"{}", "developer"), (b'{"subject":"al\xc3\xafce"}', "alïce")],
)
def test_a_token_is_the_local_issuers(tmp_path: Path, body: bytes, subject: str) -> None:
    """As `sluiceway token` makes it: good for an hour, for the template's audience."""
    made = identity(tmp_path).token(body)
    claims = jwt.decode(made["token"], options={"verify_signature": False})
    assert (made["expires_s"], made["subject"], claims["sub"]) == (3600, subject, subject)
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == (ISSUER, "sluiceway", 3600)


def test_groups_tenant_and_claims_are_in_the_token(tmp_path: Path) -> None:
    """Under the names that the authorizer looks for; other claims as they are; for as long as was said."""
    order = {"groups": ["admin", "ops"], "tenant": "acme", "claims": {"plan": "gold", "level": 3}, "minutes": 5}
    made = identity(tmp_path).token(json.dumps(order).encode())
    claims = jwt.decode(made["token"], options={"verify_signature": False})
    assert (claims["cognito:groups"], claims["custom:tenant"]) == (["admin", "ops"], "acme")
    assert (claims["plan"], claims["level"], claims["exp"] - claims["iat"]) == ("gold", 3, 300)
    assert made["expires_s"] == 300


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"subject":5}', b'{"subject":""}', b'{"subject":null}',
        b'{"subject":"a\\nb"}', b'{"subject":"\\ud800"}', b'{"subject":"a","admin":true}', b'{"groups":"secret"}',
        b'{"groups":[1]}', b'{"groups":[""]}', b'{"tenant":""}', b'{"claims":[]}', b'{"claims":{"":1}}',
        b'{"claims":{"sub":"secret"}}', b'{"claims":{"exp":1}}', b'{"minutes":0}', b'{"minutes":1441}',
        b'{"minutes":true}', b'{"minutes":1.5}', b'{"minutes":"5"}',
        json.dumps({"subject": "x" * 129}).encode(), json.dumps({"groups": ["g"] * 51}).encode(),
        json.dumps({"claims": {f"c{number}": 1 for number in range(21)}}).encode(),
    ],
)  # fmt: skip
def test_a_bad_token_request_is_a_400(tmp_path: Path, body: bytes) -> None:
    """Whatever is sent, the issuer's own claims among it; the sentence quotes no value of it."""
    with pytest.raises(ApiError) as caught:
        identity(tmp_path).token(body)
    assert (caught.value.status, str(caught.value)[-1]) == (400, ".")
    assert "secret" not in str(caught.value)
    assert "admin" not in str(caught.value)


def test_without_an_issuer_there_is_no_token(tmp_path: Path) -> None:
    """A template need not name one."""
    with pytest.raises(ApiError, match="token issuer") as caught:
        identity(tmp_path, audience="").token(b"")
    assert caught.value.status == 404


@asynccontextmanager
async def served_provider(folder: Path) -> AsyncIterator[Any]:
    """Asks the routes of a console whose provider is another process's."""
    runner = web.ServerRunner(web.Server(IdentityProvider(folder).answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        routes = identity(folder, at=f"http://127.0.0.1:{runner.addresses[0][1]}").routes()

        async def ask(path: str, method: str = "GET", tail: str = "") -> Any:
            return await routes[path][method](Asked({}, b"", tail))

        yield ask
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_keys_are_rotated_and_withdrawn(tmp_path: Path) -> None:
    """Two keys after a rotation, of which the new one signs; one after the old ones are withdrawn."""
    async with served_provider(tmp_path) as ask:
        [first] = (await ask("/api/issuer"))["keys"]
        told = await ask("/api/issuer/", "POST", "rotate")
        assert [key["signs"] for key in told["keys"]] == [True, False]
        assert told["keys"][1]["kid"] == first["kid"]
        told = await ask("/api/issuer/", "POST", "withdraw")
        assert [key["signs"] for key in told["keys"]] == [True]
        assert told["keys"][0]["kid"] != first["kid"]


@pytest.mark.asyncio
async def test_the_provider_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Down, hanging, up; and no other word is passed on to it."""
    async with served_provider(tmp_path) as ask:
        assert (await ask("/api/issuer/", "POST", "down"))["away"] == "down"
        assert (await ask("/api/issuer"))["away"] == "down"
        assert (await ask("/api/issuer/", "POST", "hang"))["away"] == "hang"
        assert (await ask("/api/issuer/", "POST", "up"))["away"] == ""
        with pytest.raises(ApiError) as caught:
            await ask("/api/issuer/", "POST", "../regions/us-east-1/kill")
        assert caught.value.status == 404


@pytest.mark.asyncio
async def test_a_provider_that_is_gone_is_said_so(tmp_path: Path) -> None:
    """Nobody listens there: a sentence, and the status of a gateway."""
    with pytest.raises(ApiError, match="does not answer") as caught:
        await identity(tmp_path).routes()["/api/issuer"]["GET"](Asked({}, b"", ""))
    assert caught.value.status == 502
