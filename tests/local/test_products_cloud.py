"""Data products in a running local cloud: what the page tells to put into a template is deployed, and Glue is there."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from localcloud.clock import SystemClock
from localcloud.cloud import RunningCloud, open_cloud
from localcloud.options import CloudOptions
from tests.shape.conftest import ROOT

pytestmark = pytest.mark.local

READER = "arn:aws:iam::999999999999:role/reader"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"
# What the page takes for granted of the application's template
GIVEN = {
    "Parameters:": """Parameters:
  RecordsRetentionHours: {Type: Number, Default: 48}
  AlarmTopicArn: {Type: String, Default: ""}
""",
    "Conditions:": """Conditions:
  HasAlarmTopic: !Not [!Equals [!Ref AlarmTopicArn, ""]]
""",
}


@asynccontextmanager
async def opened(text: str, folder: Path, **overrides: str) -> AsyncGenerator[RunningCloud]:
    template = folder / "template.yaml"
    template.write_text(text)
    options = CloudOptions(
        template=template, state=folder / "state", cache=folder / "cache", environ={}, progress=lambda _: None,
        overrides=overrides, port=0,
    )  # fmt: skip
    async with open_cloud(options, clock=SystemClock(), rng=random.Random(1)) as cloud:
        yield cloud


def client(cloud: RunningCloud, name: str) -> Any:
    return boto3.client(
        name, region_name="us-east-1", endpoint_url=cloud.state.endpoints["aws"], aws_access_key_id="AK",
        aws_secret_access_key="SK", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


async def told(call: Callable[..., Any], **members: Any) -> Any:
    return await asyncio.to_thread(lambda: call(**members))


def page() -> str:
    """The template of docs/products.md, with what the application has."""
    text = (ROOT / "docs" / "products.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if each.startswith("Parameters:")]
    for line, more in GIVEN.items():
        block = block.replace(f"{line}\n", more, 1)
    return block


async def test_the_shared_stream_of_the_page_is_deployed(tmp_path: Path) -> None:
    """Tags, key, metrics, consumer and both resource policies are what Kinesis tells; the ledger refuses nothing."""
    overrides = {"RecordsConsumers": READER, "RecordsKeyArn": KEY, "RecordsFanOut": "true"}
    async with opened(page(), tmp_path, **overrides) as cloud:
        assert cloud.ledger.refused == ()
        partial = {str(line) for line in cloud.ledger.lines if "not encrypted" in line.reason}
        assert len(partial) == 2
        kinesis = client(cloud, "kinesis")
        name = (await told(kinesis.list_streams))["StreamNames"][0]
        stream = (await told(kinesis.describe_stream, StreamName=name))["StreamDescription"]
        assert (stream["RetentionPeriodHours"], stream["EncryptionType"], stream["KeyId"]) == (48, "KMS", KEY)
        tags = (await told(kinesis.list_tags_for_resource, ResourceARN=stream["StreamARN"]))["Tags"]
        assert {each["Key"]: each["Value"] for each in tags} == {
            "domain": "platform", "classification": "internal", "product": "records",
        }  # fmt: skip
        (consumer,) = (await told(kinesis.list_stream_consumers, StreamARN=stream["StreamARN"]))["Consumers"]
        for arn, action in (
            (stream["StreamARN"], "kinesis:GetRecords"),
            (consumer["ConsumerARN"], "kinesis:SubscribeToShard"),
        ):
            policy = json.loads((await told(kinesis.get_resource_policy, ResourceARN=arn))["Policy"])
            (statement,) = policy["Statement"]
            assert (statement["Principal"], statement["Resource"]) == ({"AWS": [READER]}, arn)
            assert action in statement["Action"]


async def test_nothing_is_shared_where_nobody_is_named(tmp_path: Path) -> None:
    """By default the stream has no consumer and no resource policy, and AWS's own key."""
    async with opened(page(), tmp_path) as cloud:
        kinesis = client(cloud, "kinesis")
        name = (await told(kinesis.list_streams))["StreamNames"][0]
        stream = (await told(kinesis.describe_stream, StreamName=name))["StreamDescription"]
        assert stream["KeyId"] == "alias/aws/kinesis"
        assert (await told(kinesis.list_stream_consumers, StreamARN=stream["StreamARN"]))["Consumers"] == []
        with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
            await told(kinesis.get_resource_policy, ResourceARN=stream["StreamARN"])


async def test_the_policies_of_the_mesh_are_a_template(tmp_path: Path) -> None:
    """products/policies.yaml deploys as it is."""
    async with opened((ROOT / "products" / "policies.yaml").read_text(), tmp_path) as cloud:
        assert cloud.ledger.refused == ()
        assert set(cloud.state.outputs) == {"MeshConsumersArn", "MeshProducersArn"}


async def test_the_schema_registry_is_there(tmp_path: Path) -> None:
    """boto3 registers versions over the wire; one that breaks readers is a FAILURE."""
    async with opened('{"Resources": {"Any": {"Type": "AWS::SQS::Queue"}}}', tmp_path) as cloud:
        glue = client(cloud, "glue")
        texts = [
            json.dumps({"type": "record", "name": "R", "fields": fields})
            for fields in ([{"name": "a", "type": "int"}], [{"name": "b", "type": "int"}])
        ]
        await told(
            glue.create_schema, RegistryId={"RegistryName": "default-registry"}, SchemaName="orders", DataFormat="AVRO",
            Compatibility="BACKWARD", SchemaDefinition=texts[0],
        )  # fmt: skip
        name = {"RegistryName": "default-registry", "SchemaName": "orders"}
        answer = await told(glue.register_schema_version, SchemaId=name, SchemaDefinition=texts[1])
        assert (answer["Status"], answer["VersionNumber"]) == ("FAILURE", 2)
        again = await told(glue.register_schema_version, SchemaId=name, SchemaDefinition=texts[0])
        assert (again["Status"], again["VersionNumber"]) == ("AVAILABLE", 1)
        with pytest.raises(glue.exceptions.ClientError, match="serves the schema registry of Glue, not GetDatabases"):
            await told(glue.get_databases)
