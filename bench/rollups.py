"""What do rollups save, and what do they cost?

Storage: the article's arithmetic, with its own figures, and then the same on records of its shape that are generated
here (seeded), rolled up by the function's own flow, and measured: raw bytes as they are in the stream and in the raw
store, rolled ones as DynamoDB counts an item, with totals, ledgers and the 100 bytes that it adds to each. CPU: a
record from the event's JSON to the answer's, and what a row costs to put into the table; beside a loop by hand that
adds floats in a dict and keeps no raw record, state or mark.
Source: https://aws.amazon.com/blogs/big-data/decrease-your-storage-costs-with-amazon-opensearch-service-index-rollups/
Run: python bench/rollups.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import pair, print_table

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]

from localcloud.clock import SystemClock  # noqa: E402
from localcloud.services.contract import WireRequest  # noqa: E402
from localcloud.services.dynamodb.wire import DynamoService  # noqa: E402
from sluiceway.aws.dynamodb import Table  # noqa: E402
from sluiceway.aws.endpoints import ServiceSpec  # noqa: E402
from sluiceway.aws.reply import Reply  # noqa: E402
from sluiceway.aws.rollups import DynamoDbRollupStore  # noqa: E402
from sluiceway.codec import kinesis_window  # noqa: E402
from sluiceway.errors import ConditionFailed  # noqa: E402
from sluiceway.events.invocation import Invocation  # noqa: E402
from sluiceway.flows.roll_up import RollUpDesk, roll_up_records  # noqa: E402
from sluiceway.ports import SystemClock as LayerClock  # noqa: E402
from sluiceway.ports.rollups import Contribution, Ledger, RawPage  # noqa: E402
from sluiceway.rules.rollups.cells import Cell, Place  # noqa: E402
from sluiceway.rules.rollups.definition import RollupDefinition, read_definition  # noqa: E402

T0_MS = 1_704_103_200_000  # 2024-01-01T10:00:00Z, the article's record
BATCH = 1000  # records of an invocation
SHARD = "shardId-000000000000"
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/sensors"
ITEM_OVERHEAD = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
ARTICLE_SAVING = 96.67
TABLE = {
    "TableName": "rollups",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("rollup", "period")],
    "KeySchema": [{"AttributeName": "rollup", "KeyType": "HASH"}, {"AttributeName": "period", "KeyType": "RANGE"}],
}
WORDS = {"1m": "minute", "1h": "hour", "1d": "day"}


def define(intervals: list[str]) -> RollupDefinition:
    """The article's job, with these intervals."""
    fields = ("temperature", "humidity", "pressure", "battery")
    declared: dict[str, object] = {
        "rollup_id": "sensors",
        "topic": "sensors",
        "dimensions": [
            {"date_histogram": {"source_field": "timestamp", "fixed_intervals": intervals}},
            {"terms": {"source_field": "device_id"}},
        ],
        "metrics": [{"source_field": name, "metrics": ["avg", "min", "max"]} for name in fields],
        "retention_s": {WORDS[each]: 30 * 86_400 for each in intervals},
    }
    return read_definition(declared, "ROLLUP")


