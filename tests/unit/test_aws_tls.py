"""TLS of the wire client's connections: handshakes, records however they are cut, and ends of every kind."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sluiceway.aws import connection
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.s3 import S3
from sluiceway.aws.tls import Seal
from sluiceway.aws.wire import Wire
from sluiceway.errors import DeadlineExceeded, ServiceUnavailable
from tests.unit.wire_server import Received, always, answer, environ, raw_server

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself, with its key: the path of both."""
    folder = tmp_path_factory.mktemp("tls")
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(alternative, critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem) + secret)
    return folder / "both.pem"


def serving(certificate, version=ssl.TLSVersion.TLSv1_3):
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.minimum_version = context.maximum_version = version
    return context


def settings(server, certificate, **more):
    """Settings under which calls go to `server`, once each."""
    return environ(AWS_ENDPOINT_URL=server.url, AWS_CA_BUNDLE=str(certificate), AWS_MAX_ATTEMPTS="1", **more)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1, 7, 1000, 1_000_000])
def test_records_cut_anywhere_open_the_same(certificate, version, step):
    """Handshake, small and large data, and the peer's end, in pieces of any size."""
    seal = Seal(ssl.create_default_context(cafile=certificate), "127.0.0.1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = serving(certificate, version).wrap_bio(incoming, outgoing, server_side=True)

    def take(reader):
        """What the peer has sent, a step at a time."""
        data = outgoing.read()
        return [reader(data[at : at + step]) for at in range(0, len(data), step)]

    ready = seal.shake_hands()
    for _ in range(3):
        incoming.write(seal.to_send())
        with suppress(ssl.SSLWantReadError):
            peer.do_handshake()
        data = outgoing.read()
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            if ready:
                assert seal.open_up(piece) == b""  # session tickets
            else:
                ready = seal.shake_hands(piece)
    assert ready
    for blob in (b"a", b"hello" * 10, bytes(range(256)) * 300):
        incoming.write(seal.close_up(blob))
        said = b""
        while len(said) < len(blob):
            said += peer.read(100_000)
        assert said == blob
        peer.write(blob)
        assert b"".join(take(seal.open_up)) == blob
    assert not seal.ended
    with pytest.raises(ssl.SSLWantReadError):
        peer.unwrap()
    assert b"".join(take(seal.open_up)) == b""
    assert seal.ended


@pytest.mark.parametrize("version", VERSIONS)
async def test_large_bodies_both_ways(certificate, version):
    """Five megabytes up and down, byte for byte, over one connection."""
    blob = bytes(range(256)) * 20_000

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body=request.body))

    async with (
        raw_server(behave, tls=serving(certificate, version)) as server,
        Wire.open(settings(server, certificate)) as wire,
    ):
        for _ in range(2):
            assert (await wire.call(S3, "PutObject", blob, path="/b/k", method="PUT")).body == blob
        assert server.connections == 1


async def test_a_connection_that_the_peer_ended_is_replaced(certificate):
    """The server says goodbye to idle connections; the next call succeeds with one attempt."""
    async with (
        raw_server(always(answer()), tls=serving(certificate)) as server,
        Wire.open(settings(server, certificate)) as wire,
    ):
        for _ in range(3):
            await wire.call(DYNAMODB, "GetItem", {})
            server.drop()
        assert [request.connection for request in server.requests] == [1, 2, 3]


async def test_a_body_without_length_ends_with_the_connection(certificate):
    """The peer's goodbye is the end of the body."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with (
        raw_server(behave, tls=serving(certificate)) as server,
        Wire.open(settings(server, certificate)) as wire,
    ):
        assert (await wire.call(S3, "GetObject", path="/b/k", method="GET")).body == b"all of it"


async def test_a_reader_that_lags_holds_the_server_up(certificate, monkeypatch):
    """What arrives ahead of its reader is bounded: the server's writes wait."""
    monkeypatch.setattr(connection, "MAX_AHEAD_BYTES", 64 * 1024)
    blob, sent = b"x" * 1_000_000, 0

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
        for _ in range(30):
            writer.write(blob)
            await writer.drain()
            sent += 1

    async with (
        raw_server(behave, tls=serving(certificate)) as server,
        Wire.open(settings(server, certificate)) as wire,
        wire.stream(DYNAMODB, "GetItem", {}, path="/") as stream,
    ):
        size = len(await anext(stream))
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent < 29
        async for piece in stream:
            size += len(piece)
        assert (size, sent) == (30 * len(blob), 30)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["not TLS", "nothing"])
async def test_a_peer_that_does_not_shake_hands_is_an_outage(certificate, said):
    """It answers something else, or closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Wire.open(_pointed_at(port, certificate)) as wire:
        with pytest.raises(ServiceUnavailable) as caught:
            await wire.call(DYNAMODB, "GetItem", {})
        assert caught.value.code == "ConnectFailed"


async def test_the_deadline_covers_the_handshake(certificate):
    """A peer that accepts and says nothing: the call ends in time, and so does its connection."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _read(reader):
            pass
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Wire.open(_pointed_at(port, certificate)) as wire:
        with pytest.raises(DeadlineExceeded):
            await wire.call(DYNAMODB, "GetItem", {}, deadline=asyncio.get_running_loop().time() + 0.1)
        await asyncio.wait_for(ended.wait(), 5)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1000)
    except ConnectionError:
        return b""


def _pointed_at(port, certificate):
    return environ(AWS_ENDPOINT_URL=f"https://127.0.0.1:{port}", AWS_CA_BUNDLE=str(certificate), AWS_MAX_ATTEMPTS="1")
