"""What subscribers have missed and cannot know yet, as far as this execution environment knows it.

Owns how they are told. A message that was dropped has its number: its subscriber sees that with the next message of the
same environment and shard, or is sent a `mark`, which says how far the numbers have come, with the environment's next
batch of the topic, of whatever shard. A part that has had nothing of a batch, for all anybody knows, and a batch that
was given up, have no numbers: whoever serves that part and shard next leaves one out. Bounded: what does not fit in is
forgotten and counted. Must not know how anything is posted or read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar, cast

from sluiceway.codec.frames import encode_mark
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.socket import MarkFrame
from sluiceway.flows.posting import Missed, Parcel
from sluiceway.ports import Subscription
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.subscriptions import Filter
from sluiceway.steps.metrics import count

__all__ = ["ALL", "About", "Losses", "Marks"]

MAX_MARKED: Final = 10_000  # connections of a topic that are owed marks: some 5 MB
MAX_LOSSES: Final = 10_000  # topics and shards of which parts have lost something
MAX_TOLD: Final = 8  # losses that an order tells of
MAX_REMEMBERED: Final = 64  # of them, so that none is told twice where several environments give orders
TOLD_S: Final = 7_800.0  # that a loss is told of: no connection that missed it lives longer
ALL: Final = -1  # every part
K = TypeVar("K")
V = TypeVar("V")


class About(NamedTuple):
    """What a parcel is about: `wanted` is its connection's filter, `last` tells the last number of its messages, and
    `marks` come before them. One object for all who are due the same."""

    wanted: Filter
    last: MarkFrame | None = None
    marks: tuple[MarkFrame, ...] = ()


def _about(parcel: Parcel) -> About:
    return cast("About", parcel.about)


@dataclass(slots=True)
class _Owed:
    subscription: Subscription
    wanted: Filter
    marks: dict[tuple[str, str], MarkFrame] = field(default_factory=dict[tuple[str, str], MarkFrame])


class Marks:
    """Connections that missed a message of which nothing has told them yet. Lives as long as the environment."""

    def __init__(self) -> None:
        self._of_topic: dict[str, dict[str, _Owed]] = {}

    def __len__(self) -> int:
        """How many connections there are, of all topics."""
        return sum(map(len, self._of_topic.values()))

    def add(
        self,
        topic: str,
        parcels: Sequence[Parcel],
        holders: Callable[[Filter], Iterable[Subscription]],
        *,
        is_served: Callable[[str], bool],
    ) -> Sequence[Parcel]:
        """The parcels of a call, `about` an About each, with the marks that are owed; who is due nothing else is last.

        `holders`: who has a filter, of those connections of which `is_served` says that this call serves them. Who of
        these is not there any more is forgotten; others are owed their marks still.
        """
        of_topic = self._of_topic.get(topic)
        if not of_topic:
            return parcels
        found: list[Parcel] = []
        marked: set[str] = set()
        for parcel in parcels:
            owed = of_topic.get(parcel.subscription.connection_id)
            if owed is None or owed.subscription != parcel.subscription:
                found.append(parcel)
                continue
            about = _about(parcel)
            own = None if about.last is None else _key(about.last)  # its own messages tell of that
            marks = tuple(mark for key, mark in owed.marks.items() if key != own)
            found.append(_mark(parcel, about._replace(marks=marks)))
            marked.add(parcel.subscription.connection_id)
        waiting = [each for name, each in of_topic.items() if name not in marked and is_served(name)]
        wanted = {each.wanted for each in waiting}
        there = {each: {holder.connection_id: holder for holder in holders(each)} for each in wanted}
        for owed in waiting:
            subscription = owed.subscription
            if there[owed.wanted].get(subscription.connection_id) == subscription:
                found.append(_mark(Parcel(subscription), About(owed.wanted, marks=tuple(owed.marks.values()))))
            else:
                del of_topic[subscription.connection_id]
        return found

    def learn(self, topic: str, parcels: Iterable[Parcel], missed: Iterable[Missed]) -> None:
        """What became of a call's parcels: who was posted everything is owed nothing."""
        of_topic = self._of_topic.setdefault(topic, {})
        lost = {parcel.subscription.connection_id for parcel, _ in missed}
        if of_topic:
            for parcel in parcels:
                connection_id = parcel.subscription.connection_id
                if connection_id in of_topic and connection_id not in lost:
                    _forgive(of_topic, parcel, len(parcel.messages))
        for parcel, at in missed:
            _owe(of_topic, parcel, at)


def _mark(parcel: Parcel, about: About) -> Parcel:
    return Parcel(parcel.subscription, (*map(encode_mark, about.marks), *parcel.messages), about)


