"""One probe a property of event source mappings: here every one acts; MiniStack's answers are recorded beside it.

The record shows that a probe can fail: MiniStack takes each of these settings and most of them do nothing. Asked again
where MINISTACK_ENDPOINT names a running one (it has an environment of its own; `BIND_HOST=127.0.0.1 ministack`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.mapping_probes import ENTRIES, HANDLER, PROBES, Bench
from tests.local.conftest import start_cloud

pytestmark = pytest.mark.local

HERE = Path(__file__).parent
RECORD = HERE / "mapping_probes_ministack.json"
ROLE = """\
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
      ManagedPolicyArns:
        - arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole
        - arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole
      Policies:
        - PolicyName: failures
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - {Effect: Allow, Action: sqs:SendMessage, Resource: "arn:aws:sqs:*:*:*"}
              - {Effect: Allow, Action: sns:Publish, Resource: "arn:aws:sns:*:*:*"}
              - {Effect: Allow, Action: s3:PutObject, Resource: "arn:aws:s3:::*/*"}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The four functions of the probes in a local cloud."""
    folder = tmp_path_factory.mktemp("probes")
    (folder / "code").mkdir()
    (folder / "code" / "probes.py").write_text(HANDLER)
    seen = {entry: folder / f"{entry}.jsonl" for entry in ENTRIES}
    functions = "".join(
        f"""\
  {entry.title()}:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: probes.{entry}
      CodeUri: code/
      Timeout: 20
      Role: !GetAtt Role.Arn
      Environment: {{Variables: {{SEEN: {json.dumps(str(seen[entry]))}}}}}
"""
        for entry in ENTRIES
    )
    template = folder / "template.yaml"
    template.write_text(f"Transform: AWS::Serverless-2016-10-31\nResources:\n{ROLE}{functions}")
    cloud = start_cloud(folder / "state", "--template", str(template))
    status = cloud.status
    names = {entry: status["functions"][entry.title()] for entry in ENTRIES}
    yield Bench(status["endpoints"]["aws"], names, seen)
    cloud.sluiceway("down")


@pytest.mark.parametrize("name", list(PROBES))
def test_a_property_acts(bench: Bench, name: str) -> None:
    """What the probe's own sentence says."""
    assert PROBES[name](bench), PROBES[name].__doc__


def test_every_probe_was_put_to_ministack() -> None:
    """The record has an answer to each probe, and most properties do nothing there: a probe that is ignored is seen."""
    answers = json.loads(RECORD.read_text())["answers"]
    assert list(answers) == list(PROBES)
    ignored = {name for name, answer in answers.items() if answer is not True}
    assert {"stream_window", "bisect", "parallelization", "tumbling_window", "queue_window"} <= ignored


@pytest.mark.skipif("MINISTACK_ENDPOINT" not in os.environ, reason="MINISTACK_ENDPOINT names no running MiniStack")
def test_ministack_answers_as_recorded() -> None:
    """The record is what MiniStack answers."""
    command = [sys.executable, str(HERE / "mapping_probes.py"), os.environ["MINISTACK_ENDPOINT"]]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parents[1]).stdout
    assert json.loads(said) == json.loads(RECORD.read_text())["answers"]
