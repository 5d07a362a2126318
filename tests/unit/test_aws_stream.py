"""Answers read as they arrive: piece by piece, closed at once when nobody reads on, never half-read into a pool."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.aws import connection, http
from sluiceway.aws.bedrock import BEDROCK_RUNTIME
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.wire import Outside, Wire
from sluiceway.errors import DeadlineExceeded, ServiceMisconfigured, ServiceRefused, ServiceUnavailable
from tests.unit.wire_server import MemoryNetwork, Received, answer, environ, raw_server, refuse

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amzn-requestid: r1\r\n\r\n"
END = b"0\r\n\r\n"


async def no_pause(_seconds: float) -> None:
    """Retries without their pauses."""


QUICK = Outside(sleep=no_pause)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def open_stream(wire: Wire, **options):
    return wire.stream(BEDROCK_RUNTIME, "ConverseStream", {"a": 1}, path="/model/m/converse-stream", **options)


class Generation:
    """A server that sends what it is told to, and sees when its client goes away."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()

    async def behave(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target != "/model/m/converse-stream":
            writer.write(answer())
            return
        writer.write(HEAD)
        try:
            while True:
                piece = await self.pieces.get()
                writer.write(piece)
                await writer.drain()
                if piece.endswith(END):
                    return
        finally:
            self.gone.set()


async def test_pieces_come_as_they_are_sent():
    """Each piece is read before the next is made; after the last the connection serves another call."""
    made = Generation()
    async with raw_server(made.behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with open_stream(wire) as stream:
            assert stream.headers["x-amzn-requestid"] == "r1"
            for word in (b"one", b"two"):
                made.pieces.put_nowait(chunk(word))
                assert await anext(stream) == word
            made.pieces.put_nowait(END)
            assert [piece async for piece in stream] == []
        await wire.call(DYNAMODB, "GetItem", {})
        assert [request.connection for request in server.requests] == [1, 1]


@pytest.mark.parametrize("cut", range(0, 36, 3))
async def test_a_piece_cut_at_any_byte_is_read_the_same(cut):
    """Chunks torn by the network add up to the same body."""
    body = chunk(b"hello") + chunk(b"world!") + END

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        whole = HEAD + body
        writer.write(whole[: len(HEAD) - 10 + cut])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(whole[len(HEAD) - 10 + cut :])

    async with (
        raw_server(behave) as server,
        Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire,
        open_stream(wire) as stream,
    ):
        assert b"".join([piece async for piece in stream]) == b"helloworld!"


@pytest.mark.parametrize("leave", ["break", "error", "cancel"])
async def test_leaving_closes_the_upstream_at_once(leave):
    """Break, error or cancellation: the server sees the end, and the connection is never used again."""
    made = Generation()
    reading = asyncio.Event()

    async def read(wire: Wire) -> None:
        async with open_stream(wire) as stream:
            async for _ in stream:
                reading.set()
                if leave == "break":
                    break
                if leave == "error":
                    raise KeyError

    async with raw_server(made.behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        made.pieces.put_nowait(chunk(b"first"))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.wait_for(swallow(read(wire)), 5))
            await reading.wait()
            if leave == "cancel":
                task.cancel()
        async with asyncio.timeout(5):
            while not made.gone.is_set():
                made.pieces.put_nowait(chunk(b"more"))
                await asyncio.sleep(0)
        await wire.call(DYNAMODB, "GetItem", {})
        assert [request.connection for request in server.requests] == [1, 2]
        assert [pool._lent for pool in wire._pools.values()] == [set()]


async def swallow(work) -> None:
    """Run `work`, whose KeyError is expected."""
    try:
        await work
    except KeyError:
        return


async def test_a_body_that_breaks_off_is_an_outage():
    """What came before is delivered; then the error says what happened, once and for all."""

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"half"))
        writer.close()

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with open_stream(wire) as stream:
            assert await anext(stream) == b"half"
            for _ in range(2):
                with pytest.raises(ServiceUnavailable) as caught:
                    await anext(stream)
                assert (caught.value.code, caught.value.operation) == ("ConnectionClosed", "ConverseStream")
        assert len(server.requests) == 1


def test_a_stalled_body_is_an_outage_after_the_idle_time():
    """Silence between two pieces is bounded by `idle_s`, not by the time a model may think before the first."""
    network = MemoryNetwork([HEAD + chunk(b"a")])

    async def main():
        loop = asyncio.get_running_loop()
        async with (
            Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire,
            open_stream(wire, idle_s=15.0) as stream,
        ):
            assert await anext(stream) == b"a"
            await asyncio.sleep(100)  # a slow reader is not a stalled server
            began = loop.time()
            with pytest.raises(ServiceUnavailable) as caught:
                await anext(stream)
            assert (caught.value.code, loop.time() - began) == ("TimedOut", 15.0)

    network.run(main)


