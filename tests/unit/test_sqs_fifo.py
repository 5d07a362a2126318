"""FIFO queues on a virtual clock. Where a docstring says "recorded", AWS's own answers were, by other test suites."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sqs import groups as groups_module
from localcloud.services.sqs import holding
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import AttributeValue, Content, Depth, Message, Queue, Queues

REGION = "eu-west-1"


def on_queues(test: Callable[[Queues], Awaitable[None]]) -> None:
    """Run `test` with fresh queues on a virtual loop."""

    async def main() -> None:
        await test(Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


def make(queues: Queues, name: str = "jobs.fifo", **attributes: str) -> Queue:
    wanted = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
    return queues.create(name, REGION, attributes=wanted, tags={})


def make_with_dead_letters(queues: Queues, max_receives: int, **attributes: str) -> tuple[Queue, Queue]:
    dead = make(queues, "dead.fifo")
    policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":{max_receives}}}'
    return make(queues, "jobs.fifo", RedrivePolicy=policy, **attributes), dead


async def send(queue: Queue, *bodies: str) -> None:
    """Send messages such as "a1": the letter is the group."""
    for body in bodies:
        await queue.send(Content(body, group_id=body[0]))


def bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


async def refusal(awaitable: Awaitable[object]) -> str:
    with pytest.raises(SqsError) as caught:
        await awaitable
    return f"{caught.value.query_code}: {caught.value.message}"


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------------- order


def test_a_receive_takes_as_many_of_a_group_as_there_are_then_the_next_group() -> None:
    """Recorded: a message of another group sent in between comes after the first group's."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "b1", "a2", "a3")
        assert bodies(await queue.receive(10)) == ["a1", "a2", "a3", "b1"]

    on_queues(test)


def test_a_group_in_flight_gives_nothing_and_the_others_come() -> None:
    """Recorded: two of group a in flight; the next receive is b's, and a's rest waits for both."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="10")
        await send(queue, "a1", "a2", "a3", "a4", "b1", "c1")
        assert bodies(await queue.receive(2)) == ["a1", "a2"]
        await asyncio.sleep(1)
        assert bodies(await queue.receive(1)) == ["b1"]
        await asyncio.sleep(10)
        assert bodies(await queue.receive(10, visibility_s=0)) == ["c1", "a1", "a2", "a3", "a4", "b1"]

    on_queues(test)


def test_a_group_goes_on_when_what_was_in_flight_is_deleted() -> None:
    """Recorded: both of a deleted, a's next comes in the place of its own age; one of them left, nothing of a comes."""

    async def test(queues: Queues) -> None:
        for deleted, expected in ((2, ["b1", "b2", "a3", "a4", "c1"]), (1, ["b1", "b2", "c1"])):
            queue = make(queues, f"q{deleted}.fifo")
            await send(queue, "a1", "b1", "a2", "b2", "a3", "a4", "c1")
            received = await queue.receive(2)
            assert bodies(received) == ["a1", "a2"]
            for message in received[:deleted]:
                await queue.delete(message.receipt_handle)
            assert bodies(await queue.receive(10)) == expected

    on_queues(test)


def test_with_no_visibility_timeout_a_group_goes_to_the_end_in_its_order() -> None:
    """Recorded: messages received with a timeout of 0 are not received twice by one receive, and stay in order."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "b1", "b2", "c1", "a2")
        assert bodies(await queue.receive(3, visibility_s=0)) == ["a1", "a2", "b1"]
        assert bodies(await queue.receive(10, visibility_s=0)) == ["c1", "a1", "a2", "b1", "b2"]

    on_queues(test)


@pytest.mark.parametrize("visibility_s", [0, 1])
def test_a_first_message_made_visible_comes_alone_while_the_second_is_in_flight(visibility_s: int) -> None:
    """Recorded: a1 is shown again, a2 keeps its own timeout: a receive gives b1 and a1, and not what is behind a2."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "a2", "b1", "a3")
        first, _ = await queue.receive(2)
        await queue.change_visibility(first.receipt_handle, visibility_s)
        await asyncio.sleep(visibility_s)
        assert bodies(await queue.receive(10)) == ["b1", "a1"]

    on_queues(test)


