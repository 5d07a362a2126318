"""The front of a name: a client of DNS that keeps an answer for its TTL, and proxies under the name; name servers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from localcloud.clock import run_virtual
from localcloud.regions.crossing import Linked
from localcloud.regions.forward import FROM_HEADER
from localcloud.regions.links import Links
from localcloud.regions.names import NameFront, serve_api_names
from localcloud.regions.places import RegionPlaces, gateway_of
from localcloud.services.contract import NoAnswer, WireRequest
from localcloud.services.route53.answers import Answer, Place, Resolver, Rr
from localcloud.services.route53.check_config import CheckConfig
from localcloud.services.route53.health import Outcome
from localcloud.services.route53.nameserver import serve_names
from localcloud.services.route53.wire import CONTROL_REGION, Route53Service
from tests.unit.route53_setup import EAST, WEST, World, alias, open_route53, pair, read_reply, record, write_query


def test_a_change_is_followed_after_the_ttl() -> None:
    """The answer is kept for its 60 s, whatever happens meanwhile; the next look-up asks again."""

    async def main() -> list[tuple[float, Place | None]]:
        route53 = open_route53()
        check = await route53.create_check(CheckConfig(type="HTTP", name="x", threshold=1), "x")
        pair(route53, primary=check.id)
        front = NameFront("api.example.com.", route53.resolver)
        seen: list[tuple[float, Place | None]] = []
        for second in (0, 1, 59, 60, 119, 120):
            await asyncio.sleep(second - asyncio.get_running_loop().time())
            seen.append((second, front.look_up()))
            route53.checks.see(check, Outcome(not 1 <= second < 100, "said"))
        return seen

    east, west = ("127.0.0.1", 4611), ("127.0.0.1", 4621)
    assert run_virtual(main) == [(0, east), (1, east), (59, east), (60, west), (119, west), (120, east)]


def test_that_a_name_leads_nowhere_is_not_kept() -> None:
    """Neither NXDOMAIN nor an alias of a Region that is not there yet: each is asked again at once."""

    async def main() -> list[Place | None]:
        world = World(places={})
        route53 = open_route53(world)
        zone, _ = route53.create_zone("example.com.", "x")
        front = NameFront("api.example.com.", route53.resolver)
        seen = [front.look_up()]
        route53.change(zone.id, [alias("api.example.com", EAST)])
        seen.append(front.look_up())
        world.places[EAST] = ("127.0.0.1", 4611)
        return [*seen, front.look_up()]

    assert run_virtual(main) == [None, None, ("127.0.0.1", 4611)]


class Upstream:
    """A server that stands in for a Region's gateway: keeps what it got, and answers each head with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got = b""
        self.port = 0

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            heads = piece.count(b"\r\n\r\n") - piece.count(b"0\r\n\r\n")
            self.got += piece
            writer.write(b"".join([f"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{self.name}".encode()] * heads))
        writer.close()


