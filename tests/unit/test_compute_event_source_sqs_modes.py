"""Filters, provisioned mode, scaling, stopping and states of the SQS mapping, on virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.event_source_sqs_scaling import ProvisionedScaling, StandardScaling
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import LambdaError, throttled
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queue, Queues
from sluiceway.rules.criteria import FilterCriteria

Handler = Callable[[list[dict[str, Any]]], Awaitable[InvokeResult]]
OK = InvokeResult(200, b"null")
FAILED = InvokeResult(200, b"{}", "Unhandled")


class World:
    def __init__(self, queues: Queues, queue: Queue, mapping: SqsMapping) -> None:
        self.queues = queues
        self.queue = queue
        self.mapping = mapping

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self.queue.send(Content(body))


@asynccontextmanager
async def world(handler: Handler, *, criteria: Any = None, queue: dict[str, str] | None = None, **config: Any):
    queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
    made = queues.create("jobs", "us-east-1", attributes=queue or {}, tags={})

    async def invoke(payload: bytes, _batch: object) -> InvokeResult:
        return await handler(json.loads(payload)["Records"])

    mapping = SqsMapping(made, invoke, SqsMappingConfig(**config), rng=random.Random(5), criteria=criteria)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mapping.run())
        yield World(queues, made, mapping)
        task.cancel()


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [record["body"] for record in records]


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------------- filters

ORDERS = FilterCriteria("sqs", [{"Pattern": '{"body": {"kind": ["order"]}}'}, {"Pattern": '{"body": ["plain"]}'}])


def test_what_no_filter_wants_is_deleted_and_invokes_nothing() -> None:
    """JSON of another kind, and text where a filter wants JSON, are gone; what one filter wants is delivered."""
    seen: list[str] = []

    async def keep(records: list[dict[str, Any]]) -> InvokeResult:
        seen.extend(bodies(records))
        return OK

    async def main() -> None:
        async with world(keep, criteria=ORDERS) as there:
            await there.send('{"kind":"order"}', '{"kind":"news"}', "order", "plain", "[]")
            await asyncio.sleep(1)
            depth = there.queue.depth
            assert (depth.visible, depth.in_flight) == (0, 0)
            await there.send("nothing for it")
            await asyncio.sleep(1)
            assert there.queue.depth.visible + there.queue.depth.in_flight == 0

    run_virtual(main)
    assert seen == ['{"kind":"order"}', "plain"]


def test_what_is_filtered_out_counts_in_no_batch_and_opens_no_window() -> None:
    """A window of 5 s begins with the first message that is wanted, and the batch is full of wanted ones."""
    batches: list[tuple[float, list[str]]] = []

    async def main() -> None:
        async def note(records: list[dict[str, Any]]) -> InvokeResult:
            batches.append((now(), bodies(records)))
            return OK

        async with world(note, criteria=ORDERS, batch_size=3, window_s=5) as there:
            await there.send("x", "x")
            await asyncio.sleep(2)
            await there.send("plain", "x")
            await asyncio.sleep(4)
            await there.send(*["x"] * 20, "plain")
            await asyncio.sleep(10)
            await there.send("plain", "x", "plain", "x", "plain")
            await asyncio.sleep(0.001)

    run_virtual(main)
    assert batches == [(7.0, ["plain"] * 2), (16.0, ["plain"] * 3)]


def test_a_filter_that_breaks_wants_nothing() -> None:
    """A message that cannot be judged counts as not matching: it is deleted, and the next one is judged."""
    seen: list[str] = []

    class Breaking:
        def keep(self, record: Mapping[str, object]) -> bool:
            if record["body"] == "odd":
                raise ValueError("odd")
            return True

    async def keep(records: list[dict[str, Any]]) -> InvokeResult:
        seen.extend(bodies(records))
        return OK

    async def main() -> None:
        async with world(keep, criteria=Breaking()) as there:
            await there.send("odd", "even")
            await asyncio.sleep(1)
            assert there.queue.depth.in_flight == 0

    run_virtual(main)
    assert seen == ["even"]


def test_what_is_filtered_out_is_never_a_dead_letter() -> None:
    """It is deleted at its first receive, while others wait for a free invocation."""

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(100)
            return OK

        async with world(slow, criteria=ORDERS, batch_size=1, max_concurrency=2) as there:
            await there.send(*["x"] * 30, "plain")
            await asyncio.sleep(1)
            assert (there.queue.depth.visible, there.queue.depth.in_flight) == (0, 1)

    run_virtual(main)


def test_messages_that_nobody_wants_use_polls_as_any_others() -> None:
    """They are no empty queue: pollers in provisioned mode grow with them."""

    async def main() -> None:
        quick = lambda _: asyncio.sleep(0, OK)
        async with world(quick, criteria=ORDERS, minimum_pollers=2, maximum_pollers=50) as there:
            scaling: Any = there.mapping._scaling
            await there.send(*["x"] * 6000)
            await asyncio.sleep(6)
            assert 9 <= scaling.pollers <= 12

    run_virtual(main)


# ---------------------------------------------------------------------- standard mode


def test_the_most_is_1250_or_what_the_account_has() -> None:
    """Five more a second while all are busy: with a larger account up to 1,250, with the usual one up to 1,000."""

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(3000)
            return OK

        for account, most in ((1000, 1000), (5000, 1250), (40, 40)):
            wide = {"VisibilityTimeout": "43200"}
            async with world(slow, batch_size=1, queue=wide, account_concurrency=account) as there:
                await there.send(*["x"] * 1400)
                await asyncio.sleep(60)
                assert there.mapping.in_flight == min(5 + 5 * 59, most) or there.mapping.in_flight == min(305, most)
                await asyncio.sleep(400)
                assert there.mapping.in_flight == most

    run_virtual(main)


def test_failures_halve_what_runs_and_not_what_could() -> None:
    """A FIFO queue's mapping may run a thousand; four run and one fails: two may."""
    scaling = StandardScaling(1000, ordered=True)
    scaling.lower(4)
    assert scaling.allowed == 2
    scaling.lower(2)
    scaling.lower(1)
    assert scaling.allowed == 1
    for _ in range(3):
        scaling.succeed()
    assert scaling.allowed == 4


