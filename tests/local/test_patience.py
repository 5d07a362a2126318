"""Clients that do not go on, or say that more will come than is taken: the AWS port and the gateway end them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from localcloud import patience
from localcloud.front import Front
from localcloud.gateway.server import GatewayServer
from localcloud.listening import open_listener
from tests.unit.gateway_setup import deploy_jobs_api

pytestmark = pytest.mark.local


@dataclass(frozen=True)
class Port:
    """A port, and the head of a request to it without its end."""

    number: int
    head: bytes


def head(path: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer t", "Content-Type: application/json")
    return "".join(f"{line}\r\n" for line in lines).encode()


@pytest.fixture(params=["aws", "api"])
async def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Port]:
    """A port whose patience is short."""
    monkeypatch.setattr(patience, "FIRST_S", 0.5)
    monkeypatch.setattr(patience, "STALL_S", 0.2)
    if request.param == "aws":
        async with Front([], authorise=lambda _key, _needs: None, rng=random.Random(1)).serve(open_listener()) as url:
            yield Port(int(url.rpartition(":")[2]), head("/"))
        return
    api = await deploy_jobs_api()
    server = GatewayServer(api.gateway)
    try:
        yield Port(await server.start(), head(f"/{api.api_id}/v1/jobs"))
    finally:
        await server.stop()


async def ask(port: Port, *pieces: bytes, first: bool = False) -> bytes:
    """All that a port says to some bytes until it closes the connection, or the first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(5):
            return await (reader.readline() if first else reader.read())
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("sent", ["nothing", "a byte", "a head", "half a line"])
async def test_a_connection_without_a_whole_head_is_ended(port: Port, sent: str) -> None:
    """Whatever was sent of it, and without a word: there is no request to answer."""
    pieces = {"nothing": b"", "a byte": b"G", "a head": port.head, "half a line": port.head + b"X: " + b"x" * 1000}
    assert await ask(port, pieces[sent]) == b""


async def test_a_body_that_stops_coming_is_ended(port: Port) -> None:
    """408."""
    answer = await ask(port, port.head + b"Content-Length: 100\r\n\r\n", b"12345", first=True)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_said_to_be_too_large_is_not_waited_for(port: Port) -> None:
    """413 as soon as the head is there; none of the body was sent."""
    answer = await ask(port, port.head + b"Content-Length: 9999999999\r\n\r\n", first=True)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_more_headers_than_anybody_needs_are_refused(port: Port) -> None:
    """At once, before the last of them has come."""
    many = b"".join(b"X-%d: y\r\n" % number for number in range(20_000))
    answer = await ask(port, port.head, many, b"\r\n", first=True)
    assert answer[9:12] in {b"400", b"431", b""}


async def test_a_connection_that_asked_once_may_wait(port: Port) -> None:
    """The bound is for the first request; the next may come later on the same connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    told: list[bytes] = []
    async with asyncio.timeout(5):
        for _ in range(2):
            writer.write(port.head + b"Content-Length: 2\r\n\r\n{}")
            told.append(await reader.readuntil(b"\r\n\r\n"))
            length = int(told[-1].lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.7)  # longer than the patience for a first one
    writer.close()
    assert [each[:9] for each in told] == [b"HTTP/1.1 "] * 2
