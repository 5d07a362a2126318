"""Time that a test moves: the loop and the date together, timer by timer, and never while something runs."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.testing.activity import Activity
from localcloud.testing.loop import AheadClock, AheadLoop
from localcloud.traces.recorder import Recorder

DAY_S = 86_400.0


class World:
    """A loop of its own, its date, what runs on it, and the activity over them."""

    def __init__(self) -> None:
        self.loop, self.clock = AheadLoop(), AheadClock()
        self.recorder = Recorder(clock=self.clock, rng=random.Random(1))
        self.activity = Activity(self.recorder, self.loop, self.clock)


def run(main: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    world = World()
    with asyncio.Runner(loop_factory=lambda: world.loop) as runner:
        runner.run(main(world))


def test_a_day_passes_at_once_for_loop_and_date() -> None:
    """Both are a day ahead, in no time."""

    async def main(world: World) -> None:
        began, at, date = time.monotonic(), world.loop.time(), world.clock.time()
        await world.activity.advance(DAY_S)
        took = time.monotonic() - began
        assert DAY_S <= world.loop.time() - at < DAY_S + 5
        assert DAY_S <= world.clock.time() - date < DAY_S + 5
        assert took < 5

    run(main)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=12, unique=True), st.integers(0, 900))
def test_timers_fire_in_order_each_at_its_time(delays: list[int], advanced: int) -> None:
    """What is due within the time has fired, when it was due, and nothing else has."""

    async def main(world: World) -> None:
        began, date = world.loop.time(), world.clock.time()
        fired: list[tuple[float, float, float]] = []
        for delay in delays:
            world.loop.call_later(
                delay, lambda d=delay: fired.append((d, world.loop.time() - began, world.clock.time() - date))
            )
        await world.activity.advance(advanced)
        slack = 0.5 + world.loop.time() - began - advanced  # real time
        due = sorted(delay for delay in delays if delay <= advanced)
        assert [delay for delay, _, _ in fired][: len(due)] == due
        assert all(delay <= advanced + slack for delay, _, _ in fired)
        assert all(-0.01 <= at - delay < slack and abs(at - dated) < 0.1 for delay, at, dated in fired)
        assert all(one[1] <= other[1] for one, other in pairwise(fired))

    run(main)


def test_what_a_timer_sets_off_is_done_before_time_goes_on() -> None:
    """A chain of waits, each begun by the last, happens at its dates and not at the end."""

    async def main(world: World) -> None:
        began, seen = world.loop.time(), list[float]()

        async def chain() -> None:
            for _ in range(5):
                await asyncio.sleep(60)
                await asyncio.sleep(0)
                seen.append(world.loop.time() - began)

        async with asyncio.TaskGroup() as group:
            group.create_task(chain())
            await world.activity.advance(200)
            assert [round(at) for at in seen] == [60, 120, 180]
            await world.activity.advance(120)

    run(main)


def test_time_stands_while_an_invocation_runs() -> None:
    """A timer that comes due meanwhile by the jump alone would be too early: it is not passed until the end is told."""

    async def main(world: World) -> None:
        loop, span = world.loop, world.recorder.begin("", "function", "f")
        woken: list[bool] = []
        loop.call_later(5, lambda: woken.append(span.end_ms is not None))
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(world.recorder.end, span)).start()
        await world.activity.advance(10)
        assert woken == [True]

    run(main)


def test_an_invocation_that_a_timer_begins_is_waited_for() -> None:
    """Its own deadline of 3 s does not jump, though an hour passes."""

    async def main(world: World) -> None:
        outcome: list[str] = []

        async def invoke() -> None:
            await asyncio.sleep(60)
            span = world.recorder.begin("", "function", "f")
            answer = world.loop.create_future()
            threading.Timer(0.05, lambda: world.loop.call_soon_threadsafe(answer.set_result, "answered")).start()
            try:
                async with asyncio.timeout(3):
                    outcome.append(await answer)
            except TimeoutError:
                outcome.append("timed out")
            world.recorder.end(span)

        async with asyncio.TaskGroup() as group:
            group.create_task(invoke())
            await world.activity.advance(3600)
        assert outcome == ["answered"]

    run(main)


def test_calls_in_threads_are_waited_for() -> None:
    """Delegated services work in threads."""

    async def main(world: World) -> None:
        done: list[bool] = []

        async def work() -> None:
            async with asyncio.timeout(1):
                await asyncio.to_thread(time.sleep, 0.05)
            done.append(True)

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            await world.activity.advance(3600)
            assert done == [True]

    run(main)


def test_cancelled_timers_are_nothing() -> None:
    """The next timer is the next that will fire."""

    async def main(world: World) -> None:
        world.loop.call_later(5, lambda: None).cancel()
        later = world.loop.call_later(10, lambda: None)
        assert world.loop.next_due() == later.when()
        later.cancel()
        assert world.loop.next_due() is None

    run(main)


def test_time_never_goes_back() -> None:
    """A moment that is past moves nothing."""

    async def main(world: World) -> None:
        assert world.loop.move_to(world.loop.time() - 10) == 0
        assert 9 < world.loop.move_to(world.loop.time() + 10) <= 10

    run(main)
