"""What an HTTP integration may reach, and what an endpoint may do to it, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from localcloud.gateway import http_caller
from localcloud.gateway.http_caller import HttpNetwork
from localcloud.gateway.ports import HttpCall, HttpFailed

pytestmark = pytest.mark.local

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def endpoint(serve: Serve) -> AsyncGenerator[str]:
    """The address of a server that reads a request's head and then does what a test wants."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def get(url: str, *headers: tuple[str, str]) -> HttpCall:
    return HttpCall("GET", url, headers, b"")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
    ],
)
async def test_link_local_addresses_are_not_reached(host: str) -> None:
    """Whatever way they are written: there the credentials of a machine are."""
    with pytest.raises(HttpFailed) as failed:
        await asyncio.wait_for(HttpNetwork()(get(f"http://{host}/latest/meta-data/"), limit_bytes=10), 5)
    assert any(words in str(failed.value) for words in ("link-local", "canonical"))


async def test_a_redirection_is_the_answer() -> None:
    """It is passed on, and not followed."""

    async def redirect(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    async with endpoint(redirect) as url:
        answer = await HttpNetwork()(get(url), limit_bytes=10)
    assert (answer.status, dict(answer.headers)["Location"]) == (302, "http://169.254.169.254/")


async def test_an_answer_without_an_end_ends_at_its_limit() -> None:
    """Chunks for ever are cut off at the size that an answer may have."""

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with endpoint(pour) as url:
        with pytest.raises(HttpFailed, match="larger than 100000 bytes"):
            await HttpNetwork()(get(url), limit_bytes=100_000)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(5000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"nothing like it\r\n\r\n",
        b"",
    ],
    ids=["long header", "many headers", "cut", "bad chunk", "no status", "no http", "nothing"],
)
async def test_an_answer_that_is_none_is_a_failure_of_the_integration(answer: bytes) -> None:
    """HttpFailed, which API Gateway answers with 504 and its own words; never more than that."""

    async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with endpoint(say) as url:
        with pytest.raises(HttpFailed):
            await asyncio.wait_for(HttpNetwork()(get(url), limit_bytes=1000), 5)


async def test_a_header_cannot_end_its_line() -> None:
    """What is mapped into a header from a request stays in it, or the call fails."""

    async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with endpoint(never) as url:
        with pytest.raises(HttpFailed, match="ValueError"):
            await HttpNetwork()(get(url, ("X-From-Body", "a\r\nX-Admin: yes")), limit_bytes=10)


async def test_an_api_that_calls_itself_runs_into_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round holds the one before: after so many the last fails, and with it all, long before any time-out."""
    monkeypatch.setattr(http_caller, "MAX_CALLS", 20)
    network, rounds = HttpNetwork(), 0
    addresses: list[str] = []

    async def again(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal rounds
        rounds += 1
        try:
            answer = await network(get(addresses[0]), limit_bytes=1000)
            status = answer.status
        except HttpFailed:
            status = 504
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    async with endpoint(again) as url:
        addresses.append(url)
        assert (await network(get(url), limit_bytes=1000)).status == 504
        assert rounds == 20
        assert (await network(get(url), limit_bytes=1000)).status == 504
