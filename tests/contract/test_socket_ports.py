"""The layer's WebSocket codecs and connections against the local cloud's gateway and its management API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.wire import Wire
from sluiceway.codec import authorizer, socket
from sluiceway.codec.frames import encode_frame
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable
from sluiceway.events.socket import Frame, SocketReply
from tests.unit.websocket_setup import OK, World, open_world
from tests.unit.wire_server import Received, environ, raw_server


@asynccontextmanager
async def management(world: World, *, stage: str = "v1") -> AsyncIterator[ApiConnections]:
    """The connections of the world's API as a function reaches them, over a socket."""

    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        response = await world.manage(request.method, request.target, request.body, host=request.headers["host"])
        assert isinstance(response.body, bytes)
        lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        head = f"HTTP/1.1 {response.status} Reason\r\ncontent-length: {len(response.body)}\r\n{lines}\r\n"
        writer.write(head.encode() + response.body)

    url = f"https://{world.api_id}.execute-api.eu-west-1.amazonaws.com/{stage}"
    async with raw_server(answer) as server, Wire.open(environ(AWS_ENDPOINT_URL=server.url)) as wire:
        yield ApiConnections(wire, url)


async def test_frames_reach_the_client_in_order_until_it_is_gone() -> None:
    """Posted one after the other they arrive so; then the connection is closed, and closed once more."""
    async with open_world() as world, management(world) as connections:
        connection, client = await world.open()
        frames = [Frame("delta", "r1", seq, 2 * seq, 1, "é🌊") for seq in range(1, 6)]
        for frame in frames:
            await connections.post(connection.id, encode_frame(frame))
        assert client.texts() == [encode_frame(frame).decode() for frame in frames]
        await connections.disconnect(connection.id)
        assert client.frames() == [(8, True, b"\x03\xe8Connection Closed Normally")]
        await connections.disconnect(connection.id)
        with pytest.raises(Gone):
            await connections.post(connection.id, b"x")


async def test_refusals_say_what_to_do_next() -> None:
    """A full buffer, half a character on the way, an id of nobody, a stage that is not there."""
    async with open_world() as world, management(world) as connections:
        connection, client = await world.open()
        await connections.post(connection.id, encode_frame(Frame("delta", "r1", 1, 0, 1, "\ud83c")))
        assert [json.loads(text)["d"] for text in client.texts()] == ["\ud83c"]
        client.stuck = 1 << 20
        with pytest.raises(Retryable):
            await connections.post(connection.id, b"x")
        with pytest.raises(Gone):
            await connections.post("nobody/../else=", b"x")
        with pytest.raises(Rejected):
            await connections.post(connection.id, b"x" * 131_073)
        async with management(world, stage="v2") as elsewhere:
            with pytest.raises(Misconfigured):
                await elsewhere.post(connection.id, b"x")


async def test_what_the_gateway_sends_is_decoded() -> None:
    """Handshake, message and end of one connection, and what its authorizer was asked before."""
    async with open_world() as world:
        world.functions.replies["Serve"] = json.dumps(socket.encode(SocketReply(200, "sluiceway"))).encode()
        connection, client = await world.open(Sec_WebSocket_Protocol="sluiceway, bearer.t.o.k")
        world.functions.replies["Serve"] = OK
        await world.say(connection, client, {"action": "ask", "req": "r1"})
        connection.lost()
        await asyncio.sleep(0.01)
        [asked] = [authorizer.decode(event) for event in world.events("Check")]
        assert (asked.method, asked.path, asked.token) == ("CONNECT", "$connect", "t.o.k")
        assert authorizer.stage_resource(asked.method_arn).endswith(f":{world.api_id}/v1/*")
        events = [socket.decode(event) for event in world.events()]
        assert [(event.kind, event.route, event.caller) for event in events] == [
            ("CONNECT", "$connect", "ann"),
            ("MESSAGE", "ask", "ann"),
            ("DISCONNECT", "$disconnect", "ann"),
        ]
        assert {(event.connection_id, event.connected_ms) for event in events} == {
            (connection.id, events[0].connected_ms)
        }
        assert [event.subprotocols for event in events] == [("sluiceway", "bearer.t.o.k"), (), ()]
        assert [event.body for event in events] == ["", '{"action": "ask", "req": "r1"}', ""]
