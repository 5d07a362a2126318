"""A FIFO queue against a simple model of it: any sequence of sends, receives, deletes, hidings and waits.

The model is a list. A receive must give what the list says, message by message: from each group the messages at its
beginning that are visible, groups in the order in which their first message became visible.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from localcloud.clock import LoopClock, VirtualLoop
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Content, Message, Queue, Queues

VISIBILITY_S = 30
MAX_RECEIVES = 4
GROUPS = st.sampled_from("abcd")


@dataclass
class Sent:
    """A message as the model has it: hidden until when, and since which moment; `shown` is the moment it came back."""

    body: str
    group: str
    hidden_until: float = 0.0
    hidden: int = 0
    shown: int = 0
    receives: int = 0
    handle: str = ""


class FifoMachine(RuleBasedStateMachine):
    """One queue with a dead-letter queue, on a loop whose time the rules move."""

    @initialize(scope=st.sampled_from(["queue", "messageGroup"]), delay_s=st.sampled_from([0, 0, 3]))
    def begin(self, scope: str, delay_s: int) -> None:
        self.loop = VirtualLoop()
        self.run(self._begin(scope, delay_s))
        self.model: list[Sent] = []
        self.dead: list[str] = []
        self.recent: dict[tuple[str, str], tuple[float, str]] = {}
        self.moments = 0

    async def _begin(self, scope: str, delay_s: int) -> None:
        queues = Queues(clock=LoopClock(self.loop), rng=random.Random(1))
        common = {"FifoQueue": "true"}
        self.dead_letters = queues.create("dead.fifo", "eu-west-1", attributes=common, tags={})
        policy = f'{{"deadLetterTargetArn":"{self.dead_letters.arn}","maxReceiveCount":{MAX_RECEIVES}}}'
        attributes = {
            **common,
            "DeduplicationScope": scope,
            "DelaySeconds": str(delay_s),
            "RedrivePolicy": policy,
            "VisibilityTimeout": str(VISIBILITY_S),
        }
        self.queue: Queue = queues.create("jobs.fifo", "eu-west-1", attributes=attributes, tags={})

    def run(self, awaitable: Any) -> Any:
        """The result of `awaitable` on the machine's loop."""
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.loop.close()

    # ------------------------------------------------------------------ the model

    def _moment(self) -> int:
        self.moments += 1
        return self.moments

    def _settle(self) -> None:
        """Number the messages whose time has come in the order in which it came."""
        now = self.loop.time()
        due = [sent for sent in self.model if not sent.shown and sent.hidden_until <= now + 1e-6]
        for sent in sorted(due, key=lambda sent: (sent.hidden_until, sent.hidden)):
            sent.shown = self._moment()

    def _expected(self, most: int) -> list[Sent]:
        groups: dict[str, list[Sent]] = {}
        for sent in self.model:
            groups.setdefault(sent.group, []).append(sent)
        ready = sorted((members for members in groups.values() if members[0].shown), key=lambda group: group[0].shown)
        chosen: list[Sent] = []
        for members in ready:
            for sent in members:
                if len(chosen) == most or not sent.shown:
                    break
                if sent.receives == MAX_RECEIVES:
                    self.model.remove(sent)
                    self.dead.append(sent.body)
                else:
                    chosen.append(sent)
        return chosen

    # ------------------------------------------------------------------ rules

    @rule(group=GROUPS, repeat=st.sampled_from(["", "", "", "r1", "r2"]))
    def send(self, group: str, repeat: str) -> None:
        """Send a message; those with an id of `repeat` may be duplicates."""
        self._settle()
        now, number = self.loop.time(), self._moment()
        body = f"{group}{number}"
        scope = group if self.queue.attributes["DeduplicationScope"] == "messageGroup" else ""
        key = (scope, repeat or body)
        accepted = self.run(self.queue.post(Content(body, group_id=group, deduplication_id=repeat or body)))
        known = self.recent.get(key)
        if known is not None and now < known[0] + 300:
            assert accepted.message_id == known[1]
            return
        self.recent[key] = (now, accepted.message_id)
        delay = int(self.queue.attributes["DelaySeconds"])
        self.model.append(Sent(body, group, now + delay, number, shown=0 if delay else number))

    @rule(most=st.integers(1, 10), visibility_s=st.sampled_from([None, None, 0, 7, 30]))
    def receive(self, most: int, visibility_s: int | None) -> None:
        """A receive gives exactly what the model says."""
        self._settle()
        expected = self._expected(most)
        found: list[Message] = self.run(self.queue.receive(most, visibility_s=visibility_s))
        assert [message.body for message in found] == [sent.body for sent in expected]
        hidden_s = VISIBILITY_S if visibility_s is None else visibility_s
        for sent, message in zip(expected, found, strict=True):
            sent.receives += 1
            sent.handle = message.receipt_handle
            sent.hidden_until, sent.hidden = self.loop.time() + hidden_s, self._moment()
            sent.shown = 0 if hidden_s else self._moment()
            assert message.system["ApproximateReceiveCount"] == str(sent.receives)

    @rule(index=st.integers(0, 30))
    def delete(self, index: int) -> None:
        """Only a message that is hidden for its latest receive can be deleted."""
        self._settle()
        received = [sent for sent in self.model if sent.handle]
        if received:
            sent = received[index % len(received)]
            if sent.shown:
                with pytest.raises(SqsError, match="The receipt handle has expired"):
                    self.run(self.queue.delete(sent.handle))
            else:
                self.run(self.queue.delete(sent.handle))
                self.model.remove(sent)

    @rule(index=st.integers(0, 30), visibility_s=st.sampled_from([0, 5, 60]))
    def hide(self, index: int, visibility_s: int) -> None:
        """Show a message in flight, or hide it for another time."""
        self._settle()
        in_flight = [sent for sent in self.model if sent.handle and not sent.shown]
        if in_flight:
            sent = in_flight[index % len(in_flight)]
            self.run(self.queue.change_visibility(sent.handle, visibility_s))
            sent.hidden_until, sent.hidden = self.loop.time() + visibility_s, self._moment()
            sent.shown = 0 if visibility_s else self._moment()

    @rule(seconds=st.sampled_from([0.5, 3.0, 7.0, 31.0, 301.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.run(asyncio.sleep(seconds))

    @invariant()
    def agrees_on_the_counts(self) -> None:
        """Visible, hidden and dead are as many as in the model."""
        if hasattr(self, "model"):
            self._settle()
            depth = self.run(self._depth())
            visible = sum(1 for sent in self.model if sent.shown)
            assert (depth.visible, depth.in_flight + depth.delayed) == (visible, len(self.model) - visible)

    async def _depth(self) -> Any:
        assert self.dead_letters.depth.visible == len(self.dead)
        return self.queue.depth


FifoMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, derandomize=True, print_blob=False
)
TestFifoMachine = FifoMachine.TestCase
