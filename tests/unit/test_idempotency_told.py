"""A key in doubt is named in the function's log: the answer does not name it, and somebody has to find its record."""

from __future__ import annotations

import asyncio
import json

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import DeadlineExceeded
from sluiceway.idempotency import Fresh, InDoubt, InProgress, Replayed
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from tests.fakes import unavailable
from tests.unit.idempotency_setup import TroubledStore, Work, make_guard

EVENT = {"id": "o1"}


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """The keys in doubt that the log names, and why."""
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [(line["key"], line["why"]) for line in lines if line["message"] == "idempotency.in_doubt"]


def test_a_key_that_was_left_is_named_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """By the record's own id, once for each call that meets it; while the lease lasts nothing is in doubt."""
    guard = make_guard(after_crash="doubt", skew_s=1)

    async def meet() -> None:
        store = MemoryIdempotencyStore()
        with pytest.raises(DeadlineExceeded):
            await guard.run(EVENT, Work(takes_s=9), store=store, deadline=asyncio.get_running_loop().time() + 2)
        assert isinstance(await guard.run(EVENT, Work(), store=store), InProgress)
        await asyncio.sleep(2)
        for _ in range(2):
            assert isinstance(await guard.run(EVENT, Work(), store=store), InDoubt)

    run_virtual(meet)
    assert told(capsys) == [(guard.key_of(EVENT), "lapsed")] * 2


def test_an_end_that_nobody_knows_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The store was away to the end."""
    guard = make_guard()

    async def lose() -> None:
        store = TroubledStore(MemoryIdempotencyStore())

        async def work() -> int:
            store.trouble.refusal = unavailable("anything")
            return 7

        assert isinstance(await guard.run(EVENT, work, store=store), InDoubt)

    run_virtual(lose)
    assert told(capsys) == [(guard.key_of(EVENT), "unrecorded")]


def test_what_is_known_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A first call and its repeat say nothing of a doubt."""
    guard = make_guard(after_crash="doubt")

    async def repeat() -> None:
        store = MemoryIdempotencyStore()
        assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})
        assert await guard.run(EVENT, Work(), store=store) == Replayed({"run": 1})

    run_virtual(repeat)
    assert told(capsys) == []