def make_record(rng: random.Random, at_ms: int, device: int) -> bytes:
    """A record of the article's shape, padded to nothing: what a sensor says and no more."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms // 1000))
    body = {
        "timestamp": stamp,
        "device_id": f"sensor_{device:03d}",
        "temperature": round(rng.gauss(24, 3), 1),
        "humidity": rng.randint(20, 90),
        "pressure": round(rng.gauss(1009, 6), 1),
        "battery": rng.randint(1, 100),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def make_event(records: list[tuple[int, int, bytes]], state: object, *, window_ms: int, final: bool) -> dict[str, Any]:
    """An invocation's event, of (sequence number, arrival, data)."""
    start_ms = records[0][1] // window_ms * window_ms if records else T0_MS
    dates = [
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000)) for ms in (start_ms, start_ms + window_ms)
    ]  # fmt: skip
    return {
        "Records": [
            {
                "kinesis": {
                    "partitionKey": "k",
                    "sequenceNumber": str(49 * 10**54 + number),
                    "data": b64encode(data).decode(),
                    "approximateArrivalTimestamp": at_ms / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventID": f"{SHARD}:{number}",
                "eventSourceARN": ARN,
            }
            for number, at_ms, data in records
        ],
        "window": {"start": dates[0], "end": dates[1]},
        "state": state,
        "shardId": SHARD,
        "eventSourceARN": ARN,
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": False,
    }


# ---------------------------------------------------------------- the ports


class LocalDynamo:
    """A Caller over the local cloud's DynamoDB, in this process; its items as they were last written."""

    def __init__(self) -> None:
        self._service = DynamoService(SystemClock())
        self.items: dict[str, Mapping[str, Any]] = {}
        self.writes = 0

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """One operation."""
        del service, path, method, query, headers, deadline
        target = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        sent = json.dumps(body).encode()
        request = WireRequest("dynamodb", "us-east-1", "POST", "/", "", target, sent, "key", "req")
        answer = await self._service.handle(request)
        told = answer.body if isinstance(answer.body, bytes) else b""
        if answer.status != 200:
            failed = ConditionFailed("failed", service="dynamodb", operation=operation, code="ConditionalCheckFailed")
            failed.item = json.loads(told).get("Item")
            raise failed
        if operation == "PutItem":
            self.writes += 1
            item: Any = json.loads(sent)["Item"]
            self.items[item["rollup"]["S"] + item["period"]["S"]] = item
        return Reply(200, {}, told)


@dataclass
class Sink:
    """A raw store, a table and dead letters that only count."""

    raw_bytes: int = 0
    rows: int = 0
    ledger: Ledger = field(default_factory=Ledger)

    async def put(self, name: str, body: bytes) -> None:
        self.raw_bytes += len(name) + len(body)

    async def get(self, name: str) -> bytes | None:
        del name

    async def names(self, prefix: str, *, after: str = "") -> RawPage:
        del prefix, after
        return RawPage((), more=False)

    async def delete(self, name: str) -> None:
        del name

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        raise AssertionError(f"poison: {reason} {detail} {attributes} {body}")

    async def add(self, place: Place, cell: Cell, contribution: Contribution) -> bool:
        del place, cell, contribution
        self.rows += 1
        return True

    async def read_ledger(self, shard: str) -> Ledger:
        del shard
        return self.ledger

    async def write_ledger(self, shard: str, ledger: Ledger, *, seen: Ledger) -> bool:
        del shard
        self.ledger = Ledger(ledger.through, ledger.begun, seen.version + 1)
        return True


async def roll(desk: Any, event: Mapping[str, Any]) -> Any:
    """One invocation, as the App makes it: decoded event in, encoded answer out."""
    call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + 60)
    return kinesis_window.encode(await roll_up_records(kinesis_window.decode(event), call, desk))


# ---------------------------------------------------------------- storage


def print_article() -> None:
    """The article's own arithmetic: 10 million documents of 1 KB an hour, 60 to one of 2 KB, for 30 days."""
    documents, days = 10_000_000, 30
    raw_gb = documents * 24 * days / 1e6
    rolled = documents / 60
    rolled_gb = rolled * 24 * days * 2 / 1e6
    saving = (raw_gb - rolled_gb) / raw_gb * 100
    print(
        f"The article: {raw_gb / days:.0f} GB a day, {raw_gb / 1000:.1f} TB in {days} days; {rolled:,.0f} rows an hour,"
    )
    print(f"{rolled_gb:.0f} GB; saved {saving:.2f} %, in its words {ARTICLE_SAVING} %.\n")


async def measure_storage(every_s: int, intervals: list[str], devices: int, hours: int) -> list[str]:
    """Generate, roll up and weigh. One row of the table."""
    rng = random.Random(7)
    definition, dynamo, sink = define(intervals), LocalDynamo(), Sink()
    await dynamo.call(None, "CreateTable", TABLE)  # type: ignore[arg-type]
    store = DynamoDbRollupStore(Table(dynamo, "rollups"), definition, LayerClock())
    desk = RollUpDesk(definition, store, sink, sink)
    window_ms, number, raw_bytes = 900_000, 0, 0
    for window in range(hours * 4):
        state: Any = {}
        times = range(T0_MS + window * window_ms, T0_MS + (window + 1) * window_ms, every_s * 1000)
        made = [(at_ms, make_record(rng, at_ms, device)) for at_ms in times for device in range(devices)]
        for at in range(0, len(made), BATCH):
            batch = [(number + place, *each) for place, each in enumerate(made[at : at + BATCH])]
            number += len(batch)
            raw_bytes += sum(len(data) for _, _, data in batch)
            state = (await roll(desk, make_event(batch, state, window_ms=window_ms, final=False)))["state"]
        await roll(desk, make_event([], state, window_ms=window_ms, final=True))
    rolled_bytes = sum(map(weigh_item, dynamo.items.values()))
    rows = [key for key in dynamo.items if "#[" in key]
    each = statistics.mean(weigh_item(dynamo.items[key]) for key in rows)
    return [
        f"every {every_s} s", "+".join(intervals), f"{number:,}", f"{raw_bytes / number:.0f}",
        f"{sink.raw_bytes / number:.0f}", f"{len(rows):,}", f"{each:.0f}", f"{number / len(rows):.1f}",
        f"{rolled_bytes / raw_bytes:.4f}", f"{(1 - rolled_bytes / raw_bytes) * 100:.2f}",
        f"{(1 - rolled_bytes / (number * 1000)) * 100:.2f}",
    ]  # fmt: skip


