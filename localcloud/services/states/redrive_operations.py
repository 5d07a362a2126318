"""RedriveExecution. Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_RedriveExecution.html"""

from __future__ import annotations

from typing import Final

from localcloud.services.states.call import Call, Result
from localcloud.services.states.errors import StatesError
from localcloud.services.states.execution import Execution
from localcloud.services.states.redriving import why_not_redrivable

__all__ = ["redrive"]

SAME_S: Final = 15 * 60.0  # "idempotent … for 15 minutes": how long a client's token is known


def redrive(call: Call, execution: Execution) -> Result:
    """Have an execution go on where it did not. Raises StatesError ExecutionNotRedrivable."""
    token, now_s = call.values.get("clientToken", ""), call.machines.world.clock.time()
    redriven_s = execution.redriven_s
    if token and token == execution.redrive_token and redriven_s is not None and now_s - redriven_s < SAME_S:
        return {"redriveDate": redriven_s}
    reason = why_not_redrivable(execution)
    if execution.order.map_run_arn:
        reason = "A child of a Map Run is redriven with its parent"
    if reason:
        raise StatesError("ExecutionNotRedrivable", f"Execution Not Redrivable: '{reason}'")
    call.machines.redrive(execution, token)
    return {"redriveDate": now_s}
