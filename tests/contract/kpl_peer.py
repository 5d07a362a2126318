"""What aws-kinesis-agg and protobuf say to the cases of `kpl_cases`: records it, checks the record, or goes on and on.

For an interpreter that has aws-kinesis-agg 1.2.3, six and protobuf; none of them is needed to compare with the record.
Run: python tests/contract/kpl_peer.py record | check | fuzz [--seconds N] [--seed N]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "layers" / "sluiceway")]

import aws_kinesis_agg.aggregator  # noqa: E402 - the package finds its messages only after it has changed sys.path
import google.protobuf  # noqa: E402
import kpl_cases  # noqa: E402
from aws_kinesis_agg import deaggregator, messages_pb2  # noqa: E402
from google.protobuf.message import DecodeError  # noqa: E402

from sluiceway.codec import kpl  # noqa: E402

RECORD = HERE / "kpl_aws_kinesis_agg.json"
VERSION = "aws-kinesis-agg 1.2.3"
Rows = list[list[Any]]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def name(key: str | bytes | None) -> str | None:
    """Bytes, which the package hands on where they are no UTF-8, as their repr."""
    return repr(key) if isinstance(key, bytes) else key


def ask_protobuf(message: bytes) -> Rows | str:
    """What proto2 says the records are; "refused", or "index" where an index is not in its table."""
    parsed = messages_pb2.AggregatedRecord()
    try:
        parsed.ParseFromString(message)
        keys, hash_keys = list(parsed.partition_key_table), list(parsed.explicit_hash_key_table)
    except DecodeError:
        return "refused"
    if not parsed.IsInitialized():
        return "refused"  # a required field is missing: Java's parseFrom, which KCL calls, raises; Python's does not
    if any(isinstance(key, bytes) for key in (*keys, *hash_keys)):
        return "refused"  # no UTF-8: protobuf gives bytes in proto2, Java characters of replacement, ours an error
    rows: Rows = []
    for record in parsed.records:
        hashed = record.HasField("explicit_hash_key_index")
        if record.partition_key_index >= len(keys) or (hashed and record.explicit_hash_key_index >= len(hash_keys)):
            return "index"
        explicit = hash_keys[record.explicit_hash_key_index] if hashed else None
        rows.append([keys[record.partition_key_index], text(record.data), explicit, len(rows)])
    return rows


def ask_agg(data: bytes) -> Rows | str:
    """What the package yields, "plain" where that is the record itself."""
    record = {"SequenceNumber": "1", "PartitionKey": "p", "ApproximateArrivalTimestamp": 0, "Data": data}
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found = list(deaggregator.iter_deaggregate_records([record], data_format="Boto3"))
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return f"raises {type(error).__name__}"
    rows = [each["kinesis"] for each in found]
    if len(rows) == 1 and "subSequenceNumber" not in rows[0]:
        return "plain"
    return [
        [name(row["partitionKey"]), row["data"].decode(), name(row["explicitHashKey"]), row["subSequenceNumber"]]
        for row in rows
    ]


def ask_us(data: bytes) -> Rows | str:
    """The same of ours: "refused" or "index" by its reason, "plain" for None."""
    try:
        opened = kpl.open_aggregate(data)
    except kpl.CorruptAggregate as error:
        return "index" if error.reason == "aggregate-index" else "refused"
    if opened is None:
        return "plain"
    return [
        [row.partition_key, text(row.data), row.explicit_hash_key, row.subsequence_number] for row in opened.records
    ]


def make_case(message: bytes) -> dict[str, Any]:
    """An opened case. `agg` is there where the package says something else than protobuf's own reading."""
    data = kpl_cases.seal(message)
    case: dict[str, Any] = {"message": text(message), "records": ask_protobuf(message) if message else "plain"}
    agg = ask_agg(data)
    return case if agg == case["records"] else case | {"agg": agg}


def make_written(records: list[kpl_cases.Record]) -> dict[str, Any]:
    """User records, and the aggregate that the package makes of them."""
    made = aws_kinesis_agg.aggregator.AggRecord()
    for key, data, explicit in records:
        assert made.add_user_record(key, data, explicit)
    data = made.get_contents()[2]
    rows = [[key, text(data), explicit] for key, data, explicit in records]
    return {"records": rows, "data": text(data), "size": made.get_size_bytes()}


def make_ours(records: list[kpl_cases.Record]) -> dict[str, Any]:
    """User records, the entry that ours makes of them, and what protobuf and the package read in it."""
    aggregator = kpl.Aggregator({"shardId-000000000000": kpl.HashRange(0, 2**128 - 1)})
    for record in records:
        assert aggregator.add(*record) is None
    (entry,) = aggregator.flush()
    rows = [[key, text(data), explicit, number] for number, (key, data, explicit) in enumerate(records)]
    return {
        "records": rows,
        "data": text(entry.data),
        "read": ask_protobuf(entry.data[4:-16]),
        "agg": ask_agg(entry.data),
    }


def make_record() -> dict[str, Any]:
    good, broken, records = (kpl_cases.Generator(seed) for seed in (1, 2, 3))
    messages = [*(good.message() for _ in range(80)), *(broken.broken() for _ in range(240))]
    return {
        "version": VERSION,
        "opened": [make_case(message) for message in messages],
        "written": [make_written(records.records()) for _ in range(30)],
        "ours": [make_ours(records.records()) for _ in range(30)],
    }


def write_record(made: dict[str, Any]) -> str:
    """One case a line."""
    lists = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(case)}" for case in made[name]) + "\n ]"
        for name in ("opened", "written", "ours")
    ]
    return "{\n" + ",\n".join([f' "version": {json.dumps(made["version"])}', *lists]) + "\n}\n"


def is_stricter(message: bytes) -> bool:
    """Whether ours refuses what protobuf's C reader lets pass: in unknown fields, 0 as a number, or bits beyond 64."""
    try:
        kpl.open_aggregate(kpl_cases.seal(message))
    except kpl.CorruptAggregate as error:
        return "field number" in str(error) or "64 bits" in str(error)
    return False


def fuzz(seed: int, seconds: float) -> None:
    """Ours beside protobuf, until the time is over or they differ."""
    generator, ends, tried, strict = kpl_cases.Generator(seed), time.monotonic() + seconds, 0, 0
    while time.monotonic() < ends:
        message = generator.broken() if tried % 4 else generator.message()
        theirs = ask_protobuf(message) if message else "plain"
        ours = ask_us(kpl_cases.seal(message))
        if ours == "refused" and theirs != "refused" and is_stricter(message):
            strict += 1
        elif ours != theirs:
            sys.exit(f"seed {seed}, case {tried}: {message.hex()}\nours: {ours}\nprotobuf: {theirs}")
        tried += 1
    print(f"{tried} messages, {strict} of them read more strictly; protobuf {google.protobuf.__version__}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["record", "check", "fuzz"])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.what == "fuzz":
        fuzz(options.seed, options.seconds)
    elif options.what == "record":
        RECORD.write_text(write_record(make_record()), encoding="utf-8")
    elif write_record(make_record()) != RECORD.read_text(encoding="utf-8"):
        sys.exit("the record is not what is said now")


if __name__ == "__main__":
    main()
