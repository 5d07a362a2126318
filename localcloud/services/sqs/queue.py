"""One queue, standard or FIFO: visibility, delay, long polling, retention, redrive. Knows no protocol.

A message is visible, waiting for its time (delayed or in flight, in a heap by due time) or gone; which visible one is
received next is its line's to say (`line`, `groups`). Every operation first moves what is due, so nothing scans: send
and receive cost the same at any length. Entries of the heaps that no longer hold true are skipped when they surface,
and the heap is rebuilt when they outnumber the true ones. Waiting receives are woken by the message itself, never by
polling. Durations are seconds of the event loop; dates come from the clock. Where a keeper is given, what an operation
changes is kept before the operation ends.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sqs.attributes import Redrive, default_attributes, merge_attributes, parse_redrive
from localcloud.services.sqs.bounds import MAX_VISIBILITY_S, bad_visibility, check_delay, check_receive
from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.fifo import Accepted, Attempt, Attempts, Recent, identify, key_of
from localcloud.services.sqs.groups import FifoLine
from localcloud.services.sqs.held import TIMED, Depth, Held, State, deliver, read_handle
from localcloud.services.sqs.holding import TICK_S, Holding
from localcloud.services.sqs.keeping import Definition, Keeper
from localcloud.services.sqs.line import FairLine
from localcloud.services.sqs.message import Content, Message, check_content
from localcloud.services.sqs.waiters import Waiters
from localcloud.services.sqs.watching import Unwatched, Watch
from localcloud.uuids import new_uuid

__all__ = ["Queue", "Surroundings"]

PURGE_EVERY_S: Final = 60.0  # PurgeQueue


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What queues share. `find` gives the queue of an ARN, None where there is none: a dead letter's way to its queue.

    `keeper` None keeps nothing beyond the process.
    """

    clock: Clock
    rng: random.Random
    find: Callable[[str], Queue | None]
    keeper: Keeper | None = None
    watch: Watch = field(default_factory=Unwatched)


