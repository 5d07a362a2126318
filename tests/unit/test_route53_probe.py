"""Endpoints asked over sockets of this process, on a virtual clock: what counts as healthy, and how long is waited."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.route53.check_config import CheckConfig
from localcloud.services.route53.health import Outcome
from localcloud.services.route53.probe import NetworkProbe, NotHere, Spot, locate
from tests.unit.route53_setup import EAST, World, alias, open_route53, record

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PLAIN = CheckConfig(type="HTTP", name="x.example.com", path="/health")
MATCH = CheckConfig(type="HTTP_STR_MATCH", name="x.example.com", search="all is well")


def probe(serve: Serve, config: CheckConfig, *, is_ours: bool = True) -> tuple[Outcome, float, bytes]:
    """What came of asking a server that does `serve`, after how many seconds, and the request that it got."""
    heads: list[bytes] = []

    async def main() -> tuple[Outcome, float]:
        done = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, OSError):
                if config.type != "TCP":
                    heads.append(await reader.readuntil(b"\r\n\r\n"))
                await serve(reader, writer)
                await reader.read()
            writer.transport.abort()
            done.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        began = asyncio.get_running_loop().time()
        outcome = await NetworkProbe(lambda _: Spot("127.0.0.1", port, is_ours=is_ours)).ask(config)
        took_s = asyncio.get_running_loop().time() - began
        await done.wait()
        server.close()
        return outcome, took_s

    outcome, took_s = run_virtual(main)
    return outcome, took_s, b"".join(heads)


def says(text: str, *, then: float = 0.0, more: bytes = b"") -> Serve:
    """A server that says `text`, and `more` after `then` seconds."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())
        await asyncio.sleep(then)
        writer.write(more)

    return serve


@pytest.mark.parametrize(
    ("status", "ok"), [(199, False), (200, True), (302, True), (399, True), (400, False), (503, False)]
)
def test_two_and_three_hundreds_are_healthy(status: int, ok: bool) -> None:
    """Redirects count as they are: nothing is followed."""
    outcome, _, head = probe(says(f"HTTP/1.1 {status} X\nlocation: http://127.0.0.1:1/\n\n"), PLAIN)
    assert (outcome.ok, f"HTTP Status Code {status}" in outcome.said) == (ok, True)
    assert outcome.connect_ms is not None
    assert outcome.first_byte_ms is not None
    assert head.startswith(b"GET /health HTTP/1.1\r\nHost: x.example.com\r\n")


def test_the_host_header_has_a_port_that_is_not_the_types_own() -> None:
    """As the API's page says; an address stands in for a name that is not given."""
    cases = {
        CheckConfig(type="HTTP", name="a.b", port=80): "a.b",
        CheckConfig(type="HTTPS", name="a.b", port=443): "a.b",
        CheckConfig(type="HTTP", name="a.b", port=8080): "a.b:8080",
        CheckConfig(type="HTTP", address="127.0.0.1"): "127.0.0.1",
        CheckConfig(type="HTTP", address="::1", port=1): "[::1]:1",
    }
    assert [config.host for config in cases] == list(cases.values())


def test_an_answer_has_two_seconds() -> None:
    """After connecting; then the body has as long, and no longer."""
    late, took_s, _ = probe(says("", then=2.5), PLAIN)
    assert (late.ok, round(took_s, 1)) == (False, 2.0)
    head = "HTTP/1.1 200 OK\ncontent-length: 11\n\n"
    good, _, _ = probe(says(head, then=1.5, more=b"all is well"), MATCH)
    slow, took_s, _ = probe(says(head, then=2.5, more=b"all is well"), MATCH)
    assert (good.ok, slow.ok, round(took_s, 1)) == (True, False, 2.0)


@pytest.mark.parametrize(
    ("body", "ok"),
    [
        (b"x" * 5_109 + b"all is well", True),
        (b"x" * 5_110 + b"all is well", False),
        (b"all is bad", False),
        (b"", False),
    ],
)
def test_the_first_5120_bytes_of_a_body_are_searched(body: bytes, ok: bool) -> None:
    """The text has to stand in them whole; a body may come in chunks."""
    plain = f"HTTP/1.1 200 OK\ncontent-length: {len(body)}\n\n"
    ended: list[bool] = []
    for head, sent in ((plain, body), ("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n", _chunked(body))):
        ended.append(probe(says(head, more=sent), MATCH)[0].ok if sent else False)
    assert ended == [ok, ok]