def test_an_empty_queue_brings_it_back_to_five() -> None:
    """Grown to twenty-five, then a long poll without a message: the next rush begins with five again."""

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(4.5)
            return OK

        async with world(slow, batch_size=1) as there:
            await there.send(*["x"] * 100)
            await asyncio.sleep(4.2)
            assert there.mapping.in_flight == 25
            await asyncio.sleep(60)
            assert there.queue.depth.visible + there.queue.depth.in_flight == 0
            await there.send(*["x"] * 40)
            await asyncio.sleep(0.5)
            assert there.mapping.in_flight == 5

    run_virtual(main)


@pytest.mark.parametrize(("outcome", "allowed"), [("error", 5), ("partial", 5), ("throttle", 1)])
def test_errors_do_not_lower_a_mapping_that_reports_failures_and_throttles_do(outcome: str, allowed: int) -> None:
    """With ReportBatchItemFailures five failing batches leave it at five; throttles lower it all the same."""

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(0.1)
            if outcome == "throttle":
                raise throttled("ConcurrentInvocationLimitExceeded")
            if outcome == "partial":
                named = [{"itemIdentifier": record["messageId"]} for record in records]
                return InvokeResult(200, json.dumps({"batchItemFailures": named}).encode())
            return FAILED

        async with world(handler, batch_size=1, report_failures=True, max_concurrency=5) as there:
            scaling: Any = there.mapping._scaling
            await there.send(*["x"] * 5)
            await asyncio.sleep(0.2)
            assert scaling.allowed == allowed

    run_virtual(main)


# ---------------------------------------------------------------------- provisioned mode


def test_each_poller_has_ten_invocations_and_more_come_while_all_are_busy() -> None:
    """Two pollers: twenty at once; ten more each 0.6 s, no sooner: 1,000 a minute, up to four pollers."""
    counts: list[int] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(25)
            return OK

        async with world(slow, batch_size=1, minimum_pollers=2, maximum_pollers=4) as there:
            await there.send(*["x"] * 100)
            for wait_s in (0.59, 0.02, 0.58, 0.02, 3.0):
                await asyncio.sleep(wait_s)
                counts.append(there.mapping.in_flight)

    run_virtual(main)
    assert counts == [20, 30, 30, 40, 40]


def test_a_poller_asks_the_queue_ten_times_a_second() -> None:
    """Two pollers that cannot grow: a second's twenty polls at once, then twenty a second, ten messages each."""
    seen: list[float] = []

    async def main() -> None:
        async def quick(records: list[dict[str, Any]]) -> InvokeResult:
            seen.extend([now()] * len(records))
            return OK

        async with world(quick, minimum_pollers=2, maximum_pollers=2) as there:
            await there.send(*["x"] * 1000)
            await asyncio.sleep(60)
            assert there.queue.depth.visible == 0

    run_virtual(main)
    per_second = [sum(1 for at in seen if second <= at < second + 1) for second in range(5)]
    assert per_second[0] == pytest.approx(400, abs=20)
    assert per_second[1:4] == pytest.approx([200, 200, 200], abs=20)


