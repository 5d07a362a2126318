"""Step Functions put together: the model behind the front, its way to services, logs and the default bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from localcloud.front import Front
from localcloud.parts.services import Services
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.model import Buses
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.states.event_logs import EventLogs
from localcloud.services.states.execution import Execution
from localcloud.services.states.metering import ExecutionMeters
from localcloud.services.states.model import Ports, StateMachines
from localcloud.services.states.query_process import ProcessEvaluator
from localcloud.services.states.status_events import DETAIL_TYPE, SOURCE, status_detail
from localcloud.services.states.wire import StatesService

__all__ = ["open_states", "serve_states"]

log = logging.getLogger(__name__)
PRINCIPAL: Final = "states.amazonaws.com"
_SESSION: Final = "StepFunctions"
_LOGS: Final = "logs:CreateLogDelivery"


def open_states(
    services: Services, buses: Callable[[], Buses], front: Front, *, group: asyncio.TaskGroup
) -> StateMachines:
    """State machines that call services through `front`; whoever opens them closes them."""
    sessions = RoleSessions(services.iam, service=PRINCIPAL, session=_SESSION)
    meters = ExecutionMeters(services.counters)

    def announce(execution: Execution) -> None:
        meters.note(execution)
        entry = Entry(
            source=SOURCE,
            detail_type=DETAIL_TYPE,
            detail=status_detail(execution),
            resources=(execution.arn,),
        )
        try:
            buses().emit(execution.revision.region, entry)
        except RefusedEntry:
            log.exception("states.change_not_told", extra={"execution": execution.arn})

    return StateMachines(
        Ports(
            dispatch=front.dispatch,
            assume=sessions.assume,
            changed=announce,
            logger=EventLogs(services.logs).open,
            clock=services.clock,
            rng=services.rng,
            evaluator=ProcessEvaluator(),
        ),
        group=group,
    )


def serve_states(services: Services, machines: StateMachines) -> StatesService:
    """Step Functions' API."""
    return StatesService(machines, may_log=lambda role_arn: services.may_do(role_arn, _LOGS, "*"))