class Queue:
    """A queue; one whose name ends in .fifo is FIFO. Its methods may be called from the event loop only."""

    def __init__(self, arn: str, around: Surroundings) -> None:
        self.arn = arn
        self.name = arn.rpartition(":")[2]
        self.region = arn.split(":")[3]
        self.is_fifo = self.name.endswith(".fifo")
        self.tags: dict[str, str] = {}
        self.created_s = self.modified_s = around.clock.time()
        self._clock = around.clock
        self._rng = around.rng
        self._find = around.find
        self._keeper = around.keeper
        self._watch = around.watch
        self._attributes: dict[str, str] = default_attributes(fifo=self.is_fifo)
        self._redrive: Redrive | None = None
        self._holding = Holding(
            FifoLine() if self.is_fifo else FairLine(_now),
            clock=around.clock,
            retention_s=lambda: self._number("MessageRetentionPeriod"),
            on_gone=self._note_gone,
        )
        self._recent = Recent()
        self._attempts = Attempts()
        self._waiters = Waiters(self._holding)
        self._purged_at: float | None = None

    # ------------------------------------------------------------------ producers

    async def send(self, content: Content, *, delay_s: int | None = None, sender_id: str = ACCOUNT_ID) -> str:
        """Put a message, visible after `delay_s` (0 to 900; None: the queue's own delay). Gives its message id.

        Raises SqsError: see `post`.
        """
        return (await self.post(content, delay_s=delay_s, sender_id=sender_id)).message_id

    async def post(self, content: Content, *, delay_s: int | None = None, sender_id: str = ACCOUNT_ID) -> Accepted:
        """Put a message, as `send` does. A duplicate in a FIFO queue gives what the first gave, and changes nothing.

        Raises SqsError: see `check_content`, in a FIFO queue `identify` as well; InvalidParameterValue for the delay,
        of which a FIFO queue takes none but its own.
        """
        delay = check_delay(delay_s, own_s=self._number("DelaySeconds"), fifo=self.is_fifo)
        if self.is_fifo:
            content = identify(content, self._attributes)
        check_content(content, max_bytes=self._number("MaximumMessageSize"))
        self._holding.advance()
        key, now_s = key_of(content, self._attributes), self._clock.time()
        first = self._recent.find(key, now_s) if self.is_fifo else None
        if first is not None:
            self._watch.repeated(self.arn)
            return first
        message_id = new_uuid(self._rng)
        held = Held(message_id, content, sender_id, now_s, kept_since_s=now_s)
        held.sequence = self._recent.next_sequence(now_s) if self.is_fifo else 0
        accepted = Accepted(message_id, held.sequence, now_s)
        self._holding.add(held)
        if delay:
            self._hide(held, _now() + delay, State.DELAYED)
        else:
            self._holding.move(held, State.VISIBLE)
        if self.is_fifo:
            self._recent.add(key, accepted)
        if self._keeper is not None:
            self._keeper.note_sent(self.arn, held)
            if self.is_fifo:
                self._keeper.note_accepted(self.arn, key, accepted)
            self._keeper.flush()
        self._watch.sent(self.arn, held)
        self._waiters.wake()
        return accepted

    # ------------------------------------------------------------------ consumers

    async def receive(
        self,
        max_messages: int = 1,
        *,
        wait_s: float | None = None,
        visibility_s: int | None = None,
        attempt_id: str = "",
    ) -> list[Message]:
        """Take up to `max_messages` visible messages, waiting up to `wait_s` for the first (None: the queue's own).

        They stay hidden for `visibility_s` (0 to 43200; None: the queue's own). Safe to cancel: a cancelled receive has
        taken nothing. The same `attempt_id` within five minutes gives a FIFO queue's same answer, hidden anew.
        Raises SqsError: InvalidParameterValue; OverLimit where 120,000 are in flight and nobody wanted to wait (a FIFO
        queue gives nothing then).
        """
        wait = float(self._number("ReceiveMessageWaitTimeSeconds")) if wait_s is None else wait_s
        visibility = self._number("VisibilityTimeout") if visibility_s is None else visibility_s
        check_receive(wait, visibility)
        deadline = _now() + wait
        while True:
            self._holding.advance()
            repeated = self._repeat(attempt_id, visibility) if attempt_id else None
            if repeated is not None:
                return repeated
            if not self._holding.room and not wait and not self.is_fifo:
                raise SqsError("OverLimit", "Too many messages in flight.")
            taken = self._take(max_messages, visibility)
            if taken or _now() >= deadline:
                if attempt_id and taken:
                    held = [self._holding.messages[message.message_id] for message in taken]
                    self._attempts.note(attempt_id, Attempt(_now(), taken, held))
                self._keep()
                self._watch.took(self.arn, len(taken))
                self._waiters.wake()  # what is left is another waiter's
                return taken
            await self._waiters.wait(deadline)

    async def delete(self, receipt_handle: str) -> None:
        """Delete the message of the latest receive; an older receive's handle deletes nothing and is no error.

        Raises SqsError: ReceiptHandleIsInvalid; InvalidParameterValue in a FIFO queue, where a message that is hidden
        no longer, or for another receive, has an expired handle.
        """
        message_id, receive = read_handle(receipt_handle, self.arn)
        self._holding.advance()
        held = self._holding.messages.get(message_id)
        is_latest = held is not None and held.receives == receive
        if self.is_fifo and held is not None and not (is_latest and held.state is State.IN_FLIGHT):
            raise invalid_value(
                f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                "Reason: The receipt handle has expired."
            )
        if held is not None and is_latest:
            self._holding.drop(held)
        self._keep()
        self._watch.deleted(self.arn)
        self._waiters.wake()  # the rest of its group may come now

    async def change_visibility(self, receipt_handle: str, visibility_s: int) -> None:
        """Hide a message in flight for `visibility_s` more seconds from now; 0 shows it at once.

        Raises SqsError: ReceiptHandleIsInvalid, MessageNotInflight, InvalidParameterValue.
        """
        if not 0 <= visibility_s <= MAX_VISIBILITY_S:
            raise bad_visibility(visibility_s, "Must be between 0 and 43200, if provided.")
        message_id, receive = read_handle(receipt_handle, self.arn)
        self._holding.advance()
        held = self._holding.messages.get(message_id)
        if held is None or held.receives != receive:
            raise invalid_value(
                f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                "Reason: Message does not exist or is not available for visibility timeout change."
            )
        if held.state is not State.IN_FLIGHT:
            raise SqsError("MessageNotInflight", "The specified message isn't in flight.")
        if _now() + visibility_s > held.received_at + MAX_VISIBILITY_S:
            raise bad_visibility(
                visibility_s, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            )
        self._hide(held, _now() + visibility_s, State.IN_FLIGHT)
        self._holding.advance()
        self._note(held)
        self._keep()
        self._waiters.wake()

    # ------------------------------------------------------------------ the queue itself

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes that were set, as text; counters and dates apart."""
        return self._attributes

    @property
    def redrive(self) -> Redrive | None:
        """The redrive policy."""
        return self._redrive

    @property
    def depth(self) -> Depth:
        """How many messages there are now."""
        self._holding.advance()
        return self._holding.depth

    def configure(self, attributes: Mapping[str, str]) -> None:
        """Set attributes that `check_attributes` has passed; "" removes one."""
        self._holding.advance()
        delay = self._attributes.get("DelaySeconds")
        self._attributes = merge_attributes(self._attributes, attributes)
        self._redrive = parse_redrive(self._attributes.get("RedrivePolicy", ""))
        self.modified_s = self._clock.time()
        if self.is_fifo and self._attributes.get("DelaySeconds") != delay:
            self._delay_anew()
        self._holding.advance()

    def define(self) -> Definition:
        """All that the queue is without its messages."""
        purged_s = 0.0 if self._purged_at is None else self._clock.time() + (self._purged_at - _now())
        return Definition(self.arn, self._attributes, self.tags, self.created_s, self.modified_s, purged_s)

    def restore(self, kept: Definition, messages: Iterable[Held]) -> None:
        """Become what was kept: `messages` in the order in which they became or become visible."""
        self._attributes, self.tags = dict(kept.attributes), dict(kept.tags)
        self._redrive = parse_redrive(self._attributes.get("RedrivePolicy", ""))
        self.created_s, self.modified_s = kept.created_s, kept.modified_s
        self._purged_at = _now() + (kept.purged_s - self._clock.time()) if kept.purged_s else None
        everything = list(messages)
        for held in sorted(everything, key=lambda held: held.sequence):  # a standard queue has none: as they come
            self._recent.saw(held.sequence)
            self._holding.add(held)
        for held in everything:
            if held.state in TIMED and held.due > _now() + TICK_S:
                self._hide(held, held.due, held.state)
            else:
                self._holding.move(held, State.VISIBLE)
        for key, accepted in self._keeper.load_accepted(self.arn) if self._keeper is not None else ():
            self._recent.add(key, accepted)

    def purge(self) -> None:
        """Drop every message, in flight or not.

        Raises SqsError: PurgeQueueInProgress within 60 s of the last purge.
        """
        if self._purged_at is not None and _now() < self._purged_at + PURGE_EVERY_S:
            raise SqsError(
                "PurgeQueueInProgress", f"Only one PurgeQueue operation on {self.name} is allowed every 60 seconds."
            )
        self._purged_at = _now()
        self.clear()
        if self._keeper is not None:
            self._keeper.note_queue(self.define())
        self._keep()

    def clear(self) -> None:
        """Drop every message, as when the queue is deleted."""
        for held in list(self._holding.messages.values()):
            self._holding.drop(held)

    def close(self) -> None:
        """End the queue: waiting receives come back empty-handed to find it gone."""
        self.clear()
        self._waiters.close(SqsError("QueueDoesNotExist", "The specified queue does not exist."))

    # ------------------------------------------------------------------ inside

    def accept_dead_letter(self, dead: Held, *, source_arn: str) -> None:
        """Take over another queue's message, with its id, its date and its attributes; it is never a duplicate here.

        In a FIFO queue it is the last of its group, with a number of this queue's, and its retention begins anew.
        """
        self._holding.advance()
        held = Held(dead.message_id, dead.content, dead.sender_id, dead.sent_s, dead_letter_source=source_arn)
        held.receives_ever, held.first_received_s = dead.receives_ever, dead.first_received_s
        held.kept_since_s = dead.kept_since_s
        if self.is_fifo:
            held.kept_since_s = self._clock.time()
            held.sequence = self._recent.next_sequence(held.kept_since_s)
        self._holding.add(held)
        self._holding.move(held, State.VISIBLE)
        if self._keeper is not None:
            self._keeper.note_sent(self.arn, held)
        self._watch.sent(self.arn, held)
        self._waiters.wake()

    @property
    def holding(self) -> Holding:
        """The messages, for who moves them."""
        return self._holding

    def _hide(self, held: Held, due: float, state: State) -> None:
        self._holding.hide(held, due, state)
        self._waiters.rearm()

    def _note_gone(self, held: Held) -> None:
        self._note(held)
        self._watch.gone(held)

    def _note(self, held: Held) -> None:
        if self._keeper is not None:
            self._keeper.note(self.arn, held)

    def _keep(self) -> None:
        if self._keeper is not None:
            self._keeper.flush()

    def _number(self, name: str) -> int:
        return int(self._attributes[name])

    def _delay_anew(self) -> None:
        """A FIFO queue's new delay is that of the messages in it as well, those apart that were received."""
        for held in list(self._holding.messages.values()):
            if held.receives or held.dead_letter_source:
                continue
            due = _now() + (held.sent_s - self._clock.time()) + self._number("DelaySeconds")
            if due > _now() + TICK_S:
                self._hide(held, due, State.DELAYED)
                self._note(held)
            elif held.state is State.DELAYED:
                self._holding.move(held, State.VISIBLE)
                self._note(held)

    def _repeat(self, attempt_id: str, visibility_s: int) -> list[Message] | None:
        attempt = self._attempts.find(attempt_id, _now())
        if attempt is None:
            return None
        for held in attempt.held:
            self._hide(held, _now() + visibility_s, State.IN_FLIGHT)
            self._note(held)
        self._attempts.note(attempt_id, Attempt(attempt.at, attempt.messages, attempt.held))
        self._keep()
        return attempt.messages

    def _take(self, max_messages: int, visibility_s: int) -> list[Message]:
        taken: list[Message] = []
        if (room := min(max_messages, self._holding.room)) <= 0:
            return taken
        with closing(self._holding.line.take()) as due:
            for held in due:
                if not self._bury(held):
                    taken.append(self._deliver(held, visibility_s))
                    if len(taken) >= room:
                        break
        return taken

    def _bury(self, held: Held) -> bool:
        """Hand a message to the dead-letter queue once it was received often enough and another receive wants it."""
        if self._redrive is None or held.receives < self._redrive.max_receives:
            return False
        dead_letters = self._find(self._redrive.target_arn)
        if dead_letters is None:
            return False
        self._holding.drop(held)
        dead_letters.accept_dead_letter(held, source_arn=self.arn)
        return True

    def _deliver(self, held: Held, visibility_s: int) -> Message:
        held.receives += 1
        held.receives_ever += 1
        held.first_received_s = held.first_received_s or self._clock.time()
        held.received_at = _now()
        self._watch.received(self.arn, held)
        if visibility_s:
            self._hide(held, _now() + visibility_s, State.IN_FLIGHT)
        else:
            self._holding.move(held, State.VISIBLE)
        self._note(held)
        return deliver(held, self.arn, self._rng)


def _now() -> float:
    return asyncio.get_running_loop().time()
