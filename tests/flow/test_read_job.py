"""What GET /jobs/{job_id} answers, before the worker's first write, in each state, and to whom."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.events.http import HttpReply, HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.job_status import JobDesk, read_job
from sluiceway.ports import JobRecord
from tests.fakes import EPOCH_MS, LoopClockMs, MemoryBlobStore, MemoryJobStore

RETENTION_S = 345_600
ORIGIN = "http://127.0.0.1:4603"
KEYED = "k.ann.a2V5"
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"  # AWS's own example of API Gateway's requestId
RECORD = JobRecord(
    job_id=KEYED,
    owner="ann",
    state="running",
    body_sha256="x",
    created_ms=EPOCH_MS,
    updated_ms=EPOCH_MS,
    attempt=1,
    lease_until_ms=EPOCH_MS + 1000,
    problem={"type": "/problems/attempt-lost", "title": "The worker stopped before it could answer"},
    expires_s=EPOCH_MS // 1000 + 100,
)


def get(
    record: JobRecord | None = None,
    *,
    job_id: str = KEYED,
    caller: str = "ann",
    blobs: MemoryBlobStore | None = None,
    store: MemoryJobStore | None = None,
) -> HttpReply:
    async def go() -> HttpReply:
        desk_store = store or MemoryJobStore()
        if record is not None:
            desk_store.records[record.job_id] = record
        desk = JobDesk(desk_store, blobs or MemoryBlobStore(), LoopClockMs(), RETENTION_S, ORIGIN)
        request = HttpRequest("GET", f"/jobs/{job_id}", {}, {}, {"job_id": job_id}, b"", caller, "req")
        call = Invocation("req", "read_job", "arn", deadline=asyncio.get_running_loop().time() + 5)
        return await read_job(request, call, desk)

    return run_virtual(go)


def body(reply: HttpReply) -> dict[str, Any]:
    return json.loads(reply.body)


def test_a_running_job() -> None:
    """State, attempts and the request's fingerprint, when to ask again, no caching, and the console may read it."""
    reply = get(RECORD)
    expected = {"job_id": KEYED, "state": "running", "attempts": 1, "request_sha256": "x"}
    assert (reply.status, body(reply)) == (200, expected)
    assert reply.headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "retry-after": "2",
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "retry-after",
    }


