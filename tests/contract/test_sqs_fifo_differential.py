"""FIFO queues against moto: the same raw requests to both, generated ones and probes with a known answer.

moto keeps no order by group within a receive and has no clock to turn, so generated queues hold at most ten messages,
receives ask for ten and are compared group by group, and nothing waits. What differs on purpose is a probe with moto's
answer and the reason.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from tests.wire_requests import json_request

REGION = "eu-west-1"
_NAMES = itertools.count()
_UNLIKE = ("MessageId", "ReceiptHandle", "QueueUrl", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId")
MAX_HELD = 10
FIFO = {"FifoQueue": "true"}
CONTENT = {**FIFO, "ContentBasedDeduplication": "true"}


@dataclass
class Side:
    """One of the two, and what it has told us: queue URL, receipt handles by body."""

    service: Service
    url: str = ""
    handles: dict[str, str] = field(default_factory=dict)

    async def call(self, action: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The error code ("" for none) and the body."""
        request = json_request("sqs", f"AmazonSQS.{action}", parameters, region=REGION, version="1.0")
        answer = await self.service.handle(request)
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body or b"{}")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        code = headers.get("x-amzn-query-error", "").partition(";")[0] or told.get("__type", "").rpartition("#")[2]
        return (code if answer.status >= 400 else ""), told


def normal(value: Any) -> Any:
    """Without ids, handles and dates; messages by body, other lists in order."""
    if isinstance(value, dict):
        return {name: normal(item) for name, item in value.items() if name not in _UNLIKE}
    if isinstance(value, list):
        items = [normal(item) for item in value]
        return sorted(items, key=lambda item: item.get("Body", "")) if all("Body" in item for item in items) else items
    return value


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    """moto, as the long tail has it."""
    made = Delegate()
    yield made
    made.close()


def our_side() -> Side:
    return Side(SqsService(Queues(clock=SystemClock(), rng=random.Random(1))))


def motos_side(delegate: Delegate) -> Side:
    return Side(DelegatedService("sqs", delegate, needs=lambda _: ()))


async def create(side: Side, name: str, attributes: dict[str, str]) -> None:
    code, told = await side.call("CreateQueue", {"QueueName": name, "Attributes": attributes})
    assert code == ""
    side.url = told["QueueUrl"]


def message(body: str, group: str = "a", **more: Any) -> dict[str, Any]:
    return {"MessageBody": body, "MessageGroupId": group, **more}


# ---------------------------------------------------------------------- generated

OPERATION = st.one_of(
    st.tuples(st.just("send"), st.sampled_from("abc"), st.sampled_from([None, None, "1", "2"])),
    st.tuples(st.just("send"), st.sampled_from("abc"), st.none()),
    st.tuples(st.just("batch"), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)),
    st.tuples(st.just("receive")),
    st.tuples(st.just("receive")),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("delete_all")),
    st.tuples(st.just("count")),
)


class Pair:
    """Both sides, fed the same."""

    def __init__(self, ours: Side, theirs: Side) -> None:
        self.sides = (ours, theirs)
        self.held: dict[str, str] = {}  # body -> deduplication id
        self.used: set[str | None] = set()
        self.in_flight: list[str] = []
        self.sent = 0

    async def both(self, action: str, *parameters: dict[str, Any]) -> Any:
        """Ask both the same (or each its own, where two are given) and hold the answers against each other."""
        own = parameters * (3 - len(parameters))
        answers: list[Any] = []
        for side, wanted in zip(self.sides, own, strict=False):
            code, told = await side.call(action, {"QueueUrl": side.url, **wanted})
            for received in told.get("Messages", []):
                side.handles[received["Body"]] = received["ReceiptHandle"]
            answers.append((code, by_group(told)))
        assert answers[0] == answers[1], f"{action} {own}"
        return answers[0][1]

    async def run(self, operation: tuple[Any, ...]) -> None:
        kind, *rest = operation
        await getattr(self, f"_{kind}")(*rest)

    def _message(self, group: str, repeat: str | None) -> dict[str, Any]:
        """A new message, or one with the id of another that is still there: moto forgets an id with its message."""
        self.sent += 1
        body = f"{group}{self.sent}"
        used = repeat if repeat in self.held.values() or repeat not in self.used else None
        if used is None or used not in self.held.values():
            self.held[body] = used or body
        self.used.add(used)
        return message(body, group, MessageDeduplicationId=used or body)

    async def _send(self, group: str, repeat: str | None) -> None:
        if len(self.held) < MAX_HELD:
            await self.both("SendMessage", self._message(group, repeat))

    async def _batch(self, groups: list[str]) -> None:
        if len(self.held) + len(groups) <= MAX_HELD:
            entries = [{"Id": str(at), **self._message(group, None)} for at, group in enumerate(groups)]
            await self.both("SendMessageBatch", {"Entries": entries})

    async def _receive(self) -> None:
        told = await self.both("ReceiveMessage", {"MaxNumberOfMessages": 10, "AttributeNames": ["All"]})
        self.in_flight += [received["Body"] for received in told.get("Messages", [])]

    async def _delete(self, index: int) -> None:
        if self.in_flight:
            body = self.in_flight.pop(index % len(self.in_flight))
            await self.both("DeleteMessage", *({"ReceiptHandle": side.handles[body]} for side in self.sides))
            self.held.pop(body, None)

    async def _delete_all(self) -> None:
        while self.in_flight:
            await self._delete(0)

    async def _count(self) -> None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        await self.both("GetQueueAttributes", {"AttributeNames": names})


