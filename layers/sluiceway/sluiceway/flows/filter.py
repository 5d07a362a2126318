"""Records of a stream to wherever the topic's rules send them: matched, shown in part, sent in batches, and accounted.

Owns what becomes of each record, in this order: what is no JSON object, or cannot be judged, is poison. What no rule
matches is done. What a destination refuses for good, or cannot take since it is set up wrongly, goes to the dead
letters with the rules that it is about: one wrong rule must not hold up the others. What a destination does not take
for now, or the deadline overtakes, comes again, with all later records of the shard, so that no key's order breaks; to
the destinations that had it already it goes once more, under the same id.

Records are taken in windows, and after a window of which something comes again no other begins: so few messages are
sent twice. Must not know AWS, nor what a pattern or a mask means.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable, SluicewayError
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.flows.filter_messages import write_message
from sluiceway.flows.filter_rules import RuleWatch
from sluiceway.ports import DeadLetters
from sluiceway.ports.filtering import Destinations, Outgoing
from sluiceway.rules.filtering import Destination
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.rule_set import Match, RuleSet
from sluiceway.steps.metrics import count

__all__ = ["FilterCounts", "FilterDesk", "filter_records"]

WINDOW: Final = 500  # records: as many as one PutRecords takes
DESTINATIONS_AT_ONCE: Final = 8
RESERVE_S: Final = 1.0  # of the invocation, for dead letters and the report
RESERVE_SHARE: Final = 0.2  # never more than this share of a short one
MAX_TOLD: Final = 20  # rules that are named in the log at once


class FilterCounts:
    """What became of records, and by rule of their messages, since the execution environment began.

    `records`: `matched`, `unmatched`, `poison`. Of a rule's messages: `sent`, `refused` (dead letters), `misconfigured`
    (dead letters as well) and `returned` (they come again). What a rule does not match it does not count.
    """

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.rules: dict[str, Counter[str]] = {}

    def note(self, rule_id: str, fate: str) -> None:
        """One message of a rule."""
        self.rules.setdefault(rule_id, Counter())[fate] += 1


@dataclass(frozen=True, slots=True)
class FilterDesk:
    """What filtering needs. `topics`: topics by the name of the stream that carries them."""

    watch: RuleWatch
    destinations: Destinations
    dead_letters: DeadLetters
    topics: Mapping[str, str]
    counts: FilterCounts = field(default_factory=FilterCounts)


async def filter_records(batch: KinesisBatch, call: Invocation, desk: FilterDesk) -> BatchReport:
    """Send what the rules send of each record; report from where the shard comes again.

    Raises what the table of rules raises, and Misconfigured for a stream that carries no topic: the batch comes again.
    """
    if not batch.records:
        return BatchReport()
    stream = batch.records[0].stream_arn.partition(":stream/")[2].partition("/")[0]
    if stream not in desk.topics:
        raise Misconfigured("the stream of this event carries no topic", what="TOPICS")
    rules = await desk.watch.read(desk.topics[stream], stream)
    reserve_s = min(RESERVE_S, call.remaining_s() * RESERVE_SHARE)
    tally = FilterCounts()
    run = _Run(desk, tally, stop_at=call.deadline - reserve_s, cut_at=call.deadline - reserve_s / 2)
    outcomes = await _send_all(batch.records, rules, run)

    async def one(record: KinesisRecord) -> None:
        outcome = outcomes[record.sequence_number, record.sub_sequence]
        if outcome is not None:
            raise outcome

    report = await process_batch(batch, one, desk=BatchDesk(desk.dead_letters), deadline=call.deadline)
    _account(tally, desk.counts, len(batch.records))
    return report


# ---------------------------------------------------------------- windows

_Place = tuple[str, int | None]
_Outcomes = dict[_Place, Exception | None]


class _Run(NamedTuple):
    """One call: what it has, what it counts; when it stops, and when what has not stopped is cut off (loop's clock)."""

    desk: FilterDesk
    tally: FilterCounts
    stop_at: float
    cut_at: float


def _place(record: KinesisRecord) -> _Place:
    return record.sequence_number, record.sub_sequence


async def _send_all(records: Sequence[KinesisRecord], rules: RuleSet, run: _Run) -> _Outcomes:
    """What is to be done with each record: nothing more, a dead letter, or to let it come again."""
    outcomes: _Outcomes = {
        _place(record): Retryable("not reached: an earlier record comes again") for record in records
    }
    for start in range(0, len(records), WINDOW):
        if asyncio.get_running_loop().time() >= run.stop_at:
            log.warning("filter.deadline", unreached=len(records) - start)
            break
        window = records[start : start + WINDOW]
        for record, outcome in zip(window, await _send_window(window, rules, run), strict=True):
            outcomes[_place(record)] = outcome
            if outcome is not None and not isinstance(outcome, Rejected):
                return outcomes  # what follows keeps "not reached", sent or not: the shard is read again from here
    return outcomes


class _Parcel(NamedTuple):
    """One message, and the place in the window of the record that it is of."""

    at: int
    rule_id: str
    message: Outgoing


_Parcels = dict[tuple[Destination, str], list[_Parcel]]


async def _send_window(window: Sequence[KinesisRecord], rules: RuleSet, run: _Run) -> Sequence[Exception | None]:
    outcomes: list[Exception | None] = [None] * len(window)
    parcels: _Parcels = {}
    for at, record in enumerate(window):
        if record.fault is not None:
            run.tally.records["poison"] += 1
            continue  # the batch's own runner has a dead letter for it
        try:
            matches = rules.match(read_event(record.data))
        except Rejected as error:
            run.tally.records["poison"] += 1
            outcomes[at] = error
            continue
        run.tally.records["matched" if matches else "unmatched"] += 1
        outcomes[at] = _pack(at, record, matches, parcels=parcels, tally=run.tally)
    troubles: dict[int, list[tuple[str, Exception]]] = {}
    waiting = iter(parcels.items())
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(DESTINATIONS_AT_ONCE, len(parcels))):
            workers.create_task(_work(waiting, run, troubles))
    for at, found in troubles.items():
        outcomes[at] = _judge(found, outcomes[at])
    return outcomes


