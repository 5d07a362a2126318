"""The ports of a failover, on DynamoDB and plain HTTP: drills, marks, what a Region depends on, and a look at another.

Owns the items. A drill is the item (`drill#<group>#<region>`, `drill`) of the table of doubts, which each Region has
for itself; a mark is the item `mark#<group>#<who sent it>#<where it was written>` of the records, which are replicated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from typing import TYPE_CHECKING, Final

from sluiceway import settings
from sluiceway.aws.attributes import Value, read_integer, read_text
from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.endpoints import parse_url
from sluiceway.aws.http import Pool
from sluiceway.aws.tls import make_context
from sluiceway.errors import Misconfigured
from sluiceway.ports import Clock
from sluiceway.ports.failover import Drill

if TYPE_CHECKING:  # who only probes has no table
    from sluiceway.aws.dynamodb import Table

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
    """A look at a health check's address, http or https. Raises Misconfigured for what is no address.

    It holds no connection: one is made for each look, as a health checker does, so that each finds the address anew.
    A look has the trace of the invocation that looks, and its root as the correlation id of what it causes there.
    """

    def __init__(self, url: str) -> None:
        endpoint = parse_url(url, what="the address of a health check")
        self._origin = endpoint.origin
        self._context: SSLContext | None = None
        self._lines = (
            f"GET {endpoint.path or '/'} HTTP/1.1",
            f"host: {endpoint.host}",
            "accept: application/json",
            "user-agent: sluiceway-probe",
            "connection: close",
        )

    async def status(self, *, within_s: float) -> int:
        """As `Prober.status`."""
        deadline = asyncio.get_running_loop().time() + within_s
        pool = Pool(self._origin, tls=self._trust, max_connections=1)
        try:
            async with asyncio.timeout_at(deadline):
                reading = await pool.begin(Exchange(self._request(), False, SILENCE_S, deadline), idle_s=SILENCE_S)
                reading.close()
                return reading.head.status
        except (TransportError, TimeoutError, Misconfigured):
            return 0
        finally:
            pool.close()

    def _request(self) -> bytes:
        trace = settings.trace_header()
        if not trace.isascii() or not trace.isprintable():  # as the wire client: what cannot be a header is not sent
            trace = ""
        named = [f"x-correlation-id: {root}" for root in _roots(trace)]
        traced = [f"x-amzn-trace-id: {trace}", *named] if trace else []
        return "\r\n".join([*self._lines, *traced, "", ""]).encode()

    def _trust(self) -> SSLContext:
        if self._context is None:  # reading the machine's certificates takes longer than a look does
            self._context = make_context()
        return self._context


def _roots(trace: str) -> list[str]:
    """The root of an X-Ray header (`Root=1-...;Parent=...;Sampled=1`)."""
    return [part[5:] for part in trace.split(";") if part.startswith("Root=")]
