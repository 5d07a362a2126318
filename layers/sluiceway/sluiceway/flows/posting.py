"""Messages to many WebSocket connections at once: each connection's in order, none waiting for another's.

Owns what becomes of a connection that is gone, slow or over, and of a gateway that is throttled. Delivery is at most
once: what cannot be posted within a bounded back-off, or before the call's end, is dropped and counted by its reason.
Of a connection one post is under way at a time; one that has to wait gives its place to others meanwhile. Must not know
records.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from sluiceway import log
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable, ServiceError
from sluiceway.ports import Chance, Connections, Subscription
from sluiceway.rules.pacing import Rests, Window
from sluiceway.steps.metrics import count

__all__ = ["POST_METRICS", "Missed", "Parcel", "PostTally", "Posting", "PostingDesk", "PostingTargets"]

POSTS_AT_ONCE: Final = 64  # the wire client's connections to one origin
TRIES: Final = 3  # of one message, while the gateway is not throttled altogether
FIRST_PAUSE_S: Final = 0.2
GROWTH: Final = 4
LONGEST_PAUSE_S: Final = 1.0
CONNECTION_S: Final = 10.0  # that a connection has for its messages of one call; one that is silent takes 5 s to tell
_THROTTLED: Final = 429
POST_METRICS: Final[Mapping[str, str]] = {
    "throttled": "PostsDroppedThrottled",
    "unanswered": "PostsDroppedUnanswered",
    "resting": "PostsDroppedResting",
    "refused": "PostsDroppedRefused",
    "misconfigured": "PostsDroppedMisconfigured",
    "deadline": "PostsDroppedDeadline",
    "unjudged": "PostsDroppedUnjudged",
}
"""Why a message is dropped, and the metric that counts it. There are no other reasons."""


class PostingTargets(Protocol):
    """Who is still to be posted to."""

    def is_over(self, subscription: Subscription) -> bool:
        """Whether the time of its connection, or of its token, has passed."""
        ...

    def is_struck(self, subscription: Subscription) -> bool:
        """Whether it was struck, or passed over, since the subscribers were read."""
        ...

    async def strike(self, subscription: Subscription) -> None:
        """Forget one whose connection is over. Raises nothing that a port raises."""
        ...

    def pass_over(self, subscription: Subscription) -> None:
        """Post nothing more to it until the subscribers are read again."""
        ...


class Parcel(NamedTuple):
    """What one connection gets of a call: its messages in order. One that is over gets none, and is closed.

    `about` is whatever its giver wants to find again in `PostTally.missed`.
    """

    subscription: Subscription
    messages: tuple[bytes, ...] = ()
    about: object = None


class Missed(NamedTuple):
    """A parcel of which the messages from the place `at` on were dropped."""

    parcel: Parcel
    at: int


@dataclass(slots=True)
class PostTally:
    """What became of messages and of connections: `due` is the sum of `posted`, `unwanted` and `drops`.

    `unwanted`: messages of connections that are gone or over. `drops`: those that somebody should have had and has not,
    by the words of POST_METRICS; `missed` says whose they were, except for those that nobody had the time to judge and
    write (`unjudged`), of which a message that was written tells.
    """

    due: int = 0
    posted: int = 0
    unwanted: int = 0
    gone: int = 0
    expired: int = 0
    drops: Counter[str] = field(default_factory=Counter[str])
    missed: list[Missed] = field(default_factory=list[Missed])

    @property
    def dropped(self) -> int:
        """Messages that somebody should have had and has not."""
        return self.drops.total()

    def pass_over(self, messages: int) -> None:
        """So many messages were due, had there been time to find out and to write them."""
        self.due += messages
        self.drops["unjudged"] += messages


@dataclass(frozen=True, slots=True)
class PostingDesk:
    """What posting needs; lives as long as the execution environment."""

    connections: Connections
    targets: PostingTargets
    chance: Chance
    window: Window = field(default_factory=lambda: Window(POSTS_AT_ONCE))
    rests: Rests = field(default_factory=Rests)


@dataclass(slots=True, eq=False)
class _Job:
    """One connection's parcel while it is posted: `at` is the message that comes next."""

    parcel: Parcel
    give_up_at: float
    at: int = 0
    tries_left: float = TRIES
    pause_s: float = FIRST_PAUSE_S
    is_retried: bool = False

    @property
    def left(self) -> int:
        return len(self.parcel.messages) - self.at

    def move_on(self) -> None:
        self.at += 1
        self.tries_left = TRIES
        self.pause_s = FIRST_PAUSE_S
        self.is_retried = False