@asynccontextmanager
async def fronted(*upstreams: Upstream) -> AsyncGenerator[tuple[NameFront, list[Upstream]]]:
    """A front that leads to the first of what the list holds; its answers are kept for no time."""
    where = list(upstreams)

    def find(_region: str) -> Place | None:
        return ("127.0.0.1", where[0].port) if where else None

    class Now(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            return Answer(records=(Rr(name, kind, 0, "127.0.0.1"),), target=EAST)

    resolver = Now(lambda: (), lambda _: True, places=RegionPlaces(find), rng=random.Random(1))
    front = NameFront("api.example.com.", resolver)
    await front.open()
    try:
        yield front, where
    finally:
        await front.close()


async def talk(front: NameFront, *pieces: bytes, answers: int) -> bytes:
    """Send, and read as many answers as are told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    for piece in pieces:
        writer.write(piece)
    found = b"".join([await reader.readexactly(len(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\neast"))] * answers)
    writer.transport.abort()
    return found


GET = b"GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:1\r\nx: y\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (GET * 2, GET * 2),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nGET / x\r\n" + GET, None),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nt: v\r\n\r\n" + GET,
            None,
        ),
    ],
)
def test_every_request_of_a_connection_is_under_the_name(sent: bytes, passed: bytes | None) -> None:
    """The Host header alone is changed: bodies go through as they are, and what follows them is a request again."""

    async def main() -> bytes:
        east = Upstream("east")
        async with east.serve(), fronted(east) as (front, _):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            for at in range(0, len(sent), 7):  # in pieces
                writer.write(sent[at : at + 7])
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)
            writer.transport.abort()
        return east.got

    host = b"\r\nHost: api.example.com"
    found = run_virtual(main)
    plain = passed or sent
    expected = plain.replace(b"\r\nhost: 127.0.0.1:1", b"").replace(b"\r\nHost: h", b"")
    assert found.count(host) == 2
    assert found.replace(host, b"") == expected


def test_a_connection_that_is_open_stays_where_it_is() -> None:
    """A new one goes to where the name leads now; the old one is answered where it was."""

    async def main() -> list[bytes]:
        east, west = Upstream("east"), Upstream("west")
        async with east.serve(), west.serve(), fronted(east) as (front, where):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            found: list[bytes] = []
            for _ in range(2):
                writer.write(GET)
                found.append((await reader.readexactly(42))[-4:])
                where[:] = [west]
            found.append((await talk(front, GET, answers=1))[-4:])
            writer.transport.abort()
        return found

    assert run_virtual(main) == [b"east", b"east", b"west"]


def test_an_upgraded_connection_is_bytes_both_ways() -> None:
    """A WebSocket's frames are nobody's requests."""

    async def main() -> bytes:
        east = Upstream("east")
        upgrade = b"GET /s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"
        async with east.serve(), fronted(east) as (front, _):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(upgrade)
            await asyncio.sleep(1)
            writer.write(b"\r\nHost: frame\r\n\r\n\x81\x00")
            await asyncio.sleep(1)
            writer.transport.abort()
        return east.got

    assert run_virtual(main).endswith(b"\r\nHost: frame\r\n\r\n\x81\x00")


def test_a_name_that_leads_nowhere_gives_no_answer() -> None:
    """Neither one without a place nor one where nobody listens; a Region that is silent is silent here."""

    async def main() -> list[bytes]:
        found: list[bytes] = []
        gone = Upstream("gone")
        async with gone.serve():
            pass
        await asyncio.sleep(0)
        for upstreams in ((), (gone,)):
            async with fronted(*upstreams) as (front, _):
                reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
                writer.write(GET)
                try:
                    found.append(await reader.read())
                except ConnectionResetError:
                    found.append(b"")
                writer.transport.abort()
        return found

    assert run_virtual(main) == [b"", b""]


def test_fronts_are_of_the_names_that_lead_to_an_api_here() -> None:
    """Each once; neither of plain addresses, nor of wildcards, nor of Regions that are not here."""

    async def main() -> list[str]:
        route53 = open_route53(World(places={EAST: ("127.0.0.1", 1), WEST: ("127.0.0.1", 2)}))
        zone = pair(route53)
        away = "d-x.execute-api.eu-west-1.amazonaws.com"
        changes = [
            alias("east.example.com", EAST),
            alias("*.example.com", EAST),
            alias("away.example.com", away),
            record("plain.example.com", values=["127.0.0.1"]),
        ]
        route53.change(zone.id, changes)
        async with serve_api_names(route53.zones(), route53.resolver) as urls:
            assert all(url.startswith("http://127.0.0.1:") for url in urls.values())
            return list(urls)

    assert run_virtual(main) == ["api.example.com", "east.example.com"]


def test_a_gateway_is_known_by_the_addresses_of_its_apis() -> None:
    """Neither the AWS port nor the console, nor a WebSocket API's; a cloud without APIs has none."""
    endpoints = {
        "aws": "http://127.0.0.1:1",
        "console": "http://127.0.0.1:4",
        "chat": "ws://127.0.0.1:3/x/v1",
        "api": "http://127.0.0.1:2/x/v1",
    }
    assert gateway_of(endpoints) == ("127.0.0.1", 2)
    assert gateway_of({name: endpoints[name] for name in ("aws", "console", "chat")}) is None
    places = RegionPlaces(lambda region: ("127.0.0.1", 2) if region == "us-east-1" else None)
    assert places.address_of(EAST.upper()) == ("127.0.0.1", 2)
    assert (places.address_of(WEST), places.address_of("example.com")) == (None, None)


def test_the_name_server_answers_over_udp_and_tcp() -> None:
    """On one port; over TCP several queries on one connection, and what is no query ends it."""

    async def main() -> tuple[list[str], list[str], bytes]:
        route53 = open_route53()
        pair(route53)
        async with serve_names(route53.resolver) as port:
            answers: asyncio.Queue[bytes] = asyncio.Queue()

            class Client(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: object) -> None:
                    answers.put_nowait(data)

            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                Client, remote_addr=("127.0.0.1", port)
            )
            transport.sendto(b"junk")
            transport.sendto(write_query("api.example.com."))
            over_udp = [data for _, _, _, data in read_reply(await answers.get()).answers]
            transport.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            over_tcp: list[str] = []
            query = write_query("api.example.com.")
            writer.write((len(query).to_bytes(2) + query) * 2)
            for _ in range(2):
                length = int.from_bytes(await reader.readexactly(2))
                over_tcp += [data for _, _, _, data in read_reply(await reader.readexactly(length)).answers]
            began = asyncio.get_running_loop().time()
            writer.write(b"\x00\x04junk")
            try:
                rest = await reader.read()
            except ConnectionResetError:
                rest = b""
            writer.transport.abort()
            assert asyncio.get_running_loop().time() - began < 1  # not only once nothing has come for 10 s
            return over_udp, over_tcp, rest

    assert run_virtual(main) == (["127.0.0.1"], ["127.0.0.1"] * 2, b"")


