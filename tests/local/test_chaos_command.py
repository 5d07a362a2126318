"""`sluiceway chaos` on a cloud of template.yaml: no job is lost or done twice, and nothing of a plan is left behind."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.local.conftest import ROOT, RunningCloud, call_api, clean_environment, start_cloud

pytestmark = pytest.mark.local

JOBS = 40
PLAN_S = 20
END_S = 150
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "me", "aws_secret_access_key": "x"}


def _impatient_template(folder: Path) -> Path:
    """template.yaml with a worker that has 6 s, messages that come back after 6 s, and a small batch."""
    text = (ROOT / "template.yaml").read_text()
    for old, new in (
        ("VisibilityTimeout: 360  # at least 6 x the worker's Timeout", "VisibilityTimeout: 6"),
        ('QUEUE_VISIBILITY_S: "360"', 'QUEUE_VISIBILITY_S: "6"'),
        ("Timeout: 60\n", "Timeout: 6\n"),
        ("BatchSize: 10\n", "BatchSize: 3\n"),
    ):
        assert old in text
        text = text.replace(old, new)
    folder.mkdir()
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "template.yaml").write_text(text)
    return folder / "template.yaml"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose worker is given up after 6 s, so that what is broken comes back while somebody waits."""
    folder = tmp_path_factory.mktemp("chaos")
    template = _impatient_template(folder / "app")
    running = start_cloud(folder / "state", "--model", "scripted", "--template", str(template))
    yield running
    running.sluiceway("down")


def _begin(cloud: RunningCloud, *words: str) -> subprocess.Popen[str]:
    """`sluiceway chaos run`, once its plan is on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "--state", str(cloud.state), "chaos", "run", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("seed "):
            return process
    raise AssertionError(process.communicate())


def _write(folder: Path, *steps: dict[str, Any]) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps({"steps": [{"for_s": 60, **step} for step in steps]}))
    return str(path)


def _status(cloud: RunningCloud) -> dict[str, Any]:
    return json.loads(cloud.sluiceway("chaos", "status", "--json").stdout)


def _stop(cloud: RunningCloud, process: subprocess.Popen[str]) -> dict[str, int]:
    """End the plan; how often each fault was carried out."""
    cloud.sluiceway("chaos", "stop")
    out, _ = process.communicate(timeout=30)
    report = json.loads(out)
    assert report["stopped"]
    return {step["fault"]: step["injected"] for part in report["parts"] for step in part["steps"]}


# ---------------------------------------------------------------------- jobs


def _submit(cloud: RunningCloud, token: str, number: int) -> str:
    """One job under its key, asked for until it is taken: what fails on the way is asked again, as clients do."""
    body = {"prompt": f"Job {number}", "max_tokens": 8}
    ends = time.monotonic() + END_S
    while True:
        reply = call_api(cloud.api, "POST", "jobs", token=token, body=body, idempotency_key=f"chaos-{number}")
        if reply.status == 202:
            return reply.json()["job_id"]
        assert reply.status in {401, 403, 429, 500, 502, 503, 504}, reply
        assert time.monotonic() < ends, reply
        time.sleep(0.2)  # as a client does that is told to come again


def _read(cloud: RunningCloud, token: str, job: str) -> dict[str, Any] | None:
    """The job's record; None where the API failed."""
    reply = call_api(cloud.api, "GET", f"jobs/{job}", token=token)
    return reply.json() if reply.status == 200 else None


def _letters(cloud: RunningCloud) -> set[str]:
    """The jobs in the dead letters that say why, or whose native redrive left them there."""
    sqs = boto3.client("sqs", endpoint_url=cloud.status["endpoints"]["aws"], **KEYS)
    url = cloud.status["outputs"]["JobsDeadLettersUrl"]
    ask = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "VisibilityTimeout": 600}
    found: set[str] = set()
    while messages := sqs.receive_message(**ask).get("Messages", []):
        found |= {message["MessageAttributes"]["job_id"]["StringValue"] for message in messages}
    return found


