"""A name's front and a name server under clients that mean no good, or gave up: bounds, and what is no request."""

from __future__ import annotations

import asyncio

import pytest

from localcloud.clock import run_virtual
from localcloud.services.route53.nameserver import serve_names
from tests.unit.route53_setup import open_route53, pair, write_query
from tests.unit.test_route53_names import GET, Upstream, fronted, talk


def test_clients_that_gave_up_leave_a_dark_region_s_name() -> None:
    """A Region that is stopped never closes: after five seconds there is room for those that ask by the name again."""

    async def main() -> list[int]:
        async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            await asyncio.sleep(3600)

        held: list[asyncio.StreamWriter] = []
        dark = Upstream("dark")
        server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
        dark.port = server.sockets[0].getsockname()[1]
        seen: list[int] = []
        async with fronted(dark) as (front, _):
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", front.port)
                writer.write(GET)
                await asyncio.sleep(1)
                writer.close()
            for second in (1, 6):
                await asyncio.sleep(second)
                seen.append(len(front._tasks))  # pyright: ignore[reportPrivateUsage]
            for writer in held:
                writer.transport.abort()
        server.close()
        return seen

    assert run_virtual(main) == [3, 0]


@pytest.mark.parametrize("size", [b"-5", b"-2", b"+3", b"0x3", b"1_0", b"", b"3 3", b"f" * 17])
def test_a_chunk_s_length_is_digits(size: bytes) -> None:
    """What Python reads as a number is none: a negative one would be read to the connection's end, into memory."""

    async def main() -> bytes:
        east = Upstream("east")
        async with east.serve(), fronted(east) as (front, _):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
            writer.write(b"secret" * 9)
            await asyncio.sleep(1)
            writer.transport.abort()
            await asyncio.sleep(1)
        return east.got

    found = run_virtual(main)
    assert found.count(b"Host: api.example.com") == 1
    assert b"secret" not in found


def test_requests_wait_until_a_region_takes_them() -> None:
    """Who sends without end to a Region that reads nothing fills no memory here, and after a minute is sent away."""

    async def main() -> tuple[bool, int]:
        async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            assert isinstance(writer.transport, asyncio.ReadTransport)
            writer.transport.pause_reading()
            await reader.read(0)
            await asyncio.sleep(3600)

        held: list[asyncio.StreamWriter] = []
        dark = Upstream("dark")
        server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
        dark.port = server.sockets[0].getsockname()[1]
        async with fronted(dark) as (front, _):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            try:
                async with asyncio.timeout(30):
                    for _ in range(1_000):
                        writer.write(GET * 2_000)
                        await writer.drain()
                is_held = False
            except TimeoutError:
                is_held = True
            await asyncio.sleep(70)
            left = len(front._tasks)  # pyright: ignore[reportPrivateUsage]
            writer.transport.abort()
            for each in held:
                each.transport.abort()
        server.close()
        return is_held, left

    assert run_virtual(main) == (True, 0)


@pytest.mark.parametrize(
    ("host", "passed"),
    [
        (b"evil.example", b"evil.example"),
        (b"evil.example:81", b"evil.example:81"),
        (b"API.example.com", b"api.example.com"),
        (b"api.example.com:4620", b"api.example.com"),
        (b"localhost:4620", b"api.example.com"),
        (b"127.0.0.1", b"api.example.com"),
    ],
)
def test_another_site_s_name_is_not_changed(host: bytes, passed: bytes) -> None:
    """A page under a name of its own, pointed here, asks no API: the gateway has no such domain."""

    async def main() -> bytes:
        east = Upstream("east")
        async with east.serve(), fronted(east) as (front, _):
            await talk(front, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", answers=1)
        return east.got

    assert run_virtual(main) == b"GET / HTTP/1.1\r\nHost: " + passed + b"\r\n\r\n"


def test_what_upgrades_to_something_else_is_a_request() -> None:
    """`curl --http2` asks for h2c, which nothing here speaks: what follows on the connection is under the name too."""

    async def main() -> bytes:
        east = Upstream("east")
        async with east.serve(), fronted(east) as (front, _):
            await talk(front, b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n" + GET, answers=2)
        return east.got

    assert run_virtual(main).count(b"Host: api.example.com") == 2


def test_a_name_server_holds_no_answers_without_end() -> None:
    """Who asks over TCP and reads nothing is sent away."""

    async def main() -> bool:
        route53 = open_route53()
        pair(route53)
        query = write_query("api.example.com.")
        async with serve_names(route53.resolver) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            try:
                for _ in range(1_000):
                    writer.write((len(query).to_bytes(2) + query) * 1_000)
                    await writer.drain()
                    if reader.exception() is not None or writer.is_closing():
                        return True
            except ConnectionError:
                return True
            finally:
                writer.transport.abort()
        return False

    assert run_virtual(main)
