"""FilterLogEvents as `aws logs tail --follow` of the AWS CLI's version 2 calls it.

Its calls: `interleaved`, `startTime`, the pattern and streams that were named, `nextToken` while there is one; then
from the newest timestamp again, five seconds later, without the events whose ids it has seen.
Source: https://github.com/aws/aws-cli/blob/v2/awscli/customizations/logs/tail.py
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.logs.model import Logs
from localcloud.services.logs.wire import LogsService

POLL_S = 5
LINES = 12_000  # more than a page of the API takes


async def filter_events(service: LogsService, **members: Any) -> Any:
    """The answer of FilterLogEvents."""
    headers = {"x-amz-target": "Logs_20140328.FilterLogEvents"}
    body = json.dumps({"logGroupName": "g", "interleaved": True, **members}).encode()
    answer = await service.handle(WireRequest("logs", "us-east-1", "POST", "/", "", headers, body, "AK", "id"))
    assert (answer.status, isinstance(answer.body, bytes)) == (200, True)
    return json.loads(answer.body if isinstance(answer.body, bytes) else b"")


class Tail:
    """What the command shows; `turn` is one round of its loop, until there is no more page."""

    def __init__(self, service: LogsService, start_ms: int, **named: Any) -> None:
        self._service = service
        self._asked: dict[str, Any] = {"startTime": start_ms, **named}
        self._ids: dict[int, set[str]] = {}
        self.shown: list[str] = []
        self.pages = 0

    async def turn(self) -> None:
        token: dict[str, str] = {}
        while True:
            told = await filter_events(self._service, **self._asked, **token)
            self.pages += 1
            for event in told["events"]:
                if event["eventId"] not in (known := self._ids.setdefault(event["timestamp"], set())):
                    known.add(event["eventId"])
                    self.shown.append(event["message"])
            if self._ids:
                newest = max(self._ids)
                self._ids = {newest: self._ids[newest]}
            if "nextToken" not in told:
                break
            token = {"nextToken": told["nextToken"]}
        if self._ids:
            self._asked["startTime"] = max(self._ids)


def test_each_line_is_shown_once_and_in_order() -> None:
    """Over pages, with many lines of one millisecond, and while lines are written between two rounds."""

    async def main() -> tuple[list[str], int]:
        clock = LoopClock(asyncio.get_running_loop())
        logs = Logs(clock=clock)
        service = LogsService(logs, region="us-east-1", clock=clock)
        logs.create_group("g")
        await asyncio.sleep(1)
        logs.append("g", "old", "before")
        start_ms = int(clock.time() * 1000) + 1
        await asyncio.sleep(1)
        for number in range(LINES):
            logs.append("g", f"s{number % 3}", str(number))
        tail = Tail(service, start_ms)
        await tail.turn()
        for number in range(LINES, LINES + 3):  # in the millisecond of the newest line that was shown
            logs.append("g", "s0", str(number))
        await asyncio.sleep(POLL_S)
        logs.append("g", "s9", str(LINES + 3))
        for _ in range(2):
            await tail.turn()
        return tail.shown, tail.pages

    shown, pages = run_virtual(main)
    assert shown == [str(number) for number in range(LINES + 4)]
    assert pages > 3


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({"filterPattern": "ERROR"}, ["ERROR a", "ERROR b"]),
        ({"logStreamNames": ["two"]}, ["ERROR b"]),
        ({"logStreamNamePrefix": "on"}, ["ERROR a", "fine"]),
    ],
)
def test_what_is_named_narrows_it(named: dict[str, Any], shown: list[str]) -> None:
    """`--filter-pattern`, `--log-stream-names` and `--log-stream-name-prefix`."""

    async def main() -> list[str]:
        clock = LoopClock(asyncio.get_running_loop())
        logs = Logs(clock=clock)
        logs.create_group("g")
        for stream, line in (("one", "ERROR a"), ("two", "ERROR b"), ("one", "fine")):
            logs.append("g", stream, line)
        tail = Tail(LogsService(logs, region="us-east-1", clock=clock), 0, **named)
        await tail.turn()
        return tail.shown

    assert run_virtual(main) == shown
