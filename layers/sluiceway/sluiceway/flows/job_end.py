"""How a job ends: what of it stands under its key, how it reads from its record, and what its failures are called.

The record says what came of a job, the key that it has ended. The record is written first, so a key that is done has a
record that says how; a record whose key has no end is found by whoever comes next. Must not know models' wire or AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    NotHome,
    NotRecorded,
    Parked,
    Rejected,
    Retryable,
    ServiceError,
    ServiceMisconfigured,
    SluicewayError,
    StillInProgress,
    Withheld,
)
from sluiceway.genai.faults import Denied, Overloaded, Throttled, Timeout
from sluiceway.idempotency import Guard, Options
from sluiceway.idempotency.keys import make_select
from sluiceway.ports import Chance, Clock, JobRecord, SystemChance
from sluiceway.rules.jobs import parse_job_id

__all__ = [
    "IN_DOUBT",
    "KEEP_S",
    "AfterCrash",
    "Busy",
    "JobEnd",
    "OtherBody",
    "bury",
    "detail_of",
    "end_of",
    "make_job_guard",
    "reason_of",
]

KEEP_S: Final = 7 * 24 * 3600  # a record's and a key's life after the end; results in the blob store live a day longer
LEASE_S: Final = 20.0  # with the clock margin, less than a term's (rules.terms.LEASE_MS); renewed every 7 s
IN_DOUBT: Final = "idempotency-in-doubt"
_CHANCE: Final = SystemChance()
_select_id: Final = make_select("job_id")

AfterCrash: TypeAlias = Literal["rerun", "doubt"]


class JobEnd(NamedTuple):
    """How a job ended. `reason` and `detail` are those of the dead letter of a failed one.

    `expires_s` (epoch seconds) is its record's; `message_id` names the message that ended it.
    """

    state: Literal["succeeded", "failed"]
    expires_s: int
    message_id: str
    reason: str = ""
    detail: str = ""


def make_job_guard(*, clock: Clock, after_crash: AfterCrash, chance: Chance = _CHANCE) -> Guard[JobEnd]:
    """The guard of jobs: its events have `job_id` and `body_sha256`; the first body of an id counts."""
    options = Options(
        keep_s=KEEP_S,
        lease_s=LEASE_S,
        validate="body_sha256",
        made=_made_of,
        after_crash=after_crash,
        load=lambda stored: JobEnd(*stored),
        clock=clock,
        chance=chance,
    )
    return Guard("jobs", key="job_id", options=options)


def _made_of(event: object) -> str | int | None:
    """A client's key may be one that a Region made; an id of the gateway's says when it was made."""
    job_id = parse_job_id(str(_select_id(event)))
    if job_id is None:
        return None
    return job_id.client_key if job_id.requested_ms is None else job_id.requested_ms if job_id.is_usual else None


def end_of(record: JobRecord) -> JobEnd | None:
    """How the job of this record has ended, None where it has not."""
    if record.state not in {"succeeded", "failed"}:
        return None
    message_id = record.lease_owner.partition("#")[0]
    if record.state == "succeeded":
        return JobEnd("succeeded", record.expires_s, message_id)
    problem = record.problem or {}
    reason = str(problem.get("type", "")).rpartition("/")[2] or "attempt-lost"
    return JobEnd(
        "failed", record.expires_s, message_id, reason, str(problem.get("detail") or problem.get("title", ""))
    )


def reason_of(error: Exception) -> str:
    """A stable code. A service's own codes stay in the logs: the caller of a job has no business with them."""
    if isinstance(error, ServiceError) and not isinstance(error, Misconfigured):
        return "service-unavailable" if isinstance(error, Retryable) else "internal-error"
    if isinstance(error, Rejected):
        return error.reason
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "internal-error")


def bury(error: Exception, receive_count: int) -> Rejected:
    """What a failure becomes on the last delivery."""
    detail = f"delivered {receive_count} times; the last time: {detail_of(error) or type(error).__name__}"
    return Rejected(detail, reason=_letter_reason(error))


def _letter_reason(error: Exception) -> str:
    """The code for a dead letter, which only we read: of a deployment's fault it names service and code."""
    if isinstance(error, ServiceMisconfigured):
        return f"{error.service}-{error.code}"
    return reason_of(error)


def detail_of(error: Exception) -> str:
    """The error's own words where they are ours and for callers: others quote the prompt or name resources."""
    ours = isinstance(error, SluicewayError) and not isinstance(error, ServiceError | Misconfigured)
    return str(error) if ours else ""


class Busy(Retryable):
    """Another worker holds the job, or its record."""


class OtherBody(Exception):
    """The key is ours, and the job is another body's: the key has to be free for that one."""


_REASONS: Final[Mapping[type[Exception], str]] = {
    Throttled: "model-throttled",
    Overloaded: "model-overloaded",
    Timeout: "model-timeout",
    DeadlineExceeded: "deadline-exceeded",
    Denied: "model-denied",
    Misconfigured: "misconfigured",
    Busy: "job-busy",
    StillInProgress: "job-busy",
    NotRecorded: "job-busy",
    Parked: "parked",
    NotHome: "not-home",
    Withheld: "withheld",
    Retryable: "service-unavailable",
}
