"""A batch of changes of one shard of a DynamoDB table's stream, as an event source mapping delivers it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.sqs import BatchReport

__all__ = ["DynamoDbBatch", "DynamoDbRecord"]


class DynamoDbRecord(NamedTuple):
    """One change of one item.

    `change`: `INSERT`, `MODIFY` or `REMOVE`. `keys`, `new_image` and `old_image` are attributes in Python: str, int,
    Decimal (a number with a fraction or an exponent), bytes, bool, None, list, dict, set; an image is None where the
    stream's view has none, or where there was no item. `item` tells the item among those of its table.
    `sequence_number` is decimal digits, ascending in the shard. `changed_ms`: ApproximateCreationDateTime in epoch
    milliseconds (whole seconds; 0 where it was not said). `view`: the StreamViewType ("" where it was not said).
    `expired`: removed by the table's time to live, not by a caller.
    Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
    """

    sequence_number: str
    event_id: str
    change: str
    keys: Mapping[str, object]
    item: Hashable
    stream_arn: str
    new_image: Mapping[str, object] | None = None
    old_image: Mapping[str, object] | None = None
    changed_ms: int = 0
    size_bytes: int = 0
    view: str = ""
    expired: bool = False

    @property
    def content(self) -> Mapping[str, object]:
        """The item after the change, or what it was before it was removed.

        Raises: Misconfigured where the stream's view does not carry it.
        """
        image = self.new_image if self.change != "REMOVE" else self.old_image
        if image is None:
            raise Misconfigured(f"a stream of {self.view} has no item for a {self.change}", what="StreamViewType")
        return image

    @property
    def fault(self) -> Rejected | None:
        """None: what a table says about itself is whole, or the event is refused."""
        return None

    @property
    def log_fields(self) -> dict[str, str | int | None]:
        """What tells this change in a log line. No key: it may be somebody's name."""
        return {"sequence_number": self.sequence_number, "event_id": self.event_id}


class DynamoDbBatch(NamedTuple):
    """The changes of one invocation, in the shard's order."""

    records: tuple[DynamoDbRecord, ...]

    @property
    def lane_of(self) -> Callable[[DynamoDbRecord], Hashable]:
        """What keeps changes in order among themselves: the item."""
        return attrgetter("item")

    def report(self, unfinished: Sequence[DynamoDbRecord]) -> BatchReport:
        """The lowest sequence number that is unfinished: Lambda sends it and all after it again.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
        """
        lowest = min((record.sequence_number for record in unfinished), key=int, default=None)
        return BatchReport() if lowest is None else BatchReport((lowest,))
