"""What does it cost to filter a record, as the rules of its topic grow from one to ten thousand?

The pure part of filter_records: decode a record of about 1.4 kB, find the rules that match, show what each sends, and
write its messages; no destination is reached. Rules are of tenants and totals, of which a record matches one or two,
with four kinds of columns and masks. Beside it the same by trying each rule, as filters without an index do. CPU time,
the best of several rounds; one process.
Run: python bench/filtering.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from collections.abc import Callable
from typing import Any

from table import print_table, print_verdict

from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.filter_messages import write_message
from sluiceway.rules import patterns
from sluiceway.rules.filtering import FilterRule, parse_rule
from sluiceway.rules.masking import MaskKey, Spec, combine
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.rule_set import Match, RuleSet

SIZES = (1, 100, 10_000)
RECORDS = 256
KEY = MaskKey("k1", bytes(range(32)))
PARTS: list[dict[str, Any]] = [
    {},
    {"columns": ["order", "total", "customer.city"]},
    {"masks": {"customer.email": "tokenise", "customer.name": "redact"}},
    {"columns": ["order", "customer", "lines.sku"], "masks": {"customer": "hash"}},
]
BUDGET = 3.0  # ten thousand rules cost at most so many times what one costs


def make_rules(count: int) -> list[FilterRule]:
    """Rule n is of tenant n, or of few; with one rule, of all records."""
    return [
        parse_rule(
            {
                "topic": "orders",
                "rule_id": f"rule-{number}",
                "pattern": {
                    "tenant": [f"tenant-{number % max(1, count)}"],
                    "total": [{"numeric": [">=", number % 7]}],
                },
                "destination": {"type": "sqs", "url": f"https://sqs.eu-west-1.amazonaws.com/123456789012/q{number}"},
                **PARTS[number % 4],
            }
        )
        for number in range(count)
    ]


def make_records(count: int) -> list[KinesisRecord]:
    """Orders of the tenants that there are rules of."""
    rng = random.Random(1)
    made: list[KinesisRecord] = []
    for number in range(RECORDS):
        order = {
            "order": number,
            "tenant": f"tenant-{rng.randrange(count)}",
            "total": 10 + rng.randrange(1000),
            "customer": {"name": "Ann Other", "email": f"ann{number}@example.com", "city": "Oslo"},
            "lines": [{"sku": f"sku-{line}", "price": rng.random(), "note": "x" * 60} for line in range(10)],
        }
        data = json.dumps(order).encode()
        made.append(KinesisRecord(str(10**55 + number), "ann", data, 1_800_000_000_000, "shardId-0", "arn"))
    return made


def measure(work: Callable[[KinesisRecord], int], records: list[KinesisRecord], rounds: int) -> tuple[float, float]:
    """Microseconds of CPU a record, and messages a record."""
    best, sent = float("inf"), 0
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        sent = sum(map(work, records))
        best = min(best, time.process_time() - began)
    return best * 1e6 / len(records), sent / len(records)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    rounds = 2 if asked.quick else asked.rounds
    rows: list[tuple[str, ...]] = []
    costs: dict[int, float] = {}
    for size in SIZES:
        rules = make_rules(size)
        records = make_records(size)
        began = time.process_time()
        together = RuleSet(key=KEY)
        for rule in rules:
            together.put(rule)
        built_s = time.process_time() - began

        def by_index(record: KinesisRecord, together: RuleSet = together) -> int:
            return len([write_message(record, match) for match in together.match(read_event(record.data))])

        alone = [
            (rule, patterns.compile(rule.pattern), combine([Spec(rule.columns, rule.masks)], [], KEY)) for rule in rules
        ]

        def by_trying(record: KinesisRecord, alone: Any = alone) -> int:
            members = read_event(record.data)
            return len(
                [
                    write_message(record, Match(rule, plan.show(members), plan))
                    for rule, pattern, plan in alone
                    if pattern.matches(members)
                ]
            )

        costs[size], sent = measure(by_index, records, rounds)
        tried, sent_by_trying = measure(by_trying, records[:32] if size > 1000 else records, rounds)
        if size <= 1000 and sent != sent_by_trying:
            raise SystemExit("the two do not agree")
        rows.append(
            (
                f"{size:,}",
                f"{costs[size]:.1f}",
                f"{tried:.1f}",
                f"{tried / costs[size]:.1f}",
                f"{sent:.2f}",
                f"{built_s:.2f}",
            )
        )
    decode, _ = measure(lambda record: len(read_event(record.data)), make_records(1), rounds)
    print(f"decoding a record alone: {decode:.1f} us\n")
    print_table(["rules", "us a record", "each tried", "ratio", "messages", "built in s"], rows)
    ratio = costs[SIZES[-1]] / costs[SIZES[0]]
    print_verdict("10,000 rules beside one, CPU a record", measured=ratio, budget=BUDGET)


if __name__ == "__main__":
    main()
