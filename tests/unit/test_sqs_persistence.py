"""Queues over a durable store: a new model over the same file is the old one, to the second and in every count."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import VIRTUAL_EPOCH_S, LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import AttributeValue, Content, Message, Queue, Queues
from localcloud.services.sqs.resources import QueueHandler
from localcloud.services.sqs.store import Store
from localcloud.services.sqs.wire import SqsService
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext

REGION = "eu-west-1"
POLICY = '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}}'
CONTEXT = StackContext("sluiceway", REGION, "123456789012", "aws", Path())
Act: TypeAlias = Callable[[Queues], Awaitable[Any]]


class Lives:
    """One folder and the lives of processes over it: each has its own event loop, the date goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = VIRTUAL_EPOCH_S
        self.rng = random.Random(1)

    def live(self, act: Act, *, down_s: float = 0.0) -> Any:
        """A process that does `act` and is gone without a word; before it nothing ran for `down_s`."""

        async def main() -> Any:
            clock = LoopClock(asyncio.get_running_loop(), epoch_s=self.now_s + down_s)
            store = Store(self.folder, clock)
            try:
                return await act(Queues(clock=clock, rng=self.rng, keeper=store))
            finally:
                self.now_s = clock.time()
                store._connection.close()  # not `close()`: a killed process says no goodbye

        return run_virtual(main)


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


def make(queues: Queues, name: str = "jobs", **attributes: str) -> Queue:
    return queues.create(name, REGION, attributes=attributes, tags={})


def jobs(queues: Queues, name: str = "jobs") -> Queue:
    return queues.get(name, REGION)


def told(message: Message) -> tuple[Any, ...]:
    """All that a client learns of a message."""
    return message.message_id, message.receipt_handle, message.content, dict(message.system)


def test_a_message_comes_back_whole(lives: Lives) -> None:
    """Body, attributes of every type, trace header, group, sender, id and sent time are as they were."""
    content = Content(
        'A & b\n"ü" 😀 \t',
        {
            "s": AttributeValue("String.x", "é"),
            "n": AttributeValue("Number", "1e3"),
            "b": AttributeValue("Binary", b"\0\xff"),
        },
        {"AWSTraceHeader": AttributeValue("String", "Root=1-2-3")},
        "group",
    )

    async def send(queues: Queues) -> str:
        return await make(queues).send(content, sender_id="AIDA")

    async def receive(queues: Queues) -> list[Message]:
        return await jobs(queues).receive()

    message_id = lives.live(send)
    (message,) = lives.live(receive, down_s=100)
    assert (message.message_id, message.content) == (message_id, content)
    sent_ms, first_ms = VIRTUAL_EPOCH_S * 1000, (VIRTUAL_EPOCH_S + 100) * 1000
    assert message.system == {
        "SenderId": "AIDA",
        "SentTimestamp": f"{sent_ms:.0f}",
        "ApproximateReceiveCount": "1",
        "ApproximateFirstReceiveTimestamp": f"{first_ms:.0f}",
        "AWSTraceHeader": "Root=1-2-3",
        "MessageGroupId": "group",
    }


def test_a_hidden_message_comes_back_when_it_would_have(lives: Lives) -> None:
    """Received for 30 s, then 10 s without a process: hidden for 20 s more, received again with a count of 2."""

    async def first(queues: Queues) -> Message:
        await make(queues).send(Content("x"))
        (message,) = await jobs(queues).receive(visibility_s=30)
        return message

    async def second(queues: Queues) -> list[Any]:
        queue, start = jobs(queues), asyncio.get_running_loop().time()
        assert (queue.depth.visible, queue.depth.in_flight) == (0, 1)
        (message,) = await queue.receive(wait_s=20)
        return [message.system, asyncio.get_running_loop().time() - start]

    before = lives.live(first)
    system, waited_s = lives.live(second, down_s=10)
    assert waited_s == 20
    assert system == before.system | {"ApproximateReceiveCount": "2"}


