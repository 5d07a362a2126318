"""What CloudWatch is told of queues: what was sent, received and deleted, and each minute what there is.

Owns the names, units and rules of the namespace AWS/SQS. A queue is active for six hours after it had a message or was
named in a request; an inactive one tells nothing. Each metric has the criterion of its own that AWS's table gives.
Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from localcloud.clock import Clock
from localcloud.services.cloudwatch.counting import Counters, Tally
from localcloud.services.sqs.held import Held, State
from localcloud.services.sqs.message import content_size_bytes
from localcloud.services.sqs.queue import Queue
from localcloud.services.sqs.watching import Watch

__all__ = ["NAMESPACE", "QueueMeters"]

NAMESPACE: Final = "AWS/SQS"
ACTIVE_S: Final = 6 * 3600.0  # monitoring-using-cloudwatch: active for up to six hours
POISON_RECEIVES: Final = 3  # sqs-available-cloudwatch-metrics: received so often, a message of a standard queue
_QUIET: Final = "InQuietGroups"


class _Meter:
    """The tallies of one queue, and when it was last used."""

    def __init__(self, counters: Counters, arn: str, now_s: float) -> None:
        self._counters = counters
        self._region, self._name = arn.split(":")[3], arn.rpartition(":")[2]
        self._gauges: dict[str, Tally] = {}
        self.is_touched = True
        self.is_fair = False  # some message came with a group, and the queue is no FIFO queue
        self.active_s = now_s
        self.sent = self.tally("NumberOfMessagesSent")
        self.size = self.tally("SentMessageSize", "Bytes")
        self.repeated = self.tally("NumberOfDeduplicatedSentMessages")
        self.received = self.tally("NumberOfMessagesReceived")
        self.empty = self.tally("NumberOfEmptyReceives")
        self.deleted = self.tally("NumberOfMessagesDeleted")

    def tally(self, name: str, unit: str = "Count") -> Tally:
        """A tally of the queue."""
        sets = [{"QueueName": self._name}]
        return self._counters.tally(NAMESPACE, name, sets, region=self._region, unit=unit)

    def gauge(self, name: str, value: float, unit: str = "Count") -> None:
        """What there is now."""
        if name not in self._gauges:
            self._gauges[name] = self.tally(name, unit)
        self._gauges[name].note(value)


class QueueMeters:
    """A `Watch` that counts, in front of another one. `queues` gives every queue there is, once there are any."""

    def __init__(self, counters: Counters, clock: Clock, *, before: Watch) -> None:
        self.queues: Callable[[], Iterable[Queue]] = tuple
        self._counters = counters
        self._clock = clock
        self._before = before
        self._meters: dict[str, _Meter] = {}
        counters.each_minute(self._look)

    def sent(self, arn: str, held: Held) -> None:
        """A dead letter is not sent, it is moved: it counts nowhere."""
        self._before.sent(arn, held)
        if held.dead_letter_source:
            held.moved_s = self._clock.time()
            return
        meter = self._meter(arn)
        meter.is_touched = True
        meter.sent.note(1.0)
        meter.size.note(content_size_bytes(held.content))
        if held.content.group_id and not held.sequence:
            meter.is_fair = True

    def received(self, arn: str, held: Held) -> None:
        """Counted by receives, not by messages."""
        self._before.received(arn, held)

    def gone(self, held: Held) -> None:
        """Nothing: what is deleted is counted as that."""
        self._before.gone(held)

    def repeated(self, arn: str) -> None:
        """A duplicate that was not added."""
        meter = self._meter(arn)
        meter.is_touched = True
        meter.repeated.note(1.0)

    def took(self, arn: str, count: int) -> None:
        """Both metrics are of every receive."""
        meter = self._meter(arn)
        meter.is_touched = True
        meter.received.note(count)
        meter.empty.note(0.0 if count else 1.0)

    def deleted(self, arn: str) -> None:
        """Duplicate deletions count as well."""
        meter = self._meter(arn)
        meter.is_touched = True
        meter.deleted.note(1.0)

    def touched(self, arn: str) -> None:
        """It is active again."""
        self._meter(arn).is_touched = True

    def _meter(self, arn: str) -> _Meter:
        meter = self._meters.get(arn)
        if meter is None:
            meter = self._meters[arn] = _Meter(self._counters, arn, self._clock.time())
        return meter

    def _look(self) -> None:
        """The end of a minute: note what there is in every active queue, and forget queues that are gone."""
        now_s = self._clock.time()
        queues = {queue.arn: queue for queue in self.queues()}
        for arn in [arn for arn in self._meters if arn not in queues]:
            del self._meters[arn]
        for arn, queue in queues.items():
            meter = self._meter(arn)
            if meter.is_touched or any((queue.depth.visible, queue.depth.in_flight, queue.depth.delayed)):
                meter.is_touched, meter.active_s = False, now_s
            if now_s < meter.active_s + ACTIVE_S:
                _note_depth(meter, queue, now_s)


def _note_depth(meter: _Meter, queue: Queue, now_s: float) -> None:
    depth = queue.depth
    meter.gauge("ApproximateNumberOfMessagesVisible", depth.visible)
    if depth.in_flight:
        meter.gauge("ApproximateNumberOfMessagesNotVisible", depth.in_flight)
    if depth.delayed:
        meter.gauge("ApproximateNumberOfMessagesDelayed", depth.delayed)
    messages = queue.holding.messages.values()
    age_s = _oldest_age_s(messages, now_s, fifo=queue.is_fifo)
    if age_s is not None:
        meter.gauge("ApproximateAgeOfOldestMessage", age_s, "Seconds")
    if queue.is_fifo:
        busy = {held.content.group_id for held in messages if held.state is State.IN_FLIGHT} if depth.in_flight else ()
        meter.gauge("ApproximateNumberOfGroupsWithInflightMessages", len(busy))
    elif meter.is_fair:
        _note_quiet(meter, queue, now_s)


def _note_quiet(meter: _Meter, queue: Queue, now_s: float) -> None:
    """The same without what noisy groups have; zeros too, as the table says."""
    noisy = queue.holding.line.noisy()
    quiet = [held for held in queue.holding.messages.values() if held.content.group_id not in noisy]
    meter.gauge("ApproximateNumberOfNoisyGroups", len(noisy))
    for name, state in (("Visible", State.VISIBLE), ("NotVisible", State.IN_FLIGHT), ("Delayed", State.DELAYED)):
        count = sum(held.state is state for held in quiet)
        meter.gauge(f"ApproximateNumberOfMessages{name}{_QUIET}", count)
    age_s = _oldest_age_s(quiet, now_s, fifo=False)
    meter.gauge(f"ApproximateAgeOfOldestMessage{_QUIET}", age_s or 0.0, "Seconds")


def _oldest_age_s(messages: Iterable[Held], now_s: float, *, fifo: bool) -> float | None:
    """Whole seconds since the oldest message came; one that a standard queue gave too often already is passed over."""
    for held in messages:  # in the order in which they came
        if fifo or held.receives < POISON_RECEIVES:
            return float(max(0, int(now_s - (held.moved_s or held.sent_s))))
    return None
