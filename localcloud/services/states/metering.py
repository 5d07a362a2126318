"""What CloudWatch is told of standard executions: that one began, how it ended, and how long it took.

Owns the names and units of the namespace AWS/States.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.services.cloudwatch.counting import Counters, Tally
from localcloud.services.states.execution import Execution

__all__ = ["NAMESPACE", "ExecutionMeters"]

NAMESPACE: Final = "AWS/States"
MAX_MACHINES: Final = 10_000  # state machines of an account: the quotas page of Step Functions
_ENDED: Final[Mapping[str, str]] = {
    "ABORTED": "ExecutionsAborted",
    "FAILED": "ExecutionsFailed",
    "SUCCEEDED": "ExecutionsSucceeded",
    "TIMED_OUT": "ExecutionsTimedOut",
}


class ExecutionMeters:
    """The tallies of every state machine."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._tallies: dict[tuple[str, str], Tally] = {}

    def note(self, execution: Execution) -> None:
        """The status of an execution changed. A redrive begins nothing anew."""
        if execution.status == "RUNNING":
            if not execution.redrives:
                self._tally(execution, "ExecutionsStarted").note(1.0)
            return
        self._tally(execution, _ENDED[execution.status]).note(1.0)
        if execution.stop_s is not None:
            took_ms = (execution.stop_s - execution.start_s) * 1000
            self._tally(execution, "ExecutionTime", unit="Milliseconds").note(float(round(took_ms)))

    def _tally(self, execution: Execution, name: str, *, unit: str = "Count") -> Tally:
        revision = execution.revision
        key = (revision.arn, name)
        found = self._tallies.get(key)
        if found is None:
            if len(self._tallies) >= MAX_MACHINES:
                self._tallies.clear()  # made anew where they are wanted again
            sets = [{"StateMachineArn": revision.arn}]
            found = self._counters.tally(NAMESPACE, name, sets, region=revision.region, unit=unit)
            self._tallies[key] = found
        return found
