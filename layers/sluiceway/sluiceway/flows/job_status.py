"""What `GET /jobs/{job_id}` answers.

Owns what a caller learns of a job in each state, before the worker's first write, and of jobs that are not theirs:
nothing, not even that they exist. Must not know queues or AWS. The rules are in docs/jobs.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.codec.http import problem
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.events.http import HttpReply, HttpRequest, Problem
from sluiceway.events.invocation import Invocation
from sluiceway.ports import BlobStore, Clock, JobRecord, JobStore
from sluiceway.rules.jobs import JobId, parse_job_id

__all__ = ["JobDesk", "read_job"]

RETRY_AFTER_S: Final = 2  # a model's answer takes seconds: asking more often tells nothing
CLOCK_SKEW_MS: Final = 60_000  # an id made by the gateway's clock may lie a little ahead of ours
_NOT_FOUND: Final = Problem("/problems/job-not-found", "There is no such job", 404)
_UNAVAILABLE: Final = Problem("/problems/unavailable", "The job cannot be read now", 503)
_GONE: Final = Problem("/problems/result-expired", "The job's result is no longer kept", 410)


@dataclass(frozen=True, slots=True)
class JobDesk:
    """What answering needs. `queue_retention_s`: how long the queue keeps a message. `origin`: the one for CORS."""

    store: JobStore
    blobs: BlobStore
    clock: Clock
    queue_retention_s: int
    origin: str


async def read_job(request: HttpRequest, call: Invocation, desk: JobDesk) -> HttpReply:
    """The job's state with its result or problem; 404 for an unknown id and for another caller's alike."""
    cors = {"access-control-allow-origin": desk.origin, "access-control-expose-headers": "retry-after"}
    job_id = parse_job_id(request.path_parameters.get("job_id", ""))
    if job_id is None or not request.caller or job_id.caller != request.caller:
        return problem(_NOT_FOUND, headers=cors)
    try:
        async with asyncio.timeout_at(call.deadline):
            return await _answer(job_id, desk, cors)
    except (Retryable, Misconfigured, TimeoutError) as error:
        log.failure("job.unreadable", error, job_id=job_id.text)
        return problem(_UNAVAILABLE, headers={**cors, "retry-after": str(RETRY_AFTER_S)})


async def _answer(job_id: JobId, desk: JobDesk, cors: Mapping[str, str]) -> HttpReply:
    now_ms = desk.clock.now_ms()
    record = await desk.store.get(job_id.text)
    if record is None or record.expires_s * 1000 <= now_ms:
        known = _may_be_queued(job_id, now_ms, desk.queue_retention_s)
        return _job({"job_id": job_id.text, "state": "queued"}, cors) if known else problem(_NOT_FOUND, headers=cors)
    members = _describe(record, now_ms, desk.queue_retention_s)
    if record.state == "succeeded":
        result = await _result(record, desk.blobs)
        if result is None:
            return problem(_GONE, headers=cors)
        members["result"] = result
    return _job(members, cors)


def _may_be_queued(job_id: JobId, now_ms: int, retention_s: int) -> bool:
    """Whether a message for this id may still wait. A key's id does not tell when it was sent, or whether."""
    if job_id.requested_ms is None:
        return True
    return job_id.is_usual and -CLOCK_SKEW_MS <= now_ms - job_id.requested_ms <= retention_s * 1000


def _describe(record: JobRecord, now_ms: int, retention_s: int) -> dict[str, object]:
    state = "failed" if _is_lost(record, now_ms, retention_s) else record.state
    members: dict[str, object] = {
        "job_id": record.job_id,
        "state": state,
        "attempts": record.attempt,
        "request_sha256": record.body_sha256,
    }
    if state == "failed" or (state == "queued" and record.problem):
        members["problem"] = record.problem
    if record.conflicts:
        members["conflict"] = {
            "type": "/problems/idempotency-key-reused",
            "title": "The same Idempotency-Key came with another body; the first body counts",
            "count": record.conflicts,
        }
    return members


def _is_lost(record: JobRecord, now_ms: int, retention_s: int) -> bool:
    """Whether the job can end no more: nobody works on it, and no delivery is left or the queue dropped the message."""
    if record.state not in {"queued", "running"} or record.lease_until_ms > now_ms:
        return False
    ended_unwritten = record.state == "running" and record.final
    return ended_unwritten or now_ms > record.created_ms + retention_s * 1000


async def _result(record: JobRecord, blobs: BlobStore) -> object:
    if not record.result_key:
        return record.result
    body = await blobs.get(record.result_key)
    return None if body is None else json.loads(body)


def _job(members: Mapping[str, object], cors: Mapping[str, str]) -> HttpReply:
    headers = {"content-type": "application/json", "cache-control": "no-store", **cors}
    if members["state"] in {"queued", "running"}:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return HttpReply(200, json.dumps(members, ensure_ascii=False, separators=(",", ":")), headers)
