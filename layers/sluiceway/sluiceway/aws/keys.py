"""An issuer's key set over HTTPS, as `sluiceway.ports.keys.KeySource`.

Owns the request and which answer means what; the connections are those of the wire client's HTTP. What is read is
bounded, certificates are verified, and redirects are not followed at all: the address that the deployment names is the
one that is trusted, and no answer can move it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.endpoints import Endpoint, parse_url
from sluiceway.aws.http import Pool, Reading
from sluiceway.aws.tls import make_context
from sluiceway.errors import Retryable
from sluiceway.ports.keys import Published
from sluiceway.rules.tokens.caching import read_max_age

__all__ = ["MAX_BODY_BYTES", "HttpKeySource"]

MAX_BODY_BYTES: Final = 256 * 1024  # a set of 64 keys with certificates has a third of that
MAX_CONNECTIONS: Final = 2  # one reading at a time, and one that was left
SILENCE_S: Final = 3.0  # a reading's whole time


class HttpKeySource:
    """The key set at one URL. Make it with `HttpKeySource.open` in the lifespan; it owns its connection."""

    def __init__(self, endpoint: Endpoint, pool: Pool) -> None:
        self._pool = pool
        self._request = "\r\n".join([
            f"GET {endpoint.path or '/'} HTTP/1.1",
            f"host: {endpoint.host}",
            "accept: application/jwk-set+json, application/json",
            "user-agent: sluiceway",
            "",
            "",
        ]).encode()  # fmt: skip

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, ca_bundle: str = "") -> AsyncGenerator[HttpKeySource]:
        """The source at `url`; nothing is asked before the first `fetch`, and the connection closes with the context.

        `ca_bundle` is a file of certificates to trust instead of the machine's. Raises: Misconfigured.
        """
        endpoint = parse_url(url, what="the address of an issuer's keys")
        pool = Pool(endpoint.origin, tls=lambda: make_context(ca_bundle), max_connections=MAX_CONNECTIONS)
        try:
            yield cls(endpoint, pool)
        finally:
            pool.close()

    async def fetch(self, *, deadline: float) -> Published:
        """What is published now, of at most 256 KB. Raises: Retryable, Misconfigured."""
        exchange = Exchange(self._request, False, SILENCE_S, deadline)
        reading: Reading | None = None
        try:
            reading = await self._pool.begin(exchange, idle_s=SILENCE_S)
            status, headers = reading.head
            if status != 200:
                raise Retryable(f"status {status}")
            body = await _read_bounded(reading)
        except TransportError as error:
            raise Retryable(f"{error.failure}: {error}") from error
        finally:
            if reading is not None:
                reading.close()
        return Published(body, read_max_age(headers.get("cache-control", ""), headers.get("age", "")))


async def _read_bounded(reading: Reading) -> bytes:
    body = bytearray()
    while piece := await reading.read():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Retryable(f"more than {MAX_BODY_BYTES} bytes")
    return bytes(body)
