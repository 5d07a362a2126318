"""The SQS model on a virtual clock: what a standard queue does, second by second."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sqs import holding
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Content, Depth, Message, Queue, Queues

REGION = "eu-west-1"


def on_queues(test: Callable[[Queues], Awaitable[None]]) -> None:
    """Run `test` with fresh queues on a virtual loop."""

    async def main() -> None:
        await test(Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


def make(queues: Queues, name: str = "jobs", **attributes: str) -> Queue:
    return queues.create(name, REGION, attributes=attributes, tags={})


def make_with_dead_letters(queues: Queues, max_receives: int) -> tuple[Queue, Queue]:
    dead = make(queues, "dead")
    policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":{max_receives}}}'
    return make(queues, "jobs", RedrivePolicy=policy), dead


def bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def now() -> float:
    return asyncio.get_running_loop().time()


async def code_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(SqsError) as caught:
        await awaitable
    return caught.value.code


def test_messages_come_out_in_the_order_they_went_in() -> None:
    """A standard queue here keeps the order in which messages became visible."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        for number in range(25):
            await queue.send(Content(str(number)))
        received = [await queue.receive(10) for _ in range(4)]
        assert [str(number) for number in range(25)] == [body for batch in received for body in bodies(batch)]

    on_queues(test)


def test_a_received_message_is_hidden_until_its_visibility_ends() -> None:
    """Hidden for the queue's VisibilityTimeout, then received again with a count of 2 and another handle."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="45")
        await queue.send(Content("x"))
        (first,) = await queue.receive()
        await asyncio.sleep(44.9)
        assert await queue.receive() == []
        await asyncio.sleep(0.1)
        (second,) = await queue.receive()
        assert first.message_id == second.message_id
        assert first.receipt_handle != second.receipt_handle
        assert second.system["ApproximateReceiveCount"] == "2"
        assert first.system["ApproximateFirstReceiveTimestamp"] == second.system["ApproximateFirstReceiveTimestamp"]

    on_queues(test)


def test_a_delayed_message_wakes_a_receive_that_already_waits() -> None:
    """A long poll that began before the message ends the moment the message's delay does."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(queue.receive(wait_s=20))
            await asyncio.sleep(3)
            await queue.send(Content("x"), delay_s=5)
            assert Depth(visible=0, in_flight=0, delayed=1) == queue.depth
        assert bodies(waiting.result()) == ["x"]
        assert now() == pytest.approx(8)

    on_queues(test)


def test_a_long_poll_ends_empty_after_its_wait() -> None:
    """Nothing came in 20 seconds: an empty answer, 20 seconds later."""

    async def test(queues: Queues) -> None:
        assert await make(queues).receive(wait_s=20) == []
        assert now() == pytest.approx(20)

    on_queues(test)


def test_the_queue_sets_wait_and_delay_where_the_call_does_not() -> None:
    """ReceiveMessageWaitTimeSeconds and DelaySeconds of the queue are the defaults."""

    async def test(queues: Queues) -> None:
        queue = make(queues, ReceiveMessageWaitTimeSeconds="9", DelaySeconds="4")
        await queue.send(Content("x"))
        assert bodies(await queue.receive()) == ["x"]
        assert now() == pytest.approx(4)
        assert await queue.receive(wait_s=0) == []

    on_queues(test)


def test_each_message_wakes_one_waiting_receive() -> None:
    """Three messages for three waiting receives: one each, none waits on."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(queue.receive(1, wait_s=20)) for _ in range(3)]
            await asyncio.sleep(1)
            for body in "abc":
                await queue.send(Content(body))
        assert sorted(body for task in waiting for body in bodies(task.result())) == ["a", "b", "c"]
        assert now() == pytest.approx(1)

    on_queues(test)


def test_a_cancelled_receive_takes_nothing_and_passes_its_wake_on() -> None:
    """The receive that was woken is cancelled before it runs: the next waiting one gets the message at once."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(queue.receive(wait_s=20))
            second = tasks.create_task(queue.receive(wait_s=20))
            await asyncio.sleep(1)
            await queue.send(Content("x"))
            first.cancel()
        assert first.cancelled()
        assert bodies(second.result()) == ["x"]
        assert now() == pytest.approx(1)
        assert Depth(visible=0, in_flight=1, delayed=0) == queue.depth

    on_queues(test)


