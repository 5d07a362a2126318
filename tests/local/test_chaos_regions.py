"""Plans over two Regions that run: one is lost and comes back, a table's replication pauses, a clock goes wrong."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.local.conftest import ROOT, RunningCloud, clean_environment, start_cloud

pytestmark = pytest.mark.local

FOLDER = Path(__file__).parent / "two_regions"
EAST, WEST = "us-east-1", "us-west-2"
PATIENCE_S = 30
BUSY = 3  # calls, the fastest of which tells what the function takes: the machine may have other things to do
KEYS = {"aws_access_key_id": "me", "aws_secret_access_key": "x"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Two Regions that share a global table."""
    template = ("--template", str(FOLDER / "template.yaml"))
    cloud = start_cloud(tmp_path_factory.mktemp("chaos") / "state", *template, "--regions", f"{EAST},{WEST}")
    try:
        environ = clean_environment() | {"AWS_ENDPOINT_URL": cloud.status["endpoints"]["aws"], "AWS_REGION": EAST}
        environ |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "x"}
        subprocess.run([sys.executable, str(FOLDER / "tables.py")], cwd=ROOT, env=environ, check=True)
        yield cloud
    finally:
        cloud.sluiceway("down")


def _client(pair: RunningCloud, service: str, region: str) -> Any:
    address = pair.status["endpoints"]["aws"]
    return boto3.client(service, endpoint_url=address, region_name=region, **KEYS)


def _write(folder: Path, *steps: dict[str, Any]) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps({"steps": [{"for_s": 120, **step} for step in steps]}))
    return str(path)


def _begin(pair: RunningCloud, plan: str) -> subprocess.Popen[str]:
    """`sluiceway chaos run`, once every step of the plan that begins at once is on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "--state", str(pair.state), "chaos", "run", plan, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    steps = len(json.loads(Path(plan).read_text())["steps"])
    assert process.stderr is not None
    for line in process.stderr:
        steps -= line.rstrip().endswith(" on")
        if not steps:
            return process
    raise AssertionError(process.communicate())


def _stop(pair: RunningCloud, process: subprocess.Popen[str]) -> dict[str, dict[str, int]]:
    """End the plan; by Region ("" for the host), how often each fault was carried out."""
    pair.sluiceway("chaos", "stop")
    report = json.loads(process.communicate(timeout=60)[0])
    return {part["region"]: {step["fault"]: step["injected"] for step in part["steps"]} for part in report["parts"]}


def _pay(pair: RunningCloud, region: str, timeout_s: float = 20) -> int:
    """The status of a request to a Region's API; 0 where there is silence."""
    parts = urlsplit(pair.status["endpoints"][f"serverlessrestapi-{region}"])
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request("POST", f"{parts.path}/pay", b"", {"idempotency-key": f"k-{time.monotonic_ns()}"})
        return connection.getresponse().status
    except TimeoutError:
        return 0
    finally:
        connection.close()


def _dark(pair: RunningCloud) -> list[str]:
    told = json.loads(pair.sluiceway("regions", "status", "--json").stdout)
    return [each["region"] for each in told["regions"] if each["dark"]]


def test_a_fault_is_in_the_region_that_the_step_names(pair: RunningCloud, tmp_path: Path) -> None:
    """Its function is late there, and the other Region's is left alone."""
    step = {"fault": "function.latency", "delay": {"fixed_s": 1.5}, "functions": ["Pay"], "regions": [WEST]}
    process = _begin(pair, _write(tmp_path, step))
    assert min(_pay(pair, EAST), _pay(pair, WEST)) > 0  # a process is there now
    assert _took_s(pair, WEST) > 1.5 > min(_took_s(pair, EAST) for _ in range(BUSY))
    assert _stop(pair, process) == {"": {}, WEST: {"function.latency": 2}}
    assert _pay(pair, WEST) > 0
    assert min(_took_s(pair, WEST) for _ in range(BUSY)) < 1.5


def _took_s(pair: RunningCloud, region: str) -> float:
    began = time.monotonic()
    assert _pay(pair, region) > 0
    return time.monotonic() - began


