"""Throttling of a table that asks for it: a bucket of capacity units for reads and one for writes, on the table and on
each global index.

A bucket fills with the provisioned units a second and keeps what 300 seconds give; it starts with one second's. A
request goes through while its bucket is not empty, and then pays whole, so that a bucket can be in debt: what a read
costs is known when it is done. An on-demand table has the first throughput that AWS gives to a new one, and keeps a
second of it. Local indexes are paid by the table. A write that a global index has no capacity for is refused whole.
Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.clock import Clock
from localcloud.services.dynamodb.capacity import Usage
from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.schema import Index, TableDefinition
from localcloud.services.dynamodb.table import Table

__all__ = ["BURST_S", "ON_DEMAND_UNITS", "THROTTLED", "Throttle", "charge_read", "check_read", "spend_write"]

BURST_S: Final = 300.0  # burst-adaptive-capacity.html: "up to 5 minutes (300 seconds) of unused capacity"
ON_DEMAND_UNITS: Final = (12_000, 4_000)  # on-demand-capacity-mode.html: what a new table serves, reads and writes
THROTTLED: Final[Mapping[str, str]] = {
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ThrottlingException": "ThrottlingError",
}
"""The codes of a throttled request, each with the code of its cancellation reason in a transaction."""

_Place = tuple[str | None, bool]
"""(index, None for the table; whether it is of writes)."""


@dataclass(slots=True)
class _Bucket:
    """Units that are left. `rate` a second, `most` at once; `level` was right at `at_s`."""

    rate: float
    most: float
    level: float
    at_s: float

    def refill(self, now: float) -> float:
        self.level = min(self.most, self.level + self.rate * (now - self.at_s))
        self.at_s = now
        return self.level


class Throttle:
    """The buckets of one table, whose ARN is `arn`."""

    def __init__(self, definition: TableDefinition, clock: Clock, *, arn: str) -> None:
        self._clock = clock
        self._arn = arn
        self._buckets: dict[_Place, _Bucket] = {}
        self.settle(definition)

    def settle(self, definition: TableDefinition) -> None:
        """Take the capacity of a definition; a bucket keeps what it has, as far as it may."""
        self._definition = definition
        now, old, self._buckets = self._clock.time(), self._buckets, {}
        is_on_demand = definition.billing_mode == "PAY_PER_REQUEST"
        indexes = [(index.name, index.throughput) for index in definition.indexes.values() if index.is_global]
        for name, given in ((None, definition.throughput), *indexes):
            reads, writes = ON_DEMAND_UNITS if is_on_demand else given
            for is_write, rate in ((False, reads), (True, writes)):
                most = rate * (1.0 if is_on_demand else BURST_S)
                before = old.get((name, is_write))
                level = float(rate) if before is None else min(most, before.refill(now))
                self._buckets[name, is_write] = _Bucket(float(rate), most, level, now)

    def check(self, name: str | None, *, is_write: bool) -> None:
        """Raises DynamoError where the bucket of the table (None) or of a global index is empty."""
        bucket = self._buckets.get((name, is_write))
        if bucket is not None and bucket.refill(self._clock.time()) <= 0.0:
            raise self._exceeded(name, is_write=is_write)

    def pay(self, usage: Usage) -> None:
        """Take out what a request used."""
        for name, units in self._parts(usage).items():
            self._buckets[name, usage.is_write].level -= units

    def check_usage(self, usage: Usage) -> None:
        """Raises DynamoError where a bucket that `usage` needs is empty."""
        for name in self._parts(usage):
            self.check(name, is_write=usage.is_write)

    def _parts(self, usage: Usage) -> dict[str | None, float]:
        parts: dict[str | None, float] = {None: usage.units} if usage.units else {}
        for index, units in usage.by_index.items():
            name = index if (index, usage.is_write) in self._buckets else None  # the table pays for a local index
            parts[name] = parts.get(name, 0.0) + units
        return parts

    def _exceeded(self, name: str | None, *, is_write: bool) -> DynamoError:
        where = self._arn if name is None else f"{self._arn}/index/{name}"
        kind = f"{'Table' if name is None else 'Index'}{'Write' if is_write else 'Read'}"
        if self._definition.billing_mode == "PAY_PER_REQUEST":
            return DynamoError(
                "ThrottlingException",
                "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling "
                "your table or index so please try again shortly. If exceptions persist, check if you have a hot key: "
                "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html",
                fields={"throttlingReasons": [{"reason": f"{kind}KeyRangeThroughputExceeded", "resource": where}]},
            )
        reasons = [{"reason": f"{kind}ProvisionedThroughputExceeded", "resource": where}]
        whose = "the table" if name is None else "one or more global secondary indexes of the table"
        which = "level" if name is None else "level for the under-provisioned global secondary indexes"
        return DynamoError(
            "ProvisionedThroughputExceededException",
            f"The level of configured provisioned throughput for {whose} was exceeded. "
            f"Consider increasing your provisioning {which} with the UpdateTable API.",
            fields={"ThrottlingReasons": reasons},
        )


def check_read(table: Table, index: Index | None = None) -> None:
    """Raises DynamoError where a read of the table (None) or of an index is throttled."""
    if table.throttle is not None:
        table.throttle.check(index.name if index is not None and index.is_global else None, is_write=False)


def charge_read(usage: Usage) -> None:
    """Let a read that is done pay for itself."""
    if usage.table.throttle is not None:
        usage.table.throttle.pay(usage)


def spend_write(usage: Usage) -> None:
    """Let a write pay before it is done. Raises DynamoError where it is throttled, on the table or an index."""
    throttle = usage.table.throttle
    if throttle is not None:
        throttle.check_usage(usage)
        throttle.pay(usage)
