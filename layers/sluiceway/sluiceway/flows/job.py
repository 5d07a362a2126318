"""One job from the queue: queued -> running -> succeeded | failed, by compare-and-set.

Owns the job's states under at-least-once delivery. A worker claims the record for a lease that ends just after its own
deadline; whoever finds a lapsed lease knows that the worker is gone and claims anew. The claim already holds the
problem that stands if nobody ever writes again, so even a killed worker leaves its reason. An attempt that fails or is
cancelled lets its lease go, so that its message may come back soon. The first body seen for an id wins; another body is
counted as a conflict. On its last delivery a message that still fails ends its job as `failed` and goes to the
dead-letter queue with the reason, because the queue's own redrive attaches none. Must not know AWS.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sluiceway import log
from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    Retryable,
    ServiceError,
    ServiceMisconfigured,
    SluicewayError,
)
from sluiceway.events.http import describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import SqsMessage
from sluiceway.genai.faults import Denied, Overloaded, Throttled, Timeout
from sluiceway.genai.provider import Answer, CallContext, Message, ModelProvider, ModelRequest
from sluiceway.ports import BlobStore, Clock, JobRecord, JobStore
from sluiceway.rules.jobs import JobRequest, parse_job_id, parse_job_request
from sluiceway.steps.metrics import count

__all__ = ["JobWorker", "hash_body", "run_job"]

KEEP_S: Final = 7 * 24 * 3600  # a record's life after its last write; results in the blob store live a day longer
LEASE_MARGIN_MS: Final = 5_000  # clocks of two workers differ, and a cancelled flow needs a moment to end
SETTLE_S: Final = 1.5  # kept of the invocation for writing the outcome
SETTLE_SHARE: Final = 0.25  # never more than this share of a short invocation
LET_GO_S: Final = 0.25  # for a cancelled attempt to let its lease go; the flow's caller waits for it
MAX_INLINE_BYTES: Final = 340_000  # the item stays below 350 KB, DynamoDB's limit is 400 KB
MAX_RESULT_BYTES: Final = 5_000_000  # as the reply carries it, JSON within JSON; a Lambda reply has 6 MB at most


@dataclass(frozen=True, slots=True)
class JobWorker:
    """What running a job needs. `max_receives` is the queue's maxReceiveCount (at least 1)."""

    store: JobStore
    blobs: BlobStore
    provider: ModelProvider
    clock: Clock
    max_output_tokens: int
    max_receives: int


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery of a job's message. `token` names this delivery in this invocation and no other."""

    job_id: str
    caller: str
    correlation_id: str
    message_id: str
    body: str
    body_sha256: str
    token: str
    last: bool


async def run_job(message: SqsMessage, *, call: Invocation, worker: JobWorker) -> None:
    """Bring the job of `message` forward; returns when the message is done with.

    Raises `Retryable` or `Misconfigured` when it must go back, `Rejected` when it belongs among the dead letters: a
    body that breaks a limit, a request that the model refuses, or any failure on the last delivery (reason = the last
    failure's code). Where the failed attempt's lease could not be let go, `Retryable.after_s` is its rest.
    """
    delivery = _read_delivery(message, call, worker.max_receives)
    record: JobRecord | None = None
    try:
        record = await _claim(delivery, call, worker)
        if record is not None:
            await _answer(record, delivery, call=call, worker=worker)
    except asyncio.CancelledError:
        await _let_go(record, delivery, worker)
        raise
    except Rejected as error:
        held_s = await _settle(record, error, delivery, worker=worker)
        if held_s and not delivery.last:
            raise Retryable("the job's end could not be written", after_s=held_s) from error
        raise
    except Exception as error:
        held_s = await _settle(record, error, delivery, worker=worker)
        if delivery.last:
            detail = f"delivered {message.receive_count} times; the last time: {_detail(error) or type(error).__name__}"
            raise Rejected(detail, reason=_letter_reason(error)) from error
        if held_s:
            raise Retryable("the attempt failed and its lease could not be let go", after_s=held_s) from error
        raise


