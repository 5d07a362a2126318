"""What ends a state or an execution: errors of States Language by name, and which of them a retrier or catcher takes.

Pure. Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = [
    "ALL",
    "BRANCH_FAILED",
    "DATA_LIMIT",
    "HEARTBEAT_TIMEOUT",
    "INTRINSIC_FAILURE",
    "NO_CHOICE_MATCHED",
    "PARAMETER_PATH_FAILURE",
    "PERMISSIONS",
    "QUERY_FAILED",
    "READER_FAILED",
    "RESULT_PATH_MISMATCH",
    "RESULT_WRITER_FAILED",
    "RUNTIME",
    "TASK_FAILED",
    "THRESHOLD",
    "TIMEOUT",
    "StateFailure",
    "is_taken",
]

ALL: Final = "States.ALL"
BRANCH_FAILED: Final = "States.BranchFailed"
DATA_LIMIT: Final = "States.DataLimitExceeded"
HEARTBEAT_TIMEOUT: Final = "States.HeartbeatTimeout"
INTRINSIC_FAILURE: Final = "States.IntrinsicFailure"
NO_CHOICE_MATCHED: Final = "States.NoChoiceMatched"
PARAMETER_PATH_FAILURE: Final = "States.ParameterPathFailure"
PERMISSIONS: Final = "States.Permissions"
QUERY_FAILED: Final = "States.QueryEvaluationError"
READER_FAILED: Final = "States.ItemReaderFailed"
RESULT_PATH_MISMATCH: Final = "States.ResultPathMatchFailure"
RESULT_WRITER_FAILED: Final = "States.ResultWriterFailed"
RUNTIME: Final = "States.Runtime"
TASK_FAILED: Final = "States.TaskFailed"
THRESHOLD: Final = "States.ExceedToleratedFailureThreshold"
TIMEOUT: Final = "States.Timeout"

_TIMEOUTS: Final = frozenset({TIMEOUT, HEARTBEAT_TIMEOUT})


class StateFailure(Exception):
    """A state failed: the error's name and cause. `located`: the cause says already in which state.

    `place`: the field whose expression failed, "" for other failures and once the history has been told.
    """

    def __init__(self, error: str, cause: str = "", *, located: bool = True, place: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause
        self.located = located
        self.place = place


def is_taken(error: str, names: Sequence[str]) -> bool:
    """Whether a retrier or catcher with these ErrorEquals takes an error. States.Runtime is never taken."""
    if error == RUNTIME:
        return False
    return any(_is_match(error, name) for name in names)


def _is_match(error: str, name: str) -> bool:
    if name == ALL:
        return error != DATA_LIMIT
    if name == TASK_FAILED:
        return error not in _TIMEOUTS and error != DATA_LIMIT
    if name == TIMEOUT:
        return error in _TIMEOUTS
    return name == error
