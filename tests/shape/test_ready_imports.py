"""What `sluiceway up` may import until it is ready: a small stack pays for what it has, not for what is served.

Each start is in a process of its own, which says what it has imported once the stack is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shape.conftest import ROOT

_START = """
import asyncio, json, os, random, sys
from pathlib import Path
from localcloud.cli import serving, up
from localcloud.clock import SystemClock
from localcloud.cloud import open_cloud
from localcloud.options import CloudOptions

async def start(folder):
    options = CloudOptions(
        template=folder / "template.json", state=folder, cache=folder, environ=dict(os.environ),
        progress=lambda _: None, overrides={}, port=0,
    )
    async with open_cloud(options, clock=SystemClock(), rng=random.Random(1)) as cloud:
        print(json.dumps([sorted(sys.modules), sorted(cloud.deployed.made)]))

asyncio.run(start(Path(sys.argv[1])))
"""
FUNCTION = {
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
                ],
            }
        },
    },
    "Hello": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Code": {"ZipFile": "def handler(event, context):\n    return {}\n"},
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        },
    },
}
API = {
    "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
    "Method": {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
            "HttpMethod": "GET",
            "AuthorizationType": "NONE",
            "Integration": {"Type": "MOCK"},
        },
    },
    "Deployment": {
        "Type": "AWS::ApiGateway::Deployment",
        "DependsOn": "Method",
        "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "live"},
    },
}
QUEUE = {"Queue": {"Type": "AWS::SQS::Queue"}}
# A new module here is paid by everybody who starts the local cloud: raise a number with the reason in the commit.
STACKS = {
    "a function and an API": (FUNCTION | API, 790),
    "a queue": (QUEUE, 760),
}
NEVER = (
    "aioboto3", "boto3", "botocore", "cryptography", "jsonschema", "jwt", "moto", "pydantic", "referencing", "requests",
    "samtranslator", "localcloud.compute.mappings", "localcloud.console", "localcloud.gateway.appsync",
    "localcloud.products", "localcloud.regions.host", "localcloud.replay", "localcloud.services.appsync",
    "localcloud.services.cognito", "localcloud.services.dynamodb", "localcloud.services.events",
    "localcloud.services.glue", "localcloud.services.kms", "localcloud.services.lambda_.wire",
    "localcloud.services.pipes", "localcloud.services.scheduler", "localcloud.services.secretsmanager",
    "localcloud.services.sns", "localcloud.services.ssm", "localcloud.services.states", "localcloud.simulation",
)  # fmt: skip


def _start(folder: Path, resources: object) -> tuple[list[str], list[str]]:
    """The modules of a start, and the logical ids of what it made."""
    (folder / "template.json").write_text(json.dumps({"Resources": resources}))
    done = subprocess.run(
        [sys.executable, "-c", _START, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    modules, made = json.loads(done.stdout.splitlines()[-1])
    return modules, made


@pytest.mark.parametrize("name", STACKS)
def test_a_small_stack_is_ready_with_few_modules(name: str, tmp_path: Path) -> None:
    """The ceiling counts the standard library's and aiohttp's modules too; what the stack names is there."""
    resources, budget = STACKS[name]
    modules, made = _start(tmp_path, resources)
    assert made == sorted(resources)
    print(f"{name}: {len(modules)} modules")
    assert len(modules) <= budget
    assert [each for each in modules if any(each == name or each.startswith(f"{name}.") for name in NEVER)] == []


def test_what_a_stack_names_is_imported(tmp_path: Path) -> None:
    """The measurement is not blind: a topic brings its service, and no other."""
    modules, _ = _start(tmp_path, {"Topic": {"Type": "AWS::SNS::Topic"}})
    assert "localcloud.services.sns.model" in modules
    assert "localcloud.services.pipes.model" not in modules
