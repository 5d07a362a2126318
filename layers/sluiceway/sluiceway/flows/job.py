"""One job from the queue: queued -> running -> succeeded | failed, under a key that one worker holds at a time.

Owns the job's states under at-least-once delivery. Who may run a job is the guard's to say (`sluiceway.idempotency`);
the record is what GET reads, written by compare-and-set so that nothing late undoes what is newer. The record is
written before the key: it says how a job ended when the key says that it did. The claim already holds the problem that
stands if nobody ever writes again, so even a killed worker leaves its reason. An attempt that fails or is cancelled
lets both go, so that its message may come back soon. The first body seen for an id wins; another body is counted as a
conflict. On its last delivery a message that still fails ends its job as `failed` and goes to the dead-letter queue
with the reason, because the queue's own redrive attaches none. Must not know AWS.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import DeadlineExceeded, Rejected, Retryable, SluicewayError
from sluiceway.events.http import describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import SqsMessage
from sluiceway.flows.job_end import (
    IN_DOUBT,
    KEEP_S,
    Busy,
    JobEnd,
    OtherBody,
    bury,
    detail_of,
    end_of,
    reason_of,
)
from sluiceway.genai.provider import Answer, CallContext, Message, ModelProvider, ModelRequest
from sluiceway.idempotency import Conflict, Fresh, Guard, InDoubt, InProgress, Replayed
from sluiceway.idempotency.outcomes import result_of
from sluiceway.ports import BlobStore, Clock, IdempotencyStore, JobRecord, JobStore
from sluiceway.rules.jobs import JobRequest, parse_job_id, parse_job_request
from sluiceway.steps.metrics import count

__all__ = ["JobWorker", "hash_body", "run_job"]

LEASE_MARGIN_MS: Final = 5_000  # clocks of two workers differ, and a cancelled flow needs a moment to end
SETTLE_S: Final = 1.5  # kept of the invocation for writing the outcome
SETTLE_SHARE: Final = 0.25  # never more than this share of a short invocation
LET_GO_S: Final = 0.15  # for a cancelled attempt to write its record; then its key is freed, and the caller waits
MAX_DETAIL: Final = 1_000  # characters of a failure that its key keeps
MAX_INLINE_BYTES: Final = 340_000  # the item stays below 350 KB, DynamoDB's limit is 400 KB
MAX_RESULT_BYTES: Final = 5_000_000  # as the reply carries it, JSON within JSON; a Lambda reply has 6 MB at most


@dataclass(frozen=True, slots=True)
class JobWorker:
    """What running a job needs. `max_receives` is the queue's maxReceiveCount (at least 1).

    `keys` says which worker may run a job, in one Region or several; `guard` (`make_job_guard`), what a crash leaves.
    """

    store: JobStore
    blobs: BlobStore
    provider: ModelProvider
    clock: Clock
    max_output_tokens: int
    max_receives: int
    keys: IdempotencyStore
    guard: Guard[JobEnd]


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery of a job's message. `token` names this delivery in this invocation and no other."""

    job_id: str
    caller: str
    correlation_id: str
    message_id: str
    receive_count: int
    body: str
    body_sha256: str
    token: str
    last: bool


class _Held(NamedTuple):
    """A delivery whose worker holds the job's key. `failures` takes the error that ended the job, as it was raised."""

    delivery: _Delivery
    call: Invocation
    worker: JobWorker
    failures: list[Exception]


async def run_job(message: SqsMessage, *, call: Invocation, worker: JobWorker) -> None:
    """Bring the job of `message` forward; returns when the message is done with.

    Raises `Retryable` or `Misconfigured` when it must go back, `Rejected` when it belongs among the dead letters: a
    body that breaks a limit, a request that the model refuses, a job in doubt (`idempotency-in-doubt`), or any failure
    on the last delivery (reason = the last failure's code).
    """
    delivery = _read_delivery(message, call, worker.max_receives)
    try:
        await _run_once(delivery, call, worker)
    except Rejected:
        raise
    except Exception as error:
        if delivery.last:
            raise bury(error, delivery.receive_count) from error
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
        receive_count=message.receive_count,
        body=message.body,
        body_sha256=hash_body(message.body),
        token=f"{message.message_id}#{message.receive_count}#{call.request_id}",
        last=message.receive_count >= max_receives,
    )


