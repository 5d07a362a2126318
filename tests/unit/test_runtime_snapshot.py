"""runtime.snapshot: what happens before a snapshot and after a restore, and how each failure is told."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import snapshot_restore_py as hooks

from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.sqs import BatchReport
from sluiceway.runtime.blocking import BlockingApi
from sluiceway.runtime.snapshot import pass_snapshot
from tests.unit.fake_runtime_api import FakeApi, Received, Reply, fake_api
from tests.unit.runtime_world import make_desk


@pytest.fixture(autouse=True)
def no_hooks_left() -> Iterator[None]:
    """The package keeps hooks for the process."""
    yield
    hooks.get_before_snapshot().clear()
    hooks.get_after_restore().clear()


def run(api: FakeApi, handler: Any) -> int:
    desk = make_desk(api, handler)
    client = BlockingApi(api.address, desk.requests)
    try:
        return pass_snapshot(desk, client)
    finally:
        client.close()


def test_hooks_run_around_the_snapshot():
    """Before it the latest first, after it in order; in between the environment waits for its restore."""
    order: list[Any] = []
    hooks.register_before_snapshot(order.append, "before 1")
    hooks.register_before_snapshot(order.append, "before 2")
    hooks.register_after_restore(order.append, "after 1")
    hooks.register_after_restore(order.append, "after 2")
    with fake_api() as api:

        def decide(request: Received) -> Reply:
            order.append(request.route)
            return api.usual(request)

        api.decide = decide
        assert run(api, lambda *_: None) == 0
    assert order == ["before 2", "before 1", "restore/next", "after 1", "after 2"]


def test_an_app_leaves_its_lifespan_before_and_enters_it_after():
    """No connection and no credential of it is in the snapshot."""
    order: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        order.append("enter")
        yield
        order.append("leave")

    async def flow(_batch: Any, _call: Any, _services: None) -> BatchReport:
        return BatchReport()

    app = App(flow, source=sqs, lifespan=lifespan)
    app.run(app.open())
    with fake_api() as api:

        def decide(request: Received) -> Reply:
            order.append(request.route)
            return api.usual(request)

        api.decide = decide
        assert run(api, app) == 0
    app.close()
    assert order == ["enter", "leave", "restore/next", "enter", "leave"]


def test_restored_copies_do_not_share_their_chance():
    """The generator of the random module is seeded anew."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with fake_api() as api:
        run(api, lambda *_: None)
    assert random.random() != expected


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)])
def test_a_failure_before_the_snapshot_is_an_init_error(error: BaseException):
    """64 is the managed runtime's exit code."""

    def fail() -> None:
        raise error

    hooks.register_before_snapshot(fail)
    with fake_api() as api:
        assert run(api, lambda *_: None) == 64
    (told,) = api.answers()
    assert told.route == "init/error"
    assert told.headers["lambda-runtime-function-error-type"] == "Runtime.BeforeSnapshotError"
    assert json.loads(told.body)["errorType"] == type(error).__name__


def test_a_failure_after_the_restore_is_a_restore_error():
    """65 is the managed runtime's exit code."""

    def fail() -> None:
        raise ValueError("no")

    hooks.register_after_restore(fail)
    with fake_api() as api:
        assert run(api, lambda *_: None) == 65
    assert [told.route for told in api.answers()] == ["restore/next", "restore/error"]
    told = api.answers()[1]
    assert told.headers["lambda-runtime-function-error-type"] == "Runtime.AfterRestoreError"
    assert json.loads(told.body)["errorMessage"] == "no"
