"""Credentials: where they come from, when they are fetched, and that they are fetched once."""

from __future__ import annotations

import asyncio
import json

import pytest

from localcloud.clock import LoopClock, run_virtual
from sluiceway.aws.credentials import CredentialSource
from sluiceway.aws.reply import Reply
from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import Wire
from sluiceway.errors import DeadlineExceeded, Misconfigured, ServiceUnavailable
from tests.unit.wire_server import Received, answer, raw_server

CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/creds"}
HOUR_S = 3600


def document(expires, key="AKID"):
    """What a container endpoint answers."""
    return json.dumps(
        {"AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
    ).encode()


class Endpoint:
    """Counts fetches; each credential lasts an hour from its fetch and is named by its number."""

    def __init__(self, *, takes_s=0.0):
        self.clock = LoopClock(asyncio.get_running_loop())
        self.takes_s = takes_s
        self.failing = False
        self.asked = []

    async def fetch(self, url, headers):
        from datetime import UTC, datetime

        self.asked.append((url, dict(headers)))
        await asyncio.sleep(self.takes_s)
        if self.failing:
            raise OSError("no route")
        expires = datetime.fromtimestamp(int(self.clock.time()) + HOUR_S, UTC)
        return Reply(200, {}, document(expires, f"AKID{len(self.asked)}"))

    def source(self, environ=None):
        return CredentialSource(environ or CONTAINER, fetch=self.fetch, now=self.clock.time)


async def no_fetch(*_):
    """The environment needs none."""
    raise AssertionError


async def test_the_environment_goes_first():
    """Long-term and temporary keys from the environment, kept as they are."""
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c", **CONTAINER}
    source = CredentialSource(environ, fetch=no_fetch, now=lambda: 0.0)
    credentials = await source.get()
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("a", "b", "c")
    assert source.at_hand() is credentials


def test_a_fetch_serves_all_who_wait():
    """Fifty calls at once before there are credentials: one fetch."""

    async def main():
        endpoint = Endpoint(takes_s=1)
        source = endpoint.source()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(source.get()) for _ in range(50)]
        return {call.result().access_key for call in calls}, len(endpoint.asked)

    assert run_virtual(main) == ({"AKID1"}, 1)


def test_credentials_are_renewed_ahead_of_expiry_without_making_others_wait():
    """Fifteen minutes ahead one caller fetches; the others go on with what they have."""

    async def main():
        endpoint = Endpoint(takes_s=5)
        source = endpoint.source()
        await source.get()
        await asyncio.sleep(HOUR_S - 14 * 60)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(source.get())
            await asyncio.sleep(1)
            others = await source.get()
        return others.access_key, renewing.result().access_key, (await source.get()).access_key, len(endpoint.asked)

    assert run_virtual(main) == ("AKID1", "AKID2", "AKID2", 2)


def test_near_expiry_everybody_waits():
    """Ten minutes ahead nobody uses the old ones any more."""

    async def main():
        endpoint = Endpoint(takes_s=5)
        source = endpoint.source()
        await source.get()
        await asyncio.sleep(HOUR_S - 9 * 60)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(source.get()) for _ in range(5)]
        return {call.result().access_key for call in calls}, len(endpoint.asked)

    assert run_virtual(main) == ({"AKID2"}, 2)


def test_a_failed_early_renewal_hurts_nobody():
    """Three tries, then the old credentials for 30 s; only when they near expiry is it an error."""

    async def main():
        endpoint = Endpoint()
        source = endpoint.source()
        await source.get()
        await asyncio.sleep(HOUR_S - 14 * 60)
        endpoint.failing = True
        kept = [(await source.get()).access_key, (await source.get()).access_key]
        asked = len(endpoint.asked)
        await asyncio.sleep(5 * 60)
        with pytest.raises(ServiceUnavailable):
            await source.get()
        endpoint.failing = False
        return kept, asked, (await source.get()).access_key

    assert run_virtual(main) == (["AKID1", "AKID1"], 4, "AKID8")


