"""Records of a stream to wherever the topic's rules send them: matched, shown in part, sent in batches, and accounted.

Owns what becomes of each record, in this order: what is no JSON object, or cannot be judged, is poison. What no rule
matches is done. What a destination refuses for good, or cannot take since it is set up wrongly, goes to the dead
letters with the rules that it is about: one wrong rule must not hold up the others. What a destination does not take
for now, or the deadline overtakes, comes again, with all later records of the shard, so that no key's order breaks; to
the destinations that had it already it goes once more, under the same id.

Records are taken in windows, smaller ones where many rules want them, so that the messages which wait are bounded; and
after a window of which something comes again no other begins: so few messages are sent twice. Every record is counted
once for each rule (`filter_account`). Must not know AWS, nor what a pattern or a mask means.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable, SluicewayError
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.flows.batch_letters import choose_letters
from sluiceway.flows.filter_account import RULE_METRICS, FilterAccount, FilterSums, choose_poison, choose_word
from sluiceway.flows.filter_messages import write_message
from sluiceway.flows.filter_rules import RuleWatch
from sluiceway.flows.workers import do_each
from sluiceway.ports import DeadLetters
from sluiceway.ports.filtering import Destinations, Outgoing
from sluiceway.rules.filtering import Destination
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.rule_set import Match, RuleSet
from sluiceway.rules.topics import find_topic
from sluiceway.steps.metrics import count, count_of

__all__ = ["RULES_TOLD", "FilterCounts", "FilterDesk", "filter_records"]

WINDOW: Final = 500  # records: as many as one PutRecords takes
DESTINATIONS_AT_ONCE: Final = 8
MAX_HELD_BYTES: Final = 33_554_432  # of messages that wait; the wire copies what is sent, of a function's 512 MB
MESSAGE_BYTES: Final = 1_000  # of a message, beside its body
RESERVE_S: Final = 1.0  # of the invocation, for dead letters and the report
RESERVE_SHARE: Final = 0.2  # never more than this share of a short one
MAX_TOLD: Final = 20  # rules that are named in the log at once
RULES_TOLD: Final = 100  # rules that an invocation's metrics name: a line of 0.3 kB and two metrics or more each


class FilterCounts:
    """What became of records, and by rule of their messages, since the execution environment began.

    `records`: `matched`, `unmatched`, `poison`, and `again` of those that came again. Of a rule's messages: `sent`,
    `returned`, or why they were dropped. What a rule does not match it does not count here; its metrics do.
    """

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.rules: dict[str, Counter[str]] = {}

    def add(self, sums: FilterSums) -> None:
        """The sums of a batch."""
        self.records += Counter(sums.records)
        for rule_id, words in sums.messages.items():
            self.rules.setdefault(rule_id, Counter()).update(words)


@dataclass(frozen=True, slots=True)
class FilterDesk:
    """What filtering needs. `topics`: topics by the name of the stream that carries them.

    `rules_told`: how many rules an invocation's metrics name at most; the others are told together. 0 names none.
    """

    watch: RuleWatch
    destinations: Destinations
    dead_letters: DeadLetters
    topics: Mapping[str, str]
    counts: FilterCounts = field(default_factory=FilterCounts)
    rules_told: int = RULES_TOLD


async def filter_records(batch: KinesisBatch, call: Invocation, desk: FilterDesk) -> BatchReport:
    """Send what the rules send of each record; report from where the shard comes again.

    Raises what the table of rules raises, and Misconfigured for a stream that carries no topic: the batch comes again.
    """
    if not batch.records:
        return BatchReport()
    is_counted = False
    try:
        topic, rules = await _read_rules(batch.records[0], desk)
        report, sums = await _filter(batch, rules, call=call, desk=desk)
        desk.counts.add(sums)
        is_counted = True
    finally:
        if not is_counted:  # the invocation fails, and nobody knows what it has sent: all of it comes again
            count("RecordsReturned", len(batch.records))
    _tell(sums, rules, topic=topic, most=desk.rules_told)
    return report


async def _read_rules(record: KinesisRecord, desk: FilterDesk) -> tuple[str, RuleSet]:
    stream = record.stream_name
    topic = find_topic(stream, desk.topics, "TOPICS")
    return topic, await desk.watch.read(topic, stream)


async def _filter(
    batch: KinesisBatch, rules: RuleSet, *, call: Invocation, desk: FilterDesk
) -> tuple[BatchReport, FilterSums]:
    reserve_s = call.keep_s(RESERVE_S, RESERVE_SHARE)
    account = FilterAccount(len(batch.records))
    run = _Run(desk, account, stop_at=call.deadline - reserve_s, cut_at=call.deadline - reserve_s / 2)
    outcomes = await _send_all(batch.records, rules, run)
    _spare_letters(batch.records, outcomes)

    async def one(record: KinesisRecord) -> None:
        outcome = outcomes[record.sequence_number, record.sub_sequence]
        if outcome is not None:
            raise outcome

    report = await process_batch(batch, one, desk=BatchDesk(desk.dead_letters), deadline=call.deadline)
    return report, account.settle(_find_again(batch.records, report))


def _find_again(records: Sequence[KinesisRecord], report: BatchReport) -> int:
    """The place from which on all records come again; behind the last where none does."""
    numbers = (at for at, record in enumerate(records) if record.sequence_number in report.failed)
    return next(numbers, len(records))


# ---------------------------------------------------------------- windows

_Place = tuple[str, int | None]
_Outcomes = dict[_Place, Exception | None]


class _Run(NamedTuple):
    """One call: what it has, what it counts; when it stops, and when what has not stopped is cut off (loop's clock)."""

    desk: FilterDesk
    account: FilterAccount
    stop_at: float
    cut_at: float


def _place(record: KinesisRecord) -> _Place:
    return record.sequence_number, record.sub_sequence


async def _send_all(records: Sequence[KinesisRecord], rules: RuleSet, run: _Run) -> _Outcomes:
    """What is to be done with each record: nothing more, a dead letter, or to let it come again."""
    outcomes: _Outcomes = {
        _place(record): Retryable("not reached: an earlier record comes again") for record in records
    }
    start = 0
    while start < len(records):
        if asyncio.get_running_loop().time() >= run.stop_at:
            log.warning("filter.deadline", unreached=len(records) - start)
            break
        found = await _send_window(records[start : start + WINDOW], rules, run, start=start)
        for at, outcome in enumerate(found, start):
            outcomes[_place(records[at])] = outcome
            if outcome is not None and not isinstance(outcome, Rejected):
                return outcomes  # what follows keeps "not reached", sent or not: the shard is read again from here
        start += len(found)
    return outcomes


def _spare_letters(records: Sequence[KinesisRecord], outcomes: _Outcomes) -> None:
    """Let poison be done with where others of its aggregate speak for it."""
    fates = [(record, outcomes[_place(record)]) for record in records]
    poison = [(record, fate) for record, fate in fates if isinstance(fate, Rejected)]
    for (record, _), told in zip(poison, choose_letters(poison), strict=True):
        outcomes[_place(record)] = told


class _Parcel(NamedTuple):
    """One message, and the place in the batch of the record that it is of."""

    at: int
    rule_id: str
    message: Outgoing


_FINAL: Final = (Rejected, Misconfigured)  # a message that failed so does not come again
_Parcels = dict[tuple[Destination, str], list[_Parcel]]


async def _send_window(
    window: Sequence[KinesisRecord], rules: RuleSet, run: _Run, *, start: int
) -> Sequence[Exception | None]:
    """What is to be done with each record of the window, whose first has the place `start` in the batch.

    It ends with the record that makes as many messages as may be held: what is sent then takes nothing of the next
    window's time to judge.
    """
    outcomes: dict[int, Exception | None] = {}
    sending = _Sending(run)
    now = asyncio.get_running_loop().time
    look_until = (now() + run.stop_at) / 2  # the rest is for sending: a batch that is slow to judge must get on as well
    for at, record in enumerate(window, start):
        if at > start and now() >= look_until:
            log.warning("filter.slow", unreached=len(window) - (at - start))
            outcomes |= dict.fromkeys(range(at, start + len(window)), Retryable("not reached in time"))
            break
        outcomes[at] = None
        if record.fault is not None:
            run.account.note_poison(at, "aggregate")
            continue  # the batch's own runner has a dead letter for it
        try:
            matches = rules.match(read_event(record.data))
        except Rejected as error:
            run.account.note_poison(at, choose_poison(error))
            outcomes[at] = error
            continue
        outcomes[at] = await sending.pack(at, record, matches)
        if sending.is_full or sending.has_sent:
            break
    await sending.flush()
    for at, found in sending.troubles.items():
        outcomes[at] = _judge(found, outcomes[at])
    return list(outcomes.values())


class _Sending:
    """The messages of a window: held until they are MAX_HELD_BYTES, or all, then sent to their destinations.

    `troubles`: by a record's place, the rules whose messages were not sent, and why. `has_sent`: some were sent.
    """

    def __init__(self, run: _Run) -> None:
        self.troubles: dict[int, list[tuple[str, Exception]]] = {}
        self._run = run
        self._parcels: _Parcels = {}
        self._held_bytes = 0
        self.has_sent = False
        self._comes_again = False

    @property
    def is_full(self) -> bool:
        """Whether no more may be held."""
        return self._held_bytes >= MAX_HELD_BYTES

    async def pack(self, at: int, record: KinesisRecord, matches: Iterable[Match]) -> Exception | None:
        """Put the messages of a record with those of their destinations; an object of a bucket is of one rule.

        Thousands of rules may want one record: then what is held is sent meanwhile, as long as nothing comes again.
        """
        unwritable: list[tuple[str, Exception]] = []
        for match in matches:
            if self.is_full:
                await self.flush()
                if self._comes_again:
                    break
            rule = match.rule
            try:
                message = write_message(record, match)
            except Rejected as error:
                self._run.account.note(at, rule.rule_id, choose_word(error))
                unwritable.append((rule.rule_id, error))
                continue
            of = (rule.destination, rule.rule_id if rule.destination.kind == "s3" else "")
            self._parcels.setdefault(of, []).append(_Parcel(at, rule.rule_id, message))
            self._held_bytes += sys.getsizeof(message.body) + MESSAGE_BYTES
        return _judge(unwritable, None)

    async def flush(self) -> None:
        """Send what is held."""
        parcels, self._parcels, self._held_bytes, self.has_sent = self._parcels, {}, 0, True
        await do_each(parcels.items(), self._send, at_once=DESTINATIONS_AT_ONCE)

    async def _send(self, entry: tuple[tuple[Destination, str], list[_Parcel]]) -> None:
        (destination, _), parcels = entry
        for parcel, fate in zip(parcels, await _send(destination, parcels, self._run), strict=True):
            self._run.account.note(parcel.at, parcel.rule_id, choose_word(fate))
            if fate is not None:
                self.troubles.setdefault(parcel.at, []).append((parcel.rule_id, fate))
                self._comes_again |= not isinstance(fate, _FINAL)


async def _send(destination: Destination, parcels: Sequence[_Parcel], run: _Run) -> Sequence[Exception | None]:
    messages = [parcel.message for parcel in parcels]
    try:
        async with asyncio.timeout_at(run.cut_at):
            return await run.desk.destinations.send(destination, messages, deadline=run.stop_at)
    except Exception as error:  # noqa: BLE001 - once a destination: the others go on, and these records come again
        log.failure("filter.destination_failed", error)
        return [error] * len(messages)


def _judge(troubles: Sequence[tuple[str, Exception]], before: Exception | None) -> Exception | None:
    """What becomes of the record: it comes again where any message does; else one dead letter names all rules."""
    for _, fate in troubles:
        if not isinstance(fate, _FINAL):
            return (
                fate if isinstance(fate, SluicewayError) else Retryable(f"a destination failed: {type(fate).__name__}")
            )
    if not troubles:
        return before
    reason = next((fate.reason for _, fate in troubles if isinstance(fate, Rejected)), "destination-misconfigured")
    said = "; ".join([*([str(before)] if before else []), *(f"rule {rule_id}: {fate}" for rule_id, fate in troubles)])
    return Rejected(said, reason=reason)


# ---------------------------------------------------------------- accounts


def _tell(sums: FilterSums, rules: RuleSet, *, topic: str, most: int) -> None:
    """Metrics of the whole and of each rule, and a line for each rule that something went wrong with."""
    for rule_id in sorted(sums.find_wrong())[:MAX_TOLD]:
        log.warning("filter.rule", rule=rule_id, **sums.messages[rule_id])
    words = Counter(sums.words)
    metrics = {
        "RecordsMatched": sums.records["matched"],
        "RecordsUnmatched": sums.records["unmatched"],
        "RecordsPoison": sums.records["poison"],
        "RecordsReturned": sums.records["again"],
        "MessagesSent": words["sent"],
        "MessagesRefused": words["refused"] + words["too_large"] + words["unwritable"],
        "MessagesReturned": words["returned"],
        "Misconfigured": words["misconfigured"],
    }
    for name, number in metrics.items():
        if number:
            count(name, number)
    for rule_id, told in sums.tell(rules.ids, rules.unusable, most=most):
        of = {"topic": topic, "rule": rule_id} if most else {"topic": topic}
        count_of(of, {RULE_METRICS[word]: number for word, number in told.items()})
    log.info("filter.done", records=sum(sums.records.values()), **sums.records, **dict(words))
