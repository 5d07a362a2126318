"""Message move tasks on a virtual clock: what is moved, how fast, and how a task ends."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Content, Queue, Queues
from localcloud.services.sqs.store import Store
from localcloud.services.sqs.wire import SqsService

REGION = "eu-west-1"


async def buried(queues: Queues, *texts: str, suffix: str = "", **attributes: str) -> tuple[Queue, Queue]:
    """A queue and its dead-letter queue, which holds one message for each of `texts`."""
    dead = queues.create(f"dead{suffix}", REGION, attributes=attributes, tags={})
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    jobs = queues.create(f"jobs{suffix}", REGION, attributes={**attributes, "RedrivePolicy": policy}, tags={})
    for text in texts:
        content = Content(text, group_id="g", deduplication_id=text) if suffix else Content(text)
        await jobs.send(content)
    for _ in range(len(texts) + 1):
        await jobs.receive(10, wait_s=0, visibility_s=0)
    assert dead.depth.visible == len(texts)
    return jobs, dead


def on_queues(test: Callable[[Queues], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


@pytest.mark.parametrize("fifo", [False, True])
def test_dead_letters_go_home_as_new_messages_at_the_rate_that_was_asked_for(*, fifo: bool) -> None:
    """Two a second: each is new, with its own id, count and date, and known by its old id to nobody."""

    async def test(queues: Queues) -> None:
        more = {"suffix": ".fifo", "FifoQueue": "true"} if fifo else {}
        jobs, dead = await buried(queues, "a", "b", "c", **more)
        task = queues.move_tasks.start(dead.arn, rate=2)
        await asyncio.sleep(1.1)
        assert (task.status, task.moved, dead.depth.visible, jobs.depth.visible) == ("RUNNING", 2, 1, 2)
        await asyncio.sleep(0.5)
        assert (task.status, task.moved, task.to_move, dead.depth.visible) == ("COMPLETED", 3, 3, 0)
        found = await jobs.receive(10)
        assert [message.body for message in found] == ["a", "b", "c"]
        assert {message.system["ApproximateReceiveCount"] for message in found} == {"1"}
        assert not any("DeadLetterQueueSourceArn" in message.system for message in found)

    on_queues(test)


def test_a_cancelled_task_leaves_the_rest_where_it_is() -> None:
    """CANCELLING until its next step, then CANCELLED; another task may begin then, and not before."""

    async def test(queues: Queues) -> None:
        jobs, dead = await buried(queues, "a", "b", "c")
        task = queues.move_tasks.start(dead.arn, rate=1)
        await asyncio.sleep(1.5)
        with pytest.raises(SqsError, match="already a task running"):
            queues.move_tasks.start(dead.arn)
        assert queues.move_tasks.cancel(task.handle).status == "CANCELLING"
        await asyncio.sleep(60)
        assert (task.status, task.moved, jobs.depth.visible, dead.depth.visible) == ("CANCELLED", 1, 1, 2)
        with pytest.raises(SqsError, match="active"):
            queues.move_tasks.cancel(task.handle)
        queues.move_tasks.start(dead.arn)
        await asyncio.sleep(1)
        assert [one.status for one in queues.move_tasks.list(dead.arn)] == ["COMPLETED", "CANCELLED"]

    on_queues(test)


def test_a_task_that_cannot_go_on_fails_with_its_reason_and_loses_nothing() -> None:
    """The destination is deleted; a message was sent to the dead-letter queue and came from nowhere."""

    async def test(queues: Queues) -> None:
        _, dead = await buried(queues, "a", "b")
        other = queues.create("other", REGION, attributes={}, tags={})
        gone = queues.move_tasks.start(dead.arn, destination_arn=other.arn, rate=1)
        queues.delete(other)
        await asyncio.sleep(2)
        assert (gone.status, gone.reason, dead.depth.visible) == (
            "FAILED",
            "AWS.SimpleQueueService.NonExistentQueue",
            2,
        )
        assert sorted(message.body for message in await dead.receive(10)) == ["a", "b"]
        dead.clear()
        await dead.send(Content("from nowhere"))
        lost = queues.move_tasks.start(dead.arn)
        await asyncio.sleep(1)
        assert (lost.status, lost.reason, dead.depth.visible) == ("FAILED", "CouldNotDetermineMessageSource", 1)
        assert [message.body for message in await dead.receive(10)] == ["from nowhere"]

    on_queues(test)


def test_moved_messages_are_kept(tmp_path: Path) -> None:
    """After a restart they are in the queue that they were moved to, whole, and only there."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        store = Store(tmp_path, clock)
        queues = Queues(clock=clock, rng=random.Random(1), keeper=store)
        _, dead = await buried(queues, "a", "b")
        queues.move_tasks.start(dead.arn)
        await asyncio.sleep(1)
        store.close()
        again = Queues(clock=clock, rng=random.Random(2), keeper=Store(tmp_path, clock))
        jobs = again.get("jobs", REGION)
        assert [message.body for message in await jobs.receive(10)] == ["a", "b"]
        assert again.get("dead", REGION).depth.visible == 0

    run_virtual(main)