def _pack(
    at: int, record: KinesisRecord, matches: Sequence[Match], *, parcels: _Parcels, tally: FilterCounts
) -> Exception | None:
    """Put the messages of a record with those of their destinations; an object of a bucket is of one rule."""
    unwritable: list[tuple[str, Exception]] = []
    for match in matches:
        rule = match.rule
        try:
            message = write_message(record, match)
        except Rejected as error:
            tally.note(rule.rule_id, "refused")
            unwritable.append((rule.rule_id, error))
            continue
        of = (rule.destination, rule.rule_id if rule.destination.kind == "s3" else "")
        parcels.setdefault(of, []).append(_Parcel(at, rule.rule_id, message))
    return _judge(unwritable, None)


async def _work(
    waiting: Iterator[tuple[tuple[Destination, str], list[_Parcel]]],
    run: _Run,
    troubles: dict[int, list[tuple[str, Exception]]],
) -> None:
    for (destination, _), parcels in waiting:
        for parcel, fate in zip(parcels, await _send(destination, parcels, run), strict=True):
            run.tally.note(parcel.rule_id, _word(fate))
            if fate is not None:
                troubles.setdefault(parcel.at, []).append((parcel.rule_id, fate))


async def _send(destination: Destination, parcels: Sequence[_Parcel], run: _Run) -> Sequence[Exception | None]:
    messages = [parcel.message for parcel in parcels]
    try:
        async with asyncio.timeout_at(run.cut_at):
            return await run.desk.destinations.send(destination, messages, deadline=run.stop_at)
    except Exception as error:  # noqa: BLE001 - once a destination: the others go on, and these records come again
        log.failure("filter.destination_failed", error)
        return [error] * len(messages)


def _word(fate: Exception | None) -> str:
    if fate is None:
        return "sent"
    if isinstance(fate, Rejected):
        return "refused"
    return "misconfigured" if isinstance(fate, Misconfigured) else "returned"


def _judge(troubles: Sequence[tuple[str, Exception]], before: Exception | None) -> Exception | None:
    """What becomes of the record: it comes again where any message does; else one dead letter names all rules."""
    for _, fate in troubles:
        if not isinstance(fate, Rejected | Misconfigured):
            return (
                fate if isinstance(fate, SluicewayError) else Retryable(f"a destination failed: {type(fate).__name__}")
            )
    if not troubles:
        return before
    reason = next((fate.reason for _, fate in troubles if isinstance(fate, Rejected)), "destination-misconfigured")
    said = "; ".join([*([str(before)] if before else []), *(f"rule {rule_id}: {fate}" for rule_id, fate in troubles)])
    return Rejected(said, reason=reason)


# ---------------------------------------------------------------- accounts


def _account(tally: FilterCounts, counts: FilterCounts, records: int) -> None:
    """Metrics for the whole, a line for each rule that something went wrong with, and the lasting counts."""
    fates: Counter[str] = Counter()
    wrong = 0
    for rule_id, numbers in sorted(tally.rules.items()):
        fates += numbers
        counts.rules.setdefault(rule_id, Counter()).update(numbers)
        if numbers.keys() - {"sent"} and (wrong := wrong + 1) <= MAX_TOLD:
            log.warning("filter.rule", rule=rule_id, **dict(numbers))
    counts.records.update(tally.records)
    metrics = {
        "RecordsMatched": tally.records["matched"],
        "RecordsUnmatched": tally.records["unmatched"],
        "RecordsPoison": tally.records["poison"],
        "MessagesSent": fates["sent"],
        "MessagesRefused": fates["refused"],
        "MessagesReturned": fates["returned"],
        "Misconfigured": fates["misconfigured"],
    }
    for name, number in metrics.items():
        if number:
            count(name, number)
    log.info("filter.done", records=records, **dict(tally.records), **dict(fates))