def test_the_deadline_covers_the_body():
    """A body that drips past the deadline ends there."""
    network = MemoryNetwork([HEAD])

    async def main():
        loop = asyncio.get_running_loop()
        async with (
            Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire,
            open_stream(wire, deadline=loop.time() + 40) as stream,
        ):
            loop.call_later(30, network.transports[0].deliver, chunk(b"a"))
            assert await anext(stream) == b"a"
            with pytest.raises(DeadlineExceeded):
                await anext(stream)
            assert loop.time() == 40

    network.run(main)


@pytest.mark.parametrize("failure", [refuse(429, "ThrottlingException"), answer(503, b""), ConnectionResetError("x")])
def test_before_the_head_it_is_retried_as_a_call_is(failure):
    """A refusal or a broken connection before the body costs an attempt, no more."""
    network = MemoryNetwork([failure, failure, HEAD + chunk(b"ok") + END])

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire, open_stream(wire) as stream:
            return [piece async for piece in stream]

    assert network.run(main) == [b"ok"]
    assert len(network.requests) == 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refuse(400, "ValidationException"), ServiceRefused),
        (refuse(403, "AccessDeniedException"), ServiceMisconfigured),
        (refuse(429, "ThrottlingException"), ServiceUnavailable),
    ],
)
def test_a_refusal_is_the_same_error_as_a_calls(reply, error):
    """By whose fault it is, with its code; the connection that carried it is kept."""
    network = MemoryNetwork([reply, reply, reply])

    async def main():
        async with Wire.open(environ(AWS_ENDPOINT_URL="http://cloud.test")) as wire:
            with pytest.raises(error) as caught:
                async with open_stream(wire):
                    pass
            assert caught.value.operation == "ConverseStream"

    network.run(main)
    assert len(network.transports) == 1


async def test_a_kept_connection_that_has_ended_is_replaced():
    """A stale connection costs a stream no attempt."""
    made = Generation()
    async with raw_server(made.behave) as server:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url, AWS_MAX_ATTEMPTS="1")) as wire:
            await wire.call(DYNAMODB, "GetItem", {})
            server.drop()
            made.pieces.put_nowait(chunk(b"x") + END)
            async with open_stream(wire) as stream:
                assert [piece async for piece in stream] == [b"x"]
        assert [request.connection for request in server.requests] == [1, 2]


async def test_a_reader_that_lags_holds_the_server_up(monkeypatch):
    """What arrives ahead of its reader is bounded: the server's writes wait."""
    monkeypatch.setattr(connection, "MAX_AHEAD_BYTES", 64 * 1024)
    blob = b"x" * 1_000_000
    sent = 0

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD)
        for _ in range(30):
            writer.write(chunk(blob))
            await writer.drain()
            sent += 1
        writer.write(END)

    async with raw_server(behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with open_stream(wire) as stream:
            size = len(await anext(stream))
            for _ in range(200):
                await asyncio.sleep(0)
            assert sent < 29
            async for piece in stream:
                size += len(piece)
        assert size == 30 * len(blob)
        assert sent == 30


async def test_streams_leave_their_place_to_calls(monkeypatch):
    """More streams than the pool has places, and calls beside them: nobody waits for a stream to end."""
    monkeypatch.setattr(http.Pool.__init__, "__kwdefaults__", {"max_connections": 2})
    made = Generation()
    async with raw_server(made.behave) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        async with open_stream(wire) as a, open_stream(wire) as b, open_stream(wire) as c:
            async with asyncio.timeout(5):
                await wire.call(DYNAMODB, "GetItem", {})
            for _ in range(3):
                made.pieces.put_nowait(chunk(b"x") + END)
            for stream in (a, b, c):
                assert [piece async for piece in stream] == [b"x"]
        for _ in range(4):
            await wire.call(DYNAMODB, "GetItem", {})
        assert server.connections == 4
        (pool,) = wire._pools.values()
        assert (len(pool._open), len(pool._idle), pool._lent) == (2, 2, set())


async def test_closing_the_wire_ends_its_streams():
    """A lifespan that ends takes its streams with it."""
    made = Generation()
    made.pieces.put_nowait(chunk(b"x"))
    async with raw_server(made.behave) as server:
        async with Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
            context = open_stream(wire)
            stream = await context.__aenter__()
            await anext(stream)
        with pytest.raises(ServiceUnavailable):
            await anext(stream)
        await context.__aexit__(None, None, None)
