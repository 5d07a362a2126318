"""A record from `put` to its receipt: what is known of it on the way, and what its sender gets."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from sluiceway.errors import Retryable

__all__ = ["NotPut", "Pending", "Receipt"]


class Receipt(NamedTuple):
    """Where a record stands: it is stored. `sub_sequence` is its place in an aggregate, None for a record of its own.

    `sequence_number` is decimal digits; records of one shard are read in the order of both numbers.
    """

    shard_id: str
    sequence_number: str
    sub_sequence: int | None = None


class NotPut(Retryable):
    """The time was over before the stream had taken the record. `throttled`: it was declined for throughput last.

    `perhaps_put`: an answer was lost, so it may stand in the stream all the same.
    """

    def __init__(self, message: str, *, perhaps_put: bool, throttled: bool, after_s: float | None = None) -> None:
        super().__init__(message, after_s=after_s)
        self.perhaps_put = perhaps_put
        self.throttled = throttled


class Pending:
    """One record under way. `give_up_at` is on the loop's clock; `size_bytes` is what Kinesis counts for it."""

    __slots__ = (
        "attempts",
        "data",
        "explicit_hash_key",
        "future",
        "give_up_at",
        "is_under_way",
        "key",
        "perhaps_put",
        "size_bytes",
        "throttled",
        "trouble",
    )

    def __init__(  # noqa: PLR0913 - the parts of one record, keyword-only
        self,
        key: str,
        data: bytes,
        explicit_hash_key: str | None,
        *,
        size_bytes: int,
        give_up_at: float,
        future: asyncio.Future[Receipt],
    ) -> None:
        self.key = key
        self.data = data
        self.explicit_hash_key = explicit_hash_key
        self.size_bytes = size_bytes
        self.give_up_at = give_up_at
        self.future = future
        self.attempts = 0
        self.is_under_way = False
        self.perhaps_put = False
        self.throttled = False
        self.trouble = ""

    def tell(self, receipt: Receipt) -> None:
        """It is stored. Nothing where nobody waits for that any more."""
        if not self.future.done():
            self.future.set_result(receipt)

    def fail(self, error: Exception) -> None:
        """It is not, as far as is known."""
        if not self.future.done():
            self.future.set_exception(error)

    def give_up(self, why: str, *, after_s: float | None = None) -> None:
        """Nobody tries any more; what is in a call that has no answer yet is perhaps stored."""
        perhaps_put = self.perhaps_put or self.is_under_way
        why = f"{why}; the last call: {self.trouble}" if self.trouble else why
        self.fail(NotPut(why, perhaps_put=perhaps_put, throttled=self.throttled, after_s=after_s))
