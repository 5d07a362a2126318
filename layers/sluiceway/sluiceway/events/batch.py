"""What every batch tells of itself, whatever source it came from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from sluiceway.events.sqs import BatchReport

__all__ = ["Batch", "Record"]


class Record(Protocol):
    """One record of a batch."""

    @property
    def log_fields(self) -> dict[str, str | int | None]:
        """What tells the record in a log line."""
        ...


R = TypeVar("R", bound=Record)


class Batch(Protocol[R]):
    """What a source delivers at once: `SqsBatch`, `KinesisBatch` or `DynamoDbBatch`."""

    @property
    def records(self) -> Sequence[R]:
        """The records, in delivery order."""
        ...

    @property
    def lane_of(self) -> Callable[[R], Hashable] | None:
        """What keeps records in order among themselves; None where nothing does."""
        ...

    def report(self, unfinished: Sequence[R]) -> BatchReport:
        """What the source is told to send again."""
        ...
