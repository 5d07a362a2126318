"""CloudWatch's alarms put to work: the task that evaluates them, and their way to topics, functions and buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from localcloud.compute.functions import Functions
from localcloud.parts.messaging import Messaging
from localcloud.parts.services import Services
from localcloud.services.cloudwatch.evaluator import Evaluator
from localcloud.services.cloudwatch.outlet import LAMBDA_PRINCIPAL, LocalOutlet

if TYPE_CHECKING:
    from localcloud.services.cloudwatch.notices import SnsNotice

__all__ = ["run_alarms"]


class _Outlet:
    """An `Outlet` that opens topics and buses when the first alarm tells somebody."""

    def __init__(self, services: Services, functions: Functions, messaging: Messaging) -> None:
        self._services = services
        self._functions = functions
        self._messaging = messaging

    @cached_property
    def _opened(self) -> LocalOutlet:
        async def invoke_event(arn: str, payload: bytes) -> None:
            await self._functions.invoke(arn, payload, invocation_type="Event")

        def may_invoke(arn: str, alarm: str) -> bool:
            return self._services.policies.allows(arn, service=LAMBDA_PRINCIPAL, source_arn=alarm)

        topics, buses = self._messaging.topics, self._messaging.buses
        return LocalOutlet(topics, buses, invoke_event=invoke_event, may_invoke=may_invoke)

    def publish(self, topic_arn: str, notice: SnsNotice, *, alarm_arn: str) -> None:
        self._opened.publish(topic_arn, notice, alarm_arn=alarm_arn)

    async def invoke(self, function_arn: str, payload: bytes, *, alarm_arn: str) -> None:
        await self._opened.invoke(function_arn, payload, alarm_arn=alarm_arn)

    def emit(self, alarm_arn: str, detail_type: str, detail: Mapping[str, Any]) -> None:
        self._opened.emit(alarm_arn, detail_type, detail)


@asynccontextmanager
async def run_alarms(
    services: Services, functions: Functions, messaging: Messaging, *, group: asyncio.TaskGroup
) -> AsyncGenerator[Evaluator]:
    """Evaluate alarms and do what they set off, and put what services count, for the length of the block."""
    outlet = _Outlet(services, functions, messaging)
    evaluator = Evaluator(services.alarms, services.metrics, clock=services.clock, outlet=outlet)
    tasks = [group.create_task(run()) for run in (services.counters.run, evaluator.run)]
    try:
        yield evaluator
    finally:
        for task in tasks:
            task.cancel()
