"""What is received next: the order of a queue's visible messages, and for standard queues the fairness between tenants.

A queue tells its line of every message that comes (`add`) and of every change of state (`moved`); the line says which
message is due (`take`). Two lines exist: `FairLine` here for standard queues, `FifoLine` in `groups` for FIFO queues.

A FairLine keeps one lane a MessageGroupId (a tenant), each in the order in which its messages became visible, and a
heap of lanes by their first message: without noisy tenants that is the order over all. A noisy tenant's lane is parked
until no other message waits. Nothing scans the messages: each costs O(log tenants).
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, Protocol

from localcloud.services.sqs.deadlines import Deadlines
from localcloud.services.sqs.held import Held, State

__all__ = ["FairLine", "Lane", "Line"]

NOISY_SHARE: Final = 0.1  # sqs-fair-queues-detailed: of the messages in flight, or of the consumers' recent time
NOISY_IN_FLIGHT: Final = 30  # sqs-fair-queues-detailed: and so many of its own in flight at least
QUIET_AFTER_S: Final = 300.0  # sqs-fair-queues-detailed: five minutes without a message sent
RECENT_S: Final = 60.0  # AWS does not say how recent "recent" is: time fades by half in about 40 seconds here


class Line(Protocol):
    """The order of a queue's messages. Told in the event loop; costs nothing that grows with the queue's length."""

    def add(self, held: Held) -> None:
        """A message came into the queue; `moved` says when it is visible."""
        ...

    def moved(self, held: Held, before: State) -> None:
        """`held.state` is its state now; VISIBLE means that it became visible now, whatever it was `before`."""
        ...

    def take(self) -> Generator[Held]:
        """Visible messages, the next first. What becomes of each is settled before another is asked for.

        Close it when no more is wanted. None comes twice, not even one that is visible again at once.
        """
        ...

    def noisy(self) -> frozenset[str]:
        """The message groups that have more than their share now."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether `take` would give one."""
        ...

    @property
    def has_blocked(self) -> bool:
        """Whether visible messages may have to wait for others."""
        ...


@dataclass(slots=True, eq=False)
class Lane:
    """Messages that keep an order among themselves. `turn` is its entry in the heap that holds true, 0 for none."""

    group_id: str
    members: deque[Held] = field(default_factory=deque[Held])
    turn: int = 0
    is_taken: bool = False

    def head(self) -> Held | None:
        """The first message that is still in the queue."""
        while self.members and self.members[0].state is State.GONE:
            self.members.popleft()
        return self.members[0] if self.members else None


class _Load:
    """Messages in flight, and the consumers' time they took; what lies longer back counts less."""

    def __init__(self) -> None:
        self.count = 0
        self._seconds = 0.0
        self._at = 0.0

    def change(self, by: int, now: float) -> None:
        """So many more are in flight from `now` on."""
        self.seconds(now)
        self.count += by

    def seconds(self, now: float) -> float:
        """The time up to `now`."""
        if now > self._at:
            fade = math.exp((self._at - now) / RECENT_S)
            self._seconds = self._seconds * fade + self.count * RECENT_S * (1 - fade)
            self._at = now
        return self._seconds


@dataclass(slots=True, eq=False)
class _Tenant(Lane):
    load: _Load = field(default_factory=_Load)
    sent_at: float = 0.0


class FairLine:
    """The line of a standard queue. `now` gives the loop's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tenants: dict[str, _Tenant] = {}
        self._ready = Deadlines[_Tenant](lambda tenant, turn: tenant.turn == turn)
        self._parked: dict[str, _Tenant] = {}  # noisy ones with messages that wait
        self._load = _Load()
        self._shown = 0

    @property
    def is_ready(self) -> bool:
        """Whether a message waits."""
        return bool(self._parked) or self._ready.next_due() is not None

    @property
    def has_blocked(self) -> bool:
        """No message of a standard queue waits for another."""
        return False

    def noisy(self) -> frozenset[str]:
        """The message groups that are noisy now."""
        return frozenset(tenant.group_id for tenant in self._tenants.values() if self._is_noisy(tenant))

    def add(self, held: Held) -> None:
        """A message came."""
        self._tenant(held).sent_at = self._now()

    def moved(self, held: Held, before: State) -> None:
        """Keep the load, and the lane of what became visible."""
        tenant = self._tenant(held)
        self._count(tenant, (held.state is State.IN_FLIGHT) - (before is State.IN_FLIGHT))
        if held.state is State.VISIBLE:
            self._shown += 1
            held.shown = self._shown
            tenant.members.append(held)
        if tenant.members and not tenant.is_taken and tenant.members[0] is held:
            self._offer(tenant)
        else:
            self._forget(tenant)

    def take(self) -> Generator[Held]:
        """Quiet tenants' messages in the order in which they became visible; then the noisy ones', the least busy's
        first.
        """
        last = self._shown
        self._release()
        while (tenant := self._next(last)) is not None:
            tenant.turn = 0
            tenant.is_taken = True
            try:
                yield tenant.members.popleft()
            finally:
                tenant.is_taken = False
                self._offer(tenant)

    def _next(self, last: int) -> _Tenant | None:
        for tenant in self._ready.due(last):
            if not self._is_noisy(tenant):
                return tenant
            self._parked[tenant.group_id] = tenant
        waiting = [tenant for tenant in self._parked.values() if tenant.members[0].shown <= last]
        return min(waiting, key=lambda tenant: (tenant.load.count, tenant.members[0].shown), default=None)

    def _release(self) -> None:
        """Give back their place to tenants that are noisy no longer."""
        for tenant in [tenant for tenant in self._parked.values() if not self._is_noisy(tenant)]:
            del self._parked[tenant.group_id]
            self._offer(tenant)

    def _is_noisy(self, tenant: _Tenant) -> bool:
        """Messages without a group are a tenant each, and none of them can be noisy: it has no other that waits."""
        now = self._now()
        if not tenant.group_id or now >= tenant.sent_at + QUIET_AFTER_S:
            return False
        if tenant.load.count >= NOISY_IN_FLIGHT and tenant.load.count > NOISY_SHARE * self._load.count:
            return True
        return tenant.load.seconds(now) > NOISY_SHARE * self._load.seconds(now)

    def _offer(self, tenant: _Tenant) -> None:
        head = tenant.head()
        if head is None:
            tenant.turn = 0
            self._parked.pop(tenant.group_id, None)
            self._forget(tenant)
        elif tenant.group_id not in self._parked:
            tenant.turn = self._ready.add(head.shown, tenant)
            self._ready.compact(len(self._tenants))

    def _count(self, tenant: _Tenant, by: int) -> None:
        if by:
            now = self._now()
            self._load.change(by, now)
            if tenant.group_id:  # nobody asks how busy those without a group are
                tenant.load.change(by, now)

    def _forget(self, tenant: _Tenant) -> None:
        """A tenant without messages has no history: its backlog is drained. The lane of those without a group stays."""
        if not tenant.members and not tenant.load.count and tenant.group_id and not tenant.is_taken:
            self._tenants.pop(tenant.group_id, None)

    def _tenant(self, held: Held) -> _Tenant:
        group_id = held.content.group_id
        tenant = self._tenants.get(group_id)
        if tenant is None:
            tenant = self._tenants[group_id] = _Tenant(group_id)
        return tenant
