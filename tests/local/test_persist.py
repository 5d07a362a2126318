"""`sluiceway up --persist`: the whole cloud killed in the middle of its work, and nothing that it answered is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.local.conftest import ROOT, RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

JOBS = 16
END_S = 90
RESULT = "results/kept & safe"


def _patient(found: Callable[[], Any], what: str) -> None:
    """Look until `found` is true."""
    ends = time.monotonic() + END_S
    while not found():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def _template(folder: Path) -> Path:
    """template.yaml with messages that come back 6 s after their worker is gone, and small batches."""
    text = (ROOT / "template.yaml").read_text()
    changed = (
        text.replace("VisibilityTimeout: 360  # at least 6 x the worker's Timeout", "VisibilityTimeout: 6")
        .replace("Timeout: 60\n", "Timeout: 6\n")
        .replace("BatchSize: 10\n", "BatchSize: 2\n")
    )
    assert changed.count("Timeout: 6\n") == 4  # queue, worker, filter_records; switch_region is in a pair only
    assert "BatchSize: 2\n" in changed
    folder.mkdir()
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "template.yaml").write_text(changed)
    return folder / "template.yaml"


def _options(tmp_path: Path, template: Path) -> list[str]:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"seed": 5, "first_token_s": 1.5, "token_s": 0.02}))
    persist = ["--persist", str(tmp_path / "keep")]
    return [*persist, "--model", f"scripted:{script}", "--template", str(template)]


def _s3(cloud: RunningCloud) -> Any:
    keys = {"aws_access_key_id": "me", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=cloud.status["endpoints"]["aws"], config=config, **keys)


def _processes(endpoint: str) -> list[int]:
    """The processes of functions that call the cloud at `endpoint`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"AWS_ENDPOINT_URL={endpoint}".encode() in variables and any(
                variable.startswith(b"AWS_LAMBDA_FUNCTION_NAME=") for variable in variables
            ):
                found.append(int(entry.name))
    return found


def _states(cloud: RunningCloud, token: str, jobs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for job in jobs:
        reply = call_api(cloud.api, "GET", f"jobs/{job}", token=token)
        assert reply.status == 200, reply
        found[job] = reply.json()["state"]
    return found


def _until_one_runs(cloud: RunningCloud, token: str, jobs: list[str]) -> None:
    """A look at a job takes a moment, a job does as well: so the looking ends with the first that runs."""
    _patient(lambda: any(_states(cloud, token, [job])[job] == "running" for job in jobs), "no job ever ran")


def _submit(cloud: RunningCloud, token: str, number: int) -> str:
    body = {"prompt": f"Job {number} & more", "max_tokens": 32}
    reply = call_api(cloud.api, "POST", "jobs", token=token, body=body, idempotency_key=f"persist-{number}")
    assert reply.status == 202, reply
    return reply.json()["job_id"]


def _kill(cloud: RunningCloud) -> None:
    """SIGKILL; afterwards its functions' processes end as well."""
    endpoint, pid = cloud.status["endpoints"]["aws"], cloud.status["pid"]
    assert _processes(endpoint)
    os.kill(pid, signal.SIGKILL)
    _patient(lambda: not _processes(endpoint), "processes of functions survived their cloud")


def test_a_killed_cloud_loses_nothing_it_answered(tmp_path: Path) -> None:
    """Jobs accepted before SIGKILL all end after the next `up`, with the object that was put; twice over."""
    options = _options(tmp_path, _template(tmp_path / "app"))
    cloud = start_cloud(tmp_path / "state", *options)
    try:
        bucket = cloud.status["outputs"]["ResultsBucketName"]
        _s3(cloud).put_object(Bucket=bucket, Key=RESULT, Body=b"\0kept", ContentType="text/x", Metadata={"a": "b"})
        token = cloud.token()
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda number: _submit(cloud, token, number), range(JOBS)))
        for _ in range(2):
            _until_one_runs(cloud, token, jobs)
            _kill(cloud)
            cloud = start_cloud(tmp_path / "state", *options)
        open_jobs = set(jobs)

        def all_ended() -> bool:
            nonlocal open_jobs
            states = _states(cloud, token, sorted(open_jobs))
            open_jobs = {job for job, state in states.items() if state not in {"succeeded", "failed"}}
            return not open_jobs

        _patient(all_ended, f"jobs never ended: {open_jobs}")
        assert set(_states(cloud, token, jobs).values()) == {"succeeded"}
        told = _s3(cloud).get_object(Bucket=bucket, Key=RESULT)
        assert (told["Body"].read(), told["ContentType"], told["Metadata"]) == (b"\0kept", "text/x", {"a": "b"})
    finally:
        cloud.sluiceway("down")


def test_state_outlives_a_clean_stop(tmp_path: Path) -> None:
    """After `down` and `up` a message waits in its queue, an object in its bucket, and a job's answer can be read."""
    template = tmp_path / "t.yaml"
    template.write_text(
        "Resources:\n  Q: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}\n"
        "  B: {Type: AWS::S3::Bucket, Properties: {BucketName: bbb}}\n"
    )
    options = ["--persist", str(tmp_path / "keep"), "--template", str(template)]

    def client(cloud: RunningCloud, service: str) -> Any:
        keys = {"aws_access_key_id": "me", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=cloud.status["endpoints"]["aws"], **keys)

    cloud = start_cloud(tmp_path / "state", *options)
    url = client(cloud, "sqs").get_queue_url(QueueName="q")["QueueUrl"]
    sent = client(cloud, "sqs").send_message(QueueUrl=url, MessageBody="kept")
    client(cloud, "sqs").create_queue(QueueName="mine", Attributes={"VisibilityTimeout": "7"})
    client(cloud, "s3").put_object(Bucket="bbb", Key="k", Body=b"kept")
    cloud.sluiceway("down")
    cloud = start_cloud(tmp_path / "state", *options)
    try:
        sqs = client(cloud, "sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "kept")
        mine = sqs.get_queue_url(QueueName="mine")["QueueUrl"]
        assert sqs.get_queue_attributes(QueueUrl=mine, AttributeNames=["VisibilityTimeout"])["Attributes"] == {
            "VisibilityTimeout": "7"
        }
        assert client(cloud, "s3").get_object(Bucket="bbb", Key="k")["Body"].read() == b"kept"
    finally:
        cloud.sluiceway("down")


def test_a_second_cloud_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It says which process holds the folder and what to do, and leaves that one alone."""
    template = tmp_path / "t.yaml"
    template.write_text("Resources: {Q: {Type: AWS::SQS::Queue}}")
    options = ["--persist", str(tmp_path / "keep"), "--template", str(template)]
    first = start_cloud(tmp_path / "one", *options)
    try:
        second = RunningCloud(tmp_path / "two")
        refused = second.sluiceway("up", "--detach", "--port", "0", *options, check=False)
        assert refused.returncode == 1
        assert f"keep is in use by another local cloud (process {first.status['pid']})" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not (tmp_path / "two" / "state.json").exists()
        assert first.sluiceway("status").returncode == 0
    finally:
        first.sluiceway("down")


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A file that is no database is named, with no stack trace."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "sqs.sqlite3").write_bytes(b"this is not a database at all " * 40)
    template = tmp_path / "t.yaml"
    template.write_text("Resources: {Q: {Type: AWS::SQS::Queue}}")
    options = ["--persist", str(tmp_path / "keep"), "--template", str(template)]
    refused = RunningCloud(tmp_path / "state").sluiceway("up", "--detach", "--port", "0", *options, check=False)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "sqs.sqlite3 cannot be used as kept state" in refused.stderr