def test_delete_works_after_the_visibility_ended_and_before_another_receive() -> None:
    """The latest handle deletes, in time or not; after another receive it deletes nothing and is no error."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("late"))
        (late,) = await queue.receive(visibility_s=1)
        await asyncio.sleep(5)
        await queue.delete(late.receipt_handle)
        assert Depth(0, 0, 0) == queue.depth
        await queue.send(Content("again"))
        (stale,) = await queue.receive(visibility_s=1)
        await asyncio.sleep(5)
        (fresh,) = await queue.receive()
        await queue.delete(stale.receipt_handle)
        assert queue.depth.in_flight == 1
        await queue.delete(fresh.receipt_handle)
        await queue.delete(fresh.receipt_handle)
        assert Depth(0, 0, 0) == queue.depth

    on_queues(test)


def test_a_handle_of_another_queue_is_invalid() -> None:
    """A receipt handle belongs to the queue that made it; text that is no handle is refused as well."""

    async def test(queues: Queues) -> None:
        queue, other = make(queues), make(queues, "other")
        await queue.send(Content("x"))
        (message,) = await queue.receive()
        assert await code_of(other.delete(message.receipt_handle)) == "ReceiptHandleIsInvalid"
        for text in ("", "x", "é", "AAAA"):
            assert await code_of(queue.delete(text)) == "ReceiptHandleIsInvalid"

    on_queues(test)


def test_change_visibility_counts_from_now() -> None:
    """0 shows the message at once; more hides it for so long from the call; longer than 12 hours in all is refused."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("x"))
        (message,) = await queue.receive()
        await queue.change_visibility(message.receipt_handle, 0)
        (message,) = await queue.receive()
        await asyncio.sleep(20)
        await queue.change_visibility(message.receipt_handle, 100)
        await asyncio.sleep(99)
        assert await queue.receive() == []
        assert (
            await code_of(queue.change_visibility(message.receipt_handle, 43_200)) == "InvalidParameterValueException"
        )
        await asyncio.sleep(1)
        assert await code_of(queue.change_visibility(message.receipt_handle, 5)) == "MessageNotInflight"
        (message,) = await queue.receive()
        await queue.delete(message.receipt_handle)
        assert await code_of(queue.change_visibility(message.receipt_handle, 5)) == "InvalidParameterValueException"

    on_queues(test)


