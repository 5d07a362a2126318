"""aws.keys: an issuer's key set over HTTP, bounded in every direction."""

from __future__ import annotations

import asyncio
import time

import pytest

from sluiceway.aws.keys import MAX_BODY_BYTES, HttpKeySource
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.ports.keys import Published
from tests.unit.test_aws_tls import certificate, serving
from tests.unit.wire_server import Received, always, answer, raw_server

__all__ = ["certificate"]  # the fixture
KEY_SET = b'{"keys":[]}'


async def fetch(url: str, *, ca_bundle: str = "", within_s: float = 5.0) -> Published:
    """What is published there."""
    async with HttpKeySource.open(url, ca_bundle=ca_bundle) as source:
        return await source.fetch(deadline=asyncio.get_running_loop().time() + within_s)


async def test_a_key_set_is_read_with_its_age():
    """One GET of the path and query as given, with no credentials; the connection serves the next reading."""
    async with raw_server(always(answer(200, KEY_SET, Cache_Control="public, max-age=900", Age="100"))) as server:
        async with HttpKeySource.open(f"{server.url}/realms/a/keys?v=2") as source:
            deadline = asyncio.get_running_loop().time() + 5
            assert await source.fetch(deadline=deadline) == Published(KEY_SET, 800.0)
            assert await source.fetch(deadline=deadline) == Published(KEY_SET, 800.0)
        assert server.connections == 1
        first = server.requests[0]
        assert (first.method, first.target, first.body) == ("GET", "/realms/a/keys?v=2", b"")
        assert set(first.headers) == {"host", "accept", "user-agent"}
    async with raw_server(always(answer(200, KEY_SET))) as server:
        assert await fetch(server.url) == Published(KEY_SET, None)
        assert server.requests[0].target == "/"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int):
    """Neither to another host nor to this one: only the deployment says where keys are."""
    async with raw_server(always(answer(200, KEY_SET))) as elsewhere:
        async with raw_server(always(answer(status, b"", Location=f"{elsewhere.url}/keys"))) as server:
            with pytest.raises(Retryable, match=f"status {status}"):
                await fetch(server.url)
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 429, 500, 503])
async def test_only_200_has_keys(status: int):
    """Anything else is no statement about keys: those that are here go on."""
    async with raw_server(always(answer(status, b"" if status in {204, 304} else KEY_SET))) as server:
        with pytest.raises(Retryable, match=f"status {status}"):
            await fetch(server.url)


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_endless_body_is_cut_at_256_kilobytes(chunked: bool):
    """With a length and without one; exactly so much is read."""
    sent = 0

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = "Transfer-Encoding: chunked" if chunked else "Content-Length: 200000000"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        piece = b" " * 65_536
        try:
            while sent < 200_000_000:
                writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
                await writer.drain()
                sent += len(piece)
        except ConnectionError:
            pass

    async with raw_server(behave) as server:
        with pytest.raises(Retryable, match=f"more than {MAX_BODY_BYTES} bytes"):
            await fetch(server.url)
    assert sent < 20_000_000
    whole = b" " * (MAX_BODY_BYTES - len(KEY_SET)) + KEY_SET
    async with raw_server(always(answer(200, whole))) as server:
        assert len((await fetch(server.url)).body) == MAX_BODY_BYTES


@pytest.mark.parametrize("drip", [False, True])
async def test_a_silent_or_dripping_server_ends_at_the_deadline(drip: bool):
    """A byte now and then does not prolong it."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        if not drip:
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async with raw_server(behave) as server:
        began = time.monotonic()
        with pytest.raises(Retryable, match="deadline"):
            await fetch(server.url, within_s=0.2)
        assert 0.15 < time.monotonic() - began < 1.5


async def test_a_certificate_is_verified(certificate):
    """One that nobody vouches for ends the reading; one of the given bundle serves, for its own name alone."""
    async with raw_server(always(answer(200, KEY_SET)), tls=serving(certificate)) as server:
        with pytest.raises(Retryable, match="certificate"):
            await fetch(server.url)
        assert server.requests == []
        assert await fetch(server.url, ca_bundle=str(certificate)) == Published(KEY_SET, None)
        with pytest.raises(Retryable, match="certificate"):
            await fetch(server.url.replace("127.0.0.1", "localhost"), ca_bundle=str(certificate))
    with pytest.raises(Misconfigured, match="cannot be read"):
        await fetch("https://127.0.0.1:1/keys", ca_bundle="/nowhere.pem")


async def test_nobody_there_is_no_answer():
    """A closed port, a broken reply and a plain server under an https address."""
    with pytest.raises(Retryable, match="connect"):
        await fetch("http://127.0.0.1:1/keys")
    async with raw_server(always(b"220 smtp ready\r\n\r\n")) as server:
        with pytest.raises(Retryable, match="violation"):
            await fetch(server.url)
        with pytest.raises(Retryable):
            await fetch(server.url.replace("http", "https"), within_s=1)
    with pytest.raises(Misconfigured, match="is not an http or https address"):
        await fetch("file:///etc/passwd")
