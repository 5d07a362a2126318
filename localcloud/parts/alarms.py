"""CloudWatch's alarms put to work: the task that evaluates them, and their way to topics, functions and buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from localcloud.compute.functions import Functions
from localcloud.parts.messaging import Messaging
from localcloud.parts.services import Services
from localcloud.services.cloudwatch.evaluator import Evaluator
from localcloud.services.cloudwatch.outlet import LAMBDA_PRINCIPAL, LocalOutlet

__all__ = ["run_alarms"]


@asynccontextmanager
async def run_alarms(
    services: Services, functions: Functions, messaging: Messaging, *, group: asyncio.TaskGroup
) -> AsyncGenerator[Evaluator]:
    """Evaluate alarms and do what they set off, for the length of the block."""

    async def invoke_event(arn: str, payload: bytes) -> None:
        await functions.invoke(arn, payload, invocation_type="Event")

    outlet = LocalOutlet(
        messaging.topics,
        messaging.buses,
        invoke_event=invoke_event,
        may_invoke=lambda arn, alarm: services.policies.allows(arn, service=LAMBDA_PRINCIPAL, source_arn=alarm),
    )
    evaluator = Evaluator(services.alarms, services.metrics, clock=services.clock, outlet=outlet)
    task = group.create_task(evaluator.run())
    try:
        yield evaluator
    finally:
        task.cancel()
