"""Message move tasks: dead letters go back to where they came from, or to another queue, at a steady rate.

A step takes one message out of its queue and puts it into the other, both kept in one go; between steps nothing runs. A
moved message is a new one, with an id and a date of its own, and never a duplicate. Tasks last as long as the process.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.held import Held
from localcloud.uuids import new_uuid

if TYPE_CHECKING:
    import random

    from localcloud.clock import Clock
    from localcloud.services.sqs.model import Queues
    from localcloud.services.sqs.queue import Queue

__all__ = ["MoveTask", "MoveTasks", "no_resource"]

MAX_RATE: Final = 500  # API_StartMessageMoveTask, MaxNumberOfMessagesPerSecond
MAX_ACTIVE: Final = 100  # sqs-configure-dead-letter-queue-redrive: of an account
MAX_RUN_S: Final = 36 * 3_600.0  # the same page: then a task ends by itself
KEPT: Final = 10  # API_ListMessageMoveTasks: the most recent of a queue
_ACTIVE: Final = ("RUNNING", "CANCELLING")
_NO_QUEUE: Final = "AWS.SimpleQueueService.NonExistentQueue"


@dataclass(slots=True, eq=False)
class MoveTask:
    """One task. `destination_arn` "" is each message's own source queue; `rate` None leaves the rate to SQS.

    `started_s` is a date in epoch seconds, `ends_at` loop time. `status` is RUNNING, COMPLETED, CANCELLING, CANCELLED
    or FAILED, which has a `reason`.
    """

    handle: str
    source_arn: str
    destination_arn: str
    rate: int | None
    to_move: int
    started_s: float
    ends_at: float
    moved: int = 0
    status: str = "RUNNING"
    reason: str = ""


class MoveTasks:
    """The tasks of all queues."""

    def __init__(self, queues: Queues, clock: Clock, rng: random.Random) -> None:
        self._queues = queues
        self._clock = clock
        self._rng = rng
        self._tasks: dict[str, list[MoveTask]] = {}  # by the ARN of the source, the latest first

    def start(self, source_arn: str, *, destination_arn: str = "", rate: int | None = None) -> MoveTask:
        """Begin to move what is visible in a dead-letter queue now; `rate` is 1 to 500 messages a second.

        Raises SqsError: ResourceNotFoundException, InvalidParameterValue, OverLimit.
        """
        source = self._queues.find(source_arn)
        if source is None:
            raise no_resource("SourceArn")
        if not self._queues.takes_dead_letters(source_arn):
            raise invalid_value("Source queue must be configured as a Dead Letter Queue.")
        self._check_destination(source_arn, destination_arn)
        if rate is not None and not 1 <= rate <= MAX_RATE:
            raise invalid_value(
                f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. "
                f"Reason: Must be between 1 and {MAX_RATE}, if provided."
            )
        self._check_active(source_arn)
        text = json.dumps({"taskId": new_uuid(self._rng), "sourceArn": source_arn})
        task = MoveTask(
            handle=base64.b64encode(text.encode()).decode(),
            source_arn=source_arn,
            destination_arn=destination_arn,
            rate=rate,
            to_move=source.depth.visible,
            started_s=self._clock.time(),
            ends_at=asyncio.get_running_loop().time() + MAX_RUN_S,
        )
        self._tasks[source_arn] = [task, *self._tasks.get(source_arn, [])][:KEPT]
        self._plan(task)
        return task

    def list(self, source_arn: str) -> list[MoveTask]:
        """The latest ten of a queue, the latest first. Raises SqsError: ResourceNotFoundException."""
        if self._queues.find(source_arn) is None:
            raise no_resource("SourceArn")
        return list(self._tasks.get(source_arn, []))

    def cancel(self, handle: str) -> MoveTask:
        """Move no more; what was moved stays there.

        Raises SqsError: ResourceNotFoundException; UnsupportedOperation of a task that runs no longer.
        """
        for tasks in self._tasks.values():
            for task in tasks:
                if task.handle == handle:
                    if task.status != "RUNNING":
                        raise SqsError("UnsupportedOperation", "Only active tasks can be cancelled.")
                    task.status = "CANCELLING"
                    return task
        raise SqsError("ResourceNotFoundException", "Task does not exist.")

    def _check_destination(self, source_arn: str, destination_arn: str) -> None:
        if not destination_arn:
            return
        if destination_arn == source_arn:
            raise invalid_value("Source queue arn and destination queue arn cannot be the same.")
        if self._queues.find(destination_arn) is None or destination_arn.split(":")[3] != source_arn.split(":")[3]:
            raise no_resource("DestinationArn")
        if destination_arn.endswith(".fifo") != source_arn.endswith(".fifo"):
            raise invalid_value("The source queue and destination queue must be of the same queue type.")

    def _check_active(self, source_arn: str) -> None:
        active = [task for tasks in self._tasks.values() for task in tasks if task.status in _ACTIVE]
        if any(task.source_arn == source_arn for task in active):
            raise invalid_value(
                "There is already a task running. "
                "Only one active task is allowed for a source queue arn at a given time."
            )
        if len(active) >= MAX_ACTIVE:
            raise SqsError("OverLimit", f"An account has at most {MAX_ACTIVE} active message move tasks.")

    def _plan(self, task: MoveTask) -> None:
        asyncio.get_running_loop().call_later(1 / (task.rate or MAX_RATE), self._step, task)

    def _step(self, task: MoveTask) -> None:
        if task.status == "CANCELLING":
            task.status = "CANCELLED"
            return
        if asyncio.get_running_loop().time() >= task.ends_at:
            _fail(task, "A task runs for 36 hours at most.")
            return
        with self._queues.together():
            self._move(task)
        if task.status == "RUNNING":
            self._plan(task)

    def _move(self, task: MoveTask) -> None:
        source = self._queues.find(task.source_arn)
        if source is None:
            _fail(task, _NO_QUEUE)
            return
        found: list[Queue] = []
        held = source.holding.take_out(lambda held: self._may_go(task, held, found)) if self._has_more(task) else None
        if held is not None:
            now_s = self._clock.time()
            moved = Held(new_uuid(self._rng), held.content, held.sender_id, now_s, kept_since_s=now_s)
            found[0].accept_dead_letter(moved, source_arn="")
            task.moved += 1
        if task.status == "RUNNING" and (held is None or not self._has_more(task)):
            task.status = "COMPLETED"

    def _has_more(self, task: MoveTask) -> bool:
        return task.moved < task.to_move

    def _may_go(self, task: MoveTask, held: Held, found: list[Queue]) -> bool:
        """Whether there is a queue for the message to go to, which is put into `found`; the task fails otherwise."""
        arn = task.destination_arn or held.dead_letter_source
        destination = self._queues.find(arn)
        if destination is None:
            _fail(task, _NO_QUEUE if arn else "CouldNotDetermineMessageSource")
            return False
        found.append(destination)
        return True


def no_resource(parameter: str) -> SqsError:
    """The queue that a parameter names is not there."""
    return SqsError(
        "ResourceNotFoundException", f"The resource that you specified for the {parameter} parameter doesn't exist."
    )


def _fail(task: MoveTask, reason: str) -> None:
    task.status, task.reason = "FAILED", reason