def test_a_second_message_made_visible_waits_for_the_first() -> None:
    """Nothing overtakes: a2 is shown again and comes when a1 is deleted, at that moment, to the receive that waits."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "a2")
        first, second = await queue.receive(2)
        await queue.change_visibility(second.receipt_handle, 0)
        assert await queue.receive(10) == []
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(queue.receive(10, wait_s=20))
            await asyncio.sleep(3)
            await queue.delete(first.receipt_handle)
        assert (bodies(waiting.result()), now()) == (["a2"], 3)

    on_queues(test)


def test_a_failed_batch_comes_again_whole_and_in_order() -> None:
    """Three in flight, none deleted: after the timeout all three, in order, then what was sent meanwhile."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="5")
        await send(queue, "a1", "a2", "a3")
        await queue.receive(10)
        await send(queue, "a4")
        assert bodies(await queue.receive(10, wait_s=20)) == ["a1", "a2", "a3", "a4"]
        assert now() == 5

    on_queues(test)


def test_a_first_message_that_grows_too_old_lets_its_group_go_on() -> None:
    """a1 is hidden longer than it is kept: the receive that waits gets a2 the moment a1 is gone."""

    async def test(queues: Queues) -> None:
        queue = make(queues, MessageRetentionPeriod="60")
        await send(queue, "a1")
        await queue.receive(visibility_s=600)
        await asyncio.sleep(50)
        await send(queue, "a2")
        assert bodies(await queue.receive(wait_s=20)) == ["a2"]
        assert now() == pytest.approx(60)

    on_queues(test)


def test_only_the_first_messages_are_looked_through_for_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of one group hides the groups behind its first 120,000 messages, until some of it is gone."""
    monkeypatch.setattr(groups_module, "MAX_SCANNED", 3)

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "a2", "a3", "a4", "b1", "b2")
        first, *_ = await queue.receive(1)
        assert await queue.receive(10) == []
        await queue.delete(first.receipt_handle)
        second, third, fourth = await queue.receive(10)
        assert bodies([second, third, fourth]) == ["a2", "a3", "a4"]
        await queue.delete(fourth.receipt_handle)
        assert bodies(await queue.receive(10)) == ["b1"]
        assert Depth(visible=1, in_flight=3, delayed=0) == queue.depth

    on_queues(test)


def test_no_more_than_so_many_are_in_flight_and_that_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the quota a FIFO queue gives nothing, where a standard queue refuses the receive."""
    monkeypatch.setattr(holding, "MAX_IN_FLIGHT", 2)

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "b1", "c1")
        first, _ = await queue.receive(10)
        assert await queue.receive() == []
        await queue.delete(first.receipt_handle)
        assert bodies(await queue.receive(10)) == ["c1"]

    on_queues(test)


def test_one_message_wakes_one_receive_and_the_next_group_another() -> None:
    """Three receives wait; a message of a, two of b and again one of a wake two: the last of a has to wait."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(queue.receive(1, wait_s=20)) for _ in range(3)]
            await asyncio.sleep(1)
            await send(queue, "a1", "b1", "a2")
        assert [bodies(task.result()) for task in waiting] == [["a1"], ["b1"], []]

    on_queues(test)


# ---------------------------------------------------------------------- delay


def test_the_queues_delay_is_the_only_one() -> None:
    """Recorded: DelaySeconds of a message is refused; 0 says nothing. The queue's own holds the group back whole."""

    async def test(queues: Queues) -> None:
        queue = make(queues, DelaySeconds="2")
        expected = (
            "InvalidParameterValue: Value 3 for parameter DelaySeconds is invalid. "
            "Reason: The request include parameter that is not valid for this queue type."
        )
        assert await refusal(queue.send(Content("a0", group_id="a"), delay_s=3)) == expected
        await queue.send(Content("a1", group_id="a"), delay_s=0)
        await send(queue, "a2")
        assert await queue.receive(wait_s=1) == []
        assert bodies(await queue.receive(10, wait_s=5)) == ["a1", "a2"]
        assert now() == 2

    on_queues(test)


