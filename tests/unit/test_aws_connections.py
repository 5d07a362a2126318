"""Connections over real sockets: kept alive, replaced when stale, never shared half-read."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sluiceway.aws import connection, http
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.s3 import S3
from sluiceway.aws.wire import Outside, Wire
from sluiceway.errors import DeadlineExceeded, Misconfigured, ServiceUnavailable
from tests.unit.wire_server import Received, always, answer, environ, raw_server


async def no_pause(_seconds: float) -> None:
    """Retries without their pauses."""


QUICK = Outside(sleep=no_pause)


async def test_three_calls_one_after_the_other_share_one_connection():
    """Keep-alive: one handshake serves them all."""
    async with raw_server(always(answer())) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        for _ in range(3):
            assert (await wire.call(DYNAMODB, "GetItem", {})).json() == {}
        assert [request.connection for request in server.requests] == [1, 1, 1]


async def test_services_behind_one_address_share_connections():
    """The pool is the origin's, not the service's."""
    async with raw_server(always(answer())) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        await wire.call(DYNAMODB, "GetItem", {})
        await wire.call(S3, "GetObject", path="/b/k", method="GET")
        assert server.connections == 1


async def test_connection_close_is_obeyed():
    """After `connection: close` the next call makes a connection of its own."""
    async with (
        raw_server(always(answer(Connection="close"))) as server,
        Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire,
    ):
        await wire.call(DYNAMODB, "GetItem", {})
        await wire.call(DYNAMODB, "GetItem", {})
        assert [request.connection for request in server.requests] == [1, 2]


async def test_a_stale_connection_is_replaced_without_spending_an_attempt():
    """The server closes idle connections; the next call notices and succeeds even where retries are off."""
    environment = environ(AWS_MAX_ATTEMPTS="1")
    async with raw_server(always(answer())) as server:
        environment["AWS_ENDPOINT_URL"] = server.url
        async with Wire.open(environment) as wire:
            for _ in range(3):
                await wire.call(DYNAMODB, "GetItem", {})
                server.drop()
            assert [request.connection for request in server.requests] == [1, 2, 3]


async def test_a_connection_idle_for_long_is_looked_at_before_use(monkeypatch):
    """Its end may sit unread in the socket, as after a frozen environment thaws: the request goes to a fresh one."""
    monkeypatch.setattr(connection, "WARY_AFTER_S", -1.0)
    async with raw_server(always(answer())) as server:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url, AWS_MAX_ATTEMPTS="1")) as wire:
            await wire.call(DYNAMODB, "GetItem", {})
            server.drop()
            await wire.call(DYNAMODB, "GetItem", {})
        assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_idle_for_too_long_is_not_used(monkeypatch):
    """Beyond MAX_IDLE_S nobody asks whether it still serves."""
    monkeypatch.setattr(http, "MAX_IDLE_S", -1.0)
    async with raw_server(always(answer())) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        for _ in range(3):
            await wire.call(DYNAMODB, "GetItem", {})
        assert server.connections == 3


async def test_a_connection_that_ends_as_the_request_goes_out_is_replaced():
    """The server takes a request on a kept-alive connection and closes without a byte of reply."""

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            writer.close()
        else:
            writer.write(answer())

    async with raw_server(behave) as server:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url, AWS_MAX_ATTEMPTS="1")) as wire:
            await wire.call(DYNAMODB, "GetItem", {})
            await wire.call(DYNAMODB, "GetItem", {})
        assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_a_new_connection_that_ends_without_a_reply_is_an_error():
    """Only kept-alive connections are replaced for nothing: else a dying server would be asked for ever."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url), outside=QUICK) as wire:
        with pytest.raises(ServiceUnavailable) as caught:
            await wire.call(DYNAMODB, "GetItem", {})
        assert (caught.value.code, caught.value.status, len(server.requests)) == ("ConnectionClosed", 0, 4)


@pytest.mark.parametrize(
    "cut", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"HTTP/1.1 200", answer(transfer_encoding="x")]
)
async def test_a_cut_or_malformed_reply_is_tried_again(cut):
    """A truncated head or body is never handed to the caller; the next attempt gets a fresh connection."""

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.connection == 1:
            writer.write(cut)
            writer.close()
        else:
            writer.write(answer())

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url), outside=QUICK) as wire:
        assert (await wire.call(DYNAMODB, "GetItem", {})).body == b"{}"
        assert [request.connection for request in server.requests] == [1, 2]