def test_a_succeeded_job_has_its_result_inline_or_from_the_blob_store() -> None:
    """The reply is the same wherever the result lay; nobody need ask again."""
    result = {"text": "Rhine — Rhône", "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2}}
    done = replace(RECORD, state="succeeded", result=result, problem=None)
    expected = {"job_id": KEYED, "state": "succeeded", "attempts": 1, "request_sha256": "x", "result": result}
    inline = get(done)
    assert (inline.status, body(inline), "retry-after" in inline.headers) == (200, expected, False)
    blobs = MemoryBlobStore()
    blobs.blobs["results/ann/k/1"] = json.dumps(result).encode()
    assert body(get(replace(done, result=None, result_key="results/ann/k/1"), blobs=blobs)) == expected


def test_a_result_that_is_no_longer_kept_is_gone() -> None:
    """A record without its blob answers 410, not an empty result."""
    reply = get(replace(RECORD, state="succeeded", result_key="results/ann/k/1"))
    assert (reply.status, body(reply)["type"]) == (410, "/problems/result-expired")


def test_a_failed_job_has_its_problem_and_a_waiting_one_its_last() -> None:
    """`failed` is an answer (200): the problem is the job's, not the request's."""
    problem = {"type": "/problems/invalid-body", "title": "The job cannot be answered", "detail": "prompt: too long"}
    failed = get(replace(RECORD, state="failed", problem=problem))
    assert (failed.status, body(failed)["state"], body(failed)["problem"]) == (200, "failed", problem)
    waiting = get(replace(RECORD, state="queued", problem=problem))
    assert (body(waiting)["problem"], waiting.headers["retry-after"]) == (problem, "2")


def test_conflicts_are_shown() -> None:
    """A key that came with another body says how often."""
    assert body(get(replace(RECORD, conflicts=2)))["conflict"] == {
        "type": "/problems/idempotency-key-reused",
        "title": "The same Idempotency-Key came with another body; the first body counts",
        "count": 2,
    }


@pytest.mark.parametrize(
    ("final", "lease_ms", "state"), [(True, -1, "failed"), (True, 1000, "running"), (False, -1, "running")]
)
def test_a_lapsed_lease_of_the_last_delivery_is_a_failure(final: bool, lease_ms: int, state: str) -> None:
    """A worker killed on the last delivery has nobody to follow it: the job reads as failed with the reason."""
    reply = get(replace(RECORD, final=final, lease_until_ms=EPOCH_MS + lease_ms))
    assert body(reply)["state"] == state
    assert body(reply).get("problem") == (RECORD.problem if state == "failed" else None)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_older_than_the_queue_keeps_messages_has_failed(state: str) -> None:
    """No message can come for it any more: it reads as failed with the last problem, not as waiting for ever."""
    old = replace(RECORD, state=state, lease_until_ms=0, created_ms=EPOCH_MS - RETENTION_S * 1000)
    assert body(get(old))["state"] == state
    assert body(get(replace(old, created_ms=old.created_ms - 1)))["state"] == "failed"
    live = replace(old, created_ms=old.created_ms - 1, lease_until_ms=EPOCH_MS + 1)
    assert body(get(live))["state"] == state


@pytest.mark.parametrize(
    ("job_id", "age_ms", "status"),
    [
        (KEYED, 0, 200),
        (f"r.ann.{{}}.{REQUEST_ID}", 0, 200),
        (f"r.ann.{{}}.{REQUEST_ID}", RETENTION_S * 1000, 200),
        (f"r.ann.{{}}.{REQUEST_ID}", RETENTION_S * 1000 + 1, 404),
        (f"r.ann.{{}}.{REQUEST_ID}", -60_001, 404),
    ],
)
def test_an_id_without_a_record(job_id: str, age_ms: int, status: int) -> None:
    """A key may always wait; a request's id may wait as long as the queue keeps messages, and is unknown after."""
    named = job_id.format(EPOCH_MS - age_ms)
    reply = get(job_id=named)
    assert reply.status == status
    expected: dict[str, Any] = {"job_id": named, "state": "queued"}
    if status == 404:
        expected = {"type": "/problems/job-not-found", "title": "There is no such job", "status": 404}
    assert body(reply) == expected


@pytest.mark.parametrize(
    ("job_id", "caller"),
    [
        (KEYED, "bob"),
        (KEYED, ""),
        ("k.bob.a2V5", "ann"),
        ("", "ann"),
        ("nonsense", "ann"),
        ("k.ann.a2V5\n", "ann"),
        ("k.ann.../x", "ann"),
        ("k.ann." + "x" * 1100, "ann"),
        (f"r.ann.xyz.{REQUEST_ID}", "ann"),
        (f"r.ann.{EPOCH_MS}.b1", "ann"),
        (f"r.ann.{EPOCH_MS}.{REQUEST_ID.upper()}", "ann"),
        (f"r.ann.{EPOCH_MS}.{REQUEST_ID}0", "ann"),
        (f"r.ann.{EPOCH_MS}.{REQUEST_ID.replace('-', '')}", "ann"),
    ],
)
def test_unknown_malformed_and_other_peoples_ids_look_the_same(job_id: str, caller: str) -> None:
    """404 with the same body, so that nobody learns whether a job exists."""
    reply = get(RECORD, job_id=job_id, caller=caller)
    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert body(reply) == {"type": "/problems/job-not-found", "title": "There is no such job", "status": 404}


def test_a_request_id_that_a_client_chose_is_known_by_its_record_alone() -> None:
    """The console's test and a client's own X-Amzn-RequestId are no UUIDs: such a job can be read, not guessed."""
    named = f"r.ann.{EPOCH_MS}.test-invoke-request"
    assert get(job_id=named).status == 404
    assert body(get(replace(RECORD, job_id=named), job_id=named))["state"] == RECORD.state


def test_an_expired_record_is_no_record() -> None:
    """TTL deletes late; a record past its time is not shown."""
    assert body(get(replace(RECORD, expires_s=EPOCH_MS // 1000))) == {"job_id": KEYED, "state": "queued"}


def test_a_table_that_is_away_is_503_with_retry_after() -> None:
    """The client is told to ask again, never that the job is gone."""
    store = MemoryJobStore()
    store.trouble.next_before = 1
    reply = get(store=store)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")


def test_a_table_that_hangs_is_503_at_the_deadline() -> None:
    """The deadline ends the wait."""
    store = MemoryJobStore()
    store.trouble.latency_s = 1000.0
    assert get(store=store).status == 503