def test_a_delay_goes_on_while_nothing_runs(lives: Lives) -> None:
    """A message delayed by 60 s is delayed for 15 s more after 45 s without a process, and there at once after 60 s."""

    async def send(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("late"), delay_s=60)

    async def count(queues: Queues) -> tuple[int, int]:
        return jobs(queues).depth.delayed, jobs(queues).depth.visible

    lives.live(send)
    assert lives.live(count, down_s=45) == (1, 0)
    assert lives.live(count, down_s=15) == (0, 1)


def test_retention_goes_on_while_nothing_runs(lives: Lives) -> None:
    """Of two messages the one that grew too old meanwhile is gone, from the file as well."""

    async def send(queues: Queues) -> None:
        queue = make(queues, MessageRetentionPeriod="600")
        await queue.send(Content("old"))
        await asyncio.sleep(300)
        await queue.send(Content("young"))

    async def receive(queues: Queues) -> list[str]:
        return [message.body for message in await jobs(queues).receive(10)]

    lives.live(send)
    assert lives.live(receive, down_s=300.5) == ["young"]
    assert rows(lives, "contents") == 1


def rows(lives: Lives, table: str) -> int:
    """How many rows there are in the file."""

    async def count(_queues: Queues) -> int:
        store = Store(lives.folder, LoopClock(asyncio.get_running_loop()))
        (found,) = store._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        store.close()
        return found

    return lives.live(count)


def test_an_older_handle_still_deletes_and_extends(lives: Lives) -> None:
    """Receipt handles of a process that is gone: delete, change of visibility, and the 12 hours from the receive."""

    async def first(queues: Queues) -> list[str]:
        queue = make(queues)
        for body in "ab":
            await queue.send(Content(body))
        return [message.receipt_handle for message in await queue.receive(2, visibility_s=43_000)]

    async def second(queues: Queues) -> None:
        queue = jobs(queues)
        await queue.delete(handles[0])
        with pytest.raises(SqsError, match="beyond the limit"):
            await queue.change_visibility(handles[1], 43_150)
        await queue.change_visibility(handles[1], 0)
        assert [message.body for message in await queue.receive(10)] == ["b"]

    async def third(queues: Queues) -> int:
        return sum((jobs(queues).depth.visible, jobs(queues).depth.in_flight))

    handles = lives.live(first)
    lives.live(second, down_s=100)
    assert lives.live(third) == 1
    assert (rows(lives, "contents"), rows(lives, "places")) == (1, 1)


def test_dead_letters_move_once(lives: Lives) -> None:
    """A message keeps its receives over a restart; after the last it is in the other queue, in one of them always."""

    async def first(queues: Queues) -> None:
        dead = make(queues, "dead")
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
        await make(queues, RedrivePolicy=policy).send(Content("poison"))
        await jobs(queues).receive(visibility_s=0)

    async def second(queues: Queues) -> list[int]:
        queue = jobs(queues)
        counts = [len(await queue.receive(visibility_s=0)) for _ in range(3)]
        return [*counts, queue.depth.visible, jobs(queues, "dead").depth.visible]

    async def third(queues: Queues) -> Message:
        assert jobs(queues).depth.visible == 0
        (message,) = await jobs(queues, "dead").receive()
        return message

    lives.live(first)
    assert lives.live(second) == [1, 0, 0, 0, 1]
    message = lives.live(third)
    assert (message.body, message.system["ApproximateReceiveCount"]) == ("poison", "3")
    assert message.system["DeadLetterQueueSourceArn"].endswith(":jobs")
    assert rows(lives, "contents") == 1


def test_queues_come_back_with_their_settings(lives: Lives) -> None:
    """Attributes, policy, tags and dates as they were left; a deleted queue is gone with its messages."""

    async def first(queues: Queues) -> dict[str, str]:
        queue = queues.create("jobs", REGION, attributes={"VisibilityTimeout": "7"}, tags={"a": "1", "b": "é"})
        other = make(queues, "other")
        await other.send(Content("x"))
        await asyncio.sleep(5)
        queues.configure(queue, {"Policy": POLICY, "DelaySeconds": "3"})
        queues.tag(queue, {"c": "3"})
        queues.untag(queue, ["a"])
        queues.delete(other)
        return queues.describe(queue)

    async def second(queues: Queues) -> None:
        assert [queue.name for queue in queues.list(REGION)] == ["jobs"]
        assert queues.describe(jobs(queues)) == described
        assert jobs(queues).tags == {"b": "é", "c": "3"}
        queues.configure(jobs(queues), {"Policy": ""})

    async def third(queues: Queues) -> None:
        assert "Policy" not in jobs(queues).attributes

    described = lives.live(first)
    assert described["LastModifiedTimestamp"] == str(int(VIRTUAL_EPOCH_S) + 5)
    lives.live(second, down_s=50)
    lives.live(third)
    assert rows(lives, "contents") == 0


