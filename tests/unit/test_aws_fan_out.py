"""aws.fan_out: workers by synchronous invocation; what each error says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sluiceway.aws.fan_out import LambdaPartWorkers
from sluiceway.aws.reply import Reply
from sluiceway.aws.wire import ServiceSpec
from sluiceway.errors import DeadlineExceeded, Retryable, ServiceMisconfigured, ServiceUnavailable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.ports.fan_out import NotBegun

ORDER = PartOrder("orders", 1, 7, (KinesisRecord("49", "", b"{}", 0, "shardId-0", "arn:x"),))
REPORT = PartReport(subscribers=5, posted=4, dropped=1)


class Caller:
    """A Lambda API with one answer."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[ServiceSpec, str, Any, dict[str, Any]]] = []

    async def call(
        self, service: ServiceSpec, operation: str, body: Mapping[str, object] | bytes = b"", **more: Any
    ) -> Reply:
        self.asked.append((service, operation, body, more))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def reply(body: object, **headers: str) -> Reply:
    return Reply(200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def unavailable(code: str, status: int) -> ServiceUnavailable:
    return ServiceUnavailable("no", service="lambda", operation="Invoke", code=code, status=status)


async def test_a_worker_is_invoked_once_and_waited_for() -> None:
    """RequestResponse, which is the default, at this function's path; one attempt, until the deadline."""
    caller = Caller(reply(REPORT._asdict()))
    assert await LambdaPartWorkers(caller, "f:3").serve(ORDER, deadline=12.5) == REPORT
    ((service, operation, body, more),) = caller.asked
    assert (service.endpoint_prefix, service.max_attempts, operation) == ("lambda", 1, "Invoke")
    assert service.read_timeout_s >= 900
    assert more == {"path": "/2015-03-31/functions/f%3A3/invocations", "deadline": 12.5}
    assert body["order"]["part"] == 1


@pytest.mark.parametrize(("code", "status"), [("TooManyRequestsException", 429), ("ConnectFailed", 0)])
async def test_a_worker_that_was_not_there_has_not_begun(code: str, status: int) -> None:
    """Throttled, or no connection: it may be ordered again."""
    with pytest.raises(NotBegun):
        await LambdaPartWorkers(Caller(unavailable(code, status)), "f").serve(ORDER, deadline=1)


@pytest.mark.parametrize(
    "answer",
    [
        unavailable("ConnectionClosed", 0),
        unavailable("TimedOut", 0),
        unavailable("ServiceException", 500),
        DeadlineExceeded("late"),
        reply({"errorType": "MemoryError"}, x_amz_function_error="Unhandled"),
        reply({"is_begun": True}),
        Reply(200, {}, b"no JSON"),
    ],
)
async def test_a_worker_that_may_have_begun_is_no_other_thing(answer: Reply | Exception) -> None:
    """It broke off, or its answer was lost, or is none: Retryable, and not NotBegun."""
    with pytest.raises(Retryable) as caught:
        await LambdaPartWorkers(Caller(answer), "f").serve(ORDER, deadline=1)
    assert not isinstance(caught.value, NotBegun)


async def test_a_missing_permission_is_the_deployments() -> None:
    """It goes up as it is."""
    refused = ServiceMisconfigured("no", service="lambda", operation="Invoke", code="AccessDeniedException")
    with pytest.raises(ServiceMisconfigured):
        await LambdaPartWorkers(Caller(refused), "f").serve(ORDER, deadline=1)