def hash_body(body: str) -> str:
    """A request body's fingerprint: SHA-256 in hex."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _read_delivery(message: SqsMessage, call: Invocation, max_receives: int) -> _Delivery:
    caller = message.attributes.get("caller", "")
    job_id = parse_job_id(message.attributes.get("job_id", ""))
    if job_id is None or not caller or job_id.caller != caller:
        raise Rejected("the message carries no job_id that fits its caller", reason="invalid-message", field="job_id")
    return _Delivery(
        job_id=job_id.text,
        caller=caller,
        correlation_id=message.attributes.get("correlation_id", ""),
        message_id=message.message_id,
        body=message.body,
        body_sha256=hash_body(message.body),
        token=f"{message.message_id}#{message.receive_count}#{call.request_id}",
        last=message.receive_count >= max_receives,
    )


async def _answer(record: JobRecord, delivery: _Delivery, *, call: Invocation, worker: JobWorker) -> None:
    answer = await _ask(parse_job_request(delivery.body), delivery, call=call, worker=worker)
    ended = await _keep(answer, record, worker)
    if not await worker.store.replace(ended, seen=record):
        raise _Busy("another worker took the job's lease")
    count("JobsSucceeded")
    log.info("job.succeeded", job_id=record.job_id, attempt=record.attempt, spilled=bool(ended.result_key))


async def _claim(delivery: _Delivery, call: Invocation, worker: JobWorker) -> JobRecord | None:
    """The record, running under our lease; None where there is nothing to do."""
    now_ms = worker.clock.now_ms()
    fresh = JobRecord(
        job_id=delivery.job_id,
        owner=delivery.caller,
        state="running",
        body_sha256=delivery.body_sha256,
        created_ms=now_ms,
        updated_ms=now_ms,
        attempt=1,
        lease_owner=delivery.token,
        lease_until_ms=now_ms + round((call.remaining_s() + call.grace_s) * 1000) + LEASE_MARGIN_MS,
        final=delivery.last,
        problem=describe_problem("attempt-lost", "The worker stopped before it could answer"),
        correlation_id=delivery.correlation_id,
        expires_s=now_ms // 1000 + KEEP_S,
    )
    found = await worker.store.create(fresh)
    if found is None:
        return fresh
    if found.state == "running" and found.lease_owner == fresh.lease_owner:
        return found  # our own write, whose answer was lost
    if found.expires_s * 1000 <= now_ms:
        return await _take(fresh, found, worker)
    if found.body_sha256 != delivery.body_sha256:
        log.warning("job.conflict", job_id=delivery.job_id)
        await worker.store.note_conflict(delivery.job_id)
        return None
    return await _take_over(fresh, found, delivery, worker=worker)


async def _take_over(fresh: JobRecord, found: JobRecord, delivery: _Delivery, *, worker: JobWorker) -> JobRecord | None:
    if found.state == "succeeded":
        return None
    if found.state == "failed":
        _bury_again(found, delivery)
        return None
    now_ms = fresh.updated_ms
    if found.state == "running" and found.lease_until_ms > now_ms:
        raise _Busy("another worker runs this job", after_s=(found.lease_until_ms - now_ms) / 1000)
    return await _take(replace(fresh, created_ms=found.created_ms, attempt=found.attempt + 1), found, worker)


async def _take(fresh: JobRecord, found: JobRecord, worker: JobWorker) -> JobRecord:
    if await worker.store.replace(fresh, seen=found):
        return fresh
    raise _Busy("another worker was faster to claim this job")


def _bury_again(found: JobRecord, delivery: _Delivery) -> None:
    """A message that ended its job came back: its dead letter or its acknowledgement was lost, so send it again."""
    if found.lease_owner.partition("#")[0] == delivery.message_id:
        problem = found.problem or {}
        reason = str(problem.get("type", "")).rpartition("/")[2] or "attempt-lost"
        raise Rejected(str(problem.get("detail") or problem.get("title", "")), reason=reason)


async def _ask(request: JobRequest, delivery: _Delivery, *, call: Invocation, worker: JobWorker) -> Answer:
    """The model's answer, early enough that its outcome can still be written."""
    remaining_s = call.remaining_s()
    deadline = call.deadline - min(SETTLE_S, remaining_s * SETTLE_SHARE)
    question = ModelRequest(
        messages=(Message("user", request.prompt),),
        max_tokens=min(request.max_tokens or worker.max_output_tokens, worker.max_output_tokens),
        system=request.system,
        temperature=request.temperature,
    )
    context = CallContext(deadline=deadline, request_id=delivery.job_id, tenant=delivery.caller)
    try:
        async with asyncio.timeout_at(deadline):
            return await worker.provider.converse(question, context)
    except TimeoutError as error:
        raise DeadlineExceeded("the model was not done by the deadline") from error