def test_change_visibility_to_0_wakes_a_waiting_receive() -> None:
    """A message given back is another waiting receive's at once."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("x"))
        (message,) = await queue.receive()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(queue.receive(wait_s=20))
            await asyncio.sleep(2)
            await queue.change_visibility(message.receipt_handle, 0)
        assert bodies(waiting.result()) == ["x"]
        assert now() == pytest.approx(2)

    on_queues(test)


def test_redrive_keeps_id_attributes_and_date() -> None:
    """The receive after the last allowed one moves the message; its id, date and count go with it."""

    async def test(queues: Queues) -> None:
        queue, dead = make_with_dead_letters(queues, 2)
        message_id = await queue.send(Content("x", group_id="g"))
        seen = []
        for _ in range(3):
            seen.append(bodies(await queue.receive()))
            await asyncio.sleep(30)
        assert seen == [["x"], ["x"], []]
        (message,) = await dead.receive()
        assert message_id == message.message_id
        assert queue.arn == message.system["DeadLetterQueueSourceArn"]
        assert message.system["ApproximateReceiveCount"] == "3"
        assert message.system["SentTimestamp"] == "1800000000000"
        assert message.system["MessageGroupId"] == "g"

    on_queues(test)


def test_redrive_wakes_who_waits_at_the_dead_letter_queue() -> None:
    """A dead letter is delivered the moment it is buried."""

    async def test(queues: Queues) -> None:
        queue, dead = make_with_dead_letters(queues, 1)
        await queue.send(Content("x"))
        await queue.receive(visibility_s=5)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(dead.receive(wait_s=20))
            assert await queue.receive(wait_s=10) == []
        assert bodies(waiting.result()) == ["x"]
        assert now() == pytest.approx(10)

    on_queues(test)


def test_without_its_dead_letter_queue_a_message_is_delivered_on() -> None:
    """The dead-letter queue was deleted: messages stay in the source queue."""

    async def test(queues: Queues) -> None:
        queue, dead = make_with_dead_letters(queues, 1)
        queues.delete(dead)
        await queue.send(Content("x"))
        counts = []
        for _ in range(3):
            (message,) = await queue.receive(visibility_s=0)
            counts.append(message.system["ApproximateReceiveCount"])
        assert counts == ["1", "2", "3"]

    on_queues(test)


def test_old_messages_are_forgotten_whatever_their_state() -> None:
    """MessageRetentionPeriod counts from the send, in every state of a message; a change of it counts at once."""

    async def test(queues: Queues) -> None:
        queue = make(queues, MessageRetentionPeriod="60")
        await queue.send(Content("hidden"))
        await queue.receive(visibility_s=1000)
        await queue.send(Content("delayed"), delay_s=900)
        await queue.send(Content("visible"))
        await asyncio.sleep(59)
        assert Depth(visible=1, in_flight=1, delayed=1) == queue.depth
        await asyncio.sleep(1)
        assert Depth(0, 0, 0) == queue.depth
        queues.configure(queue, {"MessageRetentionPeriod": "600"})
        await queue.send(Content("x"))
        await asyncio.sleep(100)
        assert queue.depth.visible == 1
        queues.configure(queue, {"MessageRetentionPeriod": "99"})
        assert Depth(0, 0, 0) == queue.depth

    on_queues(test)


def test_at_most_so_many_messages_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the quota a short poll is refused with OverLimit, a long poll waits without an error."""
    monkeypatch.setattr(holding, "MAX_IN_FLIGHT", 3)

    async def test(queues: Queues) -> None:
        queue = make(queues)
        for body in "abcde":
            await queue.send(Content(body))
        assert bodies(await queue.receive(10)) == ["a", "b", "c"]
        assert await code_of(queue.receive()) == "OverLimit"
        assert await queue.receive(wait_s=20) == []
        await asyncio.sleep(10)
        assert bodies(await queue.receive(10)) == ["d", "e", "a"]

    on_queues(test)


def test_purge_empties_the_queue_once_a_minute() -> None:
    """Visible, hidden and delayed messages go; another purge within 60 seconds is refused."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("a"))
        await queue.receive()
        await queue.send(Content("b"))
        await queue.send(Content("c"), delay_s=10)
        queue.purge()
        assert Depth(0, 0, 0) == queue.depth
        with pytest.raises(SqsError, match="every 60 seconds"):
            queue.purge()
        await asyncio.sleep(60)
        queue.purge()
        assert await queue.receive() == []

    on_queues(test)


def test_a_deleted_queue_tells_waiting_receives_and_keeps_its_name_a_minute() -> None:
    """A waiting receive ends with QueueDoesNotExist; the name is free again after 60 seconds."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(code_of(queue.receive(wait_s=20)))
            await asyncio.sleep(1)
            queues.delete(queue)
        assert waiting.result() == "QueueDoesNotExist"
        with pytest.raises(SqsError) as caught:
            make(queues)
        assert caught.value.code == "QueueDeletedRecently"
        await asyncio.sleep(60)
        assert await make(queues).receive() == []

    on_queues(test)


