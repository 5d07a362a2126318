"""The whole path over real processes and sockets: gateway, queue, function processes, model, table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import NOT_HERE, PAIR_ONLY, ROOT, RunningCloud, call_api, clean_environment, start_cloud

pytestmark = pytest.mark.local


def _contract(cloud: RunningCloud, module: str = "test_jobs_api") -> subprocess.CompletedProcess[str]:
    outputs = cloud.status["outputs"]
    environment = clean_environment() | {
        "API_URL": cloud.api,
        "SOCKET_URL": outputs["SocketUrl"],
        "STREAM_URL": outputs["StreamUrl"],
        "TOKEN": cloud.token(),
        "OTHER_TOKEN": cloud.token("somebody-else"),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/contract/{module}.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["test_jobs_api", "test_streaming_api"])
def test_the_contract_of_deployed_stacks_holds(cloud: RunningCloud, module: str) -> None:
    """Every assertion of the contract suites holds on the local cloud, none skipped."""
    done = _contract(cloud, module)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_no_call_of_the_run_is_outside_its_role(cloud: RunningCloud) -> None:
    """Of all calls (function, action, resource) that the run made with a role none is denied; every role made some."""
    _contract(cloud)
    of_roles = [call for call in cloud.calls() if call["role_arn"]]
    made = {(call["function"].removeprefix("sluiceway-"), call["action"]) for call in of_roles}
    assert made >= {
        ("BackplaneAssumeRoleSession", "sqs:SendMessage"),
        ("GenerateAnswer", "dynamodb:PutItem"),
        ("GenerateAnswer", "dynamodb:UpdateItem"),
        ("GenerateAnswer", "bedrock:InvokeModel"),
        ("ReadJob", "dynamodb:GetItem"),
    }
    assert [call for call in of_roles if not call["allowed"]] == []


def test_a_missing_permission_fails_the_run_as_on_aws(tmp_path: Path) -> None:
    """Without dynamodb:GetItem in its policy `read_job` is denied: the API answers 5xx, the record names the call."""
    template = (ROOT / "template.yaml").read_text()
    kept = "Action: dynamodb:GetItem, Resource: !GetAtt JobsTable.Arn"
    assert template.count(kept) == 1
    (tmp_path / "app").mkdir()
    for name in ("functions", "layers"):
        (tmp_path / "app" / name).symlink_to(ROOT / name)
    path = tmp_path / "app" / "template.yaml"
    path.write_text(template.replace(kept, "Action: dynamodb:Query, Resource: !GetAtt JobsTable.Arn"))
    denied = start_cloud(tmp_path / "state", "--template", str(path))
    try:
        token = denied.token()
        job = call_api(denied.api, "POST", "jobs", token=token, body={"prompt": "x"}).json()["job_id"]
        assert call_api(denied.api, "GET", f"jobs/{job}", token=token).status >= 500
        refused = [(call["function"], call["action"]) for call in denied.calls() if not call["allowed"]]
        assert set(refused) == {("sluiceway-ReadJob", "dynamodb:GetItem")}
    finally:
        denied.sluiceway("down")


@pytest.mark.parametrize("time", ["first", "second"])
def test_recorded_events_replay_to_their_replies(cloud: RunningCloud, time: str) -> None:
    """`replay --target local` finds every reply as recorded, whatever was replayed before; a pair's are not here."""
    done = cloud.sluiceway("replay", "--target", "local", check=False)
    assert done.returncode == 0, (time, done.stdout + done.stderr)
    *lines, counts = done.stdout.splitlines()
    left_out = [case.split("/")[0] for case, _, why in (line.partition(": ") for line in lines) if NOT_HERE in why]
    assert set(left_out) == PAIR_ONLY
    assert counts.endswith(f" same, 0 differs, 0 sent, {len(left_out)} skipped")


@pytest.mark.parametrize(
    ("output", "sent"),
    [
        (
            "ApiUrl",
            (
                "check_health/healthy publish_records/no_key publish_records/two_records publish_records/unknown_topic "
                "publish_records/with_key read_job/of_another_caller read_job/unknown read_job/waiting "
                "stream_http/ask stream_http/unknown"
            ),
        ),
        ("StreamUrl", "stream_http/unknown_by_url stream_http/without_token"),
        (
            "SocketUrl",
            (
                "serve_socket/ask serve_socket/cancel_unknown serve_socket/subscribe serve_socket/subscribe_wrong "
                "serve_socket/unsubscribe"
            ),
        ),
    ],
)
@pytest.mark.parametrize("time", ["first", "second"])
def test_replay_takes_urls(cloud: RunningCloud, output: str, sent: str, time: str) -> None:
    """Proxy events over HTTP, buffered and streamed, and messages over a WebSocket: each is answered as recorded."""
    url = cloud.status["outputs"][output]
    done = cloud.sluiceway("replay", "--target", url, "--token", cloud.token(), check=False)
    assert done.returncode == 0, (time, done.stdout + done.stderr)
    assert [line.removesuffix(": same") for line in done.stdout.splitlines() if line.endswith(": same")] == sent.split()
    assert ", 0 differs, 0 sent, " in done.stdout


