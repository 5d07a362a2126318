"""Aggregates beside aws-kinesis-agg 1.2.3 and protobuf: what they read and write is on record, `kpl_peer.py` says it.

Every difference from the package has a name here and in docs/kpl.md; from protobuf's reading there is none.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import Counter
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from sluiceway.codec import kpl
from sluiceway.codec.kpl.aggregate import MAGIC

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "kpl.md"
RECORD: dict[str, Any] = json.loads((HERE / "kpl_aws_kinesis_agg.json").read_text(encoding="utf-8"))
WHOLE = {"shardId-000000000000": kpl.HashRange(0, 2**128 - 1)}
Rows = list[list[Any]]

# Written by producers in use and printed in public: by the Kinesis Producer Library (partition key `a` on the outside),
# by aws-kinesis-agg for Node, which wrote "undefined" for a missing explicit hash key, and by a Go library.
SEEN = {
    "84mawgoHbW1fZGF0YRp4CAAadHsidHhuVGltZVN0YW1wIjoxNDkzNjY4MDIyMTEyLCJhbW91bnQiOjM1MC4wLCJ0eG5UeXBlIjoiam91cm5hbCIs"
    "ImFncmVlbWVudFR5cGUiOiJkaXN0cmlidXRpb24iLCJjaGFubmVsIjoiZmlkLmNvbSJ9GngIABp0eyJ0eG5UaW1lU3RhbXAiOjE0OTM2NjgwMjI4"
    "OTAsImFtb3VudCI6MzUwLjAsInR4blR5cGUiOiJqb3VybmFsIiwiYWdyZWVtZW50VHlwZSI6ImRpc3RyaWJ1dGlvbiIsImNoYW5uZWwiOiJmaWQu"
    "Y29tIn2wO6mqiRlfnCZrPNG2vNwe": [("mm_data", None, 116), ("mm_data", None, 116)],
    "84mawgokODE2MjJiMGUtNWFlOC00YjUzLWE1ODUtYzZjYjc3ODBlNjgwCiQyNWQ0YzNjMS0zMWZlLTQyNGYtOTFmMy04MTI0MWRjYzY1OTASCXVu"
    "ZGVmaW5lZBoRCAAQABoLeyJhIjoiQUJDIn0aEQgBEAAaC3siYiI6IkRFRiJ9jU+TcO1bDHHEgOGh8mJlCw==": [
        ("81622b0e-5ae8-4b53-a585-c6cb7780e680", "undefined", 11),
        ("25d4c3c1-31fe-424f-91f3-81241dcc6590", "undefined", 11),
    ],
    "84mawgoIejJKSjl6dFgaEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97"
    "ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97"
    "ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn0aEwgAGg97ImtleSI6InZhbHVlIn3xj2DFMGZ0aNQC7aexsnkU": [
        ("z2JJ9ztX", None, 15)
    ]
    * 10,
}


def seal(message: bytes) -> bytes:
    return MAGIC + message + md5(message).digest()


def ask_us(data: bytes) -> Rows | str:
    """Rows of key, data in base64, explicit hash key, subsequence number; or why there are none."""
    try:
        opened = kpl.open_aggregate(data)
    except kpl.CorruptAggregate as error:
        return "index" if error.reason == "aggregate-index" else "refused"
    if opened is None:
        return "plain"
    return [[key, base64.b64encode(data).decode(), explicit, number] for key, data, explicit, number in opened.records]


def read_rows(rows: Rows) -> list[tuple[str, bytes, str | None]]:
    return [(row[0], base64.b64decode(row[1]), row[2]) for row in rows]


def name_difference(records: Rows | str, agg: Rows | str) -> str:
    """What the package does to a case in which it says something else than protobuf."""
    if isinstance(agg, str):
        return "agg-corrupt-is-plain" if (records, agg) == ("refused", "plain") else f"unknown: {agg}"
    if records == "index":
        return "agg-cuts"
    if records == "refused":
        return "agg-missing-is-empty"
    known = [row[:2] + row[3:] for row in records if isinstance(row, list)]
    others = [mine[2] for mine, theirs in zip(records, agg, strict=False) if mine[2] != theirs[2]]
    invents = known == [row[:2] + row[3:] for row in agg] and set(others) == {None}
    if not invents and len(agg) < len(records):
        return "agg-cuts"
    return "agg-invents-hash-keys" if invents else "unknown"


def test_every_case_is_read_as_protobuf_reads_it() -> None:
    """Good messages in every spelling, and 240 broken ones: the same records, or refused for the same reason."""
    cases = RECORD["opened"]
    wrong = [case["message"] for case in cases if ask_us(seal(base64.b64decode(case["message"]))) != case["records"]]
    assert wrong == []
    answers = Counter(case["records"] if isinstance(case["records"], str) else "rows" for case in cases)
    assert min(answers["rows"], answers["refused"], answers["index"]) > 30, answers


def test_every_difference_from_the_package_has_a_name() -> None:
    """Where it differs from protobuf's reading it cuts, invents, or takes the corrupt for something else."""
    cases = [case for case in RECORD["opened"] if "agg" in case]
    named = Counter(name_difference(case["records"], case["agg"]) for case in cases)
    assert set(named) == {"agg-corrupt-is-plain", "agg-cuts", "agg-invents-hash-keys", "agg-missing-is-empty"}
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in named if f"`{name}`" not in page] == []


