"""Workers killed in the middle of their work, over real processes: every job ends once, none is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.local.conftest import ROOT, RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

JOBS = 50
POISON_EVERY = 10
KILLS = 12
END_S = 150


def _impatient_template(folder: Path) -> Path:
    """template.yaml with a worker that has 6 s, messages that come back after 6 s, and a small batch."""
    text = (ROOT / "template.yaml").read_text()
    changed = (
        text.replace("VisibilityTimeout: 360  # at least 6 x the worker's Timeout", "VisibilityTimeout: 6")
        .replace("Timeout: 60\n", "Timeout: 6\n")
        .replace('QUEUE_VISIBILITY_S: "360"', 'QUEUE_VISIBILITY_S: "6"')
        .replace("BatchSize: 10\n", "BatchSize: 3\n")
    )
    assert changed.count("Timeout: 6\n") == 4  # queue, worker, filter_records; switch_region is in a pair only
    assert 'QUEUE_VISIBILITY_S: "6"' in changed
    assert "BatchSize: 3\n" in changed
    folder.mkdir()
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "template.yaml").write_text(changed)
    return folder / "template.yaml"


def _script(path: Path) -> Path:
    """A model of about a second an answer that throttles, fails and breaks off now and then."""
    faults = [
        {"every": 7, "kind": "throttled"},
        {"every": 11, "kind": "unavailable", "after_tokens": 4},
    ]
    path.write_text(json.dumps({"seed": 5, "first_token_s": 0.4, "token_s": 0.02, "faults": faults}))
    return path


def _submit(cloud: RunningCloud, token: str, number: int) -> str:
    """Every tenth is poison: half a surrogate pair, which the API cannot tell from text and the worker refuses."""
    body = {"prompt": f"Job {number} & more" if number % POISON_EVERY else "\ud800", "max_tokens": 48}
    reply = call_api(cloud.api, "POST", "jobs", token=token, body=body, idempotency_key=f"kill-{number}")
    assert reply.status == 202, reply
    return reply.json()["job_id"]


def _state(cloud: RunningCloud, token: str, job_id: str) -> dict[str, Any]:
    """What the API says of a job; who asks faster than the stage allows waits as long as it is told to."""
    while (reply := call_api(cloud.api, "GET", f"jobs/{job_id}", token=token)).status == 429:
        time.sleep(float(reply.headers["retry-after"]))
    assert reply.status == 200, reply
    return reply.json()


def test_every_job_ends_once_though_workers_are_killed(tmp_path: Path) -> None:
    """50 jobs, a dozen SIGKILLs at seeded moments, a model that fails: each job ends succeeded or failed, exactly once.

    Each failed job has a dead letter, which carries its reason, or its job's record does.
    """
    chance = random.Random(20261123)
    template = _impatient_template(tmp_path / "app")
    script = _script(tmp_path / "script.json")
    cloud = start_cloud(tmp_path / "state", "--model", f"scripted:{script}", "--template", str(template))
    try:
        token = cloud.token()
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda number: _submit(cloud, token, number), range(JOBS)))
        assert len(set(jobs)) == JOBS
        killed, ends = 0, time.monotonic() + END_S
        open_jobs = set(jobs)
        while open_jobs:
            assert time.monotonic() < ends, [_state(cloud, token, job) for job in sorted(open_jobs)[:3]]
            workers = cloud.processes("sluiceway-GenerateAnswer")
            if killed < KILLS and workers and chance.random() < 0.5:
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1
            open_jobs = {job for job in open_jobs if _state(cloud, token, job)["state"] not in {"succeeded", "failed"}}
        states = {job: _state(cloud, token, job) for job in jobs}
        assert killed == KILLS
        assert sum(state["state"] == "succeeded" for state in states.values()) > JOBS // 2
        for job, state in states.items():
            assert ("result" in state) != ("problem" in state and state["state"] == "failed"), (job, state)
        _each_ended_once(cloud, jobs)
        failed = {job: state for job, state in states.items() if state["state"] == "failed"}
        assert {job for number, job in enumerate(jobs) if number % POISON_EVERY == 0} <= set(failed)
        _each_failure_left_its_reason(cloud, failed)
    finally:
        cloud.sluiceway("down")


def _each_ended_once(cloud: RunningCloud, jobs: list[str]) -> None:
    """The worker's log has at most one success for each job: a killed worker may not have written its line."""
    log = Path(cloud.status["logs"]["sluiceway-GenerateAnswer"]).read_text()
    ended: dict[str, int] = {}
    for line in log.splitlines():
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("message") == "job.succeeded":
            ended[record["job_id"]] = ended.get(record["job_id"], 0) + 1
    assert set(ended) <= set(jobs)
    assert set(ended.values()) == {1}


def _each_failure_left_its_reason(cloud: RunningCloud, failed: dict[str, dict[str, Any]]) -> None:
    """The letter comes after the record; a worker that is killed between the two leaves it to the next delivery."""
    keys = {"aws_access_key_id": "developer", "aws_secret_access_key": "x"}
    sqs = boto3.client("sqs", endpoint_url=cloud.status["endpoints"]["aws"], region_name="us-east-1", **keys)
    url = cloud.status["outputs"]["JobsDeadLettersUrl"]
    buried: set[str] = set()
    ends = time.monotonic() + END_S
    while not set(failed) <= buried:
        assert time.monotonic() < ends, set(failed) - buried
        found = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            VisibilityTimeout=3600,
        )
        for letter in found.get("Messages", []):
            told = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
            buried.add(told["job_id"])
            assert told.get("reason") or failed[told["job_id"]]["problem"], told
    reasons = {state["problem"]["type"] for state in failed.values()}
    assert "/problems/invalid-body" in reasons
