"""The ports of a failover, on DynamoDB and plain HTTP: drills, marks, what a Region depends on, and a look at another.

Owns the items. A drill is the item (`drill#<group>#<region>`, `drill`) of the table of doubts, which each Region has
for itself; a mark is the item `mark#<group>#<who sent it>#<where it was written>` of the records, which are replicated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sluiceway.aws.attributes import Value, read_integer, read_text
from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.endpoints import Endpoint, parse_url
from sluiceway.aws.http import Pool, Reading
from sluiceway.aws.tls import make_context
from sluiceway.errors import Misconfigured
from sluiceway.ports import Clock
from sluiceway.ports.failover import Drill

__all__ = ["Asked", "DynamoDbDrillStore", "DynamoDbMarkStore", "HttpProber"]

DRILL: Final = "drill"
KEPT_S: Final = 7 * 86_400  # of a drill after its end, and of a mark
SILENCE_S: Final = 4.0


class Asked:
    """A dependency that a call stands for: `ask` returns where it answers."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        self._name = name
        self._ask = ask

    @property
    def name(self) -> str:
        """As `Dependency.name`."""
        return self._name

    async def ask(self) -> None:
        """As `Dependency.ask`."""
        await self._ask()


class DynamoDbDrillStore:
    """The drill of one Region of a group. Raises what `Table` raises."""

    def __init__(self, table: Table, *, group: str, region: str) -> None:
        self._table = table
        self._key: dict[str, Value] = {"id": f"drill#{group}#{region}", "item": DRILL}

    async def get(self) -> Drill | None:
        """As `DrillStore.get`, strongly consistent."""
        item = await self._table.get_item(self._key)
        return None if item is None else Drill(read_integer(item, "until_ms"), read_text(item, "approval"))

    async def put(self, drill: Drill) -> None:
        """As `DrillStore.put`."""
        item = {"until_ms": drill.until_ms, "approval": drill.approval, "expiration": drill.until_ms // 1000 + KEPT_S}
        await self._table.put_item({**self._key, **item})


class DynamoDbMarkStore:
    """The marks that one Region sends. `tables` are the replicas of one table, by Region.

    Raises what `Table` raises.
    """

    def __init__(self, tables: Mapping[str, Table], *, group: str, region: str, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._prefix = f"mark#{group}#{region}"

    async def write(self, mark: int, *, at: str) -> None:
        """As `MarkStore.write`."""
        expiration = self._clock.now_ms() // 1000 + KEPT_S
        await self._tables[at].put_item({"id": f"{self._prefix}#{at}", "mark": mark, "expiration": expiration})

    async def read(self, *, of: str, at: str) -> int:
        """As `MarkStore.read`."""
        item = await self._tables[at].get_item({"id": f"{self._prefix}#{of}"})
        return 0 if item is None else read_integer(item, "mark")


class HttpProber:
    """A look at a health check's URL. Make it with `HttpProber.open` in the lifespan; it owns its connection."""

    def __init__(self, endpoint: Endpoint, pool: Pool) -> None:
        self._pool = pool
        self._request = "\r\n".join([
            f"GET {endpoint.path or '/'} HTTP/1.1",
            f"host: {endpoint.host}",
            "accept: application/json",
            "user-agent: sluiceway-probe",
            "connection: close",
            "",
            "",
        ]).encode()  # fmt: skip

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[HttpProber]:
        """A look at `url` (https, or http on loopback); nothing is asked yet. Raises: Misconfigured."""
        endpoint = parse_url(url, what="the address of a health check")
        pool = Pool(endpoint.origin, tls=make_context, max_connections=1)
        try:
            yield cls(endpoint, pool)
        finally:
            pool.close()

    async def status(self, *, within_s: float) -> int:
        """As `Prober.status`. A connection is made for each look, as a health checker does."""
        deadline = asyncio.get_running_loop().time() + within_s
        reading: Reading | None = None
        try:
            async with asyncio.timeout_at(deadline):
                reading = await self._pool.begin(Exchange(self._request, False, SILENCE_S, deadline), idle_s=SILENCE_S)
                return reading.head.status
        except (TransportError, TimeoutError, Misconfigured):
            return 0
        finally:
            if reading is not None:
                reading.close()
