"""EventBridge Scheduler put together. Imported with the first schedule, or the first call of its API."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from localcloud.front import Front
from localcloud.parts.services import Services
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.scheduler.calls import ServiceCaller
from localcloud.services.scheduler.delivery import Courier
from localcloud.services.scheduler.model import Schedules
from localcloud.services.scheduler.wire import SchedulerService

__all__ = ["Scheduler"]

PRINCIPAL: Final = "scheduler.amazonaws.com"
_SESSION: Final = "EventBridgeScheduler"


class Scheduler:
    """Schedules and their API; whoever makes it closes `schedules` before `group` ends."""

    def __init__(self, services: Services, front: Front, *, group: asyncio.TaskGroup) -> None:
        sessions = RoleSessions(services.iam, service=PRINCIPAL, session=_SESSION)
        port = ServiceCaller(dispatch=front.dispatch, assume=sessions.assume, rng=services.rng)
        self.schedules = Schedules(
            Courier(port, clock=services.clock, rng=services.rng),
            may_assume=partial(services.iam.may_assume, service=PRINCIPAL),
            group=group,
            clock=services.clock,
            rng=services.rng,
        )
        self.api = SchedulerService(self.schedules)
        services.resource_tags["scheduler"] = self.api.tags_of
