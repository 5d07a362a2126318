"""A WebSocket client of one screen: text messages out, text messages in. RFC 6455, no extensions, no TLS options.

For replaying recorded messages from the command line; it owns no reconnect, no compression and no concurrency.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
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
_SWITCHING: Final = 101
_PROTOCOL_ERROR, _NO_CODE, _GONE, _NOT_TEXT, _TOO_BIG = 1002, 1005, 1006, 1007, 1009  # RFC 6455 section 7.4.1
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
        self._socket: socket.socket = raw
        self._buffer = b""
        try:
            if secure:
                self._socket = ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname or "")
            self._open(parts.netloc, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", headers)
        except (OSError, WebSocketRefused):
            self._socket.close()
            raise

    def _open(self, host: str, target: str, headers: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status, answered = self._read_head()
        accept = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
        if status != _SWITCHING or answered.get("sec-websocket-accept") != accept:
            message = f"the server answered {status} to the WebSocket handshake"
            raise WebSocketRefused(message, status=status)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers (lower-case names) of the answer to the handshake."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._receive()
            if len(self._buffer) > MAX_MESSAGE:
                message = "the server's answer to the handshake does not end"
                raise WebSocketRefused(message, status=_TOO_BIG)
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        found = re.match(r"HTTP/1\.[01] (\d{3})", first)
        if found is None:
            message = "the server does not speak HTTP"
            raise WebSocketRefused(message, status=_PROTOCOL_ERROR)
        pairs = (line.partition(":") for line in lines)
        return int(found[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def send(self, text: str) -> None:
        """Send one text message."""
        self._send_frame(_TEXT, text.encode())

    def receive(self) -> str:
        """The next text message.

        Raises WebSocketRefused when the server closes or sends what is no text message of 128 KB at most, TimeoutError
        when nothing comes.
        """
        message = b""
        while True:
            first, payload = self._read_frame(MAX_MESSAGE - len(message))
            opcode = first & 0x0F
            if opcode == _PING:
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else _NO_CODE
                text = f"the server closed the connection ({code})"
                raise WebSocketRefused(text, status=code)
            elif opcode != _PONG:
                message += payload
                if first & 0x80:
                    return _text(message)

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

    def _read_frame(self, most: int) -> tuple[int, bytes]:
        """The first byte and the payload, of at most `most` bytes, of the next frame."""
        first, second = self._take(2)
        if second & 0x80:
            message = "the server sent a masked frame"
            raise WebSocketRefused(message, status=_PROTOCOL_ERROR)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._take(8))[0]
        if size > most:
            message = f"the server sent a message of more than {MAX_MESSAGE} bytes"
            raise WebSocketRefused(message, status=_TOO_BIG)
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
            raise WebSocketRefused(message, status=_GONE)
        return data


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError as error:
        text = "the server sent a message that is no UTF-8 text"
        raise WebSocketRefused(text, status=_NOT_TEXT) from error