def test_a_purge_is_kept_with_its_minute(lives: Lives) -> None:
    """What was purged stays gone, and the next purge waits for the rest of its minute."""

    async def first(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("x"))
        await queue.send(Content("y"), delay_s=10)
        queue.purge()

    async def second(queues: Queues) -> None:
        queue = jobs(queues)
        assert queue.depth.visible + queue.depth.delayed == 0
        with pytest.raises(SqsError, match="every 60 seconds"):
            queue.purge()
        await asyncio.sleep(20)
        queue.purge()

    lives.live(first)
    assert rows(lives, "places") == 0
    lives.live(second, down_s=40)


def resource(**properties: Any) -> Resource:
    return Resource("Jobs", "AWS::SQS::Queue", {"QueueName": "jobs", **properties}, CONTEXT)


def test_a_template_takes_over_its_queue(lives: Lives) -> None:
    """The kept queue has the template's attributes and tags and no others, its old messages and its date of birth."""

    async def first(queues: Queues) -> float:
        handler = QueueHandler(queues, keeps=True)
        made = await handler.create(resource(VisibilityTimeout=7, DelaySeconds=2, Tags=[{"Key": "a", "Value": "1"}]))
        queue = jobs(queues)
        queues.configure(queue, {"Policy": POLICY, "KmsMasterKeyId": "k"})
        await queue.send(Content("kept"))
        await handler.delete(resource(), made)
        return queue.created_s

    async def second(queues: Queues) -> None:
        await QueueHandler(queues, keeps=True).create(resource(VisibilityTimeout=9))
        queue = jobs(queues)
        fresh = make(queues, "fresh", VisibilityTimeout="9")
        assert (dict(queue.attributes), queue.tags) == (dict(fresh.attributes), {})
        assert queue.created_s == created_s
        assert [message.body for message in await queue.receive(wait_s=5)] == ["kept"]

    created_s = lives.live(first)
    lives.live(second, down_s=30)


def test_a_template_that_says_the_same_changes_nothing(lives: Lives) -> None:
    """A queue with a KMS key, whose own keys are off for that, keeps the date of its last change."""

    async def first(queues: Queues) -> float:
        await QueueHandler(queues, keeps=True).create(resource(KmsMasterKeyId="k"))
        return jobs(queues).modified_s

    async def second(queues: Queues) -> None:
        await QueueHandler(queues, keeps=True).create(resource(KmsMasterKeyId="k"))
        assert jobs(queues).modified_s == modified_s
        assert jobs(queues).attributes["SqsManagedSseEnabled"] == "false"

    modified_s = lives.live(first)
    lives.live(second, down_s=30)


def test_only_the_first_resource_takes_a_kept_queue_over(lives: Lives) -> None:
    """A second one of the same name is the error that it is without a kept queue; a call does not take over."""

    async def first(queues: Queues) -> None:
        make(queues, VisibilityTimeout="7")

    async def second(queues: Queues) -> None:
        with pytest.raises(SqsError) as caught:
            make(queues, VisibilityTimeout="8")
        assert caught.value.code == "QueueNameExists"
        handler = QueueHandler(queues, keeps=True)
        with pytest.raises(TemplateError, match="VisibilityTimeout"):
            await handler.create(resource(VisibilityTimeout=50_000))
        await handler.create(resource(VisibilityTimeout=9))
        with pytest.raises(TemplateError, match="different value for attribute VisibilityTimeout"):
            await handler.create(resource(VisibilityTimeout=10))

    lives.live(first)
    lives.live(second)


