"""AWS requests passed on to another process of the same local cloud, as they came, and their answers brought back.

Knows addresses, not who may call: IAM was asked where a request came in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientConnectionError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from localcloud.services.contract import NoAnswer, WireRequest, WireResponse

__all__ = ["FROM_HEADER", "Forwarder", "open_forwarder"]

FROM_HEADER: Final = "x-sluiceway-region"  # the Region whose cloud passed the request on
CONNECT_S: Final = 5.0  # a stopped process still has a listener until its backlog is full
_NOT_PASSED_ON: Final = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "transfer-encoding", "upgrade", FROM_HEADER)
)


class Forwarder:
    """Passes requests on. `region` is that of this process, "" for none."""

    def __init__(self, session: ClientSession, region: str) -> None:
        self._session = session
        self._region = region

    async def send(self, address: str, request: WireRequest) -> WireResponse:
        """The answer of the AWS port at `address` (`http://127.0.0.1:4610`). Raises NoAnswer."""
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        if self._region:
            headers[FROM_HEADER] = self._region
        target = request.path + (f"?{request.query}" if request.query else "")
        try:
            response = await self._session.request(
                request.method,
                URL(address + target, encoded=True),
                data=request.body,
                headers=headers,
                allow_redirects=False,
            )
        except (ClientConnectionError, TimeoutError) as error:
            raise NoAnswer(f"{request.region} gave no answer") from error
        if _is_whole(response):
            try:
                body = await response.read()
            except (ClientConnectionError, TimeoutError) as error:
                raise NoAnswer(f"{request.region} broke off its answer") from error
            return WireResponse(response.status, body, _headers_of(response))
        return WireResponse(response.status, _chunks(response), _headers_of(response))


@asynccontextmanager
async def open_forwarder(region: str) -> AsyncGenerator[Forwarder]:
    """A forwarder for the length of the block."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_S)  # for how long to wait is the caller's to say
    async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        yield Forwarder(session, region)


def _is_whole(response: ClientResponse) -> bool:
    """Whether the answer says its length; what does not is streamed."""
    return "content-length" in response.headers


def _headers_of(response: ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items() if name.lower() not in _NOT_PASSED_ON}


async def _chunks(response: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    finally:
        response.close()