def _owe(of_topic: dict[str, _Owed], parcel: Parcel, at: int) -> None:
    """The posts from the place `at` on were not made: what is owed ends with the last number."""
    _forgive(of_topic, parcel, at)
    about, connection_id = _about(parcel), parcel.subscription.connection_id
    if about.last is None:
        return
    owed = of_topic.get(connection_id)
    if owed is None:
        if len(of_topic) >= MAX_MARKED:
            del of_topic[next(iter(of_topic))]
            count("MarksForgotten")
        owed = of_topic[connection_id] = _Owed(parcel.subscription, about.wanted)
    owed.marks[_key(about.last)] = about.last


def _forgive(of_topic: dict[str, _Owed], parcel: Parcel, posts: int) -> None:
    """So many posts were made: marks first, then messages, each of which tells of what was before it."""
    owed, about = of_topic.get(parcel.subscription.connection_id), _about(parcel)
    if owed is None:
        return
    told = about.marks[:posts]
    for mark in told if about.last is None or posts <= len(about.marks) else (*told, about.last):
        owed.marks.pop(_key(mark), None)
    if not owed.marks or owed.subscription != parcel.subscription:
        del of_topic[parcel.subscription.connection_id]


def _key(mark: MarkFrame) -> tuple[str, str]:
    return mark.shard, mark.epoch


class _Loss(NamedTuple):
    """Everything of a shard up to this sequence number may be missing, as was found out at `at` (loop's clock)."""

    sequence_number: str
    at: float


class _Told(NamedTuple):
    """Of which losses a group has been told, and up to which sequence number it has served its shard."""

    lost: tuple[int, ...] = ()
    served: int = -1


class Losses:
    """Batches of which parts may have had nothing. Lives as long as the environment, whether it gives orders or serves
    them."""

    def __init__(self) -> None:
        self._lost: dict[tuple[str, str], dict[int, tuple[_Loss, ...]]] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._told: dict[Hashable, _Told] = {}

    def note(self, topic: str, part: int, records: Sequence[KinesisRecord], *, now: float) -> None:
        """A part may have had nothing of these records of a shard."""
        last = records[-1]
        self._note((topic, last.shard_id), part, _Loss(last.sequence_number, now))

    def find(self, topic: str, shard: str, part: int, *, now: float) -> tuple[str, ...]:
        """The last sequence numbers of batches that a part, or of `ALL` any, may have lost in the last two hours.

        The newest MAX_TOLD of them, in the shard's order.
        """
        lost = self._lost.get((topic, shard), {})
        found = {
            each.sequence_number
            for of, losses in lost.items()
            if part == ALL or of in {ALL, part}
            for each in losses
            if now - each.at < TOLD_S
        }
        return tuple(sorted(found, key=int)[-MAX_TOLD:])

    def tell(
        self, group: Hashable, lost: Sequence[str], *, served: Sequence[KinesisRecord], numbering: Numbering
    ) -> None:
        """Let a group, which is about to serve records of its shard, learn of losses, each once.

        What lies before records that the group has served already is in no gap of its numbers: they begin anew then,
        and also where there may be more losses than are told.
        """
        known = self._told.get(group, _Told())
        news = [int(each) for each in lost if int(each) not in known.lost]
        if news:
            numbering.lose(group, anew=known.served > news[0] or len(news) >= MAX_TOLD)
        kept = (*known.lost, *news)[-MAX_REMEMBERED:]
        _put(self._told, group, _Told(kept, int(served[-1].sequence_number)))

    def begin(self, topic: str, records: Sequence[KinesisRecord], *, now: float) -> None:
        """A batch of a shard begins: one that failed here, and lies before it, was given up, or served elsewhere."""
        key = topic, records[0].shard_id
        failed = self._failed.get(key, "")
        if failed and int(records[0].sequence_number) > int(failed):
            self._note(key, ALL, _Loss(failed, now))
            del self._failed[key]

    def end(self, topic: str, records: Sequence[KinesisRecord], *, is_served: bool) -> None:
        """The batch was served, or failed and comes again."""
        key = topic, records[0].shard_id
        last, failed = records[-1].sequence_number, self._failed.get(key, "0")
        if not is_served:
            _put(self._failed, key, max(last, failed, key=int))
        elif int(last) >= int(failed):
            self._failed.pop(key, None)

    def _note(self, key: tuple[str, str], part: int, loss: _Loss) -> None:
        parts = self._lost.get(key, {})
        parts[part] = (*parts.get(part, ()), loss)[-MAX_TOLD:]
        _put(self._lost, key, parts)


def _put(known: dict[K, V], key: K, value: V) -> None:
    """Keep a value; the oldest goes where there are too many."""
    known.pop(key, None)
    if len(known) >= MAX_LOSSES:
        del known[next(iter(known))]
    known[key] = value
