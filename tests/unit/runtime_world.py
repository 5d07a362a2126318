"""A runtime client in the test's own process: a desk for a handler, and the serving loop, on a fake Runtime API."""

from __future__ import annotations

from typing import Any

from sluiceway.runtime.blocking import BlockingApi
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.handler import Driven
from sluiceway.runtime.requests import Requests
from sluiceway.runtime.serving import SerialServing
from tests.unit.fake_runtime_api import FakeApi


class Lines:
    """A sink that keeps what it got."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str, frame: int = 0) -> None:
        self.messages.append(message)

    def log_lines(self, lines: list[str], frame: int) -> None:
        self.messages.append("\n".join(lines))


def make_desk(api: FakeApi, handler: Any) -> Desk:
    """What a client of `api` keeps for `handler`."""
    app = handler if isinstance(handler, Driven) else None
    return Desk({}, handler, app, api.address, Requests(api.address), Lines())


def serve(api: FakeApi, handler: Any, *, count: int = 1, waits: list[float] | None = None) -> SerialServing:
    """Serve `count` invocations, one after the other, over a blocking socket; `waits` gets what it slept."""
    desk = make_desk(api, handler)
    sleep = (lambda _s: None) if waits is None else waits.append
    client = BlockingApi(api.address, desk.requests, sleep=sleep)
    serving = SerialServing(desk, client)
    try:
        for _ in range(count):
            serving.serve_next()
    finally:
        client.close()
        if serving._runner is not None:
            serving._runner.close()
    return serving
