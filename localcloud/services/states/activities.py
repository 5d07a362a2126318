"""Activities: tasks that workers ask for. A line of tasks and a line of workers for each; no wire.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-activities.html
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.states.errors import StatesError

__all__ = ["Activities", "Activity", "ActivityTask", "activity_arn"]

MAX_ACTIVITIES: Final = 10_000  # "Maximum number of registered activities"
MAX_WORKERS: Final = 1_000  # "1,000 pollers calling GetActivityTask per ARN"
POLL_S: Final = 60.0  # "The maximum time the service will hold on to the request before responding is 60 seconds"


def activity_arn(name: str, region: str) -> str:
    """The ARN of an activity."""
    return f"arn:aws:states:{region}:{ACCOUNT_ID}:activity:{name}"


@dataclass(slots=True, eq=False)
class ActivityTask:
    """A task that waits for a worker. `picked` is the worker's name, "" for one without."""

    token: str
    text: str
    picked: asyncio.Future[str]


@dataclass(slots=True, eq=False)
class _Worker:
    """Who asks for a task."""

    name: str
    given: asyncio.Future[ActivityTask]


@dataclass(slots=True, eq=False)
class Activity:
    """An activity. Of its two lines one is empty."""

    arn: str
    name: str
    region: str
    created_s: float
    tags: dict[str, str]
    tasks: deque[ActivityTask] = field(default_factory=deque[ActivityTask])
    workers: deque[_Worker] = field(default_factory=deque[_Worker])

    def schedule(self, token: str, text: str) -> ActivityTask:
        """A new task, for the worker who has waited longest."""
        task = ActivityTask(token, text, asyncio.get_running_loop().create_future())
        self.tasks.append(task)
        self._match()
        return task

    def withdraw(self, task: ActivityTask) -> None:
        """Nobody waits for the task any more."""
        if task in self.tasks:
            self.tasks.remove(task)

    async def ask(self, worker: str) -> ActivityTask | None:
        """The task that has waited longest, or the next within a minute; None where there is none.

        Raises StatesError ActivityWorkerLimitExceeded.
        """
        if len(self.workers) >= MAX_WORKERS:
            message = f"The maximum number of workers concurrently polling for activity tasks is {MAX_WORKERS}"
            raise StatesError("ActivityWorkerLimitExceeded", message)
        waiting = _Worker(worker, asyncio.get_running_loop().create_future())
        self.workers.append(waiting)
        self._match()
        try:
            async with asyncio.timeout(POLL_S):
                return await waiting.given
        except TimeoutError:
            return None
        finally:
            if waiting in self.workers:
                self.workers.remove(waiting)

    def _match(self) -> None:
        while self.tasks and self.workers:
            worker = self.workers.popleft()
            if worker.given.done():  # it has gone away
                continue
            task = self.tasks.popleft()
            worker.given.set_result(task)
            if not task.picked.done():
                task.picked.set_result(worker.name)


class Activities:
    """All activities of every Region."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_arn: dict[str, Activity] = {}

    def create(self, name: str, region: str, tags: dict[str, str]) -> Activity:
        """Make an activity, or give the one of that name, whose tags stay as they are. Raises StatesError."""
        arn = activity_arn(name, region)
        known = self._by_arn.get(arn)
        if known is not None:
            return known
        if len(self._by_arn) >= MAX_ACTIVITIES:
            message = f"Activity Limit Exceeded: 'The maximum number of activities is {MAX_ACTIVITIES}'"
            raise StatesError("ActivityLimitExceeded", message)
        made = self._by_arn[arn] = Activity(arn, name, region, self._clock.time(), tags)
        return made

    def find(self, arn: str) -> Activity:
        """The activity of an ARN. Raises StatesError."""
        activity = self._by_arn.get(arn)
        if activity is None:
            raise StatesError("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        return activity

    def get(self, arn: str) -> Activity | None:
        """The activity of an ARN, None where there is none."""
        return self._by_arn.get(arn)

    def list(self, region: str) -> list[Activity]:
        """Those of a Region, by name."""
        return sorted((each for each in self._by_arn.values() if each.region == region), key=lambda each: each.name)

    def delete(self, arn: str) -> None:
        """Forget an activity; nothing where there is none. Who waits for its tasks goes on waiting."""
        self._by_arn.pop(arn, None)
