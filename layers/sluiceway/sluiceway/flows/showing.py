"""Records of a shard as the messages of those who want them: shown, matched, written once for each filter, numbered.

Owns what becomes of a record that cannot be read, shown or sent, and how long a batch may take to judge: half of what
is left of the call, so that the other half is for sending. A record that takes longer than it may is missed by those
whose turn has not come, who see a gap; the others have it, and all have the records behind it. Must not know who holds
a filter, nor where it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from sluiceway import log
from sluiceway.codec.frames import encode_mark, encode_record, encode_records, pack_records
from sluiceway.errors import Rejected
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.socket import MarkFrame, RecordsFrame, ShownRecord
from sluiceway.ports import MAX_MESSAGE_BYTES
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.subscriptions import Filter, SubscriptionSet, View

__all__ = ["ShowTally", "Showing", "Shown", "write_messages"]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
JOINED_BYTES: Final = 32_768  # of the records in one message: a WebSocket frame, and what API Gateway meters as one
NUMBER_DIGITS: Final = 12  # that room is left for
JUDGING_SHARE: Final = 0.5  # of the time that is left
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
    """The messages of a filter, and the last number that was given; `unjudged` numbers are of records that nobody had
    the time to judge."""

    messages: tuple[bytes, ...]
    last: MarkFrame
    unjudged: int = 0


@dataclass(slots=True)
class ShowTally:
    """Records that could not be read, and that no message holds."""

    skipped: int = 0
    too_large: int = 0


class _Turns:
    """Time for the records of a batch, one after the other, until `until`, on the clock `now`.

    Half of it is for all of them alike, for certain; of the other half a record that needs more may take half of what
    is left. So one that takes long is judged, and many that do take nothing from the others.
    """

    def __init__(self, records: int, until: float, now: Callable[[], float]) -> None:
        self._now = now
        self._until = until
        self._spare_s = max(0.0, until - now()) / 2
        self._each_s = self._spare_s / records
        self._began = self._stop_at = 0.0

    def begin(self) -> None:
        """The next record's turn."""
        self._began = self._now()
        self._stop_at = min(self._until, self._began + self._each_s + self._spare_s / 2)

    def left_s(self) -> float:
        """How many seconds are left of the turn; not above 0 when it is over."""
        return self._stop_at - self._now()

    def are_left(self) -> bool:
        """Whether it is not yet `until`: what was found out in time is written, as long as it is not."""
        return self._now() < self._until

    def end(self) -> None:
        """What the record has taken beyond its part is gone."""
        self._spare_s -= min(self._spare_s, max(0.0, self._now() - self._began - self._each_s))


def write_messages(
    records: Sequence[KinesisRecord], held: SubscriptionSet[H], *, showing: Showing, tally: ShowTally, stop_at: float
) -> dict[Filter, Shown]:
    """The messages of each filter that matches anything, in the shard's order, until `stop_at` (event loop's clock).

    A record that is larger than a message has its number all the same, so that it is missed: by the message that
    follows, or else by a mark. So have records, several in a row together, that nobody had the time to judge.
    """
    if not records:
        return {}
    shard = records[0].shard_id
    head = encode_records(RecordsFrame(showing.topic, shard, showing.numbering.epoch, 10**NUMBER_DIGITS - 1, ()))
    now = asyncio.get_running_loop().time
    turns = _Turns(len(records), now() + (stop_at - now()) * JUDGING_SHARE, now)
    matching = _Matching(held, turns, tally, most=MAX_MESSAGE_BYTES - len(head))
    for record in records:
        matching.add(record)
    matching.tell()
    most = JOINED_BYTES - len(head)
    return {
        each: _write_frames(shown, each, showing=showing, shard=shard, most=most)._replace(
            unjudged=matching.unjudged[each]
        )
        for each, shown in matching.wanted.items()
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


class _Matching(Generic[H]):
    """What each filter is shown of a batch, written: b"" of a record that is missed.

    `unjudged`: how many of these are of records, or of several in a row, for which there was no time.
    """

    def __init__(self, held: SubscriptionSet[H], turns: _Turns, tally: ShowTally, *, most: int) -> None:
        self.wanted: dict[Filter, list[bytes]] = {}
        self.unjudged: Counter[Filter] = Counter()
        self._held = held
        self._turns = turns
        self._tally = tally
        self._most = most
        self._ambiguous_before = held.ambiguous
        self._missed: set[Filter] = set()  # of the last record
        self._slow = 0

    def add(self, record: KinesisRecord) -> None:
        """The next record of the shard."""
        self._turns.begin()
        members = _read_members(record, self._tally)
        if members is None:
            return
        judged = self._held.match(members, left_s=self._turns.left_s)
        missed = set(judged.unjudged)
        for view in judged.views:
            if self._turns.are_left():
                self._show(record, view)
            else:
                missed.update(view.filters)
        self._miss(missed)
        self._turns.end()

    def tell(self) -> None:
        """What was not judged, in the log."""
        if self._held.ambiguous > self._ambiguous_before:
            log.warning("broadcast.ambiguous", records=self._held.ambiguous - self._ambiguous_before)
        if self._slow:
            log.warning("broadcast.slow", records=self._slow)

    def _show(self, record: KinesisRecord, view: View) -> None:
        shown = _write_record(record, view.record, most=self._most, tally=self._tally)
        if shown is not None:
            for each in view.filters:
                self.wanted.setdefault(each, []).append(shown)

    def _miss(self, missed: set[Filter]) -> None:
        for each in missed - self._missed:  # others miss it together with the record before
            self.wanted.setdefault(each, []).append(b"")
            self.unjudged[each] += 1
        self._missed = missed
        self._slow += bool(missed)


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