def request(action: str, body: dict[str, Any]) -> WireRequest:
    return WireRequest(
        service="sqs",
        region=REGION,
        method="POST",
        path="/",
        query="",
        headers={"x-amz-target": f"AmazonSQS.{action}"},
        body=json.dumps(body).encode(),
        access_key="AK",
        request_id="r",
    )


def test_tasks_on_the_wire() -> None:
    """A handle while it runs and none afterwards; in the Query protocol too; every permission that AWS wants."""

    async def test(queues: Queues) -> None:
        _, dead = await buried(queues, "a")
        other = queues.create("other", REGION, attributes={}, tags={})
        service = SqsService(queues)

        async def call(action: str, **body: Any) -> dict[str, Any]:
            answer = await service.handle(request(action, body))
            assert isinstance(answer.body, bytes)
            return json.loads(answer.body)

        asked = {"SourceArn": dead.arn, "DestinationArn": other.arn, "MaxNumberOfMessagesPerSecond": 5}
        needed = service.permissions(request("StartMessageMoveTask", asked))
        assert {(one.action, one.resource) for one in needed} == {
            ("sqs:StartMessageMoveTask", dead.arn),
            ("sqs:DeleteMessage", dead.arn),
            ("sqs:GetQueueAttributes", dead.arn),
            ("sqs:ReceiveMessage", dead.arn),
            ("sqs:SendMessage", other.arn),
        }
        handle = (await call("StartMessageMoveTask", **asked))["TaskHandle"]
        (told,) = (await call("ListMessageMoveTasks", SourceArn=dead.arn))["Results"]
        assert (told.pop("StartedTimestamp") >= 0, told) == (
            True,
            {
                **asked,
                "ApproximateNumberOfMessagesMoved": 0,
                "ApproximateNumberOfMessagesToMove": 1,
                "Status": "RUNNING",
                "TaskHandle": handle,
            },
        )
        (cancel,) = service.permissions(request("CancelMessageMoveTask", {"TaskHandle": handle}))
        assert (cancel.action, cancel.resource) == ("sqs:CancelMessageMoveTask", dead.arn)
        await asyncio.sleep(1)
        form = WireRequest(
            service="sqs",
            region=REGION,
            method="POST",
            path="/",
            query="",
            headers={},
            body=f"Action=ListMessageMoveTasks&SourceArn={dead.arn}".encode(),
            access_key="AK",
            request_id="r",
        )
        body = (await service.handle(form)).body
        assert isinstance(body, bytes)
        found = {one.tag.rpartition("}")[2]: one.text for one in ET.fromstring(body.decode()).iter()}
        assert (found["Status"], "ListMessageMoveTasksResultEntry" in found) == ("COMPLETED", True)
        assert "TaskHandle" not in found

    on_queues(test)


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("StartMessageMoveTask", {"SourceArn": "dead"}, "InvalidParameterValueException"),
        ("StartMessageMoveTask", {"SourceArn": "{dead}x"}, "ResourceNotFoundException"),
        ("StartMessageMoveTask", {"SourceArn": "{jobs}"}, "InvalidParameterValueException"),
        ("StartMessageMoveTask", {"SourceArn": "{dead}", "DestinationArn": "{dead}"}, "InvalidParameterValueException"),
        ("StartMessageMoveTask", {"SourceArn": "{dead}", "DestinationArn": "{dead}x"}, "ResourceNotFoundException"),
        (
            "StartMessageMoveTask",
            {"SourceArn": "{dead}", "MaxNumberOfMessagesPerSecond": 501},
            "InvalidParameterValueException",
        ),
        ("ListMessageMoveTasks", {"SourceArn": "{dead}", "MaxResults": 11}, "InvalidParameterValueException"),
        ("ListMessageMoveTasks", {"SourceArn": "{dead}x"}, "ResourceNotFoundException"),
        ("CancelMessageMoveTask", {"TaskHandle": "nonsense"}, "InvalidParameterValueException"),
        ("CancelMessageMoveTask", {"TaskHandle": "eyJzb3VyY2VBcm4iOiJhcm4ifQ=="}, "ResourceNotFoundException"),
        ("CancelMessageMoveTask", {}, "MissingRequiredParameterException"),
    ],
)
def test_what_is_refused(action: str, body: dict[str, Any], code: str) -> None:
    """Each with AWS's own error."""

    async def test(queues: Queues) -> None:
        jobs, dead = await buried(queues, "a")
        filled = {
            name: value.format(jobs=jobs.arn, dead=dead.arn) if isinstance(value, str) else value
            for name, value in body.items()
        }
        answer = await SqsService(queues).handle(request(action, filled))
        assert isinstance(answer.body, bytes)
        assert json.loads(answer.body)["__type"] == f"com.amazonaws.sqs#{code}"

    on_queues(test)
