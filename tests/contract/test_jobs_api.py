"""The HTTP contract of buffered generation: the same assertions on the local cloud and on a deployed stack.

Needs API_URL (the stack's ApiUrl output) and TOKEN (a bearer token); OTHER_TOKEN (another caller's) adds the ownership
cases. Skipped, visibly, where API_URL is not set; tests/local runs them against the local cloud.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

API_URL = os.environ.get("API_URL", "")
TOKEN = os.environ.get("TOKEN", "")
OTHER_TOKEN = os.environ.get("OTHER_TOKEN", "")
JOB_S = float(os.environ.get("JOB_TIMEOUT_S", "60"))

pytestmark = pytest.mark.skipif(not API_URL, reason="API_URL names no stack; tests/local runs these on the local cloud")


@dataclass(frozen=True)
class Reply:
    """One HTTP reply, headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(method: str, path: str, *, body: bytes | None = None, token: str = TOKEN, **headers: str) -> Reply:
    """One request to the API; `headers` in snake case."""
    parts = urlsplit(API_URL)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, f"{parts.path}/{path}", body=body, headers=sent)
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def submit(prompt: str, **headers: str) -> Reply:
    """POST one prompt."""
    body = json.dumps({"prompt": prompt, "max_tokens": 32}, ensure_ascii=False).encode()
    return call("POST", "jobs", body=body, content_type="application/json", **headers)


def finished(job_id: str) -> Any:
    """The job once it has ended, polled as the API asks (Retry-After), at most JOB_S seconds."""
    ends = time.monotonic() + JOB_S
    while time.monotonic() < ends:
        reply = call("GET", f"jobs/{job_id}")
        assert reply.status == 200, reply
        if reply.json()["state"] in {"succeeded", "failed"}:
            return reply.json()
        assert reply.headers["retry-after"].isdigit()
        time.sleep(0.1)
    pytest.fail(f"job {job_id} did not end in {JOB_S} s: {reply.json()}")


def test_a_prompt_is_accepted_at_once_and_answered() -> None:
    """POST answers 202 with a job id and a relative status URL; GET ends with the text and its usage."""
    reply = submit("Name three rivers & say why.")
    assert reply.status == 202, reply
    accepted = reply.json()
    assert urljoin(f"{API_URL}/jobs", accepted["status_url"]) == f"{API_URL}/jobs/{accepted['job_id']}"
    job = finished(accepted["job_id"])
    assert job["state"] == "succeeded"
    assert job["result"]["text"].strip()
    assert job["result"]["usage"]["output_tokens"] >= 1


def test_a_repeated_post_is_one_job() -> None:
    """The same Idempotency-Key gives the same id; another key, or none, another one."""
    key = f"contract-{uuid.uuid4()}"
    first, second = submit("Say hello.", idempotency_key=key), submit("Say hello.", idempotency_key=key)
    other, none = submit("Say hello.", idempotency_key=f"{key}-b"), submit("Say hello.")
    ids = [reply.json()["job_id"] for reply in (first, second, other, none)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert finished(ids[0])["state"] == "succeeded"


def test_a_key_reused_with_another_body_keeps_the_first_and_shows_the_conflict() -> None:
    """The first payload wins; the job tells that another came."""
    key = f"contract-{uuid.uuid4()}"
    job_id = submit("First body.", idempotency_key=key).json()["job_id"]
    first = finished(job_id)
    submit("Second body.", idempotency_key=key)
    ends = time.monotonic() + JOB_S
    while not (job := call("GET", f"jobs/{job_id}").json()).get("conflict"):
        assert time.monotonic() < ends, job
        time.sleep(0.1)
    assert job["result"] == first["result"]


@pytest.mark.parametrize("key", ["", "x" * 129])
def test_a_key_outside_its_limit_is_refused_by_name(key: str) -> None:
    """An empty key and one of 129 characters are a 400 that names the header and the limit."""
    reply = submit("Say hello.", idempotency_key=key)
    assert reply.status == 400, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json()["type"] == "/problems/invalid-idempotency-key"
    assert "128" in reply.json()["title"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"prompt": ""}',
        b'{"prompt": 7}',
        b'{"prompt": "%s"}' % (b"x" * 262_145),
        b'{"prompt": "x", "max_tokens": 0}',
        b'{"prompt": "x", "colour": "red"}',
    ],
)
def test_a_body_outside_the_schema_is_refused_with_every_fields_limit(body: bytes) -> None:
    """The request model refuses before the queue; the problem has every field's limit and repeats nothing."""
    reply = call("POST", "jobs", body=body, content_type="application/json")
    assert reply.status == 400, reply
    assert reply.json()["type"] == "/problems/invalid-body"
    assert reply.json()["fields"]["prompt"] == "text of 1 to 262144 characters, required"
    assert "xxx" not in str(reply.json())


@pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
def test_characters_that_a_queue_cannot_carry_are_refused_by_name(character: str) -> None:
    """Raw, they are a 400 that says what to do; as JSON escapes they are accepted."""
    reply = submit(f"before{character}after")
    assert reply.status == 400, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json()["type"] == "/problems/invalid-characters"
    assert "escapes" in reply.json()["detail"]
    escaped = json.dumps({"prompt": f"before{character}after", "max_tokens": 1}).encode()
    assert call("POST", "jobs", body=escaped, content_type="application/json").status == 202


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f"])
def test_raw_control_characters_are_no_json(character: str) -> None:
    """JSON has them as escapes only: never a 5xx, never accepted."""
    body = f'{{"prompt": "before{character}after"}}'.encode()
    reply = call("POST", "jobs", body=body, content_type="application/json")
    assert reply.status == 400, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json()["type"] in {"/problems/invalid-body", "/problems/invalid-characters"}


def test_a_request_larger_than_a_message_is_too_large() -> None:
    """262,144 characters are allowed, but not as 1 MiB of emoji: a message counts bytes."""
    reply = submit("😀" * 262_144)
    assert reply.status == 413, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json()["type"] == "/problems/too-large"


def test_another_content_type_is_refused() -> None:
    """Only application/json passes."""
    reply = call("POST", "jobs", body=b"prompt=x", content_type="text/plain")
    assert reply.status == 415, reply


@pytest.mark.parametrize("token", ["", "not-a-token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."])
def test_no_route_answers_without_a_good_token(token: str) -> None:
    """Without a token, or with one that is not ours, both routes are a 401 problem."""
    for reply in (
        call("POST", "jobs", body=b'{"prompt":"x"}', content_type="application/json", token=token),
        call("GET", "jobs/k.x.y", token=token),
    ):
        assert reply.status == 401, reply
        assert reply.json()["type"] == "/problems/unauthorized"


def test_unknown_jobs_are_not_found() -> None:
    """An id that the API never makes, and another caller's, are the same 404."""
    foreign = f"k.{'A' * 22}.a2V5"
    replies = [call("GET", f"jobs/{job}") for job in ("nothing", foreign, f"r.{'A' * 22}.1795401687000.x")]
    assert [reply.status for reply in replies] == [404, 404, 404]
    assert {reply.json()["type"] for reply in replies} == {"/problems/job-not-found"}


@pytest.mark.skipif(not OTHER_TOKEN, reason="OTHER_TOKEN names no second caller")
def test_a_job_belongs_to_its_caller() -> None:
    """The same key of two callers makes two jobs, and neither sees the other's."""
    key = f"contract-{uuid.uuid4()}"
    mine = submit("Say hello.", idempotency_key=key).json()["job_id"]
    body = b'{"prompt":"Say hello.","max_tokens":32}'
    theirs = call("POST", "jobs", body=body, token=OTHER_TOKEN, content_type="application/json", idempotency_key=key)
    assert theirs.json()["job_id"] != mine
    assert call("GET", f"jobs/{mine}", token=OTHER_TOKEN).status == 404


def test_a_hostile_prompt_of_200_kilobytes_arrives_byte_for_byte() -> None:
    """Ampersands, pluses, percents, quotes, newlines and emoji reach the worker as they were sent.

    The fingerprint of the body that the worker got is the proof; the same body sent again with the same key makes no
    second job.
    """
    key = f"contract-{uuid.uuid4()}"
    prompt = ("a&b=c+d%20e\"'\\\n\r\t€😀Action=SendMessage&MessageBody=x " * 4000)[:200_000]
    assert len(prompt.encode()) >= 200_000
    body = json.dumps({"prompt": prompt, "max_tokens": 1}, ensure_ascii=False).encode()
    headers = {"content_type": "application/json", "idempotency_key": key}
    job_id = call("POST", "jobs", body=body, **headers).json()["job_id"]
    ended = finished(job_id)
    assert ended["request_sha256"] == hashlib.sha256(body).hexdigest()
    assert call("POST", "jobs", body=body, **headers).json()["job_id"] == job_id
    assert "conflict" not in finished(job_id)


def test_the_console_may_call_and_nobody_else() -> None:
    """CORS names exactly one origin, on preflight and on answers."""
    preflight = call("OPTIONS", "jobs", token="", origin="https://example.org", access_control_request_method="POST")
    assert preflight.status == 200
    allowed = preflight.headers["access-control-allow-origin"]
    assert allowed not in {"*", "https://example.org"}
    assert call("GET", "jobs/nothing").headers["access-control-allow-origin"] == allowed
    assert call("GET", "jobs/nothing", token="").headers["access-control-allow-origin"] == allowed