def weigh_item(item: Mapping[str, Any]) -> int:
    """Bytes of an item as DynamoDB stores it."""
    return ITEM_OVERHEAD + sum(len(name.encode()) + _weigh(value) for name, value in item.items())


def _weigh(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "N":  # a byte for two digits, and one
        return (len(content.strip("-").replace(".", "").strip("0")) + 1) // 2 + 1 + content.startswith("-")
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _weigh(inner) for name, inner in content.items())
    if kind == "L":
        return 3 + sum(1 + _weigh(inner) for inner in content)
    return len(content.encode())


# ---------------------------------------------------------------- CPU


def by_hand(payload: bytes) -> bytes:
    """Floats in a dict, by minute and device: what is written in ten lines."""
    event = json.loads(payload)
    state = event["state"]
    for record in event["Records"]:
        body = json.loads(_decode(record["kinesis"]["data"]))
        cell = state.setdefault(f"{body['timestamp'][:16]} {body['device_id']}", {})
        for name in ("temperature", "humidity", "pressure", "battery"):
            value = body[name]
            known = cell.get(name)
            cell[name] = (
                [known[0] + 1, known[1] + value, min(known[2], value), max(known[3], value)]
                if known
                else [1, value, value, value]
            )
    return json.dumps({"state": state}).encode()


def _decode(text: str) -> bytes:
    from base64 import b64decode  # noqa: PLC0415 - beside its use

    return b64decode(text)


def batches(size: int, devices: int) -> Iterator[bytes]:
    """Ten batches of one window, as JSON without a state."""
    rng = random.Random(7)
    for at in range(10):
        records = [
            (at * size + number, T0_MS + at * 1000, make_record(rng, T0_MS + at * 1000, rng.randrange(devices)))
            for number in range(size)
        ]
        yield json.dumps(make_event(records, {}, window_ms=60_000, final=False)).encode()


def time_sides(size: int, devices: int) -> tuple[float, float]:
    """CPU microseconds a record: ours, and by hand; the state travels as JSON on both sides."""
    payloads = list(batches(size, devices))

    def ours() -> None:
        sink = Sink()
        desk: Any = RollUpDesk(define(["1m", "1h"]), sink, sink, sink)  # type: ignore[arg-type]
        state = "{}"
        for payload in payloads:
            event = json.loads(payload.replace(b'"state": {}', b'"state": ' + state.encode(), 1))
            state = json.dumps(runner.run(roll(desk, event))["state"])

    def hand() -> None:
        state = b"{}"
        for payload in payloads:
            answer = by_hand(payload.replace(b'"state": {}', b'"state": ' + state, 1))
            state = answer[len(b'{"state": ') : -1]

    with asyncio.Runner() as runner:
        return _time(ours, size * 10), _time(hand, size * 10)


def _time(work: Any, records: int) -> float:
    gc.collect()
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / records * 1e6


def time_rows(devices: int) -> float:
    """CPU microseconds a row of the end of a window, with the sink as the table."""
    payload = json.loads(next(iter(batches(devices, devices))))
    sink = Sink()
    desk: Any = RollUpDesk(define(["1m", "1h"]), sink, sink, sink)  # type: ignore[arg-type]
    with asyncio.Runner() as runner:
        state = runner.run(roll(desk, payload))["state"]
        end = make_event([], state, window_ms=60_000, final=True)
        begun = time.process_time()
        runner.run(roll(desk, end))
        return (time.process_time() - begun) / sink.rows * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, little data: shows that it runs")
    options = parser.parse_args()
    rounds, devices, hours = (1, 2, 1) if options.quick else (options.rounds, 10, 2)
    print_article()
    cases = [(60, ["1h"]), (60, ["1m", "1h"]), (1, ["1h"]), (1, ["1m"]), (1, ["1m", "1h"]), (1, ["1m", "1h", "1d"])]
    head = [
        "a record", "rows of", "records", "raw B", "in S3 B", "rows", "row B", "records a row",
        "rolled / raw", "saved %", "saved % of 1 KB documents",
    ]  # fmt: skip
    with asyncio.Runner() as runner:
        print_table(head, [runner.run(measure_storage(*case, devices, hours)) for case in cases])
    print(f"\nCPU, medians of {rounds} rounds")
    rows = list[list[str]]()
    for size, of_devices in ((100, 10), (1000, 10), (1000, 1000)):
        measured = [time_sides(size, of_devices) for _ in range(rounds)]
        mine, theirs = zip(*measured, strict=True)
        per_row = statistics.median(time_rows(of_devices) for _ in range(rounds))
        rows.append([
            f"{size} records of {of_devices} devices", f"{statistics.median(mine):.1f}",
            f"{statistics.median(theirs):.1f}", f"{pair(mine, theirs):.2f}", f"{per_row:.1f}",
        ])  # fmt: skip
    print_table(["batch", "us a record", "by hand", "ratio", "us a row at the end"], rows)


if __name__ == "__main__":
    main()