def test_a_new_delay_is_that_of_the_messages_in_the_queue_too() -> None:
    """Lengthened and shortened, for those that were never received; nothing overtakes a delayed one."""

    async def test(queues: Queues) -> None:
        queue = make(queues, DelaySeconds="100")
        await send(queue, "a1", "b1")
        queues.configure(queue, {"DelaySeconds": "10"})
        assert Depth(visible=0, in_flight=0, delayed=2) == queue.depth
        await asyncio.sleep(10)
        assert bodies(await queue.receive(1)) == ["a1"]
        assert queue._holding.is_ready
        queues.configure(queue, {"DelaySeconds": "60"})
        assert not queue._holding.is_ready
        assert Depth(visible=0, in_flight=1, delayed=1) == queue.depth
        queues.configure(queue, {"DelaySeconds": "0"})
        assert bodies(await queue.receive(10)) == ["b1"]

    on_queues(test)


def test_what_came_first_is_not_overtaken_where_its_delay_is_longer() -> None:
    """A message that waits for its time holds its group back, one of another group comes."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="20")
        await send(queue, "a1")
        await queue.receive()
        await send(queue, "a2", "b1")
        assert bodies(await queue.receive(10, wait_s=10)) == ["b1"]

    on_queues(test)


# ---------------------------------------------------------------------- deduplication


def test_a_duplicate_is_accepted_with_the_firsts_answer_and_not_delivered() -> None:
    """Recorded: within five minutes, whether the first is there, in flight or deleted; then it is a new message."""

    async def test(queues: Queues) -> None:
        queue = make(queues, ContentBasedDeduplication="false")
        content = Content("x", group_id="a", deduplication_id="d")
        first = await queue.post(content)
        again = await queue.post(Content("another body", group_id="b", deduplication_id="d"))
        assert again == first
        (message,) = await queue.receive(10)
        assert (message.body, message.system["SequenceNumber"]) == ("x", str(first.sequence))
        await queue.delete(message.receipt_handle)
        await asyncio.sleep(299.9)
        assert await queue.post(content) == first
        assert await queue.receive() == []
        await asyncio.sleep(0.1)
        later = await queue.post(content)
        assert (later.message_id != first.message_id, later.sequence > first.sequence) == (True, True)
        assert bodies(await queue.receive()) == ["x"]

    on_queues(test)


def test_the_five_minutes_count_from_the_first_and_not_from_its_duplicates() -> None:
    """A duplicate after four minutes does not lengthen them."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        first = await queue.post(Content("a1", group_id="a"))
        await asyncio.sleep(240)
        assert await queue.post(Content("a1", group_id="a")) == first
        await asyncio.sleep(60)
        assert await queue.post(Content("a1", group_id="a")) != first

    on_queues(test)


def test_content_decides_by_the_body_alone_and_an_id_of_its_own_goes_first() -> None:
    """SHA-256 of the body, not of the attributes; the same text as an explicit id is the same message."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        first = await queue.post(Content("x", group_id="a"))
        assert await queue.post(Content("x", {"n": AttributeValue("Number", "1")}, group_id="a")) == first
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        assert await queue.post(Content("y", group_id="a", deduplication_id=digest)) == first
        assert await queue.post(Content("x", group_id="a", deduplication_id="own")) != first
        found = await queue.receive(10)
        assert [message.system["MessageDeduplicationId"] for message in found] == [digest, "own"]

    on_queues(test)


@pytest.mark.parametrize(("scope", "delivered"), [("queue", ["1"]), ("messageGroup", ["1", "2"])])
def test_the_scope_of_deduplication(scope: str, delivered: list[str]) -> None:
    """Over the queue, or by message group: then the same id in another group is another message."""

    async def test(queues: Queues) -> None:
        queue = make(queues, DeduplicationScope=scope)
        for body, group in (("1", "a"), ("2", "b"), ("3", "a")):
            await queue.send(Content(body, group_id=group, deduplication_id="d"))
        assert bodies(await queue.receive(10)) == delivered

    on_queues(test)


NO_DEDUPLICATION = (
    "InvalidParameterValue: The queue should either have ContentBasedDeduplication enabled "
    "or MessageDeduplicationId provided explicitly"
)
BAD_ID = (
    "InvalidParameterValue: Value {0} for parameter {1} is invalid. "
    "Reason: {1} can only include alphanumeric and punctuation characters. 1 to 128 in length."
)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "MissingParameter: The request must contain the parameter MessageGroupId."),
        (
            {"group_id": "a"},
            NO_DEDUPLICATION,
        ),
        (
            {"group_id": "a b", "deduplication_id": "d"},
            BAD_ID.format("a b", "MessageGroupId"),
        ),
        (
            {"group_id": "a", "deduplication_id": "é"},
            BAD_ID.format("é", "MessageDeduplicationId"),
        ),
    ],
)
def test_what_a_message_of_a_fifo_queue_must_have(content: dict[str, str], error: str) -> None:
    """Recorded: a group, and an id where the content does not decide; both of 1 to 128 plain characters."""

    async def test(queues: Queues) -> None:
        queue = make(queues, ContentBasedDeduplication="false")
        assert await refusal(queue.send(Content("x", **content))) == error
        long = {"group_id": "g" * 128, "deduplication_id": "d" * 128}
        await queue.send(Content("x", **long))
        for name in long:
            assert "1 to 128" in await refusal(queue.send(Content("x", **{**long, name: "x" * 129})))

    on_queues(test)


def test_sequence_numbers_have_twenty_digits_and_grow() -> None:
    """Over all groups, at the same moment as well."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        numbers: list[int] = []
        for number in range(50):
            numbers.append((await queue.post(Content(str(number), group_id=f"g{number % 7}"))).sequence)
            if number % 10 == 0:
                await asyncio.sleep(0.5)
        assert numbers == sorted(set(numbers))
        assert {len(str(number)) for number in numbers} == {20}

    on_queues(test)


