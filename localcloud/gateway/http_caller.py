"""The network of HTTP integrations: one request, one connection. Knows nothing of APIs.

Loopback is reached, unlike on AWS: there the developer's other servers are. Link-local addresses are not, as on AWS:
there a machine's own credentials are.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, InvalidURL, TCPConnector
from yarl import URL

from localcloud.gateway.message import decode_header
from localcloud.gateway.ports import HttpAnswer, HttpCall, HttpFailed

__all__ = ["MAX_CALLS", "HttpNetwork"]

MAX_CALLS: Final = 200  # ours, at once: an API that calls itself takes two descriptors of this process for each round
_METADATA: Final = ip_address("fd00:ec2::254")  # EC2's instance metadata, beside 169.254.169.254


class HttpNetwork:
    """The way out of one gateway: an `HttpCaller`."""

    def __init__(self) -> None:
        self._calls = 0

    async def __call__(self, call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        """Send and wait for the whole answer, as it is: no redirection, no cookie, no decompression. Raises HttpFailed.

        The caller bounds the time.
        """
        if self._calls >= MAX_CALLS:
            raise HttpFailed(f"there are {MAX_CALLS} calls of HTTP integrations already: does an API call itself?")
        self._calls += 1
        try:
            async with _asking(call) as response:
                body = await _read(response, limit_bytes)
                headers = tuple((decode_header(name), decode_header(value)) for name, value in response.raw_headers)
                return HttpAnswer(response.status, headers, body)
        except (ClientError, InvalidURL, OSError, ValueError) as error:
            raise HttpFailed(f"{type(error).__name__}: {error}") from error
        finally:
            self._calls -= 1


@asynccontextmanager
async def _asking(call: HttpCall) -> AsyncGenerator[ClientResponse]:
    async with (
        ClientSession(
            connector=TCPConnector(force_close=True, socket_factory=_open_socket),
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


def _open_socket(found: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that may be reached, whatever name led to it. Raises OSError for another."""
    family, kind, protocol, _, place = found
    address = ip_address(str(place[0]).partition("%")[0])
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_link_local or address == _METADATA:
        raise OSError(errno.ENETUNREACH, "link-local addresses are not reached")
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    return opened


async def _read(response: ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise HttpFailed(f"the answer is larger than {limit_bytes} bytes")
    return bytes(body)
