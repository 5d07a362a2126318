"""What does it cost to hold a record against a schema, with this library and with others?

The same record of about 200 bytes with five nested items, on the way in of a publish: as JSON without a schema, checked
by JsonSchema (fastjsonschema), by jsonschema, and as Avro by AvroSchema (fastavro). CPU time of one process; rounds
interleaved, medians. Run: python bench/schemas.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jsonschema
from table import print_table, print_verdict

from sluiceway.rules.publishing import encode_data
from sluiceway.rules.schemas.avro_schemas import AvroSchema
from sluiceway.rules.schemas.json_schemas import JsonSchema

BUDGET = 0.25  # what the check by JsonSchema costs, of what jsonschema does
RECORD: dict[str, Any] = {
    "order": 7, "total": 12.5, "note": None, "lines": [{"sku": f"SKU-{at}", "count": at} for at in range(5)],
}  # fmt: skip
JSON: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "required": ["order", "total"],
    "properties": {
        "order": {"type": "integer", "minimum": 1},
        "total": {"type": "number"},
        "note": {"type": ["string", "null"]},
        "lines": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["sku", "count"],
                "properties": {
                    "sku": {"type": "string", "maxLength": 32, "pattern": "^[A-Z0-9-]+$"},
                    "count": {"type": "integer"},
                },
            },
        },
    },
}
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "sku", "type": "string"}, {"name": "count", "type": "int"}],
}
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "order", "type": "long"},
        {"name": "total", "type": "double"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
    ],
}


def open_sides() -> dict[str, Callable[[], object]]:
    """What is compared, each as a call for one record."""
    by_json = JsonSchema(json.dumps(JSON), what="bench")
    by_avro = AvroSchema(json.dumps(AVRO), what="bench")
    peer = jsonschema.Draft7Validator(JSON)

    def check_by_peer() -> bytes:
        peer.validate(RECORD)
        return encode_data("orders", RECORD)

    return {
        "no schema": lambda: encode_data("orders", RECORD),
        "JsonSchema": lambda: by_json.encode("orders", RECORD),
        "jsonschema": check_by_peer,
        "AvroSchema": lambda: by_avro.encode("orders", RECORD),
    }


def measure(call: Callable[[], object], seconds: float) -> float:
    """CPU microseconds a call."""
    count = 0
    before = time.process_time()
    while (spent := time.process_time() - before) < seconds:
        for _ in range(100):
            call()
        count += 100
    return spent / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (1, 0.05) if options.quick else (options.rounds, 0.2)
    sides = open_sides()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            found[name].append(measure(call, seconds))
    medians = {name: statistics.median(times) for name, times in found.items()}
    bare = medians["no schema"]
    print_table(
        ("", "CPU, us a record", "of no schema"),
        [
            (name, f"{cost:.1f} ({min(found[name]):.1f}-{max(found[name]):.1f})", f"{cost / bare:.1f}")
            for name, cost in medians.items()
        ],
    )
    share = (medians["JsonSchema"] - bare) / (medians["jsonschema"] - bare)
    print_verdict("the check by JsonSchema, of jsonschema's", measured=share, budget=BUDGET)


if __name__ == "__main__":
    main()