async def _keep(answer: Answer, record: JobRecord, worker: JobWorker) -> JobRecord:
    """The succeeded record; a result too large for an item is in the blob store by then, under this attempt's key."""
    result: dict[str, object] = {
        "text": answer.text,
        "stop_reason": answer.stop_reason,
        "usage": {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens},
    }
    encoded = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    if len(json.dumps(encoded, ensure_ascii=False).encode()) > MAX_RESULT_BYTES:
        raise Rejected("the answer is larger than a reply can be (5 MB)", reason="result-too-large")
    ended = replace(_touch(record, worker.clock.now_ms()), state="succeeded", problem=None)
    body = encoded.encode()
    if len(body) <= MAX_INLINE_BYTES:
        return replace(ended, result=result)
    key = f"results/{record.owner}/{record.job_id}/{record.attempt}"
    await worker.blobs.put(key, body, content_type="application/json")
    return replace(ended, result_key=key)


async def _settle(record: JobRecord | None, error: Exception, delivery: _Delivery, *, worker: JobWorker) -> float:
    """Write what went wrong and let the lease go; how many seconds it holds all the same, where that failed.

    A write that compare-and-set refuses is no trouble of this message's: whoever holds the lease decides. One that
    fails must not hide `error`, or the message would lose its reason on its last delivery.
    """
    if record is None:
        return 0.0
    ends = delivery.last or isinstance(error, Rejected)
    count("JobsFailed" if ends else "JobAttemptsFailed")
    log.warning("job.attempt_failed", job_id=record.job_id, attempt=record.attempt, reason=_reason(error), ends=ends)
    title = "The job cannot be answered" if ends else "The last attempt failed; there will be another"
    problem = describe_problem(_reason(error), title, _detail(error))
    return await _write_end(record, "failed" if ends else "queued", problem, worker=worker)


async def _let_go(record: JobRecord | None, delivery: _Delivery, worker: JobWorker) -> None:
    """After a cancelled attempt: its message goes back untouched, and whoever gets it must not find the job held."""
    if record is None:
        return
    count("JobAttemptsFailed")
    state = "failed" if delivery.last else "queued"
    try:
        async with asyncio.timeout(LET_GO_S):
            await _write_end(record, state, record.problem, worker=worker)
    except TimeoutError:
        log.warning("job.unwritten", job_id=record.job_id)


async def _write_end(
    record: JobRecord, state: str, problem: Mapping[str, object] | None, *, worker: JobWorker
) -> float:
    """End the attempt in the record. Gives the seconds that its lease holds on because the write failed, else 0."""
    now_ms = worker.clock.now_ms()
    written = replace(_touch(record, now_ms), state=state, problem=problem)
    try:
        await worker.store.replace(written, seen=record)
    except SluicewayError as trouble:
        log.failure("job.unwritten", trouble, job_id=record.job_id)
        return max(0, record.lease_until_ms - worker.clock.now_ms()) / 1000
    return 0.0


def _touch(record: JobRecord, now_ms: int) -> JobRecord:
    """The record as written now, without a lease."""
    return replace(record, updated_ms=now_ms, lease_until_ms=0, expires_s=now_ms // 1000 + KEEP_S)


def _reason(error: Exception) -> str:
    """A stable code. A service's own codes stay in the logs: the caller of a job has no business with them."""
    if isinstance(error, ServiceError) and not isinstance(error, Misconfigured):
        return "service-unavailable" if isinstance(error, Retryable) else "internal-error"
    if isinstance(error, Rejected):
        return error.reason
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "internal-error")


def _letter_reason(error: Exception) -> str:
    """The code for a dead letter, which only we read: of a deployment's fault it names service and code."""
    if isinstance(error, ServiceMisconfigured):
        return f"{error.service}-{error.code}"
    return _reason(error)


def _detail(error: Exception) -> str:
    """The error's own words where they are ours and for callers: others quote the prompt or name resources."""
    ours = isinstance(error, SluicewayError) and not isinstance(error, ServiceError | Misconfigured)
    return str(error) if ours else ""


class _Busy(Retryable):
    """Another worker holds the job."""


_REASONS: Final[Mapping[type[Exception], str]] = {
    Throttled: "model-throttled",
    Overloaded: "model-overloaded",
    Timeout: "model-timeout",
    DeadlineExceeded: "deadline-exceeded",
    Denied: "model-denied",
    Misconfigured: "misconfigured",
    _Busy: "job-busy",
    Retryable: "service-unavailable",
}