def test_a_standard_queue_has_neither_sequence_nor_deduplication() -> None:
    """The same message twice is two messages; a group is shown, as fair queues have it."""

    async def test(queues: Queues) -> None:
        queue = queues.create("plain", REGION, attributes={}, tags={})
        content = Content("x", group_id="tenant")
        assert (await queue.post(content)).sequence == 0
        await queue.post(content)
        fifos = {"MessageGroupId", "SequenceNumber", "MessageDeduplicationId"}
        told = [set(message.system) & fifos for message in await queue.receive(10)]
        assert told == [{"MessageGroupId"}, {"MessageGroupId"}]

    on_queues(test)


# ---------------------------------------------------------------------- handles and attempts


def test_a_handle_ends_with_its_visibility_timeout() -> None:
    """Recorded: a delete after it is refused and deletes nothing; of a message that is gone it is no error."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="1")
        await send(queue, "a1")
        (old,) = await queue.receive()
        await asyncio.sleep(1)
        expected = (
            f"InvalidParameterValue: Value {old.receipt_handle} for parameter ReceiptHandle is invalid. "
            "Reason: The receipt handle has expired."
        )
        assert await refusal(queue.delete(old.receipt_handle)) == expected
        (new,) = await queue.receive()
        assert await refusal(queue.delete(old.receipt_handle)) == expected
        await queue.delete(new.receipt_handle)
        await queue.delete(new.receipt_handle)
        await queue.delete(old.receipt_handle)
        assert Depth(0, 0, 0) == queue.depth

    on_queues(test)


def test_a_receive_asked_for_again_gives_the_same_and_hides_it_anew() -> None:
    """Same messages, handles and counts, for the timeout of the second call; other groups are not touched."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="30")
        await send(queue, "a1", "a2", "b1")
        first = await queue.receive(2, attempt_id="try")
        await asyncio.sleep(20)
        assert await queue.receive(2, attempt_id="try") == first
        (other,) = await queue.receive(10)
        await queue.delete(other.receipt_handle)
        assert other.body == "b1"
        await asyncio.sleep(29)
        assert await queue.receive(10, attempt_id="other") == []
        assert bodies(await queue.receive(10, wait_s=20)) == ["a1", "a2"]
        assert now() == 50

    on_queues(test)


@pytest.mark.parametrize("change", ["delete", "hide", "show", "wait"])
def test_a_receive_cannot_be_repeated_once_a_message_was_changed(change: str) -> None:
    """Deleted, hidden for another time, shown, or visible by now: the attempt's id is refused."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="30")
        await send(queue, "a1", "a2")
        message, _ = await queue.receive(2, attempt_id="try")
        if change == "delete":
            await queue.delete(message.receipt_handle)
        elif change == "wait":
            await asyncio.sleep(30)
        else:
            await queue.change_visibility(message.receipt_handle, 0 if change == "show" else 60)
        expected = (
            "InvalidParameterValue: Value try for parameter ReceiveRequestAttemptId is invalid. Reason: "
            "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
        )
        assert await refusal(queue.receive(2, attempt_id="try")) == expected

    on_queues(test)


def test_an_attempts_id_is_free_again_after_five_minutes_and_after_an_empty_answer() -> None:
    """An empty answer is not repeated: the retry looks again. Five minutes count from the first receive."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="600")
        assert await queue.receive(attempt_id="try") == []
        await send(queue, "a1")
        first = await queue.receive(attempt_id="try")
        for _ in range(299):
            await asyncio.sleep(1)
            assert await queue.receive(attempt_id="try") == first
        assert len(queue._attempts._order) == 1
        await asyncio.sleep(1)
        assert await queue.receive(attempt_id="try") == []
        await send(queue, "b1")
        assert bodies(await queue.receive(attempt_id="try")) == ["b1"]

    on_queues(test)