def test_a_port_that_is_taken_is_no_end() -> None:
    """A free one is taken in its place."""

    async def main() -> bool:
        route53 = open_route53()
        async with serve_names(route53.resolver) as first, serve_names(route53.resolver, first) as second:
            return first != second

    assert run_virtual(main)


def test_a_name_server_bounds_what_clients_hold() -> None:
    """Connections, the length of a query over TCP, and how long nothing may come."""

    async def main() -> tuple[int, float, float]:
        route53 = open_route53()
        loop = asyncio.get_running_loop()
        async with serve_names(route53.resolver) as port:

            async def ended(sent: bytes) -> float:
                """After how many seconds a connection that sends this is ended."""
                began = loop.time()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                with suppress(ConnectionResetError):
                    await reader.read()
                writer.transport.abort()
                return loop.time() - began

            long_s, idle_s = await ended(b"\xff\xff"), await ended(b"\x00")
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(70)]
            await asyncio.sleep(1)
            dropped = sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened)
            for _, writer in opened:
                writer.transport.abort()
        return dropped, round(long_s), round(idle_s)

    assert run_virtual(main) == (6, 0, 10)


def test_route_53s_api_is_in_us_east_1_whatever_is_signed_for() -> None:
    """Dark, it answers nobody, not even another Region; its answers and checks are no requests and go on."""

    async def main() -> list[str]:
        links = Links(rng=random.Random(1))
        service = Linked(Route53Service(open_route53()), links, home=CONTROL_REGION)
        path, headers = "/2013-04-01/hostedzone", {FROM_HEADER: "us-west-2"}
        request = WireRequest("route53", "us-west-2", "GET", path, "", headers, b"", "key", "r")
        found = [str((await service.handle(request)).status)]
        links.darken("us-east-1")
        try:
            await service.handle(request)
        except NoAnswer as error:
            found.append(str(error))
        return found

    status, silence = run_virtual(main)
    assert (status, "us-east-1" in silence) == ("200", True)
