"""STS over sockets as moto has it: both operations, and calls that the session's key and token sign."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcloud.delegate import Delegate
from localcloud.services.contract import WireRequest
from sluiceway.aws.assume_role import STS, Role, assume_role, open_as
from sluiceway.aws.wire import Caller, Wire
from tests.unit.wire_server import RawServer, Received, answer, environ, raw_server

REGION = "eu-west-1"
ARN = "arn:aws:iam::123456789012:role/producers/orders"
ASSUMED = "arn:aws:sts::123456789012:assumed-role/orders/orders-1"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def moto_sts() -> AsyncGenerator[RawServer]:
    """moto's STS behind a listener of ours."""
    delegate = Delegate()

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        asked = WireRequest("sts", REGION, "POST", "/", "", request.headers, request.body, "", "r")
        told = await delegate.call(asked, f"sts.{REGION}.amazonaws.com")
        assert isinstance(told.body, bytes)
        writer.write(answer(told.status, told.body))

    try:
        async with raw_server(behave) as server:
            yield server
    finally:
        delegate.close()


async def who_am_i(caller: Caller) -> str:
    """The ARN of GetCallerIdentity."""
    reply = await caller.call(STS, "GetCallerIdentity", b"Action=GetCallerIdentity&Version=2011-06-15", headers=FORM)
    found = re.search(rb"<Arn>(.*)</Arn>", reply.body)
    return found[1].decode() if found else ""


async def test_a_role_is_assumed_and_its_session_calls() -> None:
    """moto knows the key of the next call as the assumed role's, and hears its token."""
    role = Role(ARN, "orders-1", duration_s=900, external_id="partner", tags={"team": "orders"})
    async with moto_sts() as server, open_as(role, environ(AWS_ENDPOINT_URL_STS=server.url)) as wire:
        assert [await who_am_i(wire), await who_am_i(wire)] == [ASSUMED, ASSUMED]
        assume, first, second = server.requests
    assert b"Action=AssumeRole&" in assume.body
    assert "Credential=AKIDEXAMPLE/" in assume.headers["authorization"]
    assert first.headers["x-amz-security-token"] == second.headers["x-amz-security-token"] != ""


async def test_a_web_identity_is_exchanged_and_its_session_calls(tmp_path: Path) -> None:
    """With the SDKs' variables alone; the exchange is not signed."""
    token = tmp_path / "token"
    token.write_text("header.claims.signature\n")
    settings = {
        "AWS_REGION": REGION,
        "AWS_ROLE_ARN": ARN,
        "AWS_ROLE_SESSION_NAME": "orders-1",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
    }
    async with moto_sts() as server, Wire.open({**settings, "AWS_ENDPOINT_URL_STS": server.url}) as wire:
        assert await who_am_i(wire) == ASSUMED
        exchange, call = server.requests
    assert ("authorization" in exchange.headers, b"WebIdentityToken=header.claims.signature" in exchange.body) == (
        False,
        True,
    )
    assert "x-amz-security-token" in call.headers


@pytest.mark.parametrize("duration_s", [900, 43_200])
async def test_a_session_lasts_as_long_as_was_asked(duration_s: int) -> None:
    """The date of expiry is the answer's."""
    async with moto_sts() as server, Wire.open(environ(AWS_ENDPOINT_URL_STS=server.url)) as base:
        before = datetime.now(UTC).timestamp()
        session = await assume_role(base, Role(ARN, "orders-1", duration_s=duration_s))
        after = datetime.now(UTC).timestamp()
    assert session.expires_s is not None
    assert before - 1 <= session.expires_s - duration_s <= after + 1
