"""How long a task may take, and how long it may be silent.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
"""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.services.states.definition import State
from localcloud.services.states.failures import RUNTIME, StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.steps import read_number

__all__ = ["Limits", "read_limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds, None for no limit."""

    timeout_s: int | None
    heartbeat_s: int | None


async def read_limits(state: State, scope: Scope, lane: Lane) -> Limits:
    """Those of a state. Raises StateFailure."""
    limits = Limits(
        timeout_s=await read_number(state, "TimeoutSeconds", scope, lane=lane),
        heartbeat_s=await read_number(state, "HeartbeatSeconds", scope, lane=lane),
    )
    if limits.timeout_s == 0 or limits.heartbeat_s == 0:
        raise StateFailure(RUNTIME, "TimeoutSeconds and HeartbeatSeconds must be positive integers", located=False)
    return limits
