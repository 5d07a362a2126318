"""From where to where a stream is read, and what that means for one shard.

A span holds for all shards, those that do not exist yet too. `LATEST` is a moment, not a place: it becomes the
timestamp at which reading was begun first, or a worker that comes back, or takes over, would skip what arrived since.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartingPosition.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "NOTHING_DONE",
    "SHARD_END",
    "Checkpoint",
    "Kind",
    "Position",
    "Span",
    "choose_position",
    "is_beyond",
    "is_past",
]

Kind: TypeAlias = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
PositionKind: TypeAlias = Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]


class Checkpoint(NamedTuple):
    """How far a shard is done.

    `sequence_number` is "" where nothing is, `SHARD_END` where all is. With a `sub_sequence` the aggregate of that
    sequence number is done up to and with that record; None means that all of it is.
    """

    sequence_number: str = ""
    sub_sequence: int | None = None

    @property
    def is_end(self) -> bool:
        """Whether the shard is done for good."""
        return self.sequence_number == "SHARD_END"

    def covers(self, sequence_number: str, sub_sequence: int | None) -> bool:
        """Whether this record is done. `sub_sequence`: None for a record that is no aggregate's."""
        if not self.sequence_number or self.is_end:
            return self.is_end
        mine, other = int(self.sequence_number), int(sequence_number)
        if mine != other:
            return other < mine
        return self.sub_sequence is None or (sub_sequence is not None and sub_sequence <= self.sub_sequence)


NOTHING_DONE = Checkpoint()
SHARD_END = Checkpoint("SHARD_END")


class Position(NamedTuple):
    """Where in a shard reading begins; `sequence_number` for two of the kinds, `at_ms` (epoch) for AT_TIMESTAMP."""

    kind: PositionKind
    sequence_number: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """From where (`kind`) to where (`until_ms`, `last`) a stream is read.

    `at_ms`: for AT_TIMESTAMP, epoch milliseconds. `after`: for AFTER_SEQUENCE_NUMBER, sequence numbers by shard; those
    shards begin there, their descendants at their beginning, no other shard is read. `until_ms`: records that arrived
    later are not read, None for no end. `last`: sequence numbers by shard, beyond which nothing is read before that.
    Raises ValueError for members that do not go together.
    """

    kind: Kind = "TRIM_HORIZON"
    at_ms: int = 0
    after: Mapping[str, str] = field(default_factory=dict[str, str])
    until_ms: int | None = None
    last: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if (self.kind == "AT_TIMESTAMP") is not (self.at_ms > 0):
            raise ValueError("at_ms goes with AT_TIMESTAMP, and is epoch milliseconds")
        if (self.kind == "AFTER_SEQUENCE_NUMBER") is not bool(self.after):
            raise ValueError("after goes with AFTER_SEQUENCE_NUMBER, and names a shard at least")
        if self.last and self.until_ms is None:
            raise ValueError("last goes with until_ms: a shard that gets no further record must end as well")

    @property
    def is_bounded(self) -> bool:
        """Whether there is an end to what is read of an open shard."""
        return self.until_ms is not None

    def freeze(self, now_ms: int) -> Span:
        """This span once it is begun at `now_ms`: LATEST is that moment from then on."""
        return replace(self, kind="AT_TIMESTAMP", at_ms=now_ms) if self.kind == "LATEST" else self


def choose_position(span: Span, shard_id: str, checkpoint: Checkpoint) -> Position:
    """Where reading a shard goes on.

    Within an aggregate at its sequence number, so that the rest of it comes: the reader leaves out what is covered.
    Raises ValueError for a span that is not frozen, and for a shard that is done.
    """
    if checkpoint.is_end:
        raise ValueError("a shard that is done has no position")
    if checkpoint.sequence_number:
        kind = "AFTER_SEQUENCE_NUMBER" if checkpoint.sub_sequence is None else "AT_SEQUENCE_NUMBER"
        return Position(kind, checkpoint.sequence_number)
    if span.kind == "LATEST":
        raise ValueError("freeze the span first")
    if span.kind == "AFTER_SEQUENCE_NUMBER":
        after = span.after.get(shard_id)
        return Position("TRIM_HORIZON") if after is None else Position("AFTER_SEQUENCE_NUMBER", after)
    return Position(span.kind, at_ms=span.at_ms)


def is_beyond(span: Span, shard_id: str, sequence_number: str, *, arrived_ms: int) -> bool:
    """Whether this record, and so all after it in its shard, is not to be read any more."""
    last = span.last.get(shard_id)
    if last is not None and int(sequence_number) > int(last):
        return True
    return span.until_ms is not None and arrived_ms > span.until_ms


def is_past(span: Span, *, asked_ms: int, behind_ms: int) -> bool:
    """Whether an answer asked for at `asked_ms`, `behind_ms` behind the tip of the shard, shows that no more can come.

    It can where a record that is still to be read would have arrived after the end.
    """
    return span.until_ms is not None and asked_ms - behind_ms > span.until_ms
