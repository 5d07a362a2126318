"""Results that do not fit a record: put into the bucket by the worker, got by `read_job`, told apart when gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.local.conftest import ApiReply, RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

# The scripted model's token takes the white space before it along: 400 tokens, within the 512 that a job may have.
LONG = (" " * 999 + "w") * 400
THROTTLED = [{"call": call, "kind": "throttled"} for call in range(3)]  # all attempts of the first delivery
DONE_S = 60


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose model refuses its first three calls and then has much to say."""
    folder = tmp_path_factory.mktemp("spilled")
    script = folder / "script.json"
    script.write_text(json.dumps({"replies": [{"contains": "long", "text": LONG}], "faults": THROTTLED}))
    running = start_cloud(folder / "state", "--model", f"scripted:{script}")
    yield running
    running.sluiceway("down")


@pytest.fixture(scope="module")
def answered(cloud: RunningCloud) -> ApiReply:
    """What `GET` answers for the one job of these tests once it has ended."""
    token = cloud.token()
    path = call_api(cloud.api, "POST", "jobs", token=token, body={"prompt": "A long one"}).json()["status_url"]
    end = time.monotonic() + DONE_S
    while time.monotonic() < end:
        reply = call_api(cloud.api, "GET", path, token=token)
        if reply.json()["state"] in {"succeeded", "failed"}:
            return reply
        time.sleep(0.1)
    pytest.fail(f"the job did not end within {DONE_S} s: {reply.json()}")


def calls_of(cloud: RunningCloud, action: str) -> set[tuple[str, bool]]:
    """Which functions made the call, and whether their roles allowed it."""
    lines = [json.loads(line) for line in (cloud.state / "calls.jsonl").read_text().splitlines()]
    return {(line["function"], line["allowed"]) for line in lines if line["action"] == action}


def bucket_of(cloud: RunningCloud) -> Any:
    """The results bucket, as its owner sees it."""
    session = boto3.Session("developer", "x", region_name="us-east-1")
    s3 = session.resource("s3", endpoint_url=cloud.status["endpoints"]["aws"])
    return s3.Bucket(cloud.status["outputs"]["ResultsBucketName"])


def test_a_result_over_the_item_limit_is_read_whole(cloud: RunningCloud, answered: ApiReply) -> None:
    """400,000 bytes come back as they were said; the worker's role may put the object, the reader's may get it."""
    job = answered.json()
    assert (job["state"], job["result"]["text"] == LONG, job["result"]["stop_reason"]) == (
        "succeeded",
        True,
        "end_turn",
    )
    assert calls_of(cloud, "s3:PutObject") == {("sluiceway-GenerateAnswer", True)}
    assert calls_of(cloud, "s3:GetObject") == {("sluiceway-ReadJob", True)}
    (stored,) = bucket_of(cloud).objects.all()
    owner = job["job_id"].split(".")[1]
    assert (stored.key, stored.size > 340_000) == (f"results/{owner}/{job['job_id']}/2", True)


def test_a_throttled_delivery_is_handed_back_by_the_worker(cloud: RunningCloud, answered: ApiReply) -> None:
    """The second delivery came within seconds, not after the visibility timeout: the role may change it."""
    assert answered.json()["attempts"] == 2
    assert calls_of(cloud, "sqs:ChangeMessageVisibility") == {("sluiceway-GenerateAnswer", True)}


def test_a_result_that_is_gone_is_410(cloud: RunningCloud, answered: ApiReply) -> None:
    """`read_job` may list the bucket, so S3 says NoSuchKey and not AccessDenied, and the client is told the truth."""
    bucket_of(cloud).objects.all().delete()
    gone = call_api(cloud.api, "GET", f"jobs/{answered.json()['job_id']}", token=cloud.token())
    assert (gone.status, gone.headers["content-type"]) == (410, "application/problem+json")
    assert gone.json() == {
        "type": "/problems/result-expired",
        "title": "The job's result is no longer kept",
        "status": 410,
    }
