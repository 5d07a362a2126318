"""A survey of a pair from one Region: alarms, health checks and executions of a plan, through aioboto3.

It costs an import of half a second and more, so nothing but the order `survey` leads here, and aioboto3 is imported
when that is asked for. What one service does not tell does not hide what the others do: Route 53's control plane and
plans of Region switch may be what is lost. Must not know what the answers mean.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html
https://docs.aws.amazon.com/arc-region-switch/latest/api/API_ListPlanExecutions.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from sluiceway.errors import Misconfigured

__all__ = ["AwsSurveyor", "Clients"]

WITHIN_S: Final = 15.0  # for each service
MOST_EXECUTIONS: Final = 10  # the latest


class Clients(Protocol):
    """aioboto3 clients by botocore's names of services; `sluiceway.aws.sdk.Sdk` is the one for AWS."""

    async def client(self, service: str) -> Any:
        """The client of `service`. Raises Misconfigured where there is none."""
        ...


def _open_sdk() -> AbstractAsyncContextManager[Clients]:
    from sluiceway.aws.sdk import Sdk  # noqa: PLC0415 - the order `survey` only: not on the cold path

    return Sdk.open()


class AwsSurveyor:
    """`alarms` by name, `checks` by id; `plan` is an ARN, "" where there is none."""

    def __init__(
        self,
        *,
        alarms: Sequence[str],
        checks: Sequence[str] = (),
        plan: str = "",
        open_clients: Callable[[], AbstractAsyncContextManager[Clients]] = _open_sdk,
    ) -> None:
        self._alarms = tuple(alarms)
        self._checks = tuple(checks)
        self._plan = plan
        self._open = open_clients

    async def survey(self) -> Mapping[str, object]:
        """As `Surveyor.survey`. Raises Misconfigured where aioboto3 is not there."""
        async with self._open() as clients:
            told: dict[str, object] = {"alarms": await _told(self._ask_alarms, clients)}
            if self._checks:
                told["checks"] = await _told(self._ask_checks, clients)
            if self._plan:
                told["executions"] = await _told(self._ask_plan, clients)
            return told

    async def _ask_alarms(self, clients: Clients) -> object:
        client = await clients.client("cloudwatch")
        reply = await client.describe_alarms(AlarmNames=list(self._alarms), AlarmTypes=["MetricAlarm"])
        return {
            alarm["AlarmName"]: {"state": alarm["StateValue"], "since": _date(alarm["StateUpdatedTimestamp"])}
            for alarm in reply["MetricAlarms"]
        }

    async def _ask_checks(self, clients: Clients) -> object:
        client = await clients.client("route53")
        told: dict[str, object] = {}
        for check in self._checks:
            reply = await client.get_health_check_status(HealthCheckId=check)
            reports = [each["StatusReport"]["Status"] for each in reply["HealthCheckObservations"]]
            told[check] = {"healthy": sum(each.startswith("Success") for each in reports), "of": len(reports)}
        return told

    async def _ask_plan(self, clients: Clients) -> object:
        client = await clients.client("arc-region-switch")
        reply = await client.list_plan_executions(planArn=self._plan, maxResults=MOST_EXECUTIONS)
        return [
            {
                "id": each["executionId"],
                "state": each["executionState"],
                "action": each["executionAction"],
                "region": each["executionRegion"],
                "began": _date(each["startTime"]),
            }
            for each in reply["items"]
        ]


async def _told(ask: Callable[[Clients], Awaitable[object]], clients: Clients) -> object:
    """What was answered, or why nothing was."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await ask(clients)
    except Misconfigured:
        raise
    except Exception as error:  # noqa: BLE001 - botocore's errors are made as they come; one service is one line
        return {"error": _code(error)}


def _code(error: Exception) -> str:
    """The service's own code of it, else the error's name."""
    answer: Any = getattr(error, "response", {})
    try:
        return str(answer["Error"]["Code"])
    except (KeyError, TypeError):
        return type(error).__name__


def _date(value: Any) -> str:
    return value.isoformat()
