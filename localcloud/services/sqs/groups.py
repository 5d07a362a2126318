"""The line of a FIFO queue: message groups, each in the order of its sequence numbers.

A lane a group holds its messages whatever their state. Received are those at its beginning up to the first that is not
visible (in flight, or delayed): whatever follows has to wait. So one receive takes several of a group, and nothing
overtakes a message that is being handled, has failed or is not due yet. Groups come in the order in which their first
message became visible. That is what AWS does: recorded answers show a group whose first message was made visible again
while its second was in flight, and the first alone was received.

SQS looks for groups among the first 120,000 messages only; what was sent behind them waits outside of the lanes.
Each message costs O(log groups), at any length of the queue or of a group.
Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/avoid-backlog-with-the-same-message-group-id.html
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from typing import Final

from localcloud.services.sqs.deadlines import Deadlines
from localcloud.services.sqs.held import Held, State
from localcloud.services.sqs.line import Lane

__all__ = ["MAX_SCANNED", "FifoLine"]

MAX_SCANNED: Final = 120_000  # avoid-backlog-with-the-same-message-group-id


class FifoLine:
    """The line of a FIFO queue. Messages are added in the order of their sequence numbers."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._ready = Deadlines[Lane](lambda lane, turn: lane.turn == turn)
        self._scanned = 0
        self._beyond: deque[Held] = deque()
        self._shown = 0

    @property
    def is_ready(self) -> bool:
        """Whether some group's first message is visible."""
        return self._ready.next_due() is not None

    @property
    def has_blocked(self) -> bool:
        """A message waits for those of its group before it."""
        return bool(self._lanes)

    def noisy(self) -> frozenset[str]:
        """None: fairness is for standard queues."""
        return frozenset()

    def add(self, held: Held) -> None:
        """A message came, the last of its group."""
        if self._scanned < MAX_SCANNED:
            self._enter(held)
        else:
            self._beyond.append(held)

    def moved(self, held: Held, before: State) -> None:  # noqa: ARG002 - the lines' contract
        """A group's first message decides whether the group is ready; others change nothing."""
        if held.state is State.VISIBLE:
            self._shown += 1
            held.shown = self._shown
        if held.is_scanned:
            lane = self._lanes[held.content.group_id]
            if not lane.is_taken and lane.members[0] is held:
                self._offer(lane)
            if held.state is State.GONE:
                held.is_scanned = False
                self._scanned -= 1
                self._refill()

    def take(self) -> Generator[Held]:
        """Group by group; of each what is visible at its beginning."""
        visited: list[Lane] = []
        try:
            for lane in self._ready.due(math.inf):
                visited.append(lane)
                lane.is_taken = True
                yield from _beginning(lane)
        finally:
            for lane in visited:
                lane.is_taken = False
                self._offer(lane)

    def _enter(self, held: Held) -> None:
        self._scanned += 1
        held.is_scanned = True
        group_id = held.content.group_id
        lane = self._lanes.get(group_id)
        if lane is None:
            lane = self._lanes[group_id] = Lane(group_id)
        lane.members.append(held)

    def _refill(self) -> None:
        while self._beyond and self._scanned < MAX_SCANNED:
            held = self._beyond.popleft()
            if held.state is not State.GONE:
                self._enter(held)
                lane = self._lanes[held.content.group_id]
                if not lane.is_taken and lane.members[0] is held:
                    self._offer(lane)

    def _offer(self, lane: Lane) -> None:
        head = lane.head()
        if head is None:
            lane.turn = 0
            del self._lanes[lane.group_id]
        elif head.state is State.VISIBLE:
            lane.turn = self._ready.add(head.shown, lane)
            self._ready.compact(len(self._lanes))
        else:
            lane.turn = 0


def _beginning(lane: Lane) -> Generator[Held]:
    """The messages up to the first that is not visible. What is gone by then is gone from the lane, too."""
    passed: list[Held] = []
    try:
        while lane.members:
            held = lane.members.popleft()
            passed.append(held)
            if held.state is State.GONE:
                continue
            if held.state is not State.VISIBLE:
                return
            yield held
    finally:
        lane.members.extendleft(held for held in reversed(passed) if held.state is not State.GONE)
