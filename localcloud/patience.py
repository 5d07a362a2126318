"""How long a server waits for who does not go on: a connection without a request, a head or a body that stops coming.

A client that opens connections and sends a byte now and then would hold them for ever. AWS's own load balancers close
what is idle for 350 seconds. Knows no request.
Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html (idle timeout)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

__all__ = ["IDLE_S", "STALL_S", "PatientServer", "next_chunk"]

IDLE_S: Final = 350.0  # of a connection between two requests
FIRST_S: Final = 60.0  # ours: from a connection to its first whole head
STALL_S: Final = 60.0  # ours: from one piece of a body to the next; S3 answers RequestTimeout after about as long

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class PatientServer(web.Server):
    """A server whose connections end where nothing comes of them."""

    def __init__(self, handler: Handler, **settings: Any) -> None:
        super().__init__(self._begin, keepalive_timeout=IDLE_S, **settings)
        self._answer = handler
        self._timers: dict[RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """A client has come, and has `FIRST_S` to ask for something."""
        super().connection_made(handler, transport)
        self._timers[handler] = asyncio.get_running_loop().call_later(FIRST_S, transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """It is gone."""
        self._let_be(handler)
        super().connection_lost(handler, exc)

    async def _begin(self, request: web.BaseRequest) -> web.StreamResponse:
        self._let_be(request.protocol)
        return await self._answer(request)

    def _let_be(self, handler: RequestHandler) -> None:
        timer = self._timers.pop(handler, None)
        if timer is not None:
            timer.cancel()


async def next_chunk(request: web.BaseRequest) -> bytes:
    """The next piece of a body, b"" at its end. Raises HTTPRequestTimeout where nothing comes."""
    try:
        async with asyncio.timeout(STALL_S):
            return await request.content.readany()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(headers={"connection": "close"}) from error