def test_a_poller_takes_a_megabyte_a_second() -> None:
    """Two pollers and 40 messages of 900 kB: about 2 MB a second once the first second's share is used."""
    seen: list[float] = []

    async def main() -> None:
        async def quick(records: list[dict[str, Any]]) -> InvokeResult:
            seen.extend([now()] * len(records))
            return OK

        async with world(quick, batch_size=1, minimum_pollers=2, maximum_pollers=2) as there:
            await there.send(*["x" * 900_000] * 40)
            await asyncio.sleep(60)

    run_virtual(main)
    assert len(seen) == 40
    assert seen[-1] == pytest.approx(40 * 900_000 / (2 * 1024 * 1024) - 1, abs=1)


def test_pollers_come_where_polls_are_short_and_go_when_the_queue_is_empty() -> None:
    """Quick invocations, many messages: the polls are what lacks; after an empty long poll the fewest are left."""

    async def main() -> None:
        async def quick(records: list[dict[str, Any]]) -> InvokeResult:
            return OK

        async with world(quick, minimum_pollers=2, maximum_pollers=50) as there:
            scaling: Any = there.mapping._scaling
            assert isinstance(scaling, ProvisionedScaling)
            await there.send(*["x"] * 4000)
            await asyncio.sleep(6)
            assert 9 <= scaling.pollers <= 12
            await asyncio.sleep(60)
            assert (scaling.pollers, there.queue.depth.visible) == (2, 0)

    run_virtual(main)


def test_failures_lower_provisioned_concurrency_and_successes_raise_it() -> None:
    """A rush that fails runs fewer at a time; after as many successes all may run again."""

    async def main() -> None:
        failing = True

        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(1)
            return FAILED if failing else OK

        wide = {"VisibilityTimeout": "5"}
        async with world(handler, queue=wide, batch_size=1, minimum_pollers=2, maximum_pollers=3) as there:
            scaling: Any = there.mapping._scaling
            await there.send(*["x"] * 30)
            await asyncio.sleep(1.5)
            assert (scaling.allowed < 10, scaling.can_grow) == (True, False)
            failing = False
            await asyncio.sleep(100)
            assert (scaling.allowed, scaling.can_grow) == (20, True)
            assert (scaling.pollers, there.queue.depth.visible + there.queue.depth.in_flight) == (2, 0)

    run_virtual(main)


def test_no_receive_asks_for_more_than_twenty_seconds() -> None:
    """Whenever it is: sums of times round up, and SQS refuses a wait of 20.000000000000004 seconds."""
    waits: list[float] = []

    async def main() -> None:
        rng = random.Random(11)
        async with world(lambda _: asyncio.sleep(0, OK)) as there:
            receive = there.queue.receive

            async def noted(most: int = 1, *, wait_s: float | None = None, **more: Any) -> Any:
                waits.append(wait_s or 0.0)
                return await receive(most, wait_s=wait_s, **more)

            there.queue.receive = noted
            for _ in range(200):
                await asyncio.sleep(rng.random() * 30)
                await there.send("x")

    run_virtual(main)
    assert (max(waits), len(waits) > 200) == (20.0, True)


def test_one_number_of_pollers_leaves_the_other_at_its_default() -> None:
    """Two and two hundred."""

    async def main() -> None:
        for config, expected in (
            ({"minimum_pollers": 7}, (7, 200)),
            ({"maximum_pollers": 9}, (2, 9)),
            ({"minimum_pollers": 200}, (200, 200)),
        ):
            async with world(lambda _: asyncio.sleep(0, OK), **config) as there:
                scaling: Any = there.mapping._scaling
                assert (scaling._fewest, scaling._most) == expected

    run_virtual(main)


# ---------------------------------------------------------------------- stopping, states


