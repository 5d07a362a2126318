"""The network of HTTP integrations: one request, one connection. Knows nothing of APIs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, InvalidURL, TCPConnector
from yarl import URL

from localcloud.gateway.message import decode_header
from localcloud.gateway.ports import HttpAnswer, HttpCall, HttpFailed

__all__ = ["send_http"]


async def send_http(call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
    """Send and wait for the whole answer, as it is: no redirection, no cookie, no decompression. Raises HttpFailed.

    The caller bounds the time.
    """
    try:
        async with _asking(call) as response:
            body = await _read(response, limit_bytes)
            headers = tuple((decode_header(name), decode_header(value)) for name, value in response.raw_headers)
            return HttpAnswer(response.status, headers, body)
    except (ClientError, InvalidURL, OSError, ValueError) as error:
        raise HttpFailed(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def _asking(call: HttpCall) -> AsyncGenerator[ClientResponse]:
    async with (
        ClientSession(
            connector=TCPConnector(force_close=True),
            timeout=ClientTimeout(total=None),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as session,
        session.request(
            call.method,
            URL(call.url, encoded=True),
            headers=call.headers,
            data=call.body or None,
            allow_redirects=False,
        ) as response,
    ):
        yield response


async def _read(response: ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise HttpFailed(f"the answer is larger than {limit_bytes} bytes")
    return bytes(body)
