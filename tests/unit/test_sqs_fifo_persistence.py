"""FIFO queues over a durable store: groups, numbers and duplicates outlive the process."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.fifo import Accepted
from localcloud.services.sqs.model import Content, Message, Queue, Queues
from localcloud.services.sqs.resources import QueueHandler
from localcloud.template.handler import Resource, StackContext
from tests.unit.test_sqs_persistence import Lives, told

REGION = "eu-west-1"
FIFO = {"FifoQueue": "true"}


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


def make(queues: Queues, name: str = "jobs.fifo", **attributes: str) -> Queue:
    wanted = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
    return queues.create(name, REGION, attributes=wanted, tags={})


def jobs(queues: Queues, name: str = "jobs.fifo") -> Queue:
    return queues.get(name, REGION)


async def send(queue: Queue, *bodies: str) -> list[Accepted]:
    return [await queue.post(Content(body, group_id=body[0])) for body in bodies]


def bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def test_groups_keep_their_order_and_what_is_in_flight_keeps_holding_them_back(lives: Lives) -> None:
    """b1 was sent before a2, and a1 is hidden still: after a restart b comes, then a whole and in order."""

    async def first(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "b1", "a2", "b2")
        assert bodies(await queue.receive(1)) == ["a1"]

    async def second(queues: Queues) -> list[list[str]]:
        queue = jobs(queues)
        early = bodies(await queue.receive(10))
        return [early, bodies(await queue.receive(10, wait_s=20))]

    lives.live(first)
    assert lives.live(second, down_s=15) == [["b1", "b2"], ["a1", "a2"]]


def test_a_duplicate_is_known_after_a_restart_for_what_is_left_of_its_five_minutes(lives: Lives) -> None:
    """The first was received and deleted: its id and number are the answer still; then the message is a new one."""

    async def first(queues: Queues) -> list[Accepted]:
        queue = make(queues)
        accepted = await send(queue, "a1")
        (message,) = await queue.receive()
        await queue.delete(message.receipt_handle)
        return accepted

    async def again(queues: Queues) -> list[Accepted]:
        return await send(jobs(queues), "a1")

    accepted = lives.live(first)
    assert lives.live(again, down_s=290) == accepted
    (later,) = lives.live(again, down_s=10)
    assert later.sequence > accepted[0].sequence
    assert later.message_id != accepted[0].message_id


def test_numbers_go_on_where_nothing_is_left_of_the_ones_before(lives: Lives) -> None:
    """Everything was deleted and forgotten: the next number is greater all the same."""

    async def one(queues: Queues) -> int:
        queue = queues.find(queues.arn_of("jobs.fifo", REGION)) or make(queues)
        (accepted,) = await send(queue, "a1")
        queue.clear()
        return accepted.sequence

    numbers = [lives.live(one, down_s=400) for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_numbers_grow_where_the_machines_clock_went_back(lives: Lives) -> None:
    """A message that is there still has the smaller number, and comes first."""

    async def one(queues: Queues) -> int:
        queue = queues.find(queues.arn_of("jobs.fifo", REGION)) or make(queues)
        (accepted,) = await send(queue, f"a{len(queue._holding.messages)}")
        return accepted.sequence

    async def receive(queues: Queues) -> list[str]:
        return bodies(await jobs(queues).receive(10))

    first = lives.live(one)
    with closing(sqlite3.connect(lives.folder / "sqs.sqlite3", isolation_level=None)) as file:
        file.execute("DELETE FROM accepted")  # only the message itself tells its number
    lives.now_s -= 1000
    assert lives.live(one) > first
    assert lives.live(receive) == ["a0", "a1"]


def test_a_dead_letter_keeps_its_new_number_and_its_new_retention(lives: Lives) -> None:
    """Moved after 50 s: kept for 60 s from then on, over a restart too, in the order of its new group."""

    async def first(queues: Queues) -> None:
        dead = make(queues, "dead.fifo", MessageRetentionPeriod="60")
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
        queue = make(queues, VisibilityTimeout="50", RedrivePolicy=policy)
        await send(queue, "a1")
        await send(dead, "a0")
        await queue.receive()
        await asyncio.sleep(50)
        assert await queue.receive() == []
        await send(dead, "a2")

    async def second(queues: Queues) -> list[str]:
        return bodies(await jobs(queues, "dead.fifo").receive(10, visibility_s=0))

    lives.live(first)
    assert lives.live(second, down_s=9) == ["a0", "a1", "a2"]
    assert lives.live(second, down_s=50) == ["a1", "a2"]
    assert lives.live(second, down_s=1) == []


def test_a_template_takes_over_its_fifo_queue(lives: Lives) -> None:
    """What the template says wins, and the messages stay, in order, with what is a duplicate."""

    async def first(queues: Queues) -> None:
        queue = queues.create("sluiceway-Jobs.fifo", REGION, attributes={**FIFO, "DelaySeconds": "9"}, tags={})
        await queue.send(Content("a1", group_id="a", deduplication_id="one"))
        await queue.send(Content("a2", group_id="a", deduplication_id="two"))

    async def second(queues: Queues) -> tuple[str, list[str]]:
        properties = {"FifoQueue": True, "ContentBasedDeduplication": True}
        context = StackContext("sluiceway", REGION, "123456789012", "aws", Path())
        await QueueHandler(queues, keeps=True).create(Resource("Jobs", "AWS::SQS::Queue", properties, context))
        queue = jobs(queues, "sluiceway-Jobs.fifo")
        await queue.send(Content("again", group_id="b", deduplication_id="two"))
        settings = [queue.attributes[name] for name in ("DelaySeconds", "ContentBasedDeduplication")]
        return ", ".join(settings), bodies(await queue.receive(10))

    lives.live(first)
    assert lives.live(second) == ("0, true", ["a1", "a2"])


def test_a_deleted_queue_is_forgotten_with_its_duplicates(lives: Lives) -> None:
    """A queue of the same name a minute later takes the same messages as new ones, over a restart as well."""

    async def first(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "b1")
        queues.delete(queue)

    async def second(queues: Queues) -> None:
        await send(make(queues), "a1")

    async def third(queues: Queues) -> list[str]:
        await send(jobs(queues), "b1")
        return bodies(await jobs(queues).receive(10))

    lives.live(first)
    lives.live(second, down_s=60)
    assert lives.live(third) == ["a1", "b1"]


def test_what_is_forgotten_is_gone_from_the_file_too(lives: Lives) -> None:
    """The file holds the last five minutes' duplicates and the messages there are."""

    async def act(queues: Queues) -> list[Any]:
        queue = make(queues)
        await send(queue, *(f"a{number}" for number in range(20)))
        for message in await queue.receive(10):
            await queue.delete(message.receipt_handle)
        await asyncio.sleep(300)
        await send(queue, "z")
        store: Any = queue._keeper
        count = "SELECT (SELECT COUNT(*) FROM accepted), (SELECT COUNT(*) FROM fifo)"
        return list(store._connection.execute(count))

    assert lives.live(act) == [(1, 11)]