@pytest.mark.parametrize("seed", [1, 20261128])
def test_no_job_is_lost_and_none_is_done_twice_in_a_random_plan(cloud: RunningCloud, seed: int) -> None:
    """40 jobs under a plan of 20 s: each key is one job, and each job ends succeeded, or failed, or as a dead letter.

    The plan that was printed is the one that the seed makes again.
    """
    process = _begin(cloud, "--random", "--seed", str(seed), "--for", str(PLAN_S))
    token = cloud.token()
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda number: _submit(cloud, token, seed * 1000 + number), range(JOBS)))
        again = list(pool.map(lambda number: _submit(cloud, token, seed * 1000 + number), range(JOBS)))
    assert again == jobs
    assert len(set(jobs)) == JOBS
    out, _ = process.communicate(timeout=PLAN_S + 30)
    assert process.returncode == 0
    assert f'"seed": {seed},' in out
    assert not _status(cloud)["on"]
    ends, states = time.monotonic() + END_S, dict[str, dict[str, Any]]()
    while len(states) < JOBS:
        for job in set(jobs) - set(states):
            told = _read(cloud, token, job)
            if told is not None and told["state"] in {"succeeded", "failed"}:
                states[job] = told
        if time.monotonic() > ends:
            assert set(jobs) - set(states) - _letters(cloud) == set()
            break
    assert sum(told["state"] == "succeeded" for told in states.values()) > JOBS // 2
    assert all(("result" in told) != ("problem" in told) for told in states.values()), states
    _each_succeeded_once(cloud, set(jobs))


def _each_succeeded_once(cloud: RunningCloud, jobs: set[str]) -> None:
    """Workers wrote of no job twice that it had succeeded."""
    log = (Path(cloud.status["logs"]["sluiceway-GenerateAnswer"])).read_text()
    told = [json.loads(line) for line in log.splitlines() if '"job.succeeded"' in line]
    counts = Counter(each["job_id"] for each in told if each["job_id"] in jobs)
    assert counts
    assert {job: count for job, count in counts.items() if count > 1} == {}


# ---------------------------------------------------------------------- as a client of AWS sees it


@pytest.fixture
def dynamodb(cloud: RunningCloud) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=cloud.status["endpoints"]["aws"],
        **KEYS,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5),
    )


def test_an_sdk_gets_the_throttle_as_the_services_exception(cloud: RunningCloud, dynamodb: Any, tmp_path: Path) -> None:
    """Of the kind that boto3 makes of it; people are met because the plan says so."""
    step = {"fault": "call.throttle", "service": "dynamodb", "callers": ["people"], "operations": ["GetItem"]}
    process = _begin(cloud, _write(tmp_path, step), "--json")
    with pytest.raises(dynamodb.exceptions.ProvisionedThroughputExceededException):
        dynamodb.get_item(TableName="none", Key={"id": {"S": "1"}})
    assert dynamodb.list_tables()["TableNames"]
    assert _stop(cloud, process) == {"call.throttle": 1}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        dynamodb.get_item(TableName="none", Key={"id": {"S": "1"}})


@pytest.mark.parametrize(("when", "is_made"), [("before", False), ("after", True)])
def test_a_dropped_connection_is_one_at_the_socket(
    cloud: RunningCloud, dynamodb: Any, tmp_path: Path, when: str, is_made: bool
) -> None:
    """The SDK sees it closed without an answer; "after" the table is there all the same."""
    step = {"fault": "call.drop", "service": "dynamodb", "when": when, "callers": ["people"], "count": 1}
    process = _begin(cloud, _write(tmp_path, step), "--json")
    table = f"dropped-{when}"
    with pytest.raises(ConnectionClosedError):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    assert (table in dynamodb.list_tables()["TableNames"]) == is_made
    assert _stop(cloud, process) == {"call.drop": 1}