def test_a_region_is_silent_until_the_plan_lets_it_go_on(pair: RunningCloud, tmp_path: Path) -> None:
    """Stopped early: it is lit again, and answers."""
    assert _dark(pair) == []
    process = _begin(pair, _write(tmp_path, {"fault": "region.kill", "region": WEST}))
    assert _dark(pair) == [WEST]
    assert _pay(pair, WEST, timeout_s=2) == 0
    assert _pay(pair, EAST) > 0
    assert _stop(pair, process) == {"": {"region.kill": 1}}
    assert _dark(pair) == []
    assert _pay(pair, WEST) > 0


def test_a_region_that_is_killed_in_the_middle_of_its_part_ends_it_when_it_comes_back(
    pair: RunningCloud, tmp_path: Path
) -> None:
    """The plan's own fault of its functions is gone, with the Region's silence."""
    error = {"fault": "function.error", "functions": ["Pay"], "regions": [WEST]}
    before = _pay(pair, WEST)
    process = _begin(pair, _write(tmp_path, error, {"fault": "region.kill", "region": WEST}))
    process.kill()
    process.communicate(timeout=30)
    ends = time.monotonic() + PATIENCE_S
    while _dark(pair) or _pay(pair, WEST, timeout_s=5) != before:
        assert time.monotonic() < ends


def test_a_paused_table_does_not_replicate_until_the_plan_ends(pair: RunningCloud, tmp_path: Path) -> None:
    """What was written meanwhile arrives afterwards."""
    here, there = _client(pair, "dynamodb", EAST), _client(pair, "dynamodb", WEST)
    pause = {"fault": "region.pause-replication", "table": "keys", "region": WEST}
    process = _begin(pair, _write(tmp_path, pause, {"fault": "call.latency", "service": "s3", "delay": {"fixed_s": 1}}))
    name = here.describe_table(TableName="keys")["Table"]["KeySchema"][0]["AttributeName"]
    item = {name: {"S": f"paused-{time.monotonic_ns()}"}}
    here.put_item(TableName="keys", Item=item)
    seen = [_has(there, item), _has(there, item)]
    status = json.loads(pair.sluiceway("chaos", "status", "--json").stdout)
    assert (status["on"], "keys" in status["tables"]) == (True, True)
    assert seen == [False, False]
    assert _stop(pair, process)[""] == {"region.pause-replication": 1}
    ends = time.monotonic() + PATIENCE_S
    while not _has(there, item):
        assert time.monotonic() < ends


def _has(client: Any, key: dict[str, Any]) -> bool:
    return "Item" in client.get_item(TableName="keys", Key=key)


def test_the_services_of_a_region_stamp_with_the_clock_that_it_has(pair: RunningCloud, tmp_path: Path) -> None:
    """A message is sent an hour ahead there, and at the right time in the other Region, and after the plan."""
    process = _begin(pair, _write(tmp_path, {"fault": "region.skew", "region": WEST, "by_s": 3600}))
    ahead = {region: _sent_ahead_s(pair, region) for region in (EAST, WEST)}
    assert ahead[WEST] == pytest.approx(3600, abs=30)
    assert ahead[EAST] == pytest.approx(0, abs=30)
    assert _stop(pair, process)[WEST] == {"region.skew": 1}
    assert _sent_ahead_s(pair, WEST) == pytest.approx(0, abs=30)


def _sent_ahead_s(pair: RunningCloud, region: str) -> float:
    """By how much the date that SQS stamps on a message is ahead of this machine's."""
    sqs = _client(pair, "sqs", region)
    url = sqs.create_queue(QueueName=f"clock-{time.monotonic_ns()}")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["SentTimestamp"], WaitTimeSeconds=5)["Messages"]
    sqs.delete_queue(QueueUrl=url)
    return int(message["Attributes"]["SentTimestamp"]) / 1000 - time.time()


def test_a_random_plan_over_a_pair_runs_to_its_end(pair: RunningCloud) -> None:
    """With a fault between Regions in it; every Region reports, and all of them answer afterwards."""
    done = pair.sluiceway("chaos", "run", "--random", "--seed", "3", "--for", "6", "--json")
    report, plan = json.loads(done.stdout), json.loads(done.stderr.partition("\nseed ")[0])
    assert plan["seed"] == 3
    assert any(step["fault"].startswith("region.") for step in plan["steps"])
    assert [part["region"] for part in report["parts"]] == ["", EAST, WEST]
    assert [part for part in report["parts"] if "error" in part] == []
    assert _dark(pair) == []
    assert min(_pay(pair, EAST), _pay(pair, WEST)) > 0