def test_a_cancelled_fetch_leaves_the_next_to_fetch():
    """The caller who fetched is cancelled: the one who waited fetches instead."""

    async def main():
        endpoint = Endpoint(takes_s=5)
        source = endpoint.source()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(source.get())
            await asyncio.sleep(1)
            second = group.create_task(source.get())
            await asyncio.sleep(1)
            first.cancel()
        return second.result().access_key

    assert run_virtual(main) == "AKID2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"AccessKeyId":"a"}',
        b'{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"soon"}',
    ],
)
def test_an_answer_without_credentials_is_an_outage(body):
    """Whatever the endpoint says that is no credentials, after three tries a second apart."""

    async def main():
        async def fetch(_url, _headers):
            return Reply(200, {}, body)

        source = CredentialSource(CONTAINER, fetch=fetch, now=lambda: 0.0)
        with pytest.raises(ServiceUnavailable):
            await source.get()
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 2


@pytest.mark.parametrize(
    "url",
    [
        "https://creds.example/x",
        "http://localhost/x",
        "http://127.3.2.1:8080/x",
        "http://[::1]/x",
        "http://169.254.170.2/x",
        "http://169.254.170.23/x",
        "http://[fd00:ec2::23]/x",
    ],
)
def test_hosts_that_may_be_asked(url):
    """TLS, this machine, and the agents of ECS and EKS."""
    CredentialSource({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, fetch=no_fetch, now=lambda: 0.0).check()


@pytest.mark.parametrize(
    "url",
    ["http://creds.example/x", "http://169.254.169.254/x", "http://127.0.0.1.evil.example/x", "ftp://localhost/", "x"],
)
def test_hosts_that_must_not_be_asked(url):
    """No token goes to a stranger in plain text."""
    with pytest.raises(Misconfigured) as caught:
        CredentialSource({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, fetch=no_fetch, now=lambda: 0.0).check()
    assert caught.value.what == "AWS_CONTAINER_CREDENTIALS_FULL_URI"


async def test_relative_uri_and_rotated_token_file(tmp_path):
    """The ECS address for a relative URI; the token's file goes before its variable and is read at every fetch."""
    endpoint = Endpoint()
    token = tmp_path / "token"
    token.write_text("first\n")
    source = endpoint.source(
        {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/creds?id=1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "other",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
    )
    used = await source.get()
    token.write_text("second")
    source.forget(used)
    await source.get()
    assert [(url, headers["authorization"]) for url, headers in endpoint.asked] == [
        ("http://169.254.170.2/v2/creds?id=1", "first"),
        ("http://169.254.170.2/v2/creds?id=1", "second"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nx: y"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token"),
    ],
)
def test_tokens_that_cannot_be_sent(name, value):
    """A line break or a missing file is named."""
    with pytest.raises(Misconfigured) as caught:
        CredentialSource({**CONTAINER, name: value}, fetch=no_fetch, now=lambda: 0.0).check()
    assert caught.value.what == name


async def test_a_call_with_container_credentials():
    """The Wire fetches from the endpoint with the token, once, and signs with what it got."""

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            writer.write(answer(body=b'{"AccessKeyId":"AKIDC","SecretAccessKey":"s","Token":"tok"}'))
        else:
            writer.write(answer())

    async with raw_server(behave) as server:
        environ = {
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/creds?x=1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-token",
        }
        async with Wire.open(environ) as wire:
            await wire.call(SQS, "SendMessage", {})
            await wire.call(SQS, "SendMessage", {})
        fetch, *calls = server.requests
        assert (fetch.target, fetch.headers["authorization"], len(calls)) == ("/creds?x=1", "secret-token", 2)
        assert calls[0].headers["x-amz-security-token"] == "tok"
        assert "Credential=AKIDC/" in calls[0].headers["authorization"]


async def test_credentials_come_before_the_deadline_or_not_at_all():
    """A silent credentials endpoint costs no more than the call's deadline."""

    async def behave(_request: Received, _writer: asyncio.StreamWriter) -> None:
        return

    async with raw_server(behave) as server:
        environ = {"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/creds"}
        async with Wire.open(environ) as wire:
            with pytest.raises(DeadlineExceeded):
                await wire.call(SQS, "SendMessage", {}, deadline=asyncio.get_running_loop().time() + 0.05)
