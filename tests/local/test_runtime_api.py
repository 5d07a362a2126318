"""The Runtime API on a real socket: keep-alive, waiting, chunked bodies with trailers, large headers, nonsense."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from localcloud.compute.runtime_api import Event, RuntimeApi
from localcloud.compute.runtime_server import RuntimeServer

NEXT = "/2018-06-01/runtime/invocation/next"


def event(request_id: str = "r-1") -> Event:
    return Event(request_id=request_id, payload=b'{"n":1}', deadline_ms=1, function_arn="arn")


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[RuntimeApi, str]]:
    api = RuntimeApi()
    server = RuntimeServer(api)
    try:
        yield api, await server.open()
    finally:
        server.close()
        await server.wait_closed()


async def exchange(address: str, *parts: bytes) -> bytes:
    """Send raw bytes, part by part; what comes back until the peer closes or is silent."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        received = b""
        try:
            async with asyncio.timeout(0.5):
                while chunk := await reader.read(65536):
                    received += chunk
        except TimeoutError:
            pass
        return received
    finally:
        writer.close()


async def test_a_blocking_client_can_serve_invocations_over_one_connection() -> None:
    """next, response, next, error on one keep-alive connection of http.client."""
    seen: list[tuple[int, bytes]] = []

    def client(address: str) -> None:
        connection = http.client.HTTPConnection(address)
        for path in ("response", "error"):
            connection.request("GET", NEXT)
            reply = connection.getresponse()
            request_id = reply.headers["Lambda-Runtime-Aws-Request-Id"]
            seen.append((reply.status, reply.read()))
            headers = {"Lambda-Runtime-Function-XRay-Error-Cause": "x" * 1_000_000}
            connection.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/{path}", b'"out"', headers)
            reply = connection.getresponse()
            seen.append((reply.status, reply.read()))
        connection.close()

    async with serving() as (api, address):
        work = asyncio.create_task(asyncio.to_thread(client, address))
        await api.ready
        first = await api.offer(event("r-1"))
        second = await api.offer(event("r-2"))
        await work
    assert (first.payload, first.failed, second.payload, second.failed) == (b'"out"', False, b'"out"', True)
    assert seen == [(200, b'{"n":1}'), (202, b'{"status":"OK"}\n')] * 2


async def test_a_streamed_response_with_trailers() -> None:
    """Chunks are put together; error trailers after them fail the invocation."""
    async with serving() as (api, address):
        answer = api.offer(event())
        error = base64.b64encode(b'{"errorType":"E","errorMessage":"m"}')
        received = await exchange(
            address,
            f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\nHost: x\r\n"
            b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
            b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
            b"3\r\nabc\r\n",
            b"2\r\nde\r\n0\r\nLambda-Runtime-Function-Error-Type: E\r\n"
            b"Lambda-Runtime-Function-Error-Body: " + error + b"\r\n\r\n",
        )
    assert received.count(b"HTTP/1.1 200") == 1
    assert received.count(b"HTTP/1.1 202") == 1
    assert json.loads(answer.result().payload) == {"errorType": "E", "errorMessage": "m"}
    assert answer.result().error_type == "E"


async def test_a_streamed_response_without_error_is_its_bytes() -> None:
    """A client that streams to a caller that waits gets its bytes collected."""
    async with serving() as (api, address):
        answer = api.offer(event())
        await exchange(
            address,
            f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\nHost: x\r\n"
            b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
        assert answer.result().payload == b"abcde"


async def test_a_body_over_the_limit_is_413() -> None:
    """One byte more than the limit; the connection stays usable."""
    size = 6_291_557
    async with serving() as (api, address):
        answer = api.offer(event())
        received = await exchange(
            address,
            f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\nHost: x\r\n"
            + f"Content-Length: {size}\r\n\r\n".encode(),
            b"x" * size,
            f"GET {NEXT[:-4]}none HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        )
        assert answer.result().error_type == "Function.ResponseSizeTooLarge"
    assert b"HTTP/1.1 413" in received
    assert b"HTTP/1.1 404" in received


async def test_what_is_no_http_is_refused_and_closed() -> None:
    """400 and the end of the connection; the listener lives on."""
    async with serving() as (api, address):
        api.offer(event())
        assert (await exchange(address, b"hello there\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert b"HTTP/1.1 200" in await exchange(address, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n",
        b"Host: 127.0.0.1\r\nOrigin: http://localhost:3000\r\n",
        b"Host: 127.0.0.1\r\nReferer: http://127.0.0.1:8000/page\r\n",
        b"Host: 127.0.0.1\r\nSec-Fetch-Site: none\r\n",
        b"Host: evil.example\r\n",
    ],
    ids=["another site", "a local page", "an image", "an address typed", "a rebound name"],
)
async def test_a_browser_page_gets_no_event_and_answers_none(lines: bytes) -> None:
    """Only runtimes speak here: a page is refused at its head, whatever it sends, and nothing is settled by it."""
    async with serving() as (api, address):
        answer = api.offer(event())
        asked = await exchange(address, f"GET {NEXT} HTTP/1.1\r\n".encode() + lines + b"\r\n")
        post = b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\n" + lines
        told = await exchange(address, post + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n", b"{}")
        assert (asked[:12], told[:12]) == (b"HTTP/1.1 403", b"HTTP/1.1 403")
        assert b'{"n":1}' not in asked
        assert not answer.done()
        assert b'{"n":1}' in await exchange(address, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def test_a_head_request_is_answered_without_a_body() -> None:
    """It tells the length of what a GET would get, and the connection stays usable."""
    async with serving() as (_, address):
        head = b"HEAD /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
        received = await exchange(address, head, head.replace(b"HEAD", b"GET"))
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.count(b"content-length: 4") == 2
    assert received.count(b"pong") == 1


async def test_an_event_offered_after_the_waiter_left_reaches_the_next() -> None:
    """A client that gives up its `next` loses nothing."""
    async with serving() as (api, address):
        assert await exchange(address, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == b""
        api.offer(event())
        assert b'{"n":1}' in await exchange(address, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def test_expect_100_continue() -> None:
    """A client that asks before it sends its body is told to go on."""
    async with serving() as (api, address):
        api.offer(event())
        received = await exchange(
            address,
            f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n",
            b"{}",
        )
    assert b"HTTP/1.1 202" in received
