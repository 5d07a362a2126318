"""A stand-in for AWS that costs next to nothing: fixed answers, in a process of its own.

`Server` starts it and stops it. It reads requests just well enough to know where they end.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import json
import ssl
import subprocess
import sys
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

ITEM = {
    "Item": {
        "job_id": {"S": "b0e2a1d8-8a51-4c8e-9d2e-0f6d5a7f6f11"},
        "state": {"S": "running"},
        "attempt": {"N": "2"},
        "owner": {"S": "user-17"},
        "updated_ms": {"N": "1795392000123"},
        "result": {"M": {"text": {"S": "The Danube, the Rhine and the Elbe. " * 8}}},
    }
}


SENT = {
    "MessageId": "219f8380-5770-4cc2-8c3e-5c715e145f5e",
    "MD5OfMessageBody": hashlib.md5(b"b0e2a1d8-8a51-4c8e-9d2e-0f6d5a7f6f11 is running").hexdigest(),
}


def _answer(document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 3TLJ1PMGJ4PEV1T9CTVCF6D5ENVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        f"x-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
    )
    return head.encode() + body


GET, PUT, SEND = _answer(ITEM), _answer({}), _answer(SENT)
POSTED = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: 0\r\nConnection: keep-alive\r\n"
    b"x-amzn-RequestId: 3f3a4b61-2c53-4b0f-8c1e-0e0a6f0f8a55\r\nx-amz-apigw-id: L0SM9GFOFiAFVqg=\r\n\r\n"
)


def _choose(head: bytes) -> bytes:
    if b".getitem" in head:
        return GET
    if b"@connections" in head or b"%40connections" in head:
        return POSTED
    return SEND if b".sendmessage" in head else PUT


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(buffer) < end + 4 + length:
                break
            self.transport.write(_choose(head))  # type: ignore[attr-defined]
            buffer = buffer[end + 4 + length :]
        self.buffer = buffer


async def serve(folder: str) -> None:
    """Serve plain on two ports and TLS on two more; print them, then run until stdin closes."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "server.pem"))
    servers = [await loop.create_server(Answering, "127.0.0.1", 0, ssl=tls) for tls in (None, None, context, context)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Server:
    """The stand-in's process; `url` and `tls_url` reach it, `ca` is the certificate to trust.

    `other_url` and `other_tls_url` reach it too: at AWS, each service has an address of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        write_certificate(folder)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        plain, other_plain, secure, other_secure = json.loads(self._process.stdout.readline())
        self.url, self.tls_url = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}"
        self.other_url, self.other_tls_url = f"http://127.0.0.1:{other_plain}", f"https://127.0.0.1:{other_secure}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def write_certificate(folder: Path) -> None:
    """`ca.pem`, a certificate that signs itself, and `server.pem`, the same with its key."""
    from cryptography import x509  # noqa: PLC0415 - a worker on another interpreter has not got it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - the same
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - the same

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(public)
    (folder / "server.pem").write_bytes(public + secret)


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        runner.run(serve(sys.argv[1]))