def test_a_batch_is_one_transaction(lives: Lives) -> None:
    """Ten messages sent, and deleted, in a batch are one commit each; entries that fail take nothing away."""
    commits: list[str] = []

    async def act(queues: Queues) -> None:
        queue = make(queues)
        service = SqsService(queues)
        store = queue._keeper
        assert isinstance(store, Store)
        store._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        url = queues.url_of(queue)
        entries = [{"Id": str(number), "MessageBody": "x" if number else "\0"} for number in range(10)]
        sent = await call(service, "SendMessageBatch", {"QueueUrl": url, "Entries": entries})
        assert (len(sent["Successful"]), len(sent["Failed"]), len(commits)) == (9, 1, 1)
        received = (await call(service, "ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 10}))["Messages"]
        assert len(commits) == 2
        handles = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in received]
        await call(service, "DeleteMessageBatch", {"QueueUrl": url, "Entries": handles})
        assert len(commits) == 3
        await call(service, "ReceiveMessage", {"QueueUrl": url})
        assert len(commits) == 3

    lives.live(act)
    assert rows(lives, "contents") == 0


async def call(service: SqsService, action: str, parameters: dict[str, Any]) -> Any:
    headers = {"x-amz-target": f"AmazonSQS.{action}"}
    body = json.dumps(parameters).encode()
    answer = await service.handle(WireRequest("sqs", REGION, "POST", "/", "", headers, body, "key", "id"))
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def test_nothing_is_written_where_nothing_changes(lives: Lives) -> None:
    """Empty receives, looking and failing requests write nothing."""

    async def act(queues: Queues) -> int:
        queue = make(queues)
        store = queue._keeper
        assert isinstance(store, Store)
        before = store._connection.total_changes
        assert await queue.receive(wait_s=20) == []
        queues.describe(queue)
        with pytest.raises(SqsError):
            await queue.send(Content(""))
        with pytest.raises(SqsError):
            await queue.delete("nonsense")
        return store._connection.total_changes - before

    assert lives.live(act) == 0


def test_what_could_not_be_kept_is_kept_with_the_next_change(lives: Lives) -> None:
    """A file that refuses a write fails that request; what it changed in memory is not forgotten by the file."""

    async def act(queues: Queues) -> None:
        queue = make(queues)
        store = queue._keeper
        assert isinstance(store, Store)
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(sqlite3.OperationalError):
            await queue.send(Content("first"))
        store._connection.execute("PRAGMA query_only = OFF")
        await queue.send(Content("second"))

    async def receive(queues: Queues) -> list[str]:
        return [message.body for message in await jobs(queues).receive(10)]

    lives.live(act)
    assert lives.live(receive) == ["first", "second"]


def test_the_last_change_decides_the_order(lives: Lives) -> None:
    """Messages that become visible at the same moment come in the order in which that was last decided."""

    async def first(queues: Queues) -> None:
        queue = make(queues)
        for body in "abc":
            await queue.send(Content(body))
        handles = [message.receipt_handle for message in await queue.receive(3)]
        with queues.together():
            for index in (0, 1, 2, 0):
                await queue.change_visibility(handles[index], 5)

    async def second(queues: Queues) -> list[str]:
        return [message.body for message in await jobs(queues).receive(3, wait_s=10)]

    async def both(queues: Queues) -> list[str]:
        await first(queues)
        return await second(queues)

    lives.live(first)
    assert lives.live(second) == ["b", "c", "a"]
    assert Lives(lives.folder / "unbroken").live(both) == ["b", "c", "a"]


# ---------------------------------------------------------------------- restarts change nothing

GAP_S = st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 1.0, 2.0, 15.0])  # short: so that moments coincide
SEND = st.tuples(st.just("send"), st.integers(0, 2), st.sampled_from([None, 0, 1, 2]))
RECEIVE = st.tuples(st.just("receive"), st.integers(1, 4), st.sampled_from([None, 0, 1, 2]))
STEP = st.one_of(
    *(SEND, SEND, SEND, RECEIVE, RECEIVE, RECEIVE),
    st.tuples(st.just("poll"), st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.just("delete"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("change"), st.integers(0, 5), st.sampled_from([0, 1, 2, 43_198])),
    st.tuples(st.just("configure"), st.sampled_from([60, 62, 70]), st.integers(0, 2)),
    st.tuples(st.just("purge"), st.just(0), st.just(0)),
    st.tuples(st.just("look"), st.just(0), st.just(0)),
    st.tuples(st.just("dead"), st.integers(1, 4), st.sampled_from([0, 2])),
)
STEPS = st.lists(st.tuples(GAP_S, STEP), min_size=25, max_size=50)
Step: TypeAlias = tuple[float, tuple[str, Any, Any]]


class Client:
    """A client of the queue `jobs` that remembers the handles it was given, and all that it was told."""

    def __init__(self) -> None:
        self.handles: list[str] = []
        self.seen: list[object] = []
        self.sent = 0

    async def begin(self, queues: Queues) -> None:
        dead = make(queues, "dead")
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
        make(queues, RedrivePolicy=policy, VisibilityTimeout="2", MessageRetentionPeriod="60")

    async def do(self, queues: Queues, step: Step) -> None:
        await asyncio.sleep(step[0])
        name, first, second = step[1]
        try:
            self.seen.append(await getattr(self, f"_{name}")(jobs(queues), queues, first, second))
        except SqsError as error:
            self.seen.append((error.code, error.message))

    async def _send(self, queue: Queue, _queues: Queues, size: int, delay_s: int | None) -> object:
        self.sent += 1
        return await queue.send(Content(f"{self.sent}" + "x" * size), delay_s=delay_s)

    async def _receive(self, queue: Queue, _queues: Queues, most: int, visibility_s: int | None) -> object:
        return self._remember(await queue.receive(most, visibility_s=visibility_s))

    async def _poll(self, queue: Queue, _queues: Queues, most: int, wait_s: int) -> object:
        return self._remember(await queue.receive(most, wait_s=wait_s))

    def _remember(self, messages: list[Message]) -> object:
        self.handles += [message.receipt_handle for message in messages]
        return [told(message) for message in messages]

    async def _delete(self, queue: Queue, _queues: Queues, index: int, _: int) -> object:
        return self.handles and await queue.delete(self.handles[-1 - index % len(self.handles)])

    async def _change(self, queue: Queue, _queues: Queues, index: int, visibility_s: int) -> object:
        return self.handles and await queue.change_visibility(
            self.handles[-1 - index % len(self.handles)], visibility_s
        )

    async def _configure(self, queue: Queue, queues: Queues, retention_s: int, delay_s: int) -> object:
        queues.configure(queue, {"MessageRetentionPeriod": str(retention_s), "DelaySeconds": str(delay_s)})
        return queues.describe(queue)

    async def _purge(self, queue: Queue, _queues: Queues, _: int, __: int) -> object:
        return queue.purge()

    async def _look(self, queue: Queue, queues: Queues, _: int, __: int) -> object:
        return queues.describe(queue), queues.describe(jobs(queues, "dead"))

    async def _dead(self, _queue: Queue, queues: Queues, most: int, visibility_s: int) -> object:
        received = await jobs(queues, "dead").receive(most, visibility_s=visibility_s)
        return [told(message) for message in received]


def seen_by_one_process(steps: list[Step]) -> list[object]:
    """What a client is told by a process that keeps nothing and never ends."""
    client = Client()

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        await client.begin(queues)
        for step in steps:
            await client.do(queues, step)

    run_virtual(main)
    return client.seen


def seen_over_restarts(steps: list[Step], lives_of: list[int]) -> list[object]:
    """What a client is told where the process is killed and started again, in no time, after so many steps each."""
    client = Client()
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


@settings(max_examples=30, deadline=None)
@given(STEPS, st.lists(st.integers(2, 8), min_size=3, max_size=8))
def test_restarts_change_nothing_that_a_client_can_tell(steps: list[Step], lives_of: list[int]) -> None:
    """Any operations with restarts between them: ids, handles, order, counts, dates, depths and errors are the same."""
    assert seen_over_restarts(steps, lives_of) == seen_by_one_process(steps)