# ------------------------------------------------------------ the key


async def _run_once(delivery: _Delivery, call: Invocation, worker: JobWorker) -> None:
    held = _Held(delivery, call, worker, [])
    try:
        outcome = await worker.guard.run(delivery, lambda: _work(held), store=worker.keys, deadline=call.deadline)
    except OtherBody:
        outcome = Conflict(delivery.job_id)
    if isinstance(outcome, Fresh):
        if held.failures:
            raise held.failures[0]
        _bury_again(outcome.value, delivery)
    elif isinstance(outcome, Replayed):
        _replay(outcome.value, delivery, worker)
    elif isinstance(outcome, Conflict):
        await _note_conflict(delivery, worker)
    elif isinstance(outcome, InProgress):
        result_of(outcome, now_ms=worker.clock.now_ms())
    else:
        await _settle_doubt(outcome, delivery, call=call, worker=worker)


def _replay(end: JobEnd, delivery: _Delivery, worker: JobWorker) -> None:
    if end.expires_s * 1000 <= worker.clock.now_ms():
        raise Busy("the job's record has expired, and its key has not yet")
    _bury_again(end, delivery)


def _bury_again(end: JobEnd, delivery: _Delivery) -> None:
    """A message that ended its job came back: its dead letter or its acknowledgement was lost, so send it again."""
    if end.state == "failed" and end.message_id == delivery.message_id:
        raise Rejected(end.detail, reason=end.reason)


async def _note_conflict(delivery: _Delivery, worker: JobWorker) -> None:
    found = await worker.store.get(delivery.job_id)
    if found is None or found.expires_s * 1000 <= worker.clock.now_ms():
        raise Busy("the key is another body's, and that one's record is not there")
    log.warning("job.conflict", job_id=delivery.job_id)
    await worker.store.note_conflict(delivery.job_id)


async def _settle_doubt(doubt: InDoubt, delivery: _Delivery, *, call: Invocation, worker: JobWorker) -> None:
    """Go by the record where it has an end. Else end the job in doubt, or let the message come back where time helps.

    Raises Busy, LeftInDoubt, NotRecorded, Parked, Rejected.
    """
    found = await worker.store.get(delivery.job_id)
    now_ms = worker.clock.now_ms()
    if found is not None and found.expires_s * 1000 > now_ms:
        if found.body_sha256 != delivery.body_sha256:
            await _note_conflict(delivery, worker)
            return
        end = end_of(found)
        if end is not None:
            _bury_again(end, delivery)
            return
    else:
        found = None
    if doubt.why in {"lapsed", "fenced"} and not await _end_in_doubt(found, delivery, call=call, worker=worker):
        raise Busy("another worker wrote the job's record")
    result_of(doubt, now_ms=now_ms)


async def _end_in_doubt(found: JobRecord | None, delivery: _Delivery, *, call: Invocation, worker: JobWorker) -> bool:
    """Whether the record is `failed` now by this delivery, whose letter says the same."""
    base = _touch(found or _make_record(delivery, call, worker), worker.clock.now_ms())
    problem = describe_problem(IN_DOUBT, "An earlier attempt began, and nobody knows whether it ended")
    failed = replace(base, state="failed", lease_owner=delivery.token, problem=problem)
    if found is None:
        written = await worker.store.create(failed) is None
    else:
        written = await worker.store.replace(failed, seen=found)
    if written:
        count("JobsFailed")
        count("JobsInDoubt")
        log.warning("job.in_doubt", job_id=delivery.job_id, attempt=failed.attempt)
    return written


# ------------------------------------------------------------ the work, by whoever holds the key


async def _work(held: _Held) -> JobEnd:
    """The job's end: made now, or found in its record. Raises what keeps it from ending, with its record let go."""
    record: JobRecord | None = None
    try:
        found = await _claim(held)
        if isinstance(found, JobEnd):
            return found
        record = found
        return await _answer(record, held)
    except asyncio.CancelledError:
        await _let_go(record, held)
        raise
    except Exception as error:
        end = None if record is None else await _settle(record, error, held)
        if end is not None:
            return end
        if record is not None and isinstance(error, Rejected) and not held.delivery.last:
            raise Retryable("the job's end could not be written") from error
        raise