@pytest.mark.parametrize("number", range(len(RECORD["written"])))
def test_what_the_package_writes_is_what_we_write(number: int) -> None:
    """Byte for byte, and it opens as what went in. Its own account of the size is too large where a key comes again."""
    case = RECORD["written"][number]
    records, data = read_rows(case["records"]), base64.b64decode(case["data"])
    aggregator = kpl.Aggregator(WHOLE)
    assert [aggregator.add(*record) for record in records] == [None] * len(records)
    (entry,) = aggregator.flush()
    assert entry.data == data
    keys, hash_keys = [record[0] for record in records], [record[2] for record in records if record[2] is not None]
    again = len({*keys}) + len({*hash_keys}) < len(keys) + len(hash_keys)
    assert (len(data) < case["size"]) == again
    opened = kpl.open_aggregate(data)
    assert opened is not None
    assert [tuple(record) for record in opened.records] == [(*record, at) for at, record in enumerate(records)]


def test_what_we_write_is_read_by_both() -> None:
    """protobuf reads every record; the package too, but for the explicit hash keys that it invents."""
    invented = 0
    for case in RECORD["ours"]:
        assert case["read"] == case["records"]
        if case["agg"] != case["records"]:
            invented += name_difference(case["records"], case["agg"]) == "agg-invents-hash-keys"
    assert invented == sum(case["agg"] != case["records"] for case in RECORD["ours"]) > 0


def test_we_still_write_what_was_recorded() -> None:
    """The bytes that the others were asked about are those of today."""
    for case in RECORD["ours"]:
        aggregator = kpl.Aggregator(WHOLE)
        assert not any(aggregator.add(*record) for record in read_rows(case["records"]))
        assert aggregator.flush()[0].data == base64.b64decode(case["data"])


@pytest.mark.parametrize("encoded", SEEN)
def test_aggregates_of_producers_in_use_are_opened(encoded: str) -> None:
    """The Kinesis Producer Library's own bytes, and those of two libraries that write its format."""
    opened = kpl.open_aggregate(base64.b64decode(encoded))
    assert opened is not None
    found = [(record.partition_key, record.explicit_hash_key, len(record.data)) for record in opened.records]
    assert found == SEEN[encoded]


def test_the_record_is_what_they_say() -> None:
    """Where AWS_KINESIS_AGG_PYTHON names an interpreter with the package, which is no requirement of ours."""
    python = os.environ.get("AWS_KINESIS_AGG_PYTHON")
    if not python:
        pytest.skip("AWS_KINESIS_AGG_PYTHON does not name an interpreter with aws-kinesis-agg")
    for what in (["check"], ["fuzz", "--seconds", "5"]):
        done = subprocess.run(
            [python, str(HERE / "kpl_peer.py"), *what], capture_output=True, text=True, check=False, env={"PATH": ""}
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