def _chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("text", ["SSH-2.0-x\n\n", "HTTP/1.1 20 X\n\n", "\n\n"])
def test_what_is_no_http_is_unhealthy(text: str) -> None:
    """Whatever listens there."""
    assert not probe(says(text), PLAIN)[0].ok


def test_an_answer_that_is_broken_off_is_unhealthy() -> None:
    """Before its head is there."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 2")
        writer.close()

    assert probe(hang_up, PLAIN)[0].said == "Failure: The endpoint broke off its answer"


def test_tcp_wants_a_connection_alone() -> None:
    """Nothing is sent."""
    outcome, _, _ = probe(says(""), CheckConfig(type="TCP", name="x", port=1))
    assert outcome.ok


def test_nobody_who_listens_is_unhealthy() -> None:
    """A refusal comes at once."""

    async def main() -> Outcome:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await NetworkProbe(lambda _: Spot("127.0.0.1", port)).ask(PLAIN)

    outcome = run_virtual(main)
    assert (outcome.ok, "refused" in outcome.said.lower() or "Connect call failed" in outcome.said) == (False, True)


def test_https_of_ours_is_plain_and_of_others_is_not() -> None:
    """An endpoint that speaks no TLS fails where TLS is meant, and is fine where the local cloud stands behind."""
    config = CheckConfig(type="HTTPS", name="x.example.com", sni=True)
    head = "HTTP/1.1 200 OK\n\n"
    assert probe(says(head), config)[0].ok

    async def main() -> Outcome:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"no TLS\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outcome = await NetworkProbe(lambda _: Spot("127.0.0.1", port)).ask(config)
        server.close()
        return outcome

    outcome = run_virtual(main)
    assert (outcome.ok, outcome.said.startswith("Failure: SSL alert")) == (False, True)
    assert ssl.HAS_SNI


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"address": "127.0.0.2", "port": 8080}, Spot("127.0.0.2", 8080)),
        ({"name": "localhost", "port": 8080}, Spot("127.0.0.1", 8080)),
        ({"name": "a.localhost"}, Spot("127.0.0.1", 80)),
        ({"name": EAST}, Spot("127.0.0.1", 4611, is_ours=True)),
        ({"name": "api.example.com"}, Spot("127.0.0.1", 4611, is_ours=True)),
        ({"name": "here.example.com", "port": 81}, Spot("127.0.0.9", 81)),
        ({"name": "there.example.com"}, "asks nobody outside this machine"),
        ({"name": "example.org"}, "asks nobody outside this machine"),
        ({"name": "no.example.com"}, "DNS resolution failed"),
        ({"name": "d-x.execute-api.eu-west-1.amazonaws.com"}, "DNS resolution failed"),
        ({"name": "a..b"}, "DNS resolution failed"),
    ],
)
def test_where_an_endpoint_is(config: dict[str, Any], expected: Spot | str) -> None:
    """A name of a zone here is where DNS says; nobody outside of this machine is asked."""

    async def main() -> Spot | str:
        route53 = open_route53(World())
        zone, _ = route53.create_zone("example.com.", "x")
        changes = [
            alias("api.example.com", EAST),
            record("here.example.com", values=["127.0.0.9"]),
            record("there.example.com", values=["192.0.2.1"]),
        ]
        route53.change(zone.id, changes)
        try:
            return locate(CheckConfig(type="HTTP", **config), route53.resolver)
        except NotHere as error:
            return str(error)

    found = run_virtual(main)
    assert found == expected if isinstance(expected, Spot) else expected in str(found)


@pytest.mark.parametrize(("kind", "expected_s"), [("HTTP", 4), ("TCP", 10)])
def test_a_connection_has_four_seconds_and_ten_where_it_is_all(kind: str, expected_s: int) -> None:
    """A listener whose queue is full says nothing, as a host that drops packets."""

    async def main() -> tuple[Outcome, float]:
        loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            listener = opened.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):
                waiting = opened.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            config = CheckConfig(type=kind, name="x", port=1)
            outcome = await NetworkProbe(lambda _: Spot(*listener.getsockname())).ask(config)
        return outcome, loop.time()

    outcome, took_s = run_virtual(main)
    assert (outcome.ok, "timed out" in outcome.said, round(took_s)) == (False, True, expected_s)