# ---------------------------------------------------------------------- dead letters, purge, attributes


def test_a_dead_letter_lets_its_group_go_on_and_is_the_last_of_it_there() -> None:
    """After so many receives the first goes, the rest comes in the same receive: that is how order breaks."""

    async def test(queues: Queues) -> None:
        queue, dead = make_with_dead_letters(queues, 2, VisibilityTimeout="1")
        await send(queue, "a1")
        for _ in range(2):
            await queue.receive()
            await asyncio.sleep(1)
        await send(queue, "a2")
        assert bodies(await queue.receive(10)) == ["a2"]
        await send(dead, "a0")
        letters = await dead.receive(10)
        assert bodies(letters) == ["a1", "a0"]
        assert letters[0].system["DeadLetterQueueSourceArn"] == queue.arn
        assert letters[0].system["MessageGroupId"] == "a"
        assert int(letters[0].system["SequenceNumber"]) < int(letters[1].system["SequenceNumber"])
        assert letters[0].system["ApproximateReceiveCount"] == "3"

    on_queues(test)


def test_a_dead_letter_is_kept_for_the_whole_retention_of_its_queue_and_is_no_duplicate() -> None:
    """In a FIFO queue retention begins anew; the same deduplication id sent there before does not swallow it."""

    async def test(queues: Queues) -> None:
        queue, dead = make_with_dead_letters(queues, 1, VisibilityTimeout="50", MessageRetentionPeriod="120")
        queues.configure(dead, {"MessageRetentionPeriod": "60"})
        await send(queue, "a1")
        await send(dead, "a1")
        await queue.receive()
        await asyncio.sleep(50)
        assert await queue.receive() == []
        assert dead.depth.visible == 2
        await asyncio.sleep(59)
        assert dead.depth.visible == 1
        await asyncio.sleep(1)
        assert dead.depth.visible == 0

    on_queues(test)


def test_dead_letters_stay_within_their_type() -> None:
    """A FIFO queue's go to a FIFO queue, a standard queue's to a standard queue."""

    async def test(queues: Queues) -> None:
        fifo, plain = make(queues), queues.create("plain", REGION, attributes={}, tags={})
        for source, target in ((fifo, plain), (plain, fifo)):
            policy = {"RedrivePolicy": f'{{"deadLetterTargetArn":"{target.arn}","maxReceiveCount":3}}'}
            with pytest.raises(SqsError, match="Dead-letter queue must be same type of queue as the source"):
                queues.configure(source, policy)

    on_queues(test)


def test_purge_takes_all_groups_and_what_was_sent_is_still_a_duplicate() -> None:
    """In flight, visible, blocked: all gone; groups begin anew."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await send(queue, "a1", "a2", "b1")
        await queue.receive(1)
        queue.purge()
        assert Depth(0, 0, 0) == queue.depth
        await send(queue, "a1", "a3", "b2")
        assert bodies(await queue.receive(10)) == ["a3", "b2"]

    on_queues(test)


FIFO = {"FifoQueue": "true"}
HIGH = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}


@pytest.mark.parametrize(
    ("name", "attributes", "error"),
    [
        ("jobs", FIFO, "must end with .fifo suffix"),
        ("jobs.fifo", {}, "Can only include alphanumeric characters"),
        ("jobs.fifo", {"FifoQueue": "false"}, "Can only include alphanumeric characters"),
        ("jobs", {"FifoQueue": "false"}, "Unknown Attribute FifoQueue."),
        (".fifo", FIFO, "1 to 80 in length"),
        ("j" * 76 + ".fifo", FIFO, "1 to 80 in length"),
        ("jobs", {"DeduplicationScope": "queue"}, "Unknown Attribute DeduplicationScope."),
        ("jobs.fifo", {**FIFO, "DeduplicationScope": "group"}, "Invalid value for the parameter DeduplicationScope."),
        ("jobs.fifo", {**FIFO, "ContentBasedDeduplication": "yes"}, "the parameter ContentBasedDeduplication."),
        ("jobs.fifo", {**FIFO, "FifoThroughputLimit": "perMessageGroupId"}, "allowed only when"),
        ("jobs.fifo", {**FIFO, **HIGH, "DeduplicationScope": "queue"}, "allowed only when"),
    ],
)
def test_names_and_attributes_that_do_not_go_together(name: str, attributes: dict[str, str], error: str) -> None:
    """A FIFO queue has both the suffix and the attribute; its own attributes are no standard queue's."""

    async def test(queues: Queues) -> None:
        with pytest.raises(SqsError) as caught:
            queues.create(name, REGION, attributes=attributes, tags={})
        assert error in caught.value.message
        assert queues.list(REGION) == []

    on_queues(test)


