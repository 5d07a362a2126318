"""Records of a shard as the messages of those who want them: shown, matched, written once for each filter, numbered.

Owns what becomes of a record that cannot be read, shown or sent. Must not know who holds a filter, nor where it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from sluiceway import log
from sluiceway.codec.frames import encode_mark, encode_record, encode_records, pack_records
from sluiceway.errors import Rejected
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.socket import MarkFrame, RecordsFrame, ShownRecord
from sluiceway.ports import MAX_MESSAGE_BYTES
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.subscriptions import Filter, SubscriptionSet

__all__ = ["ShowTally", "Showing", "Shown", "write_messages"]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
JOINED_BYTES: Final = 32_768  # of the records in one message: a WebSocket frame, and what API Gateway meters as one
NUMBER_DIGITS: Final = 12  # that room is left for
H = TypeVar("H")


class Showing(NamedTuple):
    """Where messages are counted: `series` tells apart those who are not posted to by the same call."""

    topic: str
    numbering: Numbering
    series: Hashable = None

    def group(self, shard: str) -> Hashable:
        """What the numbers of one shard have in common."""
        return self.series, self.topic, shard


class Shown(NamedTuple):
    """The messages of a filter, and the last number that was given."""

    messages: tuple[bytes, ...]
    last: MarkFrame


@dataclass(slots=True)
class ShowTally:
    """Records that could not be read, and that no message holds."""

    skipped: int = 0
    too_large: int = 0


def write_messages(
    records: Sequence[KinesisRecord], held: SubscriptionSet[H], *, showing: Showing, tally: ShowTally
) -> dict[Filter, Shown]:
    """The messages of each filter that matches anything, in the shard's order.

    A record that is larger than a message has its number all the same, so that it is missed: by the message that
    follows, or else by a mark.
    """
    if not records:
        return {}
    shard = records[0].shard_id
    head = encode_records(RecordsFrame(showing.topic, shard, showing.numbering.epoch, 10**NUMBER_DIGITS - 1, ()))
    wanted = _match(records, held, most=MAX_MESSAGE_BYTES - len(head), tally=tally)
    return {
        each: _write_frames(shown, each, showing=showing, shard=shard, most=JOINED_BYTES - len(head))
        for each, shown in wanted.items()
    }


def _write_frames(shown: Iterable[bytes], wanted: Filter, *, showing: Showing, shard: str, most: int) -> Shown:
    written: list[bytes] = []
    group = showing.group(shard)
    mark = MarkFrame(showing.topic, shard, "", 0)
    is_missed = False
    for together in pack_records(shown, most):
        number = showing.numbering.next((group, wanted), group)
        mark = mark._replace(epoch=showing.numbering.epoch_of(group), number=number)
        is_missed = together == (b"",)
        if not is_missed:
            written.append(encode_records(RecordsFrame(*mark, together)))
    if is_missed:
        written.append(encode_mark(mark))
    return Shown(tuple(written), mark)


def _match(
    records: Sequence[KinesisRecord], held: SubscriptionSet[H], *, most: int, tally: ShowTally
) -> dict[Filter, list[bytes]]:
    """What each filter is shown, written; b"" of a record that is larger than a message."""
    wanted: dict[Filter, list[bytes]] = {}
    unjudged = held.unjudged
    for record in records:
        members = _read_members(record, tally)
        if members is None:
            continue
        for view in held.match(members):
            shown = _write_record(record, view.record, most=most, tally=tally)
            for each in view.filters if shown is not None else ():
                wanted.setdefault(each, []).append(shown or b"")
    if held.unjudged > unjudged:
        log.warning("broadcast.unjudged", records=held.unjudged - unjudged)
    return wanted


def _read_members(record: KinesisRecord, tally: ShowTally) -> Mapping[str, object] | None:
    """The JSON object that a record is; None, counted and logged, for anything else."""
    try:
        if record.fault is not None:
            raise record.fault
        return read_event(record.data)
    except Rejected as error:
        tally.skipped += 1
        log.warning("broadcast.skipped", reason=error.reason, **record.log_fields)
        return None


def _write_record(record: KinesisRecord, shown: Mapping[str, object], *, most: int, tally: ShowTally) -> bytes | None:
    """The record as it is sent; b"" where it is larger than a message, None where it has numbers beyond any double."""
    try:
        written = encode_record(ShownRecord(record.sequence_number, record.sub_sequence, shown))
    except (ValueError, TypeError, RecursionError):
        tally.skipped += 1
        log.warning("broadcast.skipped", reason="unwritable-record", **record.log_fields)
        return None
    if len(written) > most:
        tally.too_large += 1
        log.warning("broadcast.too_large", size_bytes=len(written), **record.log_fields)
        return b""
    return written