class Posting:
    """One call. Tasks take parcels until there are none; no more of them than the window has places."""

    def __init__(self, desk: PostingDesk, tally: PostTally, *, stop_at: float) -> None:
        self._desk = desk
        self._tally = tally
        self._stop_at = stop_at
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._new: Iterator[Parcel] = iter(())
        self._waiting: list[tuple[float, int, _Job]] = []  # a heap, by when they go on
        self._open: set[_Job] = set()
        self._deferrals = 0
        self._busy = 0
        self._woken: asyncio.Future[None] | None = None
        self._is_refused = False
        self._has_new = True

    async def run(self, parcels: Sequence[Parcel]) -> None:
        """Post everything; returns at `stop_at` at the latest. No task outlives the call."""
        self._tally.due += sum(len(parcel.messages) for parcel in parcels)
        self._new = iter(parcels)
        try:
            async with asyncio.timeout_at(self._stop_at), asyncio.TaskGroup() as group:
                while (job := self._take()) or self._is_unfinished():
                    if job is None:
                        await self._rest()
                        continue
                    self._busy += 1
                    group.create_task(self._work(job))
        except TimeoutError:
            log.warning("posting.deadline")
            self._drop_rest("misconfigured" if self._is_refused else "deadline")
        if self._is_refused:
            self._drop_rest("misconfigured")

    def _is_unfinished(self) -> bool:
        return not self._is_refused and bool(self._busy or self._waiting or self._has_new)

    def _take(self) -> _Job | None:
        """The next connection, if there is a place for it: one whose pause is over, else a new one."""
        if self._is_refused or self._busy >= self._desk.window.size:
            return None
        now = self._now()
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        for parcel in self._new:
            subscription = parcel.subscription
            job = _Job(parcel, now + CONNECTION_S)
            if self._desk.targets.is_struck(subscription):
                self._tally.unwanted += job.left
            elif parcel.messages and self._desk.rests.is_resting(subscription.connection_id, now):
                self._drop(job, "resting")
            else:
                self._open.add(job)
                return job
        self._has_new = False
        return None

    async def _rest(self) -> None:
        """Until a post is done, or a pause."""
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        has_place = self._busy < self._desk.window.size
        due = loop.call_at(self._waiting[0][0], self._wake) if self._waiting and has_place else None
        try:
            await self._woken
        finally:
            if due is not None:
                due.cancel()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _work(self, job: _Job | None) -> None:
        try:
            while job is not None:
                await self._deliver(job)
                job = self._take_next()
        finally:
            self._busy -= 1
            self._wake()

    def _take_next(self) -> _Job | None:
        """The next connection for this place, if the window still has it."""
        self._busy -= 1
        job = self._take()
        self._busy += 1
        if job is not None and self._busy < self._desk.window.size:  # it has opened: there is a place for one more
            self._wake()
        return job

    async def _deliver(self, job: _Job) -> None:
        """One connection's messages, in order, until one has to wait; after one that is dropped the rest is too."""
        subscription, messages, _ = job.parcel
        targets, rests = self._desk.targets, self._desk.rests
        while True:
            if targets.is_over(subscription):
                self._forgo(job)
                await self._close(subscription)
                return
            if not job.left:
                self._open.discard(job)
                return
            if self._is_refused:
                return
            try:
                await self._desk.connections.post(subscription.connection_id, messages[job.at])
            except Gone:
                self._tally.gone += 1
                self._forgo(job)
                rests.forget(subscription.connection_id)
                await targets.strike(subscription)
                return
            except (Misconfigured, Rejected) as error:
                self._refuse(job, error)
                return
            except Retryable as error:
                self._put_off(job, error)
                return
            self._desk.window.note(throttled=False)
            rests.forget(subscription.connection_id)
            self._tally.posted += 1
            job.move_on()

    def _forgo(self, job: _Job) -> None:
        """Nobody wants the rest of it."""
        self._tally.unwanted += job.left
        self._open.discard(job)

    def _drop(self, job: _Job, reason: str) -> None:
        """The rest of it is lost to somebody who wants it."""
        self._open.discard(job)
        self._tally.drops[reason] += job.left
        self._tally.missed.append(Missed(job.parcel, job.at))

    def _drop_rest(self, reason: str) -> None:
        """All that has not come to an end when the call does."""
        for job in (*self._open, *(_Job(parcel, 0.0) for parcel in self._new)):
            if job.left:
                self._drop(job, reason)

    def _refuse(self, job: _Job, error: Misconfigured | Rejected) -> None:
        """The message is refused; where it is the deployment that is, so would every other post be."""
        if isinstance(error, Rejected):
            log.failure("posting.refused", error)
            self._drop(job, "refused")
            return
        if not self._is_refused:
            log.failure("posting.misconfigured", error)
            count("Misconfigured")
        self._is_refused = True

    def _put_off(self, job: _Job, error: Retryable) -> None:
        """Let a connection wait for its next try, or give it up for this call and a while."""
        now, window = self._now(), self._desk.window
        throttled = isinstance(error, ServiceError) and error.status == _THROTTLED
        if not job.is_retried:  # a client that does not read is refused each time, and says nothing of the gateway
            window.note(throttled=throttled)
        job.is_retried = True
        if (
            throttled and window.is_throttled
        ):  # while there are others to be posted to, it may well be everyone's trouble
            job.tries_left -= 0.0 if self._has_new else 0.5
        else:
            job.tries_left -= 1
        pause_s = max(job.pause_s * (0.5 + self._desk.chance.draw() / 2), error.after_s or 0.0)
        job.pause_s = min(LONGEST_PAUSE_S, job.pause_s * GROWTH)
        if job.tries_left <= 0 or now + pause_s >= min(job.give_up_at, self._stop_at):
            log.debug("posting.dropped", error_type=type(error).__name__)
            self._drop(job, "throttled" if throttled else "unanswered")
            self._desk.rests.give_up(job.parcel.subscription.connection_id, now)
            return
        self._deferrals += 1
        heapq.heappush(self._waiting, (now + pause_s, self._deferrals, job))

    async def _close(self, subscription: Subscription) -> None:
        """End a connection whose time is over: no token lets it be there any more."""
        try:
            await self._desk.connections.disconnect(subscription.connection_id)
        except (Retryable, Misconfigured, Rejected) as error:
            self._desk.targets.pass_over(subscription)  # the next read of the subscribers finds it again
            log.failure("posting.not_closed", error)
            return
        self._tally.expired += 1
        await self._desk.targets.strike(subscription)