def test_replay_takes_function_names(cloud: RunningCloud) -> None:
    """`lambda:NAME` goes to the Invoke API named by AWS_ENDPOINT_URL."""
    environment = clean_environment() | {
        "AWS_ENDPOINT_URL": cloud.status["endpoints"]["aws"],
        "AWS_ACCESS_KEY_ID": "developer",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    name = cloud.status["functions"]["ReadJob"]
    by_name = subprocess.run(
        [sys.executable, "events/replay.py", "--target", f"lambda:{name}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert by_name.returncode == 0, by_name.stdout + by_name.stderr


def test_invoke_prints_the_reply_and_the_log(cloud: RunningCloud, tmp_path: Path) -> None:
    """`sluiceway invoke` gives the payload on stdout, the log on stderr, and fails where the function fails."""
    good = cloud.sluiceway("invoke", "read_job", "-e", "events/read_job/unknown.json")
    assert json.loads(good.stdout)["statusCode"] == 404
    assert good.stderr
    bad = cloud.sluiceway("invoke", "ReadJob", "-e", "-", check=False, text='{"not": "an event"}')
    assert bad.returncode == 1
    assert "errorMessage" in json.loads(bad.stdout)
    (tmp_path / "broken.json").write_text("{")
    broken = cloud.sluiceway("invoke", "ReadJob", "-e", str(tmp_path / "broken.json"), check=False)
    assert (broken.returncode, "is not JSON" in broken.stderr) == (2, True)


def test_status_json_is_for_scripts(cloud: RunningCloud) -> None:
    """`status --json` has ready, endpoints and the ledger; `status api` is the bare URL."""
    status = json.loads(cloud.sluiceway("status", "--json").stdout)
    assert status["ready"] is True
    assert status["endpoints"]["aws"].startswith("http://127.0.0.1:")
    assert {"resource", "type", "support"} <= set(status["ledger"][0])
    assert cloud.sluiceway("status", "api").stdout.strip() == status["endpoints"]["api"]


def test_no_log_holds_a_prompt_or_a_token(cloud: RunningCloud) -> None:
    """What functions logged names jobs and counts, never what was asked, answered or presented."""
    logs = "".join(path.read_text(errors="replace") for path in (cloud.state / "logs").glob("*.log"))
    assert logs
    assert "three rivers" not in logs
    assert "eyJ" not in logs


def _log_of_job(cloud: RunningCloud, name: str, job: str) -> list[dict[str, Any]]:
    """The lines of a function's log that name the job."""
    text = "".join(path.read_text() for path in (cloud.state / "logs").glob(f"*{name}.log"))
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("job_id") == job]


def test_the_request_id_of_the_202_finds_the_jobs_log_lines(cloud: RunningCloud) -> None:
    """The `x-amzn-RequestId` of the reply is the `correlation_id` of what generate_answer logs of its job."""
    accepted = call_api(cloud.api, "POST", "jobs", token=cloud.token(), body={"prompt": "Who asked?"})
    job, end = accepted.json()["job_id"], time.monotonic() + 60
    while not (lines := _log_of_job(cloud, "generate_answer", job)) and time.monotonic() < end:
        time.sleep(0.05)
    assert "job.succeeded" in {line["message"] for line in lines}
    assert {line["correlation_id"] for line in lines} == {accepted.headers["x-amzn-requestid"]}


def test_down_leaves_nothing_behind(tmp_path: Path) -> None:
    """After `down` no process of the cloud runs and the state is gone; `status` says what to do."""
    cloud = start_cloud(tmp_path / "state")
    try:
        cloud.sluiceway("invoke", "read_job", "-e", "events/read_job/unknown.json")
        group = os.getpgid(cloud.status["pid"])
    finally:
        cloud.sluiceway("down")
    assert not (tmp_path / "state" / "state.json").exists()
    listing = subprocess.run(["ps", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listing.splitlines() if str(tmp_path) in line] == []
    of_group = [line for line in listing.splitlines() if line.split()[0] == str(group) and "<defunct>" not in line]
    assert of_group == []
    gone = cloud.sluiceway("status", check=False)
    assert (gone.returncode, "sluiceway up" in gone.stderr) == (1, True)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Resources: {Q: {Type: AWS::RDS::DBInstance}}", "AWS::RDS::DBInstance"),
        ("Resources: {Q: {Type: AWS::SQS::Queue, Properties: {Colour: red}}}", "Colour"),
        ("Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Nothing}}}", "Nothing"),
        ("Resources: [", "their.yaml:2:1"),
    ],
)
def test_templates_that_cannot_be_served_are_refused_by_name(tmp_path: Path, template: str, said: str) -> None:
    """A refused type, a refused property, a broken reference and broken YAML each end the command with their name."""
    path = tmp_path / "their.yaml"
    path.write_text(template)
    refused = RunningCloud(tmp_path / "state").sluiceway("up", "--detach", "--port", "0", "-t", str(path), check=False)
    assert refused.returncode != 0
    assert said in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "state" / "state.json").exists()


def test_a_taken_port_is_said(cloud: RunningCloud, tmp_path: Path) -> None:
    """A port that is taken is named, with the option that changes it."""
    port = cloud.status["endpoints"]["aws"].rsplit(":", 1)[1]
    refused = RunningCloud(tmp_path / "state").sluiceway("up", "--detach", "--port", port, check=False)
    assert refused.returncode == 1
    assert port in refused.stderr
    assert "--port" in refused.stderr
