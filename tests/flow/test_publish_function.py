"""The function as Lambda calls it, against the local cloud's Kinesis and DynamoDB: recorded events, settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from functions.publish_records import app
from localcloud.replay.cases import differences, load_cases
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.wire import Wire
from sluiceway.codec import glue
from sluiceway.errors import Misconfigured
from tests.contract.idempotency_tables import TABLE
from tests.producing_cloud import STREAM, serve_kinesis
from tests.unit.test_app_connections import CONTEXT
from tests.unit.wire_server import environ

EVENTS = Path(__file__).resolve().parents[2] / "events"
CASES = list(load_cases(EVENTS, names=["publish_records"]))
ARN = f"arn:aws:kinesis:eu-west-1:123456789012:stream/{STREAM}"
SETTINGS = {
    "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    "TOPICS": json.dumps({"records": STREAM}),
    "PUBLISHERS": '{"records":"*"}',
    "IDEMPOTENCY_TABLE": TABLE,
    "AGGREGATE": "true",
    "GIVE_UP_S": "10",
    "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
}


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, **more: str) -> Iterator[str]:
    """The settings of a deployment; the address of its cloud."""
    with serve_kinesis() as address:
        for name, value in {**environ(AWS_ENDPOINT_URL=address), **SETTINGS, **more}.items():
            monkeypatch.setenv(name, value)
        try:
            yield address
        finally:
            app.handler.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recorded_event_gets_its_recorded_reply(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And records of a good one are in the stream."""
    with running(monkeypatch):
        reply: Any = app.handler(case.as_sent(token="", caller=""), CONTEXT)
        assert differences(case.reply, reply) == []
        if reply["statusCode"] == 200:
            told = json.loads(reply["body"])["records"]
            assert [sorted(each) for each in told] == [["seq", "shard", "sub"]] * 2


@pytest.mark.parametrize("aggregate", ["true", "false"])
@pytest.mark.parametrize("stream", [STREAM, ARN])
def test_a_repeat_through_the_whole_function(aggregate: str, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same body twice is one record of each in the stream, and one answer; another body is refused."""
    (case,) = [each for each in CASES if each.name == "with_key"]
    with running(monkeypatch, AGGREGATE=aggregate, TOPICS=json.dumps({"records": stream})) as address:
        first: Any = app.handler(case.event, CONTEXT)
        again: Any = app.handler(case.event, CONTEXT)
        assert (first["statusCode"], again["body"]) == (200, first["body"])
        assert again["headers"]["idempotent-replayed"] == "true"
        other: Any = app.handler({**case.event, "body": case.event["body"].replace("120", "121")}, CONTEXT)
        assert (other["statusCode"], json.loads(other["body"])["type"]) == (409, "/problems/idempotency-key-reused")
        assert count_records(address) == (1 if aggregate == "true" else 2)


SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"order": {"type": "integer"}, "lines": {"items": {"properties": {"sku": {"type": "string"}}}}},
    "required": ["order"],
}
VERSION = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63"


@pytest.mark.parametrize("version", [{}, {"version_id": VERSION}])
def test_records_are_held_against_the_topics_schema(
    version: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that breaks it is a problem that names its path and no value, and nothing is put; good ones are taken."""
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(app, "__file__", str(tmp_path / "app.py"))
    schemas = json.dumps({"records": {"file": "schema.json", "format": "JSON", **version}})
    (case,) = [each for each in CASES if each.name == "two_records"]
    good = {"key": "ann", "data": {"order": 7}}
    broken = {"key": "bob", "data": {"order": 8, "lines": [{"sku": "secret"}, {"sku": 0}]}}
    with running(monkeypatch, SCHEMAS=schemas, AGGREGATE="false") as address:
        sent = {**case.event, "body": json.dumps({"records": [good, broken]})}
        refused: Any = app.handler(sent, CONTEXT)
        assert (refused["statusCode"], list_data(address)) == (400, [])
        problem = json.loads(refused["body"])
        assert problem["type"] == "/problems/schema-mismatch"
        assert problem["detail"].startswith("records[1].data.lines[1].sku: ")
        assert "secret" not in refused["body"]
        taken: Any = app.handler({**sent, "body": json.dumps({"records": [good]})}, CONTEXT)
        (data,) = list_data(address)
        framed = glue.read_frame(data).payload if version else data
        assert (taken["statusCode"], framed) == (200, b'{"order":7}')


def count_records(address: str) -> int:
    """Kinesis records in the stream."""
    return len(list_data(address))


def list_data(address: str) -> list[bytes]:
    """The data of the stream's Kinesis records, shard by shard."""
    import asyncio

    async def collect() -> list[bytes]:
        found: list[bytes] = []
        async with Wire.open(environ(AWS_ENDPOINT_URL=address)) as wire:
            shards = (await wire.call(KINESIS, "ListShards", {"StreamName": STREAM})).json()["Shards"]
            for shard in shards:
                asked = {"StreamName": STREAM, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
                told = (await wire.call(KINESIS, "GetShardIterator", asked)).json()
                told = (await wire.call(KINESIS, "GetRecords", {"ShardIterator": told["ShardIterator"]})).json()
                found += [base64.b64decode(each["Data"]) for each in told["Records"]]
        return found

    with asyncio.Runner() as runner:
        return runner.run(collect())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOPICS", ""),
        ("TOPICS", "{}"),
        ("PUBLISHERS", ""),
        ("PUBLISHERS", '{"other":"*"}'),
        ("IDEMPOTENCY_TABLE", ""),
        ("AGGREGATE", ""),
        ("AGGREGATE", "yes"),
        ("GIVE_UP_S", ""),
        ("GIVE_UP_S", "29"),
        ("SCHEMAS", '{"other":{"file":"schema.json","format":"JSON"}}'),
        ("CONSOLE_ORIGIN", ""),
        ("AWS_REGION", ""),
    ],
)
async def test_a_deployment_that_lacks_a_setting_fails_and_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At init."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for each, usual in {**environ(), **SETTINGS, name: value}.items():
        monkeypatch.setenv(each, usual)
    with pytest.raises(Misconfigured) as caught:
        await app.lifespan().__aenter__()
    assert caught.value.what == name
