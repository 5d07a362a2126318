"""EventBridge Scheduler put together: opened with the first schedule, or the first call of its API."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from localcloud.front import Front
from localcloud.parts.delegated import Lazily
from localcloud.parts.services import Services
from localcloud.services.contract import Service
from localcloud.services.iam.sessions import RoleSessions

if TYPE_CHECKING:
    from localcloud.services.scheduler.model import Schedules

__all__ = ["Scheduler"]

PRINCIPAL: Final = "scheduler.amazonaws.com"
_SESSION: Final = "EventBridgeScheduler"


class Scheduler:
    """The Scheduler behind `front`; `close` it before `group` ends."""

    def __init__(self, services: Services, front: Front, *, group: asyncio.TaskGroup) -> None:
        self._services = services
        self._front = front
        self._group = group
        self._schedules: Schedules | None = None
        front.add(Lazily("scheduler", self._open_api))

    def schedules(self) -> Schedules:
        """The schedules, imported and made now where they were not yet."""
        if self._schedules is None:
            self._schedules = self._open()
        return self._schedules

    def close(self) -> None:
        """Invoke nothing any more."""
        if self._schedules is not None:
            self._schedules.close()

    def _open(self) -> Schedules:
        from localcloud.services.scheduler.calls import ServiceCaller  # noqa: PLC0415 - few stacks have schedules
        from localcloud.services.scheduler.delivery import Courier  # noqa: PLC0415
        from localcloud.services.scheduler.model import Schedules  # noqa: PLC0415

        services = self._services
        sessions = RoleSessions(services.iam, service=PRINCIPAL, session=_SESSION)
        port = ServiceCaller(dispatch=self._front.dispatch, assume=sessions.assume, rng=services.rng)
        return Schedules(
            Courier(port, clock=services.clock, rng=services.rng),
            may_assume=partial(services.iam.may_assume, service=PRINCIPAL),
            group=self._group,
            clock=services.clock,
            rng=services.rng,
        )

    def _open_api(self) -> Service:
        from localcloud.services.scheduler.wire import SchedulerService  # noqa: PLC0415 - as above

        api = SchedulerService(self.schedules())
        self._services.resource_tags["scheduler"] = api.tags_of
        return api