# ---------------------------------------------------------------------- restarts change nothing

SEND = st.tuples(st.just("send"), st.sampled_from("abc"), st.sampled_from(["", "", "", "x", "y"]))
RECEIVE = st.tuples(st.just("receive"), st.integers(1, 4), st.sampled_from([None, 0, 1, 2]))
STEP = st.one_of(
    *(SEND, SEND, SEND, RECEIVE, RECEIVE, RECEIVE),
    st.tuples(st.just("delete"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("change"), st.integers(0, 5), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("configure"), st.sampled_from([60, 62]), st.integers(0, 2)),
    st.tuples(st.just("purge"), st.just(0), st.just(0)),
    st.tuples(st.just("look"), st.just(0), st.just(0)),
    st.tuples(st.just("dead"), st.integers(1, 4), st.sampled_from([0, 2])),
)
GAP_S = st.sampled_from([0.0, 0.0, 0.25, 1.0, 2.0, 15.0, 120.0])
STEPS = st.lists(st.tuples(GAP_S, STEP), min_size=20, max_size=40)
Step: TypeAlias = tuple[float, tuple[str, Any, Any]]


class Client:
    """A client of `jobs.fifo` that remembers the handles it was given, and all that it was told."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.handles: list[str] = []
        self.seen: list[object] = []
        self.sent = 0

    async def begin(self, queues: Queues) -> None:
        dead = make(queues, "dead.fifo", MessageRetentionPeriod="60")
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
        settings = {"VisibilityTimeout": "2", "MessageRetentionPeriod": "300", "DeduplicationScope": self.scope}
        make(queues, RedrivePolicy=policy, **settings)

    async def do(self, queues: Queues, step: Step) -> None:
        await asyncio.sleep(step[0])
        name, first, second = step[1]
        try:
            self.seen.append(await getattr(self, f"_{name}")(jobs(queues), queues, first, second))
        except SqsError as error:
            self.seen.append((error.code, error.message))

    async def _send(self, queue: Queue, _queues: Queues, group: str, repeat: str) -> object:
        self.sent += 1
        content = Content(f"{group}{self.sent}", group_id=group, deduplication_id=repeat)
        return await queue.post(content)

    async def _receive(self, queue: Queue, _queues: Queues, most: int, visibility_s: int | None) -> object:
        found = await queue.receive(most, visibility_s=visibility_s)
        self.handles += [message.receipt_handle for message in found]
        return [told(message) for message in found]

    async def _delete(self, queue: Queue, _queues: Queues, index: int, _: int) -> object:
        return self.handles and await queue.delete(self.handles[-1 - index % len(self.handles)])

    async def _change(self, queue: Queue, _queues: Queues, index: int, visibility_s: int) -> object:
        handle = self.handles[-1 - index % len(self.handles)] if self.handles else ""
        return handle and await queue.change_visibility(handle, visibility_s)

    async def _configure(self, queue: Queue, queues: Queues, retention_s: int, delay_s: int) -> object:
        queues.configure(queue, {"MessageRetentionPeriod": str(retention_s), "DelaySeconds": str(delay_s)})
        return queues.describe(queue)

    async def _purge(self, queue: Queue, _queues: Queues, _: int, __: int) -> object:
        return queue.purge()

    async def _look(self, queue: Queue, queues: Queues, _: int, __: int) -> object:
        return queues.describe(queue), queues.describe(jobs(queues, "dead.fifo"))

    async def _dead(self, _queue: Queue, queues: Queues, most: int, visibility_s: int) -> object:
        received = await jobs(queues, "dead.fifo").receive(most, visibility_s=visibility_s)
        return [told(message) for message in received]


def seen_by_one_process(steps: list[Step], scope: str) -> list[object]:
    """What a client is told by a process that keeps nothing and never ends."""
    client = Client(scope)

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        await client.begin(queues)
        for step in steps:
            await client.do(queues, step)

    run_virtual(main)
    return client.seen


def seen_over_restarts(steps: list[Step], lives_of: list[int], scope: str) -> list[object]:
    """What a client is told where the process is killed and started again, in no time, after so many steps each."""
    client = Client(scope)
    with tempfile.TemporaryDirectory() as folder:
        lives = Lives(Path(folder))
        lives.live(client.begin)
        left = list(steps)
        while left:
            count = lives_of.pop(0) if lives_of else len(left)
            now, left = left[:count], left[count:]

            async def some(queues: Queues, now: list[Step] = now) -> None:
                for step in now:
                    await client.do(queues, step)

            lives.live(some)
    return client.seen


@settings(max_examples=40, deadline=None)
@given(STEPS, st.lists(st.integers(2, 8), min_size=3, max_size=8), st.sampled_from(["queue", "messageGroup"]))
def test_restarts_change_nothing_that_a_client_can_tell(steps: list[Step], lives_of: list[int], scope: str) -> None:
    """Any operations with restarts between them: numbers, duplicates, order, counts and errors are the same."""
    assert seen_over_restarts(steps, lives_of, scope) == seen_by_one_process(steps, scope)
