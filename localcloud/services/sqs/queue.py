"""One standard queue: visibility, delay, long polling, retention, redrive. Knows no protocol.

A message is visible (in a deque), waiting for its time (delayed or in flight, in a heap by due time) or gone. Every
operation first moves what is due, so nothing scans: send and receive cost the same at any length. Entries of the heaps
that no longer hold true are skipped when they surface, and the heap is rebuilt when they outnumber the true ones.
Waiting receives are woken by the message itself, never by polling. Durations are seconds of the event loop; dates come
from the clock. Where a keeper is given, what an operation changes is kept before the operation ends.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sqs.attributes import Redrive, default_attributes, parse_redrive
from localcloud.services.sqs.deadlines import Deadlines
from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.held import TIMED, Depth, Held, State, deliver, read_handle
from localcloud.services.sqs.keeping import Definition, Keeper
from localcloud.services.sqs.message import Content, Message, check_content
from localcloud.services.sqs.watching import Unwatched, Watch

__all__ = ["MAX_IN_FLIGHT", "Queue", "Surroundings"]

MAX_IN_FLIGHT: Final = 120_000  # standard queue quota, quotas-queues page of the SQS developer guide
MAX_VISIBILITY_S: Final = 43_200  # 12 h from the receive, sqs-visibility-timeout page
MAX_DELAY_S: Final = 900  # SendMessage
MAX_WAIT_S: Final = 20  # ReceiveMessage
PURGE_EVERY_S: Final = 60.0  # PurgeQueue
_TICK_S: Final = 1e-6  # timers fire up to the loop's resolution early; what is due within it is due


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
    """A standard queue. Its methods may be called from the event loop only."""

    def __init__(self, arn: str, around: Surroundings) -> None:
        self.arn = arn
        self.name = arn.rpartition(":")[2]
        self.region = arn.split(":")[3]
        self.tags: dict[str, str] = {}
        self.created_s = self.modified_s = around.clock.time()
        self._clock = around.clock
        self._rng = around.rng
        self._find = around.find
        self._keeper = around.keeper
        self._watch = around.watch
        self._attributes: dict[str, str] = default_attributes()
        self._redrive: Redrive | None = None
        self._messages: dict[str, Held] = {}
        self._visible: deque[Held] = deque()
        self._waiting = Deadlines[Held](lambda held, turn: held.turn == turn and held.state in TIMED)
        self._expiring = Deadlines[Held](lambda held, _: held.state is not State.GONE)
        self._count = dict.fromkeys(State, 0)
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._purged_at: float | None = None

    # ------------------------------------------------------------------ producers

    async def send(self, content: Content, *, delay_s: int | None = None, sender_id: str = ACCOUNT_ID) -> str:
        """Put a message, visible after `delay_s` (0 to 900; None: the queue's own delay). Gives its message id.

        Raises SqsError: see `check_content`; InvalidParameterValue for the delay.
        """
        delay = self._number("DelaySeconds") if delay_s is None else delay_s
        if not 0 <= delay <= MAX_DELAY_S:
            raise invalid_value(
                f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
            )
        check_content(content, max_bytes=self._number("MaximumMessageSize"))
        self._advance()
        message_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        held = Held(message_id, content, sender_id, self._clock.time())
        self._hold(held)
        if delay:
            self._wait_until(held, _now() + delay, State.DELAYED)
        else:
            self._show(held)
        if self._keeper is not None:
            self._keeper.note_sent(self.arn, held)
            self._keeper.flush()
        self._watch.sent(self.arn, held)
        self._wake()
        return message_id

    # ------------------------------------------------------------------ consumers

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        """Take up to `max_messages` visible messages, waiting up to `wait_s` for the first (None: the queue's own).

        They stay hidden for `visibility_s` (0 to 43200; None: the queue's own). Safe to cancel: a cancelled receive has
        taken nothing.
        Raises SqsError: InvalidParameterValue; OverLimit where 120,000 are in flight and nobody wanted to wait.
        """
        wait = float(self._number("ReceiveMessageWaitTimeSeconds")) if wait_s is None else wait_s
        visibility = self._number("VisibilityTimeout") if visibility_s is None else visibility_s
        _check_receive(wait, visibility)
        deadline = _now() + wait
        while True:
            self._advance()
            if self._count[State.IN_FLIGHT] >= MAX_IN_FLIGHT and not wait:
                raise SqsError("OverLimit", "Too many messages in flight.")
            taken = self._take(max_messages, visibility)
            if taken or _now() >= deadline:
                self._keep()
                self._wake()  # what is left is another waiter's
                return taken
            await self._wait(deadline)

    async def delete(self, receipt_handle: str) -> None:
        """Delete the message of the latest receive; an older receive's handle deletes nothing and is no error.

        Raises SqsError: ReceiptHandleIsInvalid.
        """
        message_id, receive = read_handle(receipt_handle, self.arn)
        self._advance()
        held = self._messages.get(message_id)
        if held is not None and held.receives == receive:
            self._drop(held)
        self._keep()

    async def change_visibility(self, receipt_handle: str, visibility_s: int) -> None:
        """Hide a message in flight for `visibility_s` more seconds from now; 0 shows it at once.

        Raises SqsError: ReceiptHandleIsInvalid, MessageNotInflight, InvalidParameterValue.
        """
        if not 0 <= visibility_s <= MAX_VISIBILITY_S:
            raise _bad_visibility(visibility_s, "Must be between 0 and 43200, if provided.")
        message_id, receive = read_handle(receipt_handle, self.arn)
        self._advance()
        held = self._messages.get(message_id)
        if held is None or held.receives != receive:
            raise invalid_value(
                f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                "Reason: Message does not exist or is not available for visibility timeout change."
            )
        if held.state is not State.IN_FLIGHT:
            raise SqsError("MessageNotInflight", "The specified message isn't in flight.")
        if _now() + visibility_s > held.received_at + MAX_VISIBILITY_S:
            raise _bad_visibility(
                visibility_s, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            )
        self._wait_until(held, _now() + visibility_s, State.IN_FLIGHT)
        self._advance()
        self._note(held)
        self._keep()
        self._wake()

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
        self._advance()
        count = self._count
        return Depth(count[State.VISIBLE], count[State.IN_FLIGHT], count[State.DELAYED])

    def configure(self, attributes: Mapping[str, str]) -> None:
        """Set attributes that `check_attributes` has passed; "" removes one."""
        self._advance()
        merged = self._attributes | dict(attributes)
        self._attributes = {name: value for name, value in merged.items() if value}
        self._redrive = parse_redrive(self._attributes.get("RedrivePolicy", ""))
        self.modified_s = self._clock.time()
        self._advance()

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
        for held in messages:
            self._hold(held)
            if held.state in TIMED and held.due > _now() + _TICK_S:
                self._wait_until(held, held.due, held.state)
            else:
                self._show(held)

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
        for held in list(self._messages.values()):
            self._drop(held)
        self._visible.clear()

    def close(self) -> None:
        """End the queue: waiting receives come back empty-handed to find it gone."""
        self.clear()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(SqsError("QueueDoesNotExist", "The specified queue does not exist."))
        self._arm()

    # ------------------------------------------------------------------ inside

    def accept_dead_letter(self, dead: Held, *, source_arn: str) -> None:
        """Take over another queue's message, with its id, its date and its attributes."""
        self._advance()
        held = Held(dead.message_id, dead.content, dead.sender_id, dead.sent_s, dead_letter_source=source_arn)
        held.receives_ever, held.first_received_s = dead.receives_ever, dead.first_received_s
        self._hold(held)
        self._show(held)
        self._note(held)
        self._watch.sent(self.arn, held)
        self._wake()

    def _note(self, held: Held) -> None:
        if self._keeper is not None:
            self._keeper.note(self.arn, held)

    def _keep(self) -> None:
        if self._keeper is not None:
            self._keeper.flush()

    def _number(self, name: str) -> int:
        return int(self._attributes[name])

    def _hold(self, held: Held) -> None:
        self._messages[held.message_id] = held
        self._count[held.state] += 1
        self._expiring.add(held.sent_s, held)

    def _move(self, held: Held, state: State) -> None:
        self._count[held.state] -= 1
        self._count[state] += 1
        held.state = state

    def _show(self, held: Held) -> None:
        self._move(held, State.VISIBLE)
        self._visible.append(held)

    def _wait_until(self, held: Held, due: float, state: State) -> None:
        self._move(held, state)
        held.due, held.turn = due, self._waiting.add(due, held)
        self._waiting.compact(self._count[State.DELAYED] + self._count[State.IN_FLIGHT])
        if self._waiters:
            self._arm()

    def _drop(self, held: Held) -> None:
        self._count[held.state] -= 1
        held.state = State.GONE
        del self._messages[held.message_id]
        self._note(held)
        self._watch.gone(held)
        self._expiring.compact(len(self._messages))
        self._waiting.compact(self._count[State.DELAYED] + self._count[State.IN_FLIGHT])

    def _advance(self) -> None:
        """Show what is due, forget what is too old."""
        for held in self._waiting.due(_now() + _TICK_S):
            self._show(held)
        for held in self._expiring.due(self._clock.time() - self._number("MessageRetentionPeriod")):
            self._drop(held)

    def _take(self, max_messages: int, visibility_s: int) -> list[Message]:
        taken: list[Message] = []
        room = min(max_messages, MAX_IN_FLIGHT - self._count[State.IN_FLIGHT])
        for _ in range(len(self._visible)):  # a visibility of 0 puts a message straight back
            if len(taken) >= room:
                break
            held = self._visible.popleft()
            if held.state is State.VISIBLE and not self._bury(held):
                taken.append(self._deliver(held, visibility_s))
        return taken

    def _bury(self, held: Held) -> bool:
        """Hand a message to the dead-letter queue once it was received often enough and another receive wants it."""
        if self._redrive is None or held.receives < self._redrive.max_receives:
            return False
        dead_letters = self._find(self._redrive.target_arn)
        if dead_letters is None:
            return False
        self._drop(held)
        dead_letters.accept_dead_letter(held, source_arn=self.arn)
        return True

    def _deliver(self, held: Held, visibility_s: int) -> Message:
        held.receives += 1
        held.receives_ever += 1
        held.first_received_s = held.first_received_s or self._clock.time()
        held.received_at = _now()
        self._watch.received(self.arn, held)
        if visibility_s:
            self._wait_until(held, _now() + visibility_s, State.IN_FLIGHT)
        else:
            self._visible.append(held)
        self._note(held)
        return deliver(held, self.arn, self._rng)

    # ------------------------------------------------------------------ waiting

    async def _wait(self, deadline: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._arm()
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError:
            return
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.done() and not waiter.cancelled():
                self._wake()  # it may be leaving with a wake that another should have
            self._arm()

    def _wake(self) -> None:
        while self._waiters and self._count[State.VISIBLE]:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """One timer, for the next message that becomes visible, while somebody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._waiting.next_due() if self._waiters else None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._advance()
        self._wake()
        self._arm()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _check_receive(wait_s: float, visibility_s: int) -> None:
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise invalid_value(
            f"Value {wait_s:g} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
        )
    if not 0 <= visibility_s <= MAX_VISIBILITY_S:
        raise _bad_visibility(visibility_s, "Must be between 0 and 43200, if provided.")


def _bad_visibility(visibility_s: int, reason: str) -> SqsError:
    return invalid_value(f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: {reason}")