async def test_a_half_closed_connection_still_delivers_its_reply():
    """A body that ends with the connection arrives whole, and the connection is not used again."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        writer.write_eof()

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        for _ in range(2):
            assert (await wire.call(DYNAMODB, "GetItem", {})).body == b"{}"
        assert server.connections == 2


async def test_large_bodies_both_ways():
    """Five megabytes up and down, byte for byte, over one connection."""
    blob = bytes(range(256)) * 20_000

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body=request.body))

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        for _ in range(2):
            reply = await wire.call(S3, "PutObject", blob, path="/b/k", method="PUT")
            assert reply.body == blob
        assert server.connections == 1


async def test_a_cancelled_call_leaves_no_half_read_connection():
    """The call is cancelled with its reply under way; the next call never reads the rest of that reply."""
    came = asyncio.Event()
    go_on = asyncio.Event()

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
            came.set()
            await go_on.wait()
            writer.write(b'{"wrong":1}')
        else:
            writer.write(answer(body=b'{"right":1}'))

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(wire.call(DYNAMODB, "GetItem", {}))
            await came.wait()
            first.cancel()
        go_on.set()
        assert (await wire.call(DYNAMODB, "GetItem", {})).json() == {"right": 1}
        assert [request.connection for request in server.requests] == [1, 2]


async def test_a_deadline_ends_the_call_and_its_connection():
    """A silent server costs no more than the deadline, and its late reply reaches nobody."""
    go_on = asyncio.Event()

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            await go_on.wait()
        writer.write(answer())

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        loop = asyncio.get_running_loop()
        with pytest.raises(DeadlineExceeded):
            await wire.call(DYNAMODB, "GetItem", {}, deadline=loop.time() + 0.05)
        go_on.set()
        await wire.call(DYNAMODB, "GetItem", {}, deadline=loop.time() + 5)
        assert [request.connection for request in server.requests] == [1, 2]


async def test_connections_are_bounded_and_handed_on(monkeypatch):
    """Ten calls at once through two connections: all succeed, none waits for ever, two are made."""
    monkeypatch.setattr(http.Pool.__init__, "__kwdefaults__", {"max_connections": 2})

    async with raw_server(always(answer())) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(wire.call(DYNAMODB, "GetItem", {})) for _ in range(10)]
        assert [call.result().body for call in calls] == [b"{}"] * 10
        assert server.connections == 2


async def test_cancelled_waiters_lose_no_connection(monkeypatch):
    """Calls that are cancelled while they wait for the only connection leave it usable for the rest."""
    monkeypatch.setattr(http.Pool.__init__, "__kwdefaults__", {"max_connections": 1})

    async with raw_server(always(answer())) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        for cancel_after in range(12):
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(wire.call(DYNAMODB, "GetItem", {})) for _ in range(6)]
                for _ in range(cancel_after):
                    await asyncio.sleep(0)
                for call in calls[::2]:
                    call.cancel()
            assert [call.result().body for call in calls[1::2]] == [b"{}"] * 3


async def test_nobody_listens():
    """A refused connection is tried again, then reported as what it is."""
    async with raw_server(always(answer())) as server:
        url = server.url
    async with Wire.open(environ(AWS_ENDPOINT_URL=url), outside=QUICK) as wire:
        with pytest.raises(ServiceUnavailable) as caught:
            await wire.call(DYNAMODB, "GetItem", {})
        assert (caught.value.code, caught.value.service, caught.value.operation) == (
            "ConnectFailed",
            "dynamodb",
            "GetItem",
        )


async def test_close_ends_every_connection():
    """Leaving the Wire closes its sockets."""
    async with raw_server(always(answer())) as server:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
            await wire.call(DYNAMODB, "GetItem", {})
        writer = server._writers[0]
        await asyncio.wait_for(writer.wait_closed(), 5)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The path of a CA's certificate and a server context for 127.0.0.1 that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)

    def certify(name, key, issuer, signer, extensions):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(signer, hashes.SHA256())

    def name_of(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = certify(
        name_of("ca"),
        ca_key,
        name_of("ca"),
        ca_key,
        [(x509.BasicConstraints(True, 0), True), (ca_usage, True), (ca_id, False)],
    )
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    leaf = certify(name_of("server"), key, name_of("ca"), ca_key, [(alternative, False), (authority, False)])
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "ca.pem", context


async def test_tls_with_a_certificate_bundle(certificates):
    """AWS_CA_BUNDLE names whom to trust; calls share the TLS connection, large bodies included."""
    bundle, context = certificates
    blob = b"x" * 300_000

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body=request.body))

    async with (
        raw_server(behave, tls=context) as server,
        Wire.open(environ(AWS_ENDPOINT_URL=server.url, AWS_CA_BUNDLE=str(bundle))) as wire,
    ):
        for _ in range(3):
            assert (await wire.call(S3, "PutObject", blob, path="/b/k", method="PUT")).body == blob
        assert server.connections == 1


async def test_tls_refuses_a_stranger(certificates):
    """A certificate that nobody vouches for is a deployment error, at the first attempt."""
    _, context = certificates
    async with (
        raw_server(always(answer()), tls=context) as server,
        Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire,
    ):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the handshake
        with pytest.raises(Misconfigured) as caught:
            await wire.call(DYNAMODB, "GetItem", {})
        assert (caught.value.what, server.requests) == ("AWS_CA_BUNDLE", [])


async def test_tls_checks_the_host_name(certificates):
    """The certificate is for 127.0.0.1: `localhost` is somebody else."""
    bundle, context = certificates
    async with raw_server(always(answer()), tls=context) as server:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        url = server.url.replace("127.0.0.1", "localhost")
        async with Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_CA_BUNDLE=str(bundle))) as wire:
            with pytest.raises(Misconfigured):
                await wire.call(DYNAMODB, "GetItem", {})


async def test_a_missing_bundle_is_named():
    """AWS_CA_BUNDLE must be readable."""
    async with Wire.open(environ(AWS_ENDPOINT_URL="https://127.0.0.1:9", AWS_CA_BUNDLE="/nonexistent/ca.pem")) as wire:
        with pytest.raises(Misconfigured) as caught:
            await wire.call(DYNAMODB, "GetItem", {})
        assert caught.value.what == "AWS_CA_BUNDLE"
