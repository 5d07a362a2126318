"""CloudWatch Logs in time, and its groups by Region."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.logs.model import MAX_STREAMS, Logs
from localcloud.services.logs.wire import LogsService

DAY_S = 86_400


async def ask(service: LogsService, operation: str, *, region: str = "eu-west-1", **members: Any) -> Any:
    """The answer, or the error's code."""
    headers = {"x-amz-target": f"Logs_20140328.{operation}"}
    body = json.dumps(members).encode()
    answer = await service.handle(WireRequest("logs", region, "POST", "/", "", headers, body, "AK", "id"))
    assert isinstance(answer.body, bytes)
    told = json.loads(answer.body or b"{}")
    return told if answer.status == 200 else told["__type"]


def test_retention_hides_what_is_older() -> None:
    """One day: an event is there for a day, to every reader, and its stream stays."""

    async def main() -> list[int]:
        clock = LoopClock(asyncio.get_running_loop())
        logs = Logs(clock=clock)
        service = LogsService(logs, region="eu-west-1", clock=clock)
        logs.create_group("g", retention_days=1)
        logs.append("g", "s", "line")
        seen: list[int] = []
        for wait in (DAY_S - 1, 2):
            await asyncio.sleep(wait)
            found = await ask(service, "FilterLogEvents", logGroupName="g")
            got = await ask(service, "GetLogEvents", logGroupName="g", logStreamName="s")
            (stream,) = (await ask(service, "DescribeLogStreams", logGroupName="g"))["logStreams"]
            seen += [len(found["events"]), len(got["events"]), int("lastEventTimestamp" in stream)]
        return seen

    assert run_virtual(main) == [1, 1, 1, 0, 0, 0]


def test_another_region_has_groups_of_its_own() -> None:
    """What one Region has is not there in another."""

    async def main() -> list[Any]:
        clock = LoopClock(asyncio.get_running_loop())
        service = LogsService(Logs(clock=clock), region="eu-west-1", clock=clock)
        await ask(service, "CreateLogGroup", logGroupName="g")
        missing = await ask(service, "DescribeLogStreams", region="us-east-1", logGroupName="g")
        await ask(service, "CreateLogGroup", region="us-east-1", logGroupName="h")
        told = [await ask(service, "DescribeLogGroups", region=region) for region in ("eu-west-1", "us-east-1")]
        return [missing, *([group["arn"] for group in each["logGroups"]] for each in told)]

    assert run_virtual(main) == [
        "ResourceNotFoundException",
        ["arn:aws:logs:eu-west-1:123456789012:log-group:g:*"],
        ["arn:aws:logs:us-east-1:123456789012:log-group:h:*"],
    ]


def test_streams_are_bounded_and_those_with_events_stay() -> None:
    """Of more than 10,000 the oldest without events is forgotten."""

    async def main() -> tuple[int, bool, bool]:
        logs = Logs(clock=LoopClock(asyncio.get_running_loop()))
        logs.append("g", "used", "line")
        group = logs.find("g")
        assert group is not None
        for number in range(MAX_STREAMS):
            logs.create_stream(group, str(number))
        return len(group.streams), "used" in group.streams, "0" in group.streams

    assert run_virtual(main) == (MAX_STREAMS, True, False)


def test_a_filter_pattern_that_takes_ages_is_refused() -> None:
    """One second for all events of a request, not for each."""

    async def main() -> Any:
        clock = LoopClock(asyncio.get_running_loop())
        logs = Logs(clock=clock)
        service = LogsService(logs, region="eu-west-1", clock=clock)
        logs.create_group("g")
        for _ in range(3):
            logs.append("g", "s", "a" * 300)
        return await ask(service, "FilterLogEvents", logGroupName="g", filterPattern="%" + "a*" * 8 + "b%")

    before_s = time.process_time()
    assert run_virtual(main) == "InvalidParameterException"
    assert time.process_time() - before_s < 2
