"""An endpoint asked over the network, as a health checker does it.

A name of ours that is asked over HTTPS is asked in plain HTTP where it answers on this machine; nobody outside of it is
asked. Owns the times and what counts as healthy.
Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Final

from localcloud.services.route53.answers import API_NAME, Place, Resolver
from localcloud.services.route53.check_config import TCP, CheckConfig
from localcloud.services.route53.domains import MalformedName, read_name
from localcloud.services.route53.health import Outcome

__all__ = ["NetworkProbe", "Spot", "locate"]

CONNECT_S: Final = 4.0
TCP_CONNECT_S: Final = 10.0
ANSWER_S: Final = 2.0  # after connecting, until the status; the body has as long after that
SEARCHED_BYTES: Final = 5_120
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 8 * SEARCHED_BYTES  # with what chunked coding adds
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r|\n)")
_AGENT: Final = "Amazon-Route53-Health-Check-Service"
_TIMED_OUT: Final = (
    "Failure: Connection timed out. The endpoint or the internet connection is down, or requests are being blocked by "
    "your firewall. See Configuring Router and Firewall Rules for Amazon Route 53 Health Checks"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where to connect. `is_ours`: an API of the local cloud, which speaks plain HTTP."""

    host: str
    port: int
    is_ours: bool = False


class NotHere(Exception):
    """A name that leads to no place on this machine; the message is a StatusReport's."""


def locate(config: CheckConfig, resolver: Resolver) -> Spot:
    """Where a check's endpoint answers. Raises NotHere."""
    port = config.with_port()
    if config.address:
        return Spot(config.address, port)
    name = config.name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return Spot("127.0.0.1", port)
    if API_NAME.fullmatch(name):
        return _spot(resolver.places.address_of(name), name)
    return _look_up(resolver, name, port)


def _look_up(resolver: Resolver, name: str, port: int) -> Spot:
    """Where a name of a zone here leads, as DNS says now."""
    try:
        answer = resolver.ask(read_name(name), "A")
    except MalformedName as error:
        raise NotHere(f"Failure: DNS resolution failed: {error}") from error
    if answer.rcode == "REFUSED":
        raise NotHere(f"Failure: {name} is in no zone here, and the local cloud asks nobody outside this machine")
    if answer.target:
        return _spot(resolver.places.address_of(answer.target), answer.target)
    address = answer.records[-1].data if answer.records and answer.records[-1].type == "A" else ""
    if not address:
        raise NotHere("Failure: DNS resolution failed: Rcode NXDomain(3)")
    if not IPv4Address(address).is_loopback:
        raise NotHere(f"Failure: {name} is at {address}, and the local cloud asks nobody outside this machine")
    return Spot(address, port)


def _spot(place: Place | None, name: str) -> Spot:
    if place is None:
        raise NotHere(f"Failure: DNS resolution failed: nothing here answers for {name}")
    return Spot(*place, is_ours=True)


class NetworkProbe:
    """A Probe over sockets. `find` says where a check's endpoint is; it raises NotHere."""

    def __init__(self, find: Callable[[CheckConfig], Spot]) -> None:
        self._find = find

    async def ask(self, config: CheckConfig) -> Outcome:
        """What came of one look; never raises."""
        try:
            spot = self._find(config)
        except NotHere as error:
            return Outcome(ok=False, said=str(error))
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(TCP_CONNECT_S if config.type == TCP else CONNECT_S):
                reader, writer = await _connect(spot, config)
        except TimeoutError:
            return Outcome(ok=False, said=_TIMED_OUT)
        except ssl.SSLError as error:
            return Outcome(ok=False, said=f"Failure: SSL alert {(error.reason or 'failure').lower()}")
        except (OSError, ValueError) as error:  # the latter for a name that TLS cannot send
            why = error.strerror if isinstance(error, OSError) else str(error)
            return Outcome(ok=False, said=f"Failure: {why or 'Connection failed'}")
        connected_ms = (loop.time() - began) * 1000
        try:
            if config.type == TCP:
                return Outcome(ok=True, said="Success: Connection established", connect_ms=connected_ms)
            return await _converse(reader, writer, config, connected_ms=connected_ms)
        finally:
            writer.transport.abort()


async def _connect(spot: Spot, config: CheckConfig) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not config.is_https or spot.is_ours:
        return await asyncio.open_connection(spot.host, spot.port, limit=MAX_HEAD_BYTES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # health checkers do not look at who signed a certificate
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = config.name if config.sni else ""
    return await asyncio.open_connection(spot.host, spot.port, limit=MAX_HEAD_BYTES, ssl=context, server_hostname=name)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, config: CheckConfig, *, connected_ms: float
) -> Outcome:
    loop = asyncio.get_running_loop()
    began = loop.time()
    said = ""
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(_write_request(config))
            head = await reader.readuntil(b"\r\n\r\n")
        first_ms = (loop.time() - began) * 1000
        found = _STATUS.match(head)
        if found is None:
            return Outcome(ok=False, said="Failure: The endpoint gave no HTTP answer", connect_ms=connected_ms)
        status = int(found[1])
        said = f"HTTP Status Code {status}, {_phrase(status)}"
        if not 200 <= status < 400:
            return Outcome(False, f"Failure: {said}", connected_ms, first_ms)
        if config.matches_text and not await _matches(reader, head, config.search):
            return Outcome(False, f"Failure: {said}. The search string was not found", connected_ms, first_ms)
    except TimeoutError:
        late = f"{said}. The body did not come in time" if said else "The endpoint did not answer in time"
        return Outcome(ok=False, said=f"Failure: {late}", connect_ms=connected_ms)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Outcome(ok=False, said="Failure: The endpoint broke off its answer", connect_ms=connected_ms)
    return Outcome(True, f"Success: {said}", connected_ms, first_ms)


def _write_request(config: CheckConfig) -> bytes:
    path = config.path if config.path.startswith("/") else f"/{config.path}"
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {config.host}",
        f"User-Agent: {_AGENT}",
        "Accept: */*",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


async def _matches(reader: asyncio.StreamReader, head: bytes, search: str) -> bool:
    """Whether the text stands, whole, in what is searched of the body."""
    body = bytearray()
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    async with asyncio.timeout(ANSWER_S):
        while len(body) < MAX_BODY_BYTES:
            piece = await reader.read(MAX_BODY_BYTES - len(body))
            body += piece
            plain = _unchunk(bytes(body)) if is_chunked else bytes(body)
            if search.encode() in plain[:SEARCHED_BYTES]:
                return True
            if not piece or len(plain) >= SEARCHED_BYTES:
                return False
    return False


def _unchunk(body: bytes) -> bytes:
    """What has come of a chunked body."""
    plain = bytearray()
    while body:
        line, _, rest = body.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            break
        plain += rest[:size]
        body = rest[size + 2 :]
    return bytes(plain)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
