"""A WebSocket client of one screen: text messages out, text messages in. RFC 6455, no extensions, no TLS options.

For replaying recorded messages from the command line; it owns no reconnect, no compression and no concurrency.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

__all__ = ["WebSocket", "WebSocketRefused"]

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
MAX_MESSAGE: Final = 131_072  # API Gateway's payload quota, 128 KB


class WebSocketRefused(Exception):
    """The server did not open the connection, or closed it; `status` is the HTTP status or the close code."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class WebSocket:
    """One open connection; a context manager that closes it."""

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        raw = socket.create_connection((parts.hostname or "", port), timeout=timeout_s)
        host = parts.hostname or ""
        self._socket = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
        self._buffer = b""
        self._open(parts.netloc, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", headers)

    def _open(self, host: str, target: str, headers: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._receive()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status = int(head.split(b" ", 2)[1])
        accept = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest())
        if status != 101 or b"sec-websocket-accept: " + accept.lower() not in head.lower():
            message = f"the server answered {status} to the WebSocket handshake"
            raise WebSocketRefused(message, status=status)

    def send(self, text: str) -> None:
        """Send one text message."""
        self._send_frame(_TEXT, text.encode())

    def receive(self) -> str:
        """The next text message. Raises WebSocketRefused when the server closes, TimeoutError when nothing comes."""
        message = b""
        while True:
            first, payload = self._read_frame()
            opcode = first & 0x0F
            if opcode == _PING:
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                text = f"the server closed the connection ({code})"
                raise WebSocketRefused(text, status=code)
            elif opcode != _PONG:
                message += payload
                if first & 0x80:
                    return message.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # already gone: closing twice is fine
            self._send_frame(_CLOSE, struct.pack("!H", 1000))
        self._socket.close()

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(head + mask + masked)

    def _read_frame(self) -> tuple[int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._take(8))[0]
        if size > MAX_MESSAGE:
            message = f"the server sent a frame of {size} bytes, more than {MAX_MESSAGE}"
            raise WebSocketRefused(message, status=1009)
        return first, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            message = "the server closed the connection without a word"
            raise WebSocketRefused(message, status=1006)
        return data
