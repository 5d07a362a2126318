"""Stacks as a user starts them: custom resources, nested stacks, dynamic references, and the ledger of SAM's types."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from localcloud.cli.ledger import read_handlers
from localcloud.cli.main import main
from localcloud.template.handler import ResourceHandler
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source
from localcloud.template.stack import Settled, prepare_stack, stack_context
from tests.local.conftest import ROOT, RunningCloud, clean_environment, start_cloud
from tests.unit.sam_cases import CASES

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "stacks/template.json"


@dataclass(frozen=True)
class Seen:
    """What was seen of one cloud from its start to its end."""

    status: dict[str, Any]
    stacks: list[dict[str, Any]]
    exports: list[dict[str, Any]]
    refused: str
    asked: list[tuple[str, str, str | None]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One cloud, up, looked at, and down."""
    cloud = start_cloud(tmp_path_factory.mktemp("stacks") / "state", "--template", str(TEMPLATE))
    status = cloud.status
    sdk: Any = boto3
    client = sdk.client(
        "cloudformation", endpoint_url=status["endpoints"]["aws"], region_name="us-east-1",
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    stacks, exports = client.describe_stacks()["Stacks"], client.list_exports()["Exports"]
    try:
        client.delete_stack(StackName="sluiceway")
        refused = ""
    except client.exceptions.ClientError as error:
        refused = error.response["Error"]["Code"]
    cloud.sluiceway("down")
    return Seen(status, stacks, exports, refused, _asked(cloud))


def _asked(cloud: RunningCloud) -> list[tuple[str, str, str | None]]:
    """What the maker of custom resources was asked, by its log."""
    found = list((cloud.state / "logs").glob("*Maker*.log"))
    if not found:
        return []
    (log,) = found
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [(line["asked"], line["of"], line["id"]) for line in lines]


def test_outputs_come_from_custom_resources_nested_stacks_and_references(seen: Seen) -> None:
    """What one made is what the next was given, through a parameter of the same template too; `cfnresponse` answers."""
    assert seen.status["outputs"] == {
        "Thing": "made-Thing", "Answered": "by-module inline", "Queue": "other3", "Letters": "other3-letters",
    }  # fmt: skip


def test_boto3_reads_the_stacks_and_changes_none(seen: Seen) -> None:
    """Outputs and exports by the API."""
    assert [(stack["StackName"], stack["StackStatus"]) for stack in seen.stacks] == [
        ("sluiceway-Inner", "CREATE_COMPLETE"), ("sluiceway", "CREATE_COMPLETE"),
    ]  # fmt: skip
    outputs = {each["OutputKey"]: each["OutputValue"] for each in seen.stacks[1]["Outputs"]}
    assert outputs == seen.status["outputs"]
    assert [(each["Name"], each["Value"]) for each in seen.exports] == [("letters", "other3-letters")]
    assert seen.refused == "UnsupportedOperation"


def test_down_asks_for_the_deletion_of_custom_resources(seen: Seen) -> None:
    """The one that needs the other goes first."""
    assert seen.asked == [
        ("Create", "Other", None),
        ("Create", "Thing", None),
        ("Delete", "Thing", "made-Thing"),
        ("Delete", "Other", "made-Other"),
    ]


def test_the_ledger_tells_of_what_is_inside(seen: Seen) -> None:
    """By dotted ids."""
    lines = {line["resource"]: line["support"] for line in seen.status["ledger"] if not line["property"]}
    assert (lines["Inner"], lines["Inner.Letters"], lines["Thing"]) == ("served", "served", "served")


def test_a_failure_ends_the_start_with_its_reason_and_is_undone(tmp_path: Path) -> None:
    """What was made before it is deleted as well."""
    cloud = RunningCloud(tmp_path / "state")
    words = ("--template", str(TEMPLATE), "--port", "0", "--parameter-overrides", "Mode=fail")
    failed = cloud.sluiceway("up", "--detach", *words, check=False)
    assert failed.returncode == 1
    assert (
        "Resources.Thing: Received response status [FAILED] from custom resource. Message returned: as it was told"
        in failed.stderr
    )
    assert _asked(cloud) == [
        ("Create", "Other", None),
        ("Create", "Thing", None),
        ("Delete", "Thing", "made-Thing"),
        ("Delete", "Other", "made-Other"),
    ]


def test_a_start_that_waits_is_stopped_by_a_signal(tmp_path: Path) -> None:
    """Half an hour for a custom resource is nobody's patience: what was made is deleted, and the command ends."""
    cloud = RunningCloud(tmp_path / "state")
    words = ("up", "--template", str(TEMPLATE), "--port", "0", "--parameter-overrides", "Mode=silent")
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud", "--state", str(cloud.state), *words],
        cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            ends = time.monotonic() + 20
            while ("Create", "Thing", None) not in _asked(cloud) and time.monotonic() < ends:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[1]
        finally:
            process.kill()
    assert (process.returncode, "stopped before it was ready" in said) == (1, True)
    assert [(asked, of) for asked, of, _ in _asked(cloud)[-2:]] == [("Delete", "Thing"), ("Delete", "Other")]


# ---------------------------------------------------------------- what SAM makes of its types


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ResourceHandler]:
    """A handler for every type that is served."""
    with asyncio.Runner() as runner:
        return runner.run(read_handlers(tmp_path_factory.mktemp("handlers")))


def test_the_ledger_of_every_sam_type_and_event_says_what_becomes_of_it(
    handlers: Mapping[str, ResourceHandler],
) -> None:
    """Each resource has a line, and what is refused has a reason of its own, never a bare name."""
    bare: dict[str, list[str]] = {}
    for name, case in CASES.items():
        stack = prepare_stack(Source(Path("t.yaml"), case.body), stack_context(Path()), Settled())
        ledger = make_ledger(stack.graph, handlers)
        assert {line.logical_id for line in ledger.lines} == set(stack.graph.nodes)
        lines = [line for line in ledger.refused if line.reason in ("", f"{line.type} is not served here")]
        if lines:
            bare[name] = [str(line) for line in lines]
    assert bare == {}


@pytest.mark.parametrize("name", ["Function", "SQS", "SNS", "Api", "Kinesis", "DynamoDB", "WebSocketApi", "Connector"])
def test_what_people_write_most_is_served_whole(name: str, handlers: Mapping[str, ResourceHandler]) -> None:
    """No line of these is refused."""
    stack = prepare_stack(Source(Path("t.yaml"), CASES[name].body), stack_context(Path()), Settled())
    assert make_ledger(stack.graph, handlers).refused == ()


def test_the_ledger_of_a_template_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line as JSON, and exit code 3 where something is refused."""
    template = tmp_path / "template.json"
    template.write_text(json.dumps({"Resources": {"Net": {"Type": "AWS::EC2::VPC"}}}))
    assert main(["ledger", "--template", str(template), "--json"]) == 3
    assert [line["resource"] for line in json.loads(capsys.readouterr().out)] == ["Net"]
