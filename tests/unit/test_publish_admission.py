"""Room for bytes under way: first come, first served, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import random

import pytest

from localcloud.clock import run_virtual
from sluiceway.flows.publish.admission import Admission


def test_nobody_goes_before_who_was_let_in_and_has_not_run_since() -> None:
    """Room that was given away is not free for whoever asks in the same turn."""

    async def scene() -> None:
        admission, order = Admission(10), []
        assert admission.enter_now(10)

        async def enter(name: str, size: int) -> None:
            if not admission.enter_now(size):
                await admission.enter(size)
            order.append(name)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(enter("first", 4))
            await asyncio.sleep(0)
            admission.release(10)  # the first is let in; before it runs, another asks
            assert not admission.enter_now(4)
            tasks.create_task(enter("second", 4))
        assert order == ["first", "second"]
        assert (admission.held, admission.enter_now(2), admission.enter_now(1)) == (8, True, False)

    run_virtual(scene)


def test_who_is_cancelled_after_being_let_in_gives_the_room_back() -> None:
    """To the next who waits; nothing is left behind."""

    async def scene() -> None:
        admission = Admission(10)
        assert admission.enter_now(10)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(admission.enter(10))
            second = tasks.create_task(admission.enter(10))
            await asyncio.sleep(0)
            admission.release(10)
            first.cancel()
            await second
        assert admission.held == 10
        admission.release(10)
        assert (admission.held, admission.enter_now(10)) == (0, True)

    run_virtual(scene)


@pytest.mark.parametrize("seed", range(30))
def test_bytes_are_bounded_and_nobody_is_forgotten(seed: int) -> None:
    """Tasks of any size come, go and are cancelled: at most so much is held, and all of it is given back."""

    async def scene() -> None:
        rng = random.Random(seed)
        admission = Admission(100)
        inside: list[int] = []

        async def visit(size: int) -> None:
            if not admission.enter_now(size):
                await admission.enter(size)
            inside.append(size)
            assert sum(inside) <= 100 or len(inside) == 1
            try:
                await asyncio.sleep(rng.random())
            finally:
                inside.remove(size)
                admission.release(size)

        async with asyncio.TaskGroup() as tasks:
            visits = [tasks.create_task(visit(rng.choice([1, 30, 60, 150]))) for _ in range(40)]
            for each in rng.sample(visits, 10):
                await asyncio.sleep(rng.random() / 4)
                each.cancel()
        assert admission.held == 0
        assert admission.enter_now(100)

    run_virtual(scene)
