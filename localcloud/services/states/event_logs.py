"""Events of executions in a log group, as a machine's LoggingConfiguration says.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from localcloud.services.logs.model import Logs
from localcloud.services.states.data import size_of, write_json
from localcloud.services.states.flow import Revision
from localcloud.services.states.history import Event

__all__ = ["EventLogs"]

MAX_BYTES: Final = 262_144  # of a log event, data is cut beyond it
_DATA: Final = frozenset({"input", "inputDetails", "output", "outputDetails", "parameters", "cause"})
_FATAL: Final = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
_ERROR_ENDS: Final = ("Aborted", "Failed", "TimedOut")


@dataclass(frozen=True, slots=True)
class EventLogs:
    """Writes events to log groups."""

    logs: Logs

    def open(self, revision: Revision, execution_arn: str) -> Callable[[Event], None] | None:
        """Who hears the events of an execution; None where nothing is logged."""
        settings = revision.logs
        level = settings.get("level", "OFF")
        if level == "OFF":
            return None
        group = settings["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"].split(":")[6]
        with_data = bool(settings.get("includeExecutionData"))
        redrives = 0

        def hear(event: Event) -> None:
            nonlocal redrives
            redrives += event.kind == "ExecutionRedriven"
            if _is_told(event.kind, level):
                day = datetime.fromtimestamp(event.time_s, UTC)
                stream = f"states/{revision.name}/{day:%Y-%m-%d-%H-%M}/{revision.revision_id[:8]}"
                text = _write(event, execution_arn, with_data=with_data, redrives=redrives)
                self.logs.append(group, stream, text, timestamp_ms=int(event.time_s * 1000))

        return hear


def _is_told(kind: str, level: str) -> bool:
    if level == "ALL":
        return True
    return kind in _FATAL or (level == "ERROR" and (kind.endswith(_ERROR_ENDS) or kind == "FailStateEntered"))


def _write(event: Event, execution_arn: str, *, with_data: bool, redrives: int) -> str:
    details = {name: value for name, value in event.details.items() if with_data or name not in _DATA}
    told: dict[str, Any] = {
        "id": str(event.number),
        "type": event.kind,
        "details": details,
        "redrive_count": str(redrives),
        "previous_event_id": str(event.previous),
        "event_timestamp": str(int(event.time_s * 1000)),
        "execution_arn": execution_arn,
    }
    text = write_json(told)
    if size_of(text) <= MAX_BYTES:
        return text
    cut = {name: value for name, value in details.items() if name not in _DATA}
    return write_json({**told, "details": {**cut, "inputDetails": {"truncated": True}}})
