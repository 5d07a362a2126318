"""An open connection on virtual time: timers, limits, close codes, slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.gateway.message import HttpRequest
from localcloud.gateway.websocket.connection import MAX_BUFFERED_BYTES, BufferFull, Connection
from localcloud.gateway.websocket.exchange import Client, Ending
from tests.unit.websocket_setup import FakeWire, client_frame, text_frame


@dataclass
class Ear:
    """Hears what happens on a connection."""

    messages: list[str] = field(default_factory=list)
    endings: list[tuple[float, Ending]] = field(default_factory=list)
    opened_ids: list[str] = field(default_factory=list)

    def opened(self, connection: Connection) -> None:
        """Note it."""
        self.opened_ids.append(connection.id)

    def received(self, connection: Connection, text: str) -> None:
        """Note it."""
        self.messages.append(text)

    def ended(self, connection: Connection, ending: Ending) -> None:
        """Note it."""
        self.endings.append((asyncio.get_running_loop().time(), ending))


def _run(scenario: Callable[[Connection, FakeWire, Ear], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        client = Client("id=", HttpRequest("GET", "/a/v1", "", (), b""), clock.time(), "Root=1-0-0")
        ear, wire = Ear(), FakeWire()
        connection = Connection(client, api_id="a", stage="v1", listener=ear, clock=clock)
        connection.open(wire)
        await scenario(connection, wire, ear)

    run_virtual(main)


def _close(code: int, reason: str = "") -> tuple[int, bool, bytes]:
    return (8, True, code.to_bytes(2, "big") + reason.encode())


def test_ten_idle_minutes_close_with_1001() -> None:
    """Nothing in either direction for 600 s."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        await asyncio.sleep(599.9)
        assert connection.is_open
        await asyncio.sleep(0.2)
        assert ear.endings == [(600.0, Ending(1001, "Going away"))]
        assert wire.frames() == [_close(1001, "Going away")]

    _run(scenario)


def test_messages_in_both_directions_and_pings_keep_a_connection() -> None:
    """Each restarts the ten minutes."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        await asyncio.sleep(590)
        connection.post(b"x")
        await asyncio.sleep(590)
        connection.receive(text_frame("y"))
        await asyncio.sleep(590)
        connection.receive(client_frame(9, b"ping"))
        assert wire.frames()[-1] == (10, True, b"ping")
        await asyncio.sleep(599)
        assert connection.is_open
        await asyncio.sleep(2)
        assert ear.endings == [(2370.0, Ending(1001, "Going away"))]

    _run(scenario)


def test_two_hours_end_a_busy_connection() -> None:
    """The longest life, however much is said."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        while connection.is_open:
            connection.receive(text_frame("x"))
            await asyncio.sleep(300)
        assert ear.endings == [(7200.0, Ending(1001, "Going away"))]
        assert len(ear.messages) == 24

    _run(scenario)


@pytest.mark.parametrize(
    ("payload", "echoed", "ending"),
    [
        (b"", b"", Ending(1005, "Client-side close frame status not set")),
        (b"\x03\xe8done", b"\x03\xe8done", Ending(1000, "done")),
        (b"\x0f\xa1", b"\x0f\xa1", Ending(4001, "")),
    ],
)
def test_a_clients_close_is_answered_and_told(payload: bytes, echoed: bytes, ending: Ending) -> None:
    """The same code goes back; what follows is not read."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        connection.receive(client_frame(8, payload) + text_frame("late"))
        connection.lost()
        assert wire.frames() == [(8, True, echoed)]
        assert (wire.log, ear.messages, [each for _, each in ear.endings]) == (["close"], [], [ending])

    _run(scenario)


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (client_frame(2, b"x"), 1003, "Binary frames are not supported"),
        (client_frame(1, b"x" * 32_769), 1009, "Message too long"),
    ],
)
def test_a_broken_rule_closes_and_nothing_more_is_read(data: bytes, code: int, reason: str) -> None:
    """The close frame goes out, the rest of the client's bytes are drained, the socket is cut after five seconds."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        connection.receive(data + text_frame("never"))
        connection.receive(text_frame("never"))
        assert wire.frames() == [_close(code, reason)]
        assert [each for _, each in ear.endings] == [Ending(code, reason)]
        assert (ear.messages, wire.log) == ([], ["finish"])
        await asyncio.sleep(6)
        assert wire.log == ["finish", "abort"]

    _run(scenario)


def test_a_close_from_here_waits_for_the_clients() -> None:
    """The client's close frame ends the socket; without it five seconds do."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        connection.close(Ending(1000, "bye"))
        connection.receive(text_frame("late") + client_frame(8, b"\x03\xe8"))
        assert (wire.log, ear.messages) == (["close"], [])
        connection.lost()
        await asyncio.sleep(10)
        assert wire.log == ["close"]

    _run(scenario)


def test_a_lost_socket_is_1006_once() -> None:
    """No close frame came; later ends are not told again."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        connection.lost()
        connection.close(Ending(1000, ""))
        connection.lost()
        assert [each for _, each in ear.endings] == [Ending(1006, "")]
        with pytest.raises(ConnectionError):
            connection.post(b"x")
        assert wire.frames() == []

    _run(scenario)


def test_a_slow_client_fills_its_buffer() -> None:
    """Past the bound a post is refused and nothing of it is sent; room makes it possible again."""

    async def scenario(connection: Connection, wire: FakeWire, ear: Ear) -> None:
        wire.stuck = MAX_BUFFERED_BYTES - 10
        connection.post(b"x" * 10)
        with pytest.raises(BufferFull):
            connection.post(b"x" * 11)
        wire.stuck = 0
        connection.post(b"y" * 11)
        assert wire.texts() == ["x" * 10, "y" * 11]

    _run(scenario)
