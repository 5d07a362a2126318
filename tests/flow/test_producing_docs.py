"""The examples of docs/producing.md run as they stand, and its tables name what there is."""

from __future__ import annotations

import asyncio
import base64
import re
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from sluiceway.aws.kinesis import KINESIS, KinesisStream
from sluiceway.aws.wire import Wire
from sluiceway.codec import glue, refusals
from sluiceway.errors import Rejected
from sluiceway.events.http import Problem
from sluiceway.flows.publish import http, results
from sluiceway.flows.publish.ledger import KEEP_S, MAX_ROUNDS
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.sending import CALL_S
from sluiceway.flows.publish.shards import HEAT_RECORDS, HOT_SHARE
from sluiceway.ports.producing import Entry
from sluiceway.rules.producing.hot_keys import DEFAULT_CAPACITY
from sluiceway.rules.publishing import MAX_BODY_BYTES, MAX_IDEMPOTENCY_KEY, MAX_RECORDS
from tests.contract.idempotency_tables import TABLE
from tests.producing_cloud import STREAM, serve_kinesis
from tests.unit.wire_server import environ

PAGE = Path(__file__).resolve().parents[2] / "docs" / "producing.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def run_block(at: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[at], f"docs/producing.md, block {at}", "exec", dont_inherit=True), names)
    return names


def test_the_producer_stores_everything(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One record, then a thousand, against the local cloud."""
    with serve_kinesis() as address:
        for name, value in {**environ(AWS_ENDPOINT_URL=address), "STREAM": STREAM}.items():
            monkeypatch.setenv(name, value)
        run_block(0)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("stored in shardId-00000000000")
    assert second == "stored 1000"


def test_the_check_frames_and_refuses() -> None:
    """With the path that the page says."""
    names = run_block(1)
    framed = glue.read_frame(names["check_order"]("records", {"order": 7}))
    assert (framed.version_id, framed.payload) == (names["VERSION"], b'{"order":7}')
    with pytest.raises(Rejected) as caught:
        names["check_order"]("records", {"order": "7"})
    assert (caught.value.reason, caught.value.field) == ("schema-mismatch", "order")
    assert f"records[0].data.{caught.value.field}: {caught.value}" in TEXT


def test_records_are_put_again_in_another_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, those of a key in their order, as they were; a signal ends it."""
    orders = [(f"customer-{at % 3}", b'{"order":%d}' % at) for at in range(60)]
    with serve_kinesis() as address:
        here = environ(AWS_ENDPOINT_URL=address)
        more = {
            "STREAM": STREAM,
            "OTHER_REGION": "eu-central-1",
            "OTHER_STREAM": "mirror",
            "LEASES_TABLE": TABLE,
            "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
        }
        for name, value in {**here, **more}.items():
            monkeypatch.setenv(name, value)

        async def run() -> list[tuple[str, bytes]]:
            async with Wire.open({**here, "AWS_REGION": "eu-central-1"}) as there, Wire.open(here) as wire:
                await there.call(KINESIS, "CreateStream", {"StreamName": "mirror", "ShardCount": 1})
                for key, data in orders:
                    await KinesisStream(wire, STREAM).put([Entry(key, data)])
                async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                    group.create_task(run_block(2)["main"]())
                    while len(found := await read_mirror(there)) < len(orders):  # noqa: ASYNC110 - on a real socket
                        await asyncio.sleep(0.1)
                    signal.raise_signal(signal.SIGTERM)
                return found

        with asyncio.Runner() as runner:
            found = runner.run(run())
    assert sorted(found) == sorted(orders)
    for key in {key for key, _ in orders}:
        assert [each for each in found if each[0] == key] == [each for each in orders if each[0] == key]


async def read_mirror(wire: Wire) -> list[tuple[str, bytes]]:
    """Keys and data of the stream `mirror`, once it is there."""
    summary = (await wire.call(KINESIS, "DescribeStreamSummary", {"StreamName": "mirror"})).json()
    if summary["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        return []
    asked = {"StreamName": "mirror", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    told = (await wire.call(KINESIS, "GetShardIterator", asked)).json()
    told = (await wire.call(KINESIS, "GetRecords", {"ShardIterator": told["ShardIterator"]})).json()
    return [(each["PartitionKey"], base64.b64decode(each["Data"])) for each in told["Records"]]


def test_every_option_is_in_the_table_with_its_default() -> None:
    """No option is left out, and the defaults are those of the code."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w.,]+) \|", TEXT, re.MULTILINE))
    assert set(rows) == {each.name for each in fields(ProducerOptions)}
    for name, said in rows.items():
        value = getattr(ProducerOptions(), name)
        expected = (
            str(value).lower() if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else f"{value:g}"
        )
        assert said == expected, name
    assert all(f"`await {name}(" in TEXT for name in ("put", "submit", "flush"))
    assert set(dir(Producer)) >= {"put", "submit", "flush"}


def test_every_problem_is_in_the_tables() -> None:
    """Those of a record, and those of the answer with their status."""
    assert [why for why in get_args(results.Why) if f"`{why}`" not in TEXT] == []
    told = [value for name, value in vars(http).items() if isinstance(value, Problem)]
    assert len(told) == 5
    told += guarded()
    for each in told:
        row = next((line for line in TEXT.splitlines() if f" {each.type}`" in line or f" {each.type}` " in line), "")
        assert f"{each.status} {each.type}" in row, each


def guarded() -> list[Problem]:
    """Those of a guard that publishing can come to in one Region; its key is read before."""
    found = [problem for problem, _ in refusals._RETRYABLE.values()] + [*refusals._REJECTED.values()]
    others = {"not-home", "withheld", "parked", "no-idempotency-key"}
    return [each for each in found if each.type.removeprefix("/problems/") not in others]


def test_numbers_are_those_of_the_code() -> None:
    """Limits that the page spells out."""
    said = {
        f"1 to {MAX_RECORDS} records": TEXT,
        f"{MAX_BODY_BYTES // 1024**2} MiB |": TEXT,
        f"longer than {MAX_IDEMPOTENCY_KEY} characters": TEXT,
        f"up to {MAX_ROUNDS} rounds": TEXT,
        f"Every {HEAT_RECORDS:,} records": TEXT,
        f"The {DEFAULT_CAPACITY} most frequent": TEXT,
        f"a silent call by {CALL_S:g} s": TEXT,
    }
    assert [what for what, text in said.items() if what not in text] == []
    assert (KEEP_S, HOT_SHARE) == (86_400, 0.2)