def by_group(told: dict[str, Any]) -> Any:
    """Messages by group, in order within each; no numbers, which moto draws at random."""
    found = normal_in_order(told)
    messages = found.get("Messages")
    if messages:
        found["Messages"] = sorted(messages, key=lambda one: one["Attributes"]["MessageGroupId"])
    return found


def normal_in_order(value: Any) -> Any:
    """As `normal`, with lists in their order and without sequence numbers."""
    if isinstance(value, list):
        return [normal_in_order(item) for item in value]
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != "SequenceNumber"}
        return {name: normal_in_order(item) for name, item in kept.items() if name in normal({name: 0})}
    return value


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_generated_operations_answer_as_moto_does(delegate: Delegate, operations: list[tuple[Any, ...]]) -> None:
    """Any sequence of actions gives the same on both sides: groups, order in each, what is held back, counts."""

    async def main() -> None:
        pair = Pair(our_side(), motos_side(delegate))
        name = f"queue-{next(_NAMES)}.fifo"
        for side in pair.sides:
            await create(side, name, FIFO)
        for operation in operations:
            await pair.run(operation)

    with asyncio.Runner() as runner:
        runner.run(main())


# ---------------------------------------------------------------------- probes

Act = Callable[["Probe"], Awaitable[Any]]


class Probe:
    """A queue of one side."""

    def __init__(self, side: Side) -> None:
        self.side = side

    async def ask(self, action: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
        """The error code ("" for none) and the body, of a call on the queue."""
        return await self.side.call(action, {"QueueUrl": self.side.url, **parameters})

    async def code(self, action: str, **parameters: Any) -> str:
        """The error code."""
        return (await self.ask(action, **parameters))[0]

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            assert await self.code("SendMessage", **message(body, body[0])) == ""

    async def receive(self, most: int = 10, **more: Any) -> list[dict[str, Any]]:
        _, told = await self.ask("ReceiveMessage", MaxNumberOfMessages=most, **more)
        return told.get("Messages", [])

    async def bodies(self, most: int = 10, **more: Any) -> list[str]:
        return [received["Body"] for received in await self.receive(most, **more)]


@dataclass(frozen=True)
class Case:
    """A probe: what AWS answers, and what moto does where that is something else, with the reason."""

    name: str
    act: Act
    aws: Any
    moto: Any = None
    why: str = ""


async def groups_first(probe: Probe) -> Any:
    await probe.send("a1", "b1", "a2")
    return await probe.bodies()


async def duplicate_answer(probe: Probe) -> Any:
    answers = [(await probe.ask("SendMessage", **message("a1")))[1] for _ in range(2)]
    return [answers[0].get(name, "") == answers[1].get(name) for name in ("MessageId", "SequenceNumber")]


async def duplicate_after_delete(probe: Probe) -> Any:
    await probe.send("a1")
    (received,) = await probe.receive()
    await probe.ask("DeleteMessage", ReceiptHandle=received["ReceiptHandle"])
    await probe.send("a1")
    return await probe.bodies()


async def numbers(probe: Probe) -> Any:
    told = [(await probe.ask("SendMessage", **message(f"a{number}")))[1] for number in range(5)]
    found = [answer.get("SequenceNumber", "") for answer in told]
    return [found == sorted(found), {len(number) for number in found}]


async def head_shown_again(probe: Probe) -> Any:
    await probe.send("a1", "a2")
    first, _ = await probe.receive()
    await probe.ask("ChangeMessageVisibility", ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    return await probe.bodies()


async def expired_handle(probe: Probe) -> Any:
    await probe.send("a1")
    (received,) = await probe.receive(VisibilityTimeout=0)
    return await probe.code("DeleteMessage", ReceiptHandle=received["ReceiptHandle"])


async def attempt_repeated(probe: Probe) -> Any:
    await probe.send("a1", "a2")
    first = await probe.receive(1, ReceiveRequestAttemptId="try")
    again = await probe.receive(1, ReceiveRequestAttemptId="try")
    return [one["ReceiptHandle"] for one in first] == [one["ReceiptHandle"] for one in again]


def refused(action: str, **parameters: Any) -> Act:
    """What code a call is refused with."""

    async def act(probe: Probe) -> Any:
        return await probe.code(action, **parameters)

    return act


def created(name: str, attributes: dict[str, str]) -> Act:
    """What code making such a queue is refused with."""

    async def act(probe: Probe) -> Any:
        return (await probe.side.call("CreateQueue", {"QueueName": name, "Attributes": attributes}))[0]

    return act


BATCH = [{"Id": "1", **message("x")}, {"Id": "2", "MessageBody": "y"}]
CASES = [
    Case("a group's messages come together", groups_first, ["a1", "a2", "b1"], ["a1", "b1", "a2"], "order of sending"),
    Case("a duplicate has the first's answer", duplicate_answer, [True, True], [False, False], "a new message id"),
    Case("a duplicate of a deleted message", duplicate_after_delete, [], ["a1"], "forgets with the message"),
    Case("sequence numbers", numbers, [True, {20}], [True, {0}], "has them with explicit ids only, drawn at random"),
    Case("a first message shown again", head_shown_again, ["a1"], [], "holds the group while any is in flight"),
    Case("a handle after its timeout", expired_handle, "InvalidParameterValue", "", "deletes with any handle"),
    Case("a receive asked for again", attempt_repeated, True, False, "does not know attempt ids"),
    Case("no group", refused("SendMessage", MessageBody="x"), "MissingParameter"),
    Case("a delay of its own", refused("SendMessage", **message("x", DelaySeconds=1)), "InvalidParameterValue"),
    Case("a bad group", refused("SendMessage", **message("x", "a b")), "InvalidParameterValue", "", "takes it"),
    Case(
        "a batch with a message without group",
        refused("SendMessageBatch", Entries=BATCH),
        "InvalidParameterValue",
        "MissingParameter",
        "recorded answers of AWS have another code for batches",
    ),
    Case(
        "the type is for ever",
        refused("SetQueueAttributes", Attributes={"FifoQueue": "false"}),
        "InvalidAttributeValue",
        "",
        "takes it",
    ),
    Case(
        "throughput by group needs deduplication by group",
        refused("SetQueueAttributes", Attributes={"FifoThroughputLimit": "perMessageGroupId"}),
        "InvalidAttributeValue",
        "",
        "takes it",
    ),
    Case("the attribute without the suffix", created("plain", FIFO), "InvalidParameterValue"),
    Case("the suffix without the attribute", created("odd.fifo", {}), "InvalidParameterValue", "", "takes it"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_probes(delegate: Delegate, case: Case) -> None:
    """Ours answers as AWS, moto does or is known to differ, and why."""

    async def main() -> None:
        name = f"queue-{next(_NAMES)}.fifo"
        answers: list[Any] = []
        for side in (our_side(), motos_side(delegate)):
            await create(side, name, CONTENT)
            answers.append(await case.act(Probe(side)))
        assert answers == [case.aws, case.moto if case.why else case.aws]

    with asyncio.Runner() as runner:
        runner.run(main())
