"""A URL as a target: each item's content is POSTed, several at a time, and a 2xx takes it.

429 and 503 are waited out, as long as `Retry-After` says at least; so are other 5xx, and answers that do not come. Any
other status refuses the item. An item that was answered too late is sent again: `idempotency-key` names it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from localcloud.replay.items import Item
from localcloud.replay.patience import keep_trying
from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.endpoints import Endpoint, parse_url
from sluiceway.aws.http import Pool
from sluiceway.aws.retry import read_advice_s
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.ports import Chance

__all__ = ["UrlTarget"]

READ_TIMEOUT_S: Final = 60.0
MOST_AT_ONCE: Final = 64
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


class UrlTarget:
    """One URL. Make it with `UrlTarget.open`, which owns its connections."""

    def __init__(self, endpoint: Endpoint, pool: Pool, *, at_once: int, chance: Chance) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._at_once = at_once
        self._chance = chance

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, at_once: int, chance: Chance) -> AsyncGenerator[Self]:
        """`at_once`: requests at a time, 1 to 64. Raises Misconfigured."""
        endpoint = parse_url(url, what="--target")
        pool = Pool(endpoint.origin, tls=ssl.create_default_context)
        try:
            yield cls(endpoint, pool, at_once=min(at_once, MOST_AT_ONCE), chance=chance)
        finally:
            pool.close()

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """As the port says. Raises Retryable where the server is away or busy for good, Misconfigured."""
        reasons = [""] * len(items)
        gate = asyncio.Semaphore(self._at_once)

        async def post(at: int) -> None:
            async with gate:
                reasons[at] = await keep_trying(lambda: self._post(items[at]), chance=self._chance)

        try:
            async with asyncio.TaskGroup() as group:
                for at in range(len(items)):
                    group.create_task(post(at))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return reasons

    async def _post(self, item: Item) -> str:
        exchange = Exchange(self._write(item), False, READ_TIMEOUT_S, float("inf"))
        try:
            head, _ = await self._pool.exchange(exchange)
        except TransportError as error:
            if error.failure == "certificate":
                raise Misconfigured(f"the server is not who it must be: {error}", what="--target") from error
            raise Retryable(f"{self._endpoint.host} does not answer: {error}") from error
        if head.status in _BUSY:
            raise Retryable(f"{self._endpoint.host} answers {head.status}", after_s=read_advice_s(head.headers))
        return "" if 200 <= head.status < 300 else f"http-{head.status}"

    def _write(self, item: Item) -> bytes:
        lines = [
            f"POST {self._endpoint.path or '/'} HTTP/1.1",
            f"host: {self._endpoint.host}",
            f"content-type: {_type_of(item.content)}",
            f"content-length: {len(item.content)}",
            f"idempotency-key: {json.dumps(item.key)}",  # a quoted string, of ASCII without line ends
        ]
        if item.origin:
            lines.append(f"x-replay-origin: {json.dumps(item.origin)[1:-1]}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + item.content


def _type_of(content: bytes) -> str:
    try:
        json.loads(content)
    except (RecursionError, ValueError):
        return "application/octet-stream"
    return "application/json"
