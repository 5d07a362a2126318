"""Fair queues: what a standard queue with message groups gives next, on a virtual clock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sqs.model import Content, Message, Queue, Queues


def on_queue(test: Callable[[Queue], Awaitable[None]]) -> None:
    """Run `test` with a fresh standard queue on a virtual loop."""

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        await test(queues.create("jobs", "eu-west-1", attributes={"VisibilityTimeout": "3600"}, tags={}))

    run_virtual(main)


async def send(queue: Queue, tenant: str, count: int = 1) -> None:
    for _ in range(count):
        await queue.send(Content(tenant or "none", group_id=tenant))


async def take(queue: Queue, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count and (more := await queue.receive(min(10, count - len(found)))):
        found += more
    return found


def tenants(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def test_without_a_noisy_tenant_messages_come_as_they_became_visible() -> None:
    """Groups change nothing where none takes more than its share: the order of sending, over all of them."""

    async def test(queue: Queue) -> None:
        sent = ["a", "b", "a", "none", "c", "b", "none", "a"]
        for tenant in sent:
            await send(queue, "" if tenant == "none" else tenant)
        assert tenants(await take(queue, 8)) == sent

    on_queue(test)


def test_a_tenant_with_thirty_in_flight_and_more_than_a_tenth_of_all_waits_for_the_others() -> None:
    """The 30th message in flight makes it noisy: what others sent later comes first, with or without a group."""

    async def test(queue: Queue) -> None:
        await send(queue, "noisy", 60)
        assert Counter(tenants(await take(queue, 29))) == {"noisy": 29}
        await send(queue, "quiet")
        await send(queue, "")
        assert tenants(await take(queue, 1)) == ["noisy"]
        assert tenants(await take(queue, 4)) == ["quiet", "none", "noisy", "noisy"]

    on_queue(test)


def test_a_tenant_with_less_than_a_tenth_of_those_in_flight_is_quiet() -> None:
    """40 of its messages among 400 in flight are its share: its next one keeps its place."""

    async def test(queue: Queue) -> None:
        await send(queue, "", 365)
        await send(queue, "big", 40)
        await take(queue, 405)
        await send(queue, "big")
        await send(queue, "quiet")
        assert tenants(await take(queue, 2)) == ["big", "quiet"]

    on_queue(test)


def test_among_noisy_tenants_the_one_with_the_fewest_in_flight_comes_first() -> None:
    """Both over a tenth: the less busy one's messages come until both have as many."""

    async def test(queue: Queue) -> None:
        await send(queue, "busier", 50)
        await take(queue, 40)
        await send(queue, "busy", 50)
        await take(queue, 35)
        assert Counter(tenants(await take(queue, 5))) == {"busy": 5}

    on_queue(test)


def test_a_slow_tenant_is_noisy_with_few_messages() -> None:
    """One message held for minutes is more than a tenth of the consumers' time; another tenant's comes first."""

    async def test(queue: Queue) -> None:
        await send(queue, "slow", 2)
        await take(queue, 1)
        await asyncio.sleep(120)
        await send(queue, "quick")
        assert tenants(await take(queue, 2)) == ["quick", "slow"]

    on_queue(test)


def test_the_consumers_time_fades() -> None:
    """Ten messages held for a minute make it noisy; 200 s later that counts no more beside what others take now."""

    async def test(queue: Queue) -> None:
        await send(queue, "slow", 12)
        held = await take(queue, 10)
        await asyncio.sleep(60)
        for message in held:
            await queue.delete(message.receipt_handle)
        await send(queue, "", 3)
        assert tenants(await take(queue, 3)) == ["none"] * 3
        await asyncio.sleep(200)
        await send(queue, "quick")
        assert tenants(await take(queue, 3)) == ["slow", "slow", "quick"]

    on_queue(test)


def test_messages_without_a_group_are_nobodys_backlog() -> None:
    """Fifty of them in flight: the next one keeps its place before a tenant's that was sent later."""

    async def test(queue: Queue) -> None:
        await send(queue, "", 60)
        await take(queue, 50)
        await send(queue, "quiet")
        await take(queue, 9)
        assert tenants(await take(queue, 2)) == ["none", "quiet"]

    on_queue(test)


def test_a_message_that_is_visible_at_once_comes_once_in_a_receive() -> None:
    """A visibility timeout of 0, with and without groups: each message once, and again in the next receive."""

    async def test(queue: Queue) -> None:
        for tenant in ("", "a", "a", "b"):
            await send(queue, tenant)
        for _ in range(3):
            assert tenants(await queue.receive(10, visibility_s=0)) == ["none", "a", "a", "b"]

    on_queue(test)


def test_a_tenant_that_sends_nothing_for_five_minutes_is_quiet_again() -> None:
    """Its messages get their old place back: before those that became visible after them."""

    async def test(queue: Queue) -> None:
        await send(queue, "noisy", 60)
        await take(queue, 40)
        await send(queue, "quiet", 2)
        assert tenants(await take(queue, 1)) == ["quiet"]
        await asyncio.sleep(299)
        await send(queue, "quiet")
        assert tenants(await take(queue, 1)) == ["quiet"]
        await asyncio.sleep(1)
        assert tenants(await take(queue, 1)) == ["noisy"]

    on_queue(test)


def test_nothing_is_lost_and_nothing_comes_twice() -> None:
    """Ten tenants, one of them ten times as loud, received and deleted in bits: each message once."""

    async def test(queue: Queue) -> None:
        rng = random.Random(7)
        sent = Counter[str]()
        got = Counter[str]()
        for _ in range(400):
            tenant = rng.choice(["loud"] * 10 + [f"t{number}" for number in range(9)] + [""])
            await send(queue, tenant)
            sent[tenant or "none"] += 1
            if rng.random() < 0.3:
                for message in await queue.receive(rng.randint(1, 10)):
                    got[message.body] += 1
                    if rng.random() < 0.7:
                        await queue.delete(message.receipt_handle)
            await asyncio.sleep(rng.random())
        got.update(tenants(await take(queue, 400)))
        assert got == sent
        assert queue.depth.visible == 0

    on_queue(test)


def test_nothing_grows_with_tenants_that_are_gone() -> None:
    """Thousands of tenants that were handled, and thousands that were purged, leave no lane and no entry behind."""

    async def test(queue: Queue) -> None:
        line: Any = queue._holding.line
        for number in range(3_000):
            await send(queue, f"t{number}")
            if number % 2:
                for message in await queue.receive(10):
                    await queue.delete(message.receipt_handle)
        assert (len(line._tenants), len(line._ready._heap) < 200) == (0, True)
        for number in range(3_000):
            await send(queue, f"t{number}")
            if number % 100 == 99:
                queue.purge()
                await asyncio.sleep(60)
        assert (len(line._tenants), len(line._ready._heap) <= 200) == (0, True)

    on_queue(test)
