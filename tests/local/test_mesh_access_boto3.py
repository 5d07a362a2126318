"""The mesh's policies in a running local cloud: boto3 calls with the keys of functions whose roles have tags."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.cloud import RunningCloud, open_cloud
from localcloud.options import CloudOptions
from localcloud.products.descriptor import CLASSIFICATIONS
from localcloud.template.source import read_template
from tests.local.compute_world import CACHE
from tests.shape.conftest import ROOT

pytestmark = pytest.mark.local

REGION: Final = "us-east-1"
DOMAINS: Final = ("shop", "billing")
CLEARANCES: Final = ("public", "restricted")
KINDS: Final = ("MeshProducers", "MeshConsumers")
CODE: Final = """
import os


def handler(event, context):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {name.lower(): os.environ[name] for name in names}
"""
LEVELS: Final = ("public", "confidential")


def template() -> dict[str, Any]:
    """The policies, a stream for each domain and two classifications, a function for each role."""
    resources: dict[str, Any] = dict(read_template(ROOT / "products" / "policies.yaml").body["Resources"])
    for domain, level in itertools.product(DOMAINS, LEVELS):
        tags = [{"Key": "domain", "Value": domain}, {"Key": "classification", "Value": level}]
        resources[f"Stream{domain}{level}"] = {
            "Type": "AWS::Kinesis::Stream",
            "Properties": {"Name": f"{domain}-{level}", "ShardCount": 1, "Tags": tags},
        }
    for kind, domain, clearance in itertools.product(KINDS, DOMAINS, CLEARANCES):
        resources[f"{kind}{domain}{clearance}"] = {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "FunctionName": f"{kind}-{domain}-{clearance}", "Runtime": "python3.13", "Handler": "index.handler",
                "InlineCode": CODE, "Timeout": 20, "Policies": [{"Ref": kind}],
                "Tags": {"domain": domain, "clearance": clearance},
            },
        }  # fmt: skip
    return {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}


@dataclass(frozen=True)
class Mesh:
    """The running cloud."""

    cloud: RunningCloud

    def client(self, name: str, **keys: str) -> Any:
        shown = keys or {"aws_access_key_id": "AK", "aws_secret_access_key": "SK"}
        once = Config(retries={"total_max_attempts": 1})
        return boto3.client(
            name, region_name=REGION, endpoint_url=self.cloud.state.endpoints["aws"], config=once, **shown
        )

    async def role(self, kind: str, domain: str, clearance: str) -> Any:
        """Kinesis, as the function's role."""
        name = f"{kind}-{domain}-{clearance}"
        answer = await told(self.client("lambda").invoke, FunctionName=name, Payload=b"{}")
        keys = json.loads(answer["Payload"].read())
        return self.client("kinesis", **keys)


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template()))
    options = CloudOptions(
        template=path, state=tmp_path / "state", cache=CACHE, environ={}, progress=lambda _: None, overrides={}, port=0
    )
    async with open_cloud(options, clock=SystemClock(), rng=random.Random(1)) as cloud:
        yield Mesh(cloud)


async def told(call: Callable[..., Any], **members: Any) -> Any:
    return await asyncio.to_thread(lambda: call(**members))


async def may(call: Callable[..., Any], **members: Any) -> bool:
    """Whether the call is answered; any error but IAM's fails the test."""
    try:
        await told(call, **members)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


async def test_who_writes_and_who_reads_across_domains_and_classifications(mesh: Mesh) -> None:
    """By each role's own keys: writers write their own domain's, readers read it and what is public, as cleared."""
    told_so: set[tuple[str, ...]] = set()
    wanted: set[tuple[str, ...]] = set()
    for kind, of, clearance in itertools.product(KINDS, DOMAINS, CLEARANCES):
        kinesis = await mesh.role(kind, of, clearance)
        for domain, level in itertools.product(DOMAINS, LEVELS):
            stream = f"{domain}-{level}"
            put = {"StreamName": stream, "Data": b"x", "PartitionKey": "k"}
            read = {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}
            cleared = CLASSIFICATIONS.index(clearance) >= CLASSIFICATIONS.index(level)
            case = (kind, of, clearance, stream)
            if kind == "MeshProducers" and of == domain and cleared:
                wanted.add(("put", *case))
            if kind == "MeshConsumers" and (of == domain or level == "public") and cleared:
                wanted.add(("read", *case))
            if await may(kinesis.put_record, **put):
                told_so.add(("put", *case))
            if await may(kinesis.get_shard_iterator, **read):
                told_so.add(("read", *case))
            assert not await may(kinesis.add_tags_to_stream, StreamName=stream, Tags={"domain": of})
            assert not await may(kinesis.delete_stream, StreamName=stream)
    assert told_so == wanted
    assert len(wanted) == 6 + 10


async def test_a_tag_that_is_changed_counts_at_the_next_call(mesh: Mesh) -> None:
    """Over the wire, while the role's session lives on; and what is denied says why."""
    writer = await mesh.role("MeshProducers", "shop", "public")
    developer = mesh.client("kinesis")
    put = {"StreamName": "shop-public", "Data": b"x", "PartitionKey": "k"}
    assert await may(writer.put_record, **put)
    await told(developer.add_tags_to_stream, StreamName="shop-public", Tags={"classification": "internal"})
    with pytest.raises(ClientError) as caught:
        await told(writer.put_record, **put)
    assert "no identity-based policy allows the kinesis:PutRecord action" in str(caught.value)
    await told(developer.add_tags_to_stream, StreamName="shop-public", Tags={"classification": "public"})
    assert await may(writer.put_record, **put)
    await told(developer.remove_tags_from_stream, StreamName="shop-public", TagKeys=["domain"])
    assert not await may(writer.put_record, **put)


async def test_a_roles_own_tags_count_at_the_next_call(mesh: Mesh) -> None:
    """A role that is given another domain over IAM's API writes that domain's streams, and no longer its own."""
    writer = await mesh.role("MeshProducers", "shop", "public")
    spec = await told(mesh.client("lambda").get_function_configuration, FunctionName="MeshProducers-shop-public")
    role, iam = spec["Role"].rpartition("/")[2], mesh.client("iam")
    tags = {tag["Key"]: tag["Value"] for tag in (await told(iam.list_role_tags, RoleName=role))["Tags"]}
    assert tags["domain"] == "shop"
    await told(iam.tag_role, RoleName=role, Tags=[{"Key": "domain", "Value": "billing"}])
    put = {"Data": b"x", "PartitionKey": "k"}
    streams = ("shop-public", "billing-public")
    assert [await may(writer.put_record, StreamName=name, **put) for name in streams] == [False, True]
