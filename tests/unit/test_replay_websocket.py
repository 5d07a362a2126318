"""The WebSocket client against a real server (aiohttp) and against one that breaks the protocol on purpose."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web

from localcloud.replay.websocket import MAX_MESSAGE, WebSocket, WebSocketRefused

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMEOUT_S = 10.0
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _aiohttp(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v1", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _raw(talk: Talk, *, answer: Callable[[str], str] | None = None) -> AsyncIterator[str]:
    """A server that answers the handshake (or as `answer(key)` says) and then talks as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
            writer.write((answer or _accept)(key).encode())
            await talk(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _accept(key: str) -> str:
    digest = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    return f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {digest}\r\n\r\n"


def _frame(payload: bytes, *, opcode: int = 1, last: bool = True) -> bytes:
    head = bytes([(0x80 if last else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


async def _receive(url: str) -> str:
    def receive() -> str:
        with WebSocket(url, headers={}, timeout_s=TIMEOUT_S) as client:
            return client.receive()

    return await asyncio.to_thread(receive)


async def _refused(url: str) -> tuple[int, str]:
    with pytest.raises(WebSocketRefused) as refused:
        await _receive(url)
    return refused.value.status, str(refused.value)


async def _silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing and close."""


def _saying(*frames: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(frames)
        await writer.drain()
        await reader.read(1)  # until the client has had enough

    return talk


# ---------------------------------------------------------------- a conversation


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
async def test_text_goes_both_ways_at_every_length_of_a_frame(size: int) -> None:
    """All three forms of a frame's length, masked on the way out; a real server takes them and sends them back."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            await socket.send_str(message.data)
        return socket

    text = "é" * (size // 2) + "x" * (size % 2)

    def talk(url: str) -> list[str]:
        with WebSocket(url, headers={}, timeout_s=TIMEOUT_S) as client:
            client.send(text)
            first = client.receive()
            client.send("again")
            return [first, client.receive()]

    async with _aiohttp(echo) as url:
        assert await asyncio.to_thread(talk, url) == [text, "again"]


async def test_path_query_host_and_headers_reach_the_server() -> None:
    """The handshake asks for the URL's path and query and carries the caller's headers."""

    async def tell(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json([request.path_qs, request.host, request.headers["Authorization"]])
        await socket.receive()
        return socket

    def talk(url: str) -> str:
        with WebSocket(f"{url}?a=1&b=2", headers={"Authorization": "Bearer t"}, timeout_s=TIMEOUT_S) as client:
            return client.receive()

    async with _aiohttp(tell) as url:
        host = url.split("/")[2]
        assert await asyncio.to_thread(talk, url) == f'["/v1?a=1&b=2", "{host}", "Bearer t"]'


async def test_leaving_the_block_says_goodbye() -> None:
    """The server sees a close frame with 1000, not a torn connection."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def wait(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.receive()
        codes.put_nowait(socket.close_code)
        return socket

    async with _aiohttp(wait) as url:
        assert await _receive(url) == "hello"
        assert await asyncio.wait_for(codes.get(), TIMEOUT_S) == 1000


async def test_a_ping_is_answered_with_its_own_bytes() -> None:
    """Between two frames of a message too; the message comes whole."""
    pongs: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_frame(b"hel", last=False) + _frame(b"are you there", opcode=9) + _frame(b"lo", opcode=0))
        await writer.drain()
        head = await reader.readexactly(2)
        mask, payload = await reader.readexactly(4), await reader.readexactly(head[1] & 0x7F)
        pongs.put_nowait(head + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)))
        await reader.read(1)

    async with _raw(talk) as url:
        assert await _receive(url) == "hello"
        assert await asyncio.wait_for(pongs.get(), TIMEOUT_S) == bytes([0x8A, 0x80 | 13]) + b"are you there"


async def test_pongs_that_nobody_asked_for_are_passed_over() -> None:
    """A heartbeat of the server's own does not look like a message."""
    async with _raw(_saying(_frame(b"", opcode=10), _frame(b"text"))) as url:
        assert await _receive(url) == "text"


async def test_a_message_in_fragments_and_in_single_bytes_comes_whole() -> None:
    """Fragments join, wherever the network cuts them, inside a character too."""
    text = "Zürich, 東京, 🌊"
    raw = text.encode()
    frames = _frame(raw[:9], last=False) + _frame(raw[9:12], opcode=0, last=False) + _frame(raw[12:], opcode=0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in frames:
            writer.write(bytes([byte]))
            await writer.drain()
        await reader.read(1)

    async with _raw(talk) as url:
        assert await _receive(url) == text


# ---------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("payload", "status"),
    [(struct.pack("!H", 1001) + b"bye", 1001), (struct.pack("!H", 4003), 4003), (b"", 1005)],
)
async def test_a_close_gives_its_code(payload: bytes, status: int) -> None:
    """The code of the server's close frame, 1005 where it gives none."""
    async with _raw(_saying(_frame(payload, opcode=8))) as url:
        assert await _refused(url) == (status, f"the server closed the connection ({status})")


async def test_a_connection_that_ends_without_a_close_is_1006() -> None:
    """A torn connection is no message."""
    async with _raw(_silent) as url:
        assert await _refused(url) == (1006, "the server closed the connection without a word")


@pytest.mark.parametrize(
    "frames",
    [
        _frame(b"", opcode=1)[:1] + b"\x7f" + struct.pack("!Q", MAX_MESSAGE + 1),
        _frame(b"", opcode=1)[:1] + b"\x7f" + struct.pack("!Q", 2**62),
        _frame(b"x" * MAX_MESSAGE, last=False) + _frame(b"x", opcode=0),
    ],
)
async def test_a_message_that_is_too_long_is_refused_before_it_is_read(frames: bytes) -> None:
    """More than 128 KB in one frame or in many: 1009, and no memory is taken for it."""
    async with _raw(_saying(frames)) as url:
        assert (await _refused(url))[0] == 1009


async def test_the_longest_message_is_taken() -> None:
    """128 KB is API Gateway's own limit."""
    async with _raw(_saying(_frame(b"x" * MAX_MESSAGE))) as url:
        assert len(await _receive(url)) == 131_072


async def test_a_masked_frame_of_a_server_is_refused() -> None:
    """RFC 6455 section 5.1: a client must fail the connection."""
    async with _raw(_saying(b"\x81\x81abcd\x00")) as url:
        assert (await _refused(url))[0] == 1002


async def test_text_that_is_no_utf8_is_refused() -> None:
    """1007, as RFC 6455 section 8.1 has it."""
    async with _raw(_saying(_frame(b"\xff\xfe"))) as url:
        assert (await _refused(url))[0] == 1007


async def test_silence_is_a_timeout() -> None:
    """Nothing comes: TimeoutError, not a wait without end."""

    def talk(url: str) -> None:
        with WebSocket(url, headers={}, timeout_s=0.05) as client, pytest.raises(TimeoutError):
            client.receive()

    async with _raw(_saying()) as url:
        await asyncio.to_thread(talk, url)


# ---------------------------------------------------------------- the handshake


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_a_server_that_does_not_upgrade_gives_its_status(status: int) -> None:
    """An authorizer's 401 or 403 is what the user must see."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with _aiohttp(refuse) as url:
        assert await _refused(url) == (status, f"the server answered {status} to the WebSocket handshake")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", 101),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
        ("220 mail.example ESMTP\r\n\r\n", 1002),
        ("HTTP/1.1 101 " + "x" * 200_000, 1009),
    ],
)
async def test_an_answer_to_another_handshake_is_refused(answer: str, status: int) -> None:
    """A wrong key, no key, another protocol, a head without end."""
    async with _raw(_silent, answer=lambda _key: answer) as url:
        assert (await _refused(url))[0] == status


async def test_the_names_of_headers_may_be_in_any_case() -> None:
    """HTTP's own rule; and no space after the colon is needed."""

    def answer(key: str) -> str:
        return _accept(key).replace("Sec-WebSocket-Accept: ", "SEC-WEBSOCKET-ACCEPT:")

    async with _raw(_saying(_frame(b"in")), answer=answer) as url:
        assert await _receive(url) == "in"
