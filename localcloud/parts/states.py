"""Step Functions put together: the model behind the front, its way to services, logs and the default bus."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from localcloud.front import Front
from localcloud.parts.services import Services
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.model import Buses
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.states.access import tags_of
from localcloud.services.states.event_logs import EventLogs
from localcloud.services.states.execution import Execution
from localcloud.services.states.model import Ports, StateMachines
from localcloud.services.states.status_events import DETAIL_TYPE, SOURCE, status_detail
from localcloud.services.states.wire import StatesService

__all__ = ["open_states"]

log = logging.getLogger(__name__)
PRINCIPAL: Final = "states.amazonaws.com"
_SESSION: Final = "StepFunctions"
_LOGS: Final = "logs:CreateLogDelivery"


def open_states(services: Services, buses: Buses, front: Front, *, group: asyncio.TaskGroup) -> StateMachines:
    """Serve Step Functions behind `front`; whoever opens it closes it."""
    sessions = RoleSessions(services.iam, service=PRINCIPAL, session=_SESSION)

    def announce(execution: Execution) -> None:
        entry = Entry(
            source=SOURCE,
            detail_type=DETAIL_TYPE,
            detail=status_detail(execution),
            resources=(execution.arn,),
        )
        try:
            buses.emit(execution.revision.region, entry)
        except RefusedEntry:
            log.exception("states.change_not_told", extra={"execution": execution.arn})

    machines = StateMachines(
        Ports(
            dispatch=front.dispatch,
            assume=sessions.assume,
            changed=announce,
            logger=EventLogs(services.logs).open,
            clock=services.clock,
            rng=services.rng,
        ),
        group=group,
    )
    front.add(StatesService(machines, may_log=lambda role_arn: services.may_do(role_arn, _LOGS, "*")))
    services.resource_tags["states"] = partial(tags_of, machines)
    return machines
