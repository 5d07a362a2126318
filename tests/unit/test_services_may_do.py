"""What the services ask of IAM on a role's behalf: with the resource's tags, as in a call of the role's own."""

from __future__ import annotations

import json
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from localcloud import clock
from localcloud.models.scripted import ScriptedEngine
from localcloud.options import CloudOptions
from localcloud.parts.services import open_services
from localcloud.services.iam.policy import parse_document
from tests.unit.dynamodb_caller import ARN, table_request, wire_request

PIPES = {"Effect": "Allow", "Principal": {"Service": "pipes.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [PIPES]}


def allows(*, tag: str) -> str:
    """A policy for queues and tables with the tag `team` of this value."""
    condition = {"StringEquals": {"aws:ResourceTag/team": tag}}
    actions = ["sqs:SendMessage", "dynamodb:PutItem"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(("tag", "allowed"), [("red", True), ("blue", False)])
async def test_a_pipe_is_allowed_by_its_queues_tags(tmp_path: Path, tag: str, *, allowed: bool) -> None:
    """may_do tells IAM the tags of the queue, and a policy for another tag allows nothing."""
    options = CloudOptions(
        template=tmp_path / "t.yaml", state=tmp_path, cache=tmp_path, environ={}, progress=print, overrides={}
    )
    async with AsyncExitStack() as cleanup:
        services = await open_services(
            options, clock=clock.SystemClock(), rng=random.Random(1), cleanup=cleanup, engine=ScriptedEngine()
        )
        queue = services.queues.create("q", "us-east-1", attributes={}, tags={"team": "red"})
        role = services.iam.create_role("r", parse_document(TRUST, resource_policy=True))
        services.iam.put_inline("r", parse_document(allows(tag=tag), name="p"))
        assert services.may_do(role.arn, "sqs:SendMessage", queue.arn) is allowed


@pytest.mark.parametrize(("tag", "allowed"), [("red", True), ("blue", False)])
async def test_a_role_is_allowed_by_a_tables_tags(tmp_path: Path, tag: str, *, allowed: bool) -> None:
    """Also through its index; of a table that is not there, in a cloud without tables, nothing is known."""
    options = CloudOptions(
        template=tmp_path / "t.yaml", state=tmp_path, cache=tmp_path, environ={}, progress=print, overrides={}
    )
    async with AsyncExitStack() as cleanup:
        services = await open_services(
            options, clock=clock.SystemClock(), rng=random.Random(1), cleanup=cleanup, engine=ScriptedEngine()
        )
        role = services.iam.create_role("r", parse_document(TRUST, resource_policy=True))
        services.iam.put_inline("r", parse_document(allows(tag=tag), name="p"))
        assert services.may_do(role.arn, "dynamodb:PutItem", ARN) is False
        made = table_request(Tags=[{"Key": "team", "Value": "red"}])
        answer = await services.tables.service.handle(wire_request("CreateTable", made))
        assert answer.status == 200
        assert services.may_do(role.arn, "dynamodb:PutItem", ARN) is allowed
        assert services.may_do(role.arn, "dynamodb:PutItem", f"{ARN}/index/i") is allowed