def test_create_again_gives_the_same_queue_or_names_the_difference() -> None:
    """Same attributes: the same queue. Another value: QueueNameExists."""

    async def test(queues: Queues) -> None:
        queue = make(queues, VisibilityTimeout="60")
        assert queue is make(queues, VisibilityTimeout="60")
        assert queue is make(queues, DelaySeconds="0")
        with pytest.raises(SqsError, match="different value for attribute VisibilityTimeout"):
            make(queues, VisibilityTimeout="61")

    on_queues(test)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"VisibilityTimeout": "-1"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "901"}, "InvalidAttributeValue"),
        ({"MaximumMessageSize": "1023"}, "InvalidAttributeValue"),
        ({"MaximumMessageSize": "1048577"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "1209601"}, "InvalidAttributeValue"),
        ({"ReceiveMessageWaitTimeSeconds": "21"}, "InvalidAttributeValue"),
        ({"SqsManagedSseEnabled": "perhaps"}, "InvalidAttributeValue"),
        ({"Policy": "{"}, "InvalidAttributeValue"),
        ({"Colour": "red"}, "InvalidAttributeName"),
        ({"QueueArn": "x"}, "InvalidAttributeName"),
        ({"FifoQueue": "true"}, "InvalidParameterValueException"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ({"RedrivePolicy": "{"}, "InvalidParameterValueException"),
        ({"RedrivePolicy": '{"maxReceiveCount":3}'}, "InvalidParameterValueException"),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:no","maxReceiveCount":3}'},
            "InvalidParameterValueException",
        ),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":0}'},
            "InvalidParameterValueException",
        ),
        ({"RedriveAllowPolicy": '{"redrivePermission":"some"}'}, "InvalidParameterValueException"),
        ({"RedriveAllowPolicy": '{"redrivePermission":"byQueue"}'}, "InvalidParameterValueException"),
    ],
)
def test_attributes_out_of_bounds_are_refused(attributes: dict[str, str], code: str) -> None:
    """Each attribute has the bounds of SetQueueAttributes; a refused create leaves no queue behind."""

    async def test(queues: Queues) -> None:
        make(queues, "dead")
        with pytest.raises(SqsError) as caught:
            make(queues, "jobs", **attributes)
        assert code == caught.value.code
        assert [queue.name for queue in queues.list(REGION)] == ["dead"]

    on_queues(test)


@pytest.mark.parametrize("name", ["", "a" * 81, "a b", "ä", "a/b"])
def test_names_follow_the_rules(name: str) -> None:
    """1 to 80 letters, digits, hyphens and underscores."""

    async def test(queues: Queues) -> None:
        with pytest.raises(SqsError, match="alphanumeric"):
            make(queues, name)

    on_queues(test)


def test_a_dead_letter_queue_may_refuse_its_sources() -> None:
    """RedriveAllowPolicy: byQueue lets the named queues only, denyAll none."""

    async def test(queues: Queues) -> None:
        source = queues.arn_of("jobs", REGION)
        allow = f'{{"redrivePermission":"byQueue","sourceQueueArns":["{source}"]}}'
        dead = make(queues, "dead", RedriveAllowPolicy=allow)
        policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":3}}'
        queue = make(queues, "jobs", RedrivePolicy=policy)
        assert [queue] == queues.sources(dead)
        with pytest.raises(SqsError, match="permission"):
            make(queues, "others", RedrivePolicy=policy)

    on_queues(test)


def test_queues_of_another_region_are_apart() -> None:
    """The same name in two Regions is two queues."""

    async def test(queues: Queues) -> None:
        here = make(queues)
        there = queues.create("jobs", "us-east-1", attributes={}, tags={})
        await here.send(Content("x"))
        assert (here.depth.visible, there.depth.visible) == (1, 0)
        assert there.arn == "arn:aws:sqs:us-east-1:123456789012:jobs"

    on_queues(test)


def test_the_same_seed_gives_the_same_ids_and_handles() -> None:
    """Ids and receipt handles come from the injected randomness alone."""
    seen: list[tuple[str, str]] = []

    async def test(queues: Queues) -> None:
        queue = make(queues)
        await queue.send(Content("x"))
        (message,) = await queue.receive()
        seen.append((message.message_id, message.receipt_handle))

    on_queues(test)
    on_queues(test)
    assert seen[0] == seen[1]


def test_no_heap_grows_with_what_is_gone() -> None:
    """Ten thousand messages through an otherwise idle queue leave a few entries, not ten thousand."""

    async def test(queues: Queues) -> None:
        queue = make(queues)
        for number in range(10_000):
            await queue.send(Content(str(number)))
            (message,) = await queue.receive()
            await queue.change_visibility(message.receipt_handle, 100)
            await queue.delete(message.receipt_handle)
        assert len(queue._holding._waiting._heap) < 100
        assert len(queue._holding._expiring._heap) < 100
        assert not queue._holding.line.is_ready

    on_queues(test)