async def _answer(record: JobRecord, held: _Held) -> JobEnd:
    worker = held.worker
    answer = await _ask(parse_job_request(held.delivery.body), held.delivery, call=held.call, worker=worker)
    ended = await _keep(answer, record, worker)
    if not await worker.store.replace(ended, seen=record):
        raise Busy("another worker wrote the job's record")
    count("JobsSucceeded")
    log.info("job.succeeded", job_id=record.job_id, attempt=record.attempt, spilled=bool(ended.result_key))
    return JobEnd("succeeded", ended.expires_s, held.delivery.message_id)


def _make_record(delivery: _Delivery, call: Invocation, worker: JobWorker) -> JobRecord:
    """A first attempt's record, running."""
    now_ms = worker.clock.now_ms()
    return JobRecord(
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


async def _claim(held: _Held) -> JobRecord | JobEnd:
    """The record, running as ours, or the end that it has. A lease in it is of nobody: the key would not be ours."""
    delivery, worker = held.delivery, held.worker
    fresh = _make_record(delivery, held.call, worker)
    found = await worker.store.create(fresh)
    if found is None:
        return fresh
    if found.state == "running" and found.lease_owner == fresh.lease_owner:
        return found  # our own write, whose answer was lost
    if found.expires_s * 1000 <= fresh.updated_ms:
        return await _take(fresh, found, worker)
    if found.body_sha256 != delivery.body_sha256:
        raise OtherBody
    end = end_of(found)
    if end is not None:
        return end
    return await _take(replace(fresh, created_ms=found.created_ms, attempt=found.attempt + 1), found, worker)


async def _take(fresh: JobRecord, found: JobRecord, worker: JobWorker) -> JobRecord:
    if await worker.store.replace(fresh, seen=found):
        return fresh
    raise Busy("another worker was faster to claim this job")


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


async def _settle(record: JobRecord, error: Exception, held: _Held) -> JobEnd | None:
    """Write what went wrong. The job's end, where it has one now: this one, or one that somebody else wrote; else None.

    A write that fails must not hide `error`, or the message would lose its reason on its last delivery.
    """
    delivery, worker = held.delivery, held.worker
    ends = delivery.last or isinstance(error, Rejected)
    count("JobsFailed" if ends else "JobAttemptsFailed")
    log.warning("job.attempt_failed", job_id=record.job_id, attempt=record.attempt, reason=reason_of(error), ends=ends)
    title = "The job cannot be answered" if ends else "The last attempt failed; there will be another"
    problem = describe_problem(reason_of(error), title, detail_of(error))
    written = replace(_touch(record, worker.clock.now_ms()), state="failed" if ends else "queued", problem=problem)
    try:
        if not await worker.store.replace(written, seen=record):
            found = await worker.store.get(record.job_id)
            return None if found is None or found.body_sha256 != record.body_sha256 else end_of(found)
    except SluicewayError as trouble:
        log.failure("job.unwritten", trouble, job_id=record.job_id)
        return None
    if not ends:
        return None
    letter = error
    if not isinstance(letter, Rejected):
        letter = bury(error, delivery.receive_count)
        letter.__cause__ = error
    held.failures.append(letter)
    return JobEnd("failed", written.expires_s, delivery.message_id, letter.reason, str(letter)[:MAX_DETAIL])


async def _let_go(record: JobRecord | None, held: _Held) -> None:
    """After a cancelled attempt: its message goes back untouched, and whoever asks must not be told that it runs."""
    if record is None:
        return
    count("JobAttemptsFailed")
    written = _touch(record, held.worker.clock.now_ms())
    try:
        async with asyncio.timeout(LET_GO_S):
            state = "failed" if held.delivery.last else "queued"
            await held.worker.store.replace(replace(written, state=state), seen=record)
    except (SluicewayError, TimeoutError) as trouble:
        log.failure("job.unwritten", trouble, job_id=record.job_id)


def _touch(record: JobRecord, now_ms: int) -> JobRecord:
    """The record as written now, without a lease."""
    return replace(record, updated_ms=now_ms, lease_until_ms=0, expires_s=now_ms // 1000 + KEEP_S)
