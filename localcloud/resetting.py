"""A reset over HTTP: `POST /_sluiceway/reset` at the AWS port, answered once the cloud is as right after its start.

A reset closes every connection, that of its own caller too; so its socket is taken over before, and answered by hand.
`GET` says nothing and changes nothing: 405. Where a cloud cannot be reset, 409 says why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Any, Final

from aiohttp import web

from localcloud.front import OWN_PATHS, Answer
from localcloud.http_server import read_body
from localcloud.sites import is_from_page

__all__ = ["RESET_PATH", "SHARED", "ResetControl", "refuse_reset"]

RESET_PATH: Final = f"{OWN_PATHS}reset"
SHARED: Final = (
    "a local cloud of several Regions is not reset: they share tables, names and the epochs of failovers; "
    "`sluiceway down`, and `up` again"
)
_MAX_BODY_BYTES: Final = 1024
_LOG: Final = logging.getLogger(__name__)


class ResetControl:
    """Answers at its path. `reset` comes back when it is done; `group` owns the answers that wait for it.

    `why_ended` says what became of a cloud that did not come back.
    """

    def __init__(
        self, reset: Callable[[], Awaitable[object]], group: asyncio.TaskGroup, *, why_ended: Callable[[], str]
    ) -> None:
        self._reset = reset
        self._group = group
        self._why_ended = why_ended
        self.is_ready = False
        """Whether there is a cloud that can be reset: not before the first has been deployed."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors are `{"error": ...}`."""
        refusal = await _refuse(request)
        if refusal is not None:
            return refusal
        if not self.is_ready:
            return _say(409, "the local cloud is still starting")
        caller = _take_over(request)
        if caller is None:
            return _say(409, "a reset is asked for without TLS")
        self._group.create_task(self._reset_for(caller))
        await asyncio.Event().wait()  # until the reset ends this connection here
        return web.Response()

    async def _reset_for(self, caller: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        began, told = loop.time(), b""
        with closing(caller):
            try:
                await self._reset()
                told = _write(200, {"reset_ms": round((loop.time() - began) * 1000, 1)})
            except Exception:  # noqa: BLE001 - the cloud has ended, and its own end says over what
                _LOG.info("reset.failed")
            finally:
                with suppress(OSError):  # the caller is gone
                    caller.send(told or _write(500, {"error": self._why_ended()}))


def refuse_reset(reason: str) -> Answer:
    """What answers in the place of a control where a cloud cannot be reset."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await _refuse(request) or _say(409, reason)

    return answer


async def _refuse(request: web.BaseRequest) -> web.Response | None:
    if is_from_page({name.lower(): value for name, value in request.headers.items()}):
        return _say(403, "no web page may reset the local cloud")
    if request.path != RESET_PATH:
        return _say(404, f"there is no {request.method} {request.path}")
    if request.method != "POST":
        answer = _say(405, f"{RESET_PATH} takes POST")
        answer.headers["Allow"] = "POST"
        return answer
    if await read_body(request, _MAX_BODY_BYTES) is None:
        return _say(413, f"a reset takes nothing; a body has {_MAX_BODY_BYTES} bytes at most")
    return None


def _say(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)


def _take_over(request: web.BaseRequest) -> socket.socket | None:
    """The connection of a request as a socket of our own, which stays when the server closes its.

    None where it is gone, and where it is one by TLS, which only the server can write to.
    """
    transport = request.transport
    if transport is None or transport.get_extra_info("ssl_object") is not None:
        return None
    own = transport.get_extra_info("socket")
    return own.dup() if own is not None and own.fileno() >= 0 else None


def _write(status: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    phrase = "OK" if status == 200 else "Internal Server Error"
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text