def test_what_can_be_changed_later() -> None:
    """Recorded: content-based deduplication can, the type cannot; high throughput needs its scope, and keeps it."""

    async def test(queues: Queues) -> None:
        queue = make(queues, "j" * 75 + ".fifo")
        told = queues.describe(queue)
        expected = {"FifoQueue": "true", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
        assert {name: told[name] for name in expected} == expected
        queues.configure(queue, {"ContentBasedDeduplication": "false"})
        assert queue.attributes["ContentBasedDeduplication"] == "false"
        queues.configure(queue, {"FifoQueue": "true", **HIGH})
        for wrong, message in (
            ({"FifoQueue": "false"}, "Reason: Modifying queue type is not supported."),
            ({"DeduplicationScope": "queue"}, "allowed only when"),
        ):
            with pytest.raises(SqsError, match=message):
                queues.configure(queue, wrong)
        plain = queues.create("plain", REGION, attributes={}, tags={})
        with pytest.raises(SqsError, match="Unknown Attribute FifoQueue"):
            queues.configure(plain, FIFO)

    on_queues(test)


def test_create_again_gives_the_same_queue_or_names_the_difference() -> None:
    """Recorded: another value of ContentBasedDeduplication is another queue; what was left out has its default."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        assert make(queues, DeduplicationScope="queue") is queue
        with pytest.raises(SqsError, match="different value for attribute ContentBasedDeduplication"):
            make(queues, ContentBasedDeduplication="false")

    on_queues(test)


# ---------------------------------------------------------------------- size


def test_nothing_grows_with_what_is_gone() -> None:
    """10,000 messages through one group and through as many groups leave no lane, heap or deque behind."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        line: Any = queue._holding.line
        for number in range(10_000):
            group = "one" if number % 2 else f"g{number}"
            await queue.send(Content(str(number), group_id=group))
            (message,) = await queue.receive()
            await queue.delete(message.receipt_handle)
        assert (len(line._lanes), line._scanned, len(line._beyond)) == (0, 0, 0)
        assert len(line._ready._heap) < 200
        assert len(queue._recent._accepted) == 10_000
        await asyncio.sleep(300)
        await send(queue, "z")
        assert len(queue._recent._accepted) == len(queue._recent._order) == 1

    on_queues(test)


def test_nothing_is_left_of_groups_that_were_purged() -> None:
    """A hundred groups a minute, purged before anybody receives: the heap of groups does not remember them."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        line: Any = queue._holding.line
        for number in range(3_000):
            await queue.send(Content(str(number), group_id=f"g{number}"))
            if number % 100 == 99:
                queue.purge()
                await asyncio.sleep(60)
        assert (len(line._lanes), len(line._ready._heap) <= 200) == (0, True)

    on_queues(test)


def test_a_failing_first_message_does_not_gather_those_deleted_behind_it() -> None:
    """a1 fails a thousand times while what comes with it is deleted: the group holds a1 alone."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="1")
        line: Any = queue._holding.line
        await send(queue, "a0")
        for number in range(1000):
            await send(queue, f"a{number + 1}")
            found = await queue.receive(10)
            assert bodies(found) == ["a0", f"a{number + 1}"]
            await queue.delete(found[1].receipt_handle)
            await asyncio.sleep(1)
        assert len(line._lanes["a"].members) <= 3

    on_queues(test)
