"""TLS of one connection, as bytes: sealed ones come in and open ones go out, and the other way round.

Owns an SSL object over two buffers in memory; must not know sockets. asyncio has TLS as a protocol and a transport
between the connection and its socket, with 256 KB for each and twice the calls: half of what TLS added to a request.
"""

from __future__ import annotations

import ssl
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["Seal", "make_context"]

READ_BYTES: Final = 64 * 1024  # at the most; one TLS record has 16 KB


class Seal:
    """The client's end of one TLS connection to `host`."""

    __slots__ = ("_incoming", "_object", "_outgoing", "ended")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.ended = False  # the peer has said that it sends no more

    def shake_hands(self, received: memoryview | bytes = b"") -> bool:
        """Go on with the handshake; whether it is done. Raises ssl.SSLError; `to_send` is due either way."""
        self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def close_up(self, data: bytes) -> bytes:
        """What goes out for `data`. Raises ssl.SSLError."""
        self._object.write(data)
        return self._outgoing.read()

    def open_up(self, received: memoryview | bytes) -> bytes:
        """What is in the bytes that came, b"" where it is nothing yet. Raises ssl.SSLError; `to_send` may be due."""
        self._incoming.write(received)
        opened: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                data = self._object.read(READ_BYTES)
                if not data:
                    self.ended = True
                    break
                opened.append(data)
        except ssl.SSLWantReadError:
            pass
        return opened[0] if len(opened) == 1 else b"".join(opened)

    def to_send(self) -> bytes:
        """What the protocol itself has to say, b"" where it is nothing."""
        return self._outgoing.read() if self._outgoing.pending else b""


def make_context(ca_bundle: str = "", *, what: str = "ca_bundle") -> ssl.SSLContext:
    """What a client verifies with: the certificates in the file `ca_bundle`, "" for the machine's. HTTP/1.1 is spoken.

    Raises: Misconfigured, naming `what`.
    """
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise Misconfigured(f"the certificates in {ca_bundle} cannot be read: {error}", what=what) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