def test_functions_meet_their_throttles_and_people_do_not(cloud: RunningCloud, dynamodb: Any, tmp_path: Path) -> None:
    """A read of a job fails, while the developer's own call passes."""
    token = cloud.token()
    job = _submit(cloud, token, 1)
    assert _read(cloud, token, job) is not None
    step = {"fault": "call.error", "service": "dynamodb", "status": 500, "callers": ["ReadJob"]}
    process = _begin(cloud, _write(tmp_path, step), "--json")
    assert call_api(cloud.api, "GET", f"jobs/{job}", token=token).status >= 500
    assert dynamodb.list_tables()["TableNames"]
    assert _stop(cloud, process)["call.error"] > 0


# ---------------------------------------------------------------------- the command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_cut_off_has_undone_its_plan(cloud: RunningCloud, tmp_path: Path, number: int) -> None:
    """However it goes; after Ctrl-C it still reports. The function's environments are without a proxy again."""
    step = {"fault": "function.change-response", "status": 418, "functions": ["CheckHealth"]}
    assert _health(cloud) != 418
    process = _begin(cloud, _write(tmp_path, step), "--json")
    assert _health(cloud) == 418
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    ends = time.monotonic() + 20
    while _status(cloud)["on"]:
        assert time.monotonic() < ends
    assert _health(cloud) != 418
    if number == signal.SIGINT:
        assert (process.returncode, json.loads(out)["stopped"]) == (130, True)


def _health(cloud: RunningCloud) -> int:
    return call_api(cloud.api, "GET", "health", token=cloud.token()).status


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "a plan's file, or --random: one of them"),
        (["run", "--random", "--for", "4"], "a length in seconds is a whole number from 5 to 3,600, not '4'"),
        (["run", "{bad}"], "steps[0].functions: there is no 'Nobody'; there are *, AuthorizeRequest"),
        (["run", "{missing}"], "No such file"),
        (["run", "{bad}", "--for", "9"], "--for is the length of a random plan"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    cloud: RunningCloud, tmp_path: Path, words: list[str], said: str
) -> None:
    """In one line, with an exit code of its own, and nothing is on."""
    bad = _write(tmp_path, {"fault": "function.error", "functions": ["Nobody"]})
    done = cloud.sluiceway(
        "chaos", *(word.format(bad=bad, missing=tmp_path / "none.json") for word in words), check=False
    )
    assert (done.returncode in {1, 2}, said in done.stderr, "Traceback" in done.stderr) == (True, True, False), done
    assert not _status(cloud)["on"]


def test_no_page_of_another_site_can_begin_a_plan(cloud: RunningCloud) -> None:
    """The control API is for this machine's own tools."""
    connection = http.client.HTTPConnection(urlsplit(cloud.status["endpoints"]["aws"]).netloc, timeout=10)
    body = json.dumps({"steps": [{"fault": "function.error", "for_s": 1}]})
    connection.request("POST", "/_sluiceway/chaos", body, {"origin": "https://elsewhere.example"})
    assert connection.getresponse().status == 403
    connection.close()


def test_down_in_the_middle_of_a_plan_leaves_nothing(tmp_path: Path) -> None:
    """The command ends with an error, and no process of a function is left."""
    cloud = start_cloud(tmp_path / "state", "--model", "scripted")
    step = {"fault": "function.latency", "delay": {"fixed_s": 30}, "functions": ["CheckHealth"]}
    process = _begin(cloud, _write(tmp_path, step))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(call_api, cloud.api, "GET", "health")
        ends = time.monotonic() + 30
        while not cloud.processes("sluiceway-CheckHealth"):
            assert time.monotonic() < ends
        endpoint = cloud.status["endpoints"]["aws"]
        assert cloud.sluiceway("down").returncode == 0
        assert asking.exception(timeout=30) is not None or asking.result().status >= 500
    process.communicate(timeout=30)
    assert process.returncode == 1
    wanted = f"AWS_ENDPOINT_URL={endpoint}".encode()
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if _mentions(path, wanted)]
    assert left == []


def _mentions(path: Path, wanted: bytes) -> bool:
    try:
        return wanted in path.read_bytes().split(b"\0")
    except OSError:
        return False