def test_a_mapping_that_stops_ends_what_runs_and_leaves_the_rest_to_the_visibility_timeout() -> None:
    """The running batch succeeds and is deleted; what waited in a window is not handed over, and comes again later."""
    seen: list[tuple[float, list[str]]] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(5)
            seen.append((now(), bodies(records)))
            return OK

        async with world(slow, batch_size=2, window_s=60, queue={"VisibilityTimeout": "100"}) as there:
            await there.send("a", "b", "c")
            await asyncio.sleep(1)
            async with asyncio.TaskGroup() as group:
                stopping = group.create_task(there.mapping.stop())
                await asyncio.sleep(1)
                await there.send("d")
                assert (stopping.done(), there.queue.depth.visible, there.queue.depth.in_flight) == (False, 1, 3)
            assert now() == 5
            assert (there.mapping.in_flight, there.queue.depth.in_flight) == (0, 1)
            await asyncio.sleep(200)
            assert there.queue.depth.visible == 2
            again = asyncio.ensure_future(there.mapping.run())
            await asyncio.sleep(6)
            await there.mapping.stop()
            await again

    run_virtual(main)
    assert seen == [(5, ["a", "b"]), (210, ["d", "c"])]


def test_stopping_what_does_not_run_is_nothing() -> None:
    """Before `run` and after it."""

    async def main() -> None:
        async with world(lambda _: asyncio.sleep(0, OK)) as there:
            await there.mapping.stop()
            await asyncio.sleep(1)
            await there.mapping.stop()
            await there.mapping.stop()

    run_virtual(main)


def test_what_the_api_tells_of_the_latest_batch() -> None:
    """Nothing yet, success, a function's error, a refused call, the local cloud's own error, a queue that is gone."""
    told: list[str] = []
    outcomes: list[InvokeResult | Exception] = [
        OK,
        FAILED,
        LambdaError("ResourceNotFoundException", "gone", 404),
        RuntimeError("lost"),
        OK,
    ]

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        async with world(handler, queue={"VisibilityTimeout": "3600"}) as there:
            told.append(there.mapping.last_result)
            for _ in range(5):
                await there.send("x")
                await asyncio.sleep(1)
                told.append(there.mapping.last_result)
            there.queues.delete(there.queue)
            await asyncio.sleep(1)
            told.append(there.mapping.last_result)

    run_virtual(main)
    assert told == [
        "No records processed",
        "OK",
        "PROBLEM: Function call failed",
        "PROBLEM: Function call failed",
        "PROBLEM: Lambda internal error",
        "OK",
        "PROBLEM: Queue not found: arn:aws:sqs:us-east-1:123456789012:jobs",
    ]


def test_a_receive_that_is_refused_is_tried_again() -> None:
    """An error of the queue that is not its end costs a second."""
    seen: list[tuple[float, list[str]]] = []

    async def main() -> None:
        async def note(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append((now(), bodies(records)))
            return OK

        async with world(note) as there:
            receive = there.queue.receive
            told: list[str] = []

            async def refuses(*_args: Any, **_kwargs: Any) -> Any:
                there.queue.receive = receive
                await asyncio.sleep(0)
                raise SqsError("OverLimit", "Too many messages in flight.")

            there.queue.receive = refuses
            await asyncio.sleep(0.5)
            told.append(there.mapping.last_result)
            await there.send("x")
            await asyncio.sleep(1)
            assert told == ["PROBLEM: Lambda internal error"]

    run_virtual(main)
    assert seen == [(1.0, ["x"])]


def test_what_did_not_fit_waits_no_longer_than_its_visibility_timeout() -> None:
    """Both invocations run, and a third event is in hand: too late, its messages are the queue's, not invoked twice."""
    seen: list[str] = []
    calls = 0

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            nonlocal calls
            calls += 1
            seen.extend(body[:1] for body in bodies(records))
            await asyncio.sleep(70 if calls <= 2 else 1)
            return OK

        wide = {"VisibilityTimeout": "60"}
        async with world(slow, queue=wide, batch_size=10, window_s=1, max_concurrency=2) as there:
            await there.send(*(f"{name}{'x' * 1_000_000}" for name in "abcdefghijklmnopqr"))
            await asyncio.sleep(300)
            assert there.queue.depth.visible + there.queue.depth.in_flight == 0

    run_virtual(main)
    assert sorted(seen) == list("abcdefghijklmnopqr")


def test_a_batch_that_six_megabytes_fill_does_not_wait_for_its_window() -> None:
    """Eight messages of 1 MB and a window of 30 s: six go at once, two when the window ends."""
    seen: list[tuple[float, int]] = []

    async def main() -> None:
        async def note(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append((now(), len(records)))
            return OK

        async with world(note, batch_size=100, window_s=30, queue={"VisibilityTimeout": "60"}) as there:
            await there.send(*["x" * 1_000_000] * 8)
            await asyncio.sleep(40)

    run_virtual(main)
    assert seen == [(0.0, 6), (30.0, 2)]
