"""The WebSocket front: sockets in, handshakes and bytes to the gateway, frames out.

An API is at `ws://127.0.0.1:<port>/<api id>/<stage>`, and at `/<stage>` under the host name it has on AWS; an Event API
of AppSync at `/<api id>/event/realtime`, and at `/event/realtime` under its host name. The head of
the handshake is parsed by h11, frames by `frames` (API Gateway's limit on one frame is below what HTTP servers give).
Knows nothing of routes. Lifetime: `start` to `stop`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import socket
from http import HTTPStatus
from typing import Final, Protocol

import h11

from localcloud.gate import PASS_S, Gate
from localcloud.gateway.message import HttpRequest, decode_header
from localcloud.gateway.websocket.connection import Wire
from localcloud.gateway.websocket.gateway import Refused, WebSocketGateway
from localcloud.listening import HOST, Listener

__all__ = ["Carried", "OtherSockets", "WebSocketServer"]

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_URL_CHARS: Final = 4096  # length of the URL, the WebSocket quotas page
MAX_EARLY_BYTES: Final = 256 * 1024  # ours: what a client may send before its handshake is answered
HANDSHAKE_S: Final = 10.0  # ours: for the head of a request to come
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_AWS_HOST: Final = re.compile(r"([\w-]+)\.execute-api\.[\w-]+\.[\w.-]+(?::\d+)?", re.IGNORECASE)
_STATUSES: Final = frozenset(HTTPStatus)
_LOG: Final = logging.getLogger(__name__)


class Carried(Protocol):
    """A connection above a socket of this server."""

    def open(self, wire: Wire) -> None:
        """The handshake is answered."""
        ...

    def receive(self, data: bytes) -> None:
        """Bytes of the client."""
        ...

    def lost(self) -> None:
        """The socket is gone."""
        ...


class OtherSockets(Protocol):
    """Connections of another kind than a WebSocket API's, at addresses of their own."""

    subprotocol: str

    async def connect(self, handshake: HttpRequest) -> Carried | None:
        """A connection to be opened; None where the address is none of theirs."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class WebSocketServer:
    """Listens on loopback for a WebSocketGateway; `group` owns its handshakes, which wait at `gate`."""

    def __init__(
        self,
        gateway: WebSocketGateway,
        *,
        group: asyncio.TaskGroup,
        others: OtherSockets | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.gateway = gateway
        self.gate = gate or Gate()
        self.others = others
        self.group = group
        self.listener = Listener()
        self.port = 0

    async def start(self, port: int = 0, *, listener: socket.socket | None = None) -> int:
        """Listen; 0 takes a free port, `listener` is one that there is. Gives the port. Raises OSError: it is taken."""
        self.port = await self.listener.open(lambda: _Socket(self), port=port, listener=listener)
        return self.port

    async def stop(self) -> None:
        """Listen no more and cut every socket; the close frames that the gateway wrote are sent first."""
        self.gateway.close()
        if self.others is not None:
            self.others.close()
        self.listener.close()
        await self.listener.wait_closed()


class _Socket(asyncio.Protocol):
    """One client's socket: first HTTP, then frames. It is the Wire of its connection."""

    def __init__(self, server: WebSocketServer) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._connection: Carried | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._early = bytearray()
        self._is_lost = False

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_S, self.abort)
        self._server.listener.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_lost = True
        self._settle()
        self._server.listener.leave(self)
        if self._connection is not None:
            self._connection.lost()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.receive(data)
        elif self._handshake is not None:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES:
                self.abort()
        else:
            self._http.receive_data(data)
            self._read_head()

    def eof_received(self) -> bool:
        return False

    # ---- Wire

    def write(self, data: bytes) -> None:
        """Send, or buffer."""
        if self._transport is not None and not self._is_lost:
            self._transport.write(data)

    def buffered_bytes(self) -> int:
        """How much the client has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def finish(self) -> None:
        """Send what is buffered, then say that nothing follows."""
        if self._transport is not None and not self._is_lost and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None and not self._is_lost:
            self._transport.abort()

    def drop(self) -> None:
        """Close at once where everything is sent; cut a client that does not read."""
        if self._handshake is not None:
            self._handshake.cancel()
        if self.buffered_bytes():
            self.abort()
        else:
            self.close()

    # ---- the handshake

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _read_head(self) -> None:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._refuse(Refused(error.error_status_hint, b"Bad Request"))
            return
        if not isinstance(event, h11.Request):
            return
        self._settle()
        upgrade = _read_upgrade(event)
        if isinstance(upgrade, Refused):
            self._refuse(upgrade)
            return
        request = self._read_request(event)
        self._early += self._http.trailing_data[0]
        self._handshake = self._server.group.create_task(self._guard(request, key=upgrade))

    def _read_request(self, event: h11.Request) -> HttpRequest:
        target = event.target.decode("latin-1")
        path, _, query = target.partition("?")
        headers = tuple((decode_header(name), decode_header(value)) for name, value in event.headers.raw_items())
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        return HttpRequest("GET", path, query, headers, b"", source_ip=peer[0] if peer else HOST)

    async def _guard(self, request: HttpRequest, *, key: bytes) -> None:
        """Whatever goes wrong belongs to this client, never to the group."""
        try:
            await self._server.gate.wait(PASS_S)
            await self._shake(request, key=key)
        except Exception:  # noqa: BLE001 - the outermost edge of a handshake
            _LOG.exception("websocket.handshake_failed")
            self.abort()

    async def _shake(self, request: HttpRequest, *, key: bytes) -> None:
        others = self._server.others
        carried = await others.connect(request) if others is not None else None
        if others is not None and carried is not None:
            self._accept(carried, others.subprotocol, key=key)
            return
        api_id, stage = _address(request)
        result = await self._server.gateway.connect(api_id, stage, request)
        if isinstance(result, Refused):
            self._refuse(result)
            return
        self._accept(result.connection, result.subprotocol, key=key)

    def _accept(self, connection: Carried, subprotocol: str, *, key: bytes) -> None:
        digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"upgrade: websocket",
            b"connection: Upgrade",
            b"sec-websocket-accept: " + base64.b64encode(digest),
        ]
        if subprotocol:
            lines.append(b"sec-websocket-protocol: " + subprotocol.encode("latin-1", "replace"))
        self.write(b"\r\n".join([*lines, b"", b""]))
        self._connection = connection
        connection.open(self)
        if self._is_lost:
            connection.lost()
        elif self._early:
            connection.receive(bytes(self._early))
            self._early.clear()

    def _refuse(self, refused: Refused) -> None:
        headers = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in refused.headers.items() if value
        ]
        headers += [(b"content-length", str(len(refused.body)).encode()), (b"connection", b"close")]
        phrase = HTTPStatus(refused.status).phrase if refused.status in _STATUSES else ""
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self._settle()
        self.write(f"HTTP/1.1 {refused.status} {phrase}\r\n".encode() + head + b"\r\n" + refused.body)
        self.close()


def _read_upgrade(event: h11.Request) -> bytes | Refused:
    """The client's key. RFC 6455 4.2.1 says what else a handshake has."""
    headers = {bytes(name): bytes(value) for name, value in event.headers}
    tokens = {each.strip() for each in headers.get(b"connection", b"").lower().split(b",")}
    if len(event.target) > MAX_URL_CHARS:
        return Refused(414, b"URI Too Long")
    if headers.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in tokens:
        return Refused(426, b"Upgrade Required", {"upgrade": "websocket"})
    key = headers.get(b"sec-websocket-key", b"")
    if event.method != b"GET" or not key:
        return Refused(400, b"Bad Request")
    if headers.get(b"sec-websocket-version") != b"13":
        return Refused(426, b"Upgrade Required", {"sec-websocket-version": "13"})
    return key


def _address(request: HttpRequest) -> tuple[str, str]:
    """API id and stage of a path."""
    named = _AWS_HOST.fullmatch(request.header("host") or "")
    parts = [part for part in request.path.split("/") if part]
    if named is not None:
        parts.insert(0, named[1])
    api_id, stage = (*parts, "", "")[:2]
    return (api_id, stage) if len(parts) == 2 else ("", "")
