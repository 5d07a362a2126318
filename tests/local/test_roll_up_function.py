"""roll_up_records as it is deployed: its settings, and a window over sockets to DynamoDB and S3 of the local cloud."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from functions.roll_up_records import app as roll_up_records
from localcloud.clock import SystemClock
from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.s3.resources import BucketHandler
from localcloud.services.s3.wire import open_s3
from localcloud.template.handler import Resource, StackContext
from sluiceway.app import App
from sluiceway.aws.dynamodb import DYNAMODB, Table
from sluiceway.aws.raw_objects import S3RawStore
from sluiceway.aws.rollups import DynamoDbRollupStore
from sluiceway.aws.wire import Wire
from sluiceway.codec import kinesis_window
from sluiceway.errors import Misconfigured
from sluiceway.flows.roll_up import roll_up_records as flow
from sluiceway.ports import SystemClock as LayerClock
from sluiceway.rules.rollups.cells import Place, summarise
from sluiceway.rules.rollups.definition import read_definition
from tests.contract.test_rollup_stores import DEFINITION, ROLLUPS
from tests.unit.test_app_connections import CONTEXT
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local
ROOT = Path(__file__).parents[2]
DECLARED = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "rollups.md").read_text(encoding="utf-8"), re.DOTALL)[0]
CASES = ROOT / "events" / "roll_up_records"
HOUR_MS = 1_795_798_800_000  # of the recorded records
SETTINGS = {
    "ROLLUPS_TABLE": ROLLUPS,
    "RAW_BUCKET": "rollups-raw",
    "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
    "ROLLUP": DECLARED,
}


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The local cloud's DynamoDB and S3 with the function's table and bucket; its settings are in the environment."""
    delegate = Delegate()
    s3 = open_s3(delegate, may_list=lambda _key, _bucket: True)
    front = Front([DynamoService(SystemClock()), s3], authorise=lambda *_: None, rng=random.Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url:
        buckets = BucketHandler(s3.prepare)
        context = StackContext("sluiceway", "eu-west-1", "123456789012", "aws", Path())
        await buckets.create(Resource("Raw", buckets.type, {"BucketName": SETTINGS["RAW_BUCKET"]}, context))
        async with Wire.open(environ(AWS_ENDPOINT_URL=url)) as wire:
            await wire.call(DYNAMODB, "CreateTable", DEFINITION)
        for name, value in {**environ(AWS_ENDPOINT_URL=url), **SETTINGS}.items():
            monkeypatch.setenv(name, value)
        yield url
    delegate.close()


def case(name: str) -> dict[str, Any]:
    return json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))


async def test_a_window_goes_from_its_event_into_the_table(address: str) -> None:
    """Two records, the state back, the end twice: rows, totals and raw objects are there, and nothing twice."""
    handler = App(flow, source=kinesis_window, lifespan=roll_up_records.lifespan)
    try:
        event = case("two_records")
        answer: Any = await handler.invoke(event, CONTEXT)
        assert answer == json.loads((CASES / "two_records.reply.json").read_text(encoding="utf-8"))
        end = {**event, "Records": [], "state": json.loads(json.dumps(answer["state"])), "isFinalInvokeForWindow": True}
        for _ in range(2):
            assert await handler.invoke(copy.deepcopy(end), CONTEXT) == {"state": {}, "batchItemFailures": []}
    finally:
        await handler.aclose()
    definition = read_definition(json.loads(DECLARED), "ROLLUP")
    async with Wire.open(environ(AWS_ENDPOINT_URL=address)) as wire:
        store = DynamoDbRollupStore(Table(wire, ROLLUPS), definition, LayerClock())
        hour = Place("hour", HOUR_MS, '["sensor_001"]')
        (row,) = (await store.rows(hour.key, hour, hour)).values()
        assert row.cell.records == 2
        told = {name: str(value) for name, value in summarise(row.cell, definition)["temperature"].items()}
        assert told == {"avg": "26.8", "min": "26.1", "max": "27.5"}
        assert [each.cell.records for each in (await store.totals(hour)).values()] == [2]
        page = await S3RawStore(wire, SETTINGS["RAW_BUCKET"]).names("raw/records/2026/11/27/17/")
        assert len(page.names) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, "") for name in SETTINGS), ("ROLLUP", "{"), ("ROLLUP", "{}"), ("DEAD_LETTERS_URL", "x")],
)
async def test_a_setting_that_lacks_or_is_none_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At init."""
    for each, given in {**environ(), **SETTINGS, name: value}.items():
        monkeypatch.setenv(each, given)
    with pytest.raises(Misconfigured) as caught:
        async with roll_up_records.lifespan():
            pass
    assert caught.value.what == name
