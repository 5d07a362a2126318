"""What does it cost to open an aggregate of the Kinesis Producer Library, and to make one?

Sluiceway beside aws-kinesis-agg, and beside protobuf's own C reader (digest, parse and a tuple a record: what a decoder
over it would cost). `open` is from the bytes of a Kinesis record, `event` from the record of a Lambda event to the
bytes of every user record: the package hands those on in base64, whatever it was given. The peers run in an environment
of their own under the folder for temporary files; where it cannot be made they are skipped, and that is said. CPU time,
the best of several rounds; the sides take turns.
Run: python bench/kpl.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from table import print_table, print_verdict

from sluiceway.codec import kpl

PEERS = ["aws-kinesis-agg==1.2.3", "six==1.17.0", "protobuf==7.36.2"]  # the package imports six and names it nowhere
SHARDS = {"shardId-000000000000": kpl.HashRange(0, 2**128 - 1)}
BUDGETS = {"event": 0.75, "open": 0.75, "make": 1.0}  # of the package's CPU, though its reader is in C and ours is not
RECORDS = 20_000  # of users, in a round

# What runs in the peers' environment: a line in asks for one round of one side, its CPU seconds a user record go back.
PEER_SCRIPT = """
import base64, hashlib, json, sys, time
import aws_kinesis_agg.aggregator
from aws_kinesis_agg import deaggregator, messages_pb2
cases = {name: (base64.b64decode(data), [(key, base64.b64decode(each), explicit) for key, each, explicit in records])
         for name, (data, records) in json.loads(sys.stdin.readline()).items()}
def open_agg(data):
    record = {"SequenceNumber": "1", "PartitionKey": "a", "ApproximateArrivalTimestamp": 0, "Data": data}
    return sum(1 for _ in deaggregator.iter_deaggregate_records([record], data_format="Boto3"))
def open_event(event):
    return [base64.b64decode(each["kinesis"]["data"]) for each in deaggregator.deaggregate_records([event])]
def open_protobuf(data):
    message = data[4:-16]
    assert hashlib.md5(message).digest() == data[-16:]
    parsed = messages_pb2.AggregatedRecord()
    parsed.ParseFromString(message)
    keys, explicit = list(parsed.partition_key_table), list(parsed.explicit_hash_key_table)
    return len([(keys[each.partition_key_index], each.data, number,
                 explicit[each.explicit_hash_key_index] if each.HasField("explicit_hash_key_index") else None)
                for number, each in enumerate(parsed.records)])
def make_agg(records):
    made = aws_kinesis_agg.aggregator.AggRecord()
    for record in records:
        assert made.add_user_record(*record)
    return made.get_contents()
for line in sys.stdin:
    side, name, times = json.loads(line)
    data, records = cases[name]
    event = {"kinesis": {"kinesisSchemaVersion": "1.0", "sequenceNumber": "1", "partitionKey": "a", "data":
             base64.b64encode(data).decode(), "approximateArrivalTimestamp": 0}, "eventSource": "aws:kinesis"}
    run = {"open": lambda: open_agg(data), "event": lambda: len(open_event(event)),
           "protobuf": lambda: open_protobuf(data), "make": lambda: make_agg(records)}
    if side != "make":
        assert run[side]() == len(records)
    begun = time.process_time()
    for _ in range(times):
        run[side]()
    print((time.process_time() - begun) / times / len(records), flush=True)
"""
Record = tuple[str, bytes, str | None]


def make_records(draw: random.Random, count: int, size: int, *, keys: int, hashed: bool) -> list[Record]:
    """User records; `keys` different partition keys."""
    return [
        (
            f"device-{draw.randrange(keys):06d}",
            draw.randbytes(size),
            str(draw.randrange(2**128)) if hashed else None,
        )
        for _ in range(count)
    ]


def make_aggregate(records: list[Record]) -> bytes:
    aggregator = kpl.Aggregator(SHARDS)
    for record in records:
        if aggregator.add(*record) is not None:
            raise ValueError("the records do not fit in one")
    return aggregator.flush()[0].data


def open_here(data: bytes) -> int:
    opened = kpl.open_aggregate(data)
    return 0 if opened is None else len(opened.records)


def open_event(event: dict[str, dict[str, str]]) -> list[bytes]:
    opened = kpl.open_aggregate(base64.b64decode(event["kinesis"]["data"]))
    return [] if opened is None else [record.data for record in opened.records]


def measure(run: Callable[[], object], times: int, count: int) -> float:
    """CPU seconds a user record."""
    begun = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - begun) / times / count


class Peers:
    """The peers' process, once their environment is there."""

    def __init__(self, python: Path, cases: dict[str, tuple[bytes, list[Record]]]) -> None:
        self._process = subprocess.Popen(
            [str(python), "-c", PEER_SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        self._ask(
            {
                name: (encode(data), [(key, encode(each), explicit) for key, each, explicit in records])
                for name, (data, records) in cases.items()
            }
        )

    def measure(self, side: str, name: str, times: int) -> float:
        """CPU seconds a user record, of one round of `open`, `event`, `protobuf` or `make`."""
        self._ask((side, name, times))
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def make_environment() -> Path | None:
    """The interpreter of the peers' environment, made once; None where it cannot be made, which is said."""
    version = ".".join(map(str, sys.version_info[:2]))
    folder = Path(tempfile.gettempdir()) / f"sluiceway-bench-{PEERS[0].replace('==', '-')}-python{version}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"Installing {', '.join(PEERS)} into {folder} (once)...", flush=True)
        steps = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        steps += [[str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PEERS]]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"skipped: the peers cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
                return None
        (folder / "ready").touch()
    return python


def compare(name: str, data: bytes, records: list[Record], *, rounds: int, peers: Peers | None) -> dict[str, float]:
    """The best round of every side, in CPU seconds a user record; the sides take turns."""
    times, count = max(1, RECORDS // len(records)), len(records)
    event = {"kinesis": {"data": encode(data)}}
    sides: dict[str, Callable[[], float]] = {
        "open: sluiceway": lambda: measure(lambda: open_here(data), times, count),
        "event: sluiceway": lambda: measure(lambda: open_event(event), times, count),
        "make: sluiceway": lambda: measure(lambda: make_aggregate(records), times, count),
    }
    if peers is not None:
        sides["open: aws-kinesis-agg"] = lambda: peers.measure("open", name, times)
        sides["event: aws-kinesis-agg"] = lambda: peers.measure("event", name, times)
        sides["open: protobuf in C, no package"] = lambda: peers.measure("protobuf", name, times)
        sides["make: aws-kinesis-agg"] = lambda: peers.measure("make", name, times)
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            taken[side].append(run())
    return {side: min(values) for side, values in sorted(taken.items(), reverse=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round: to see that it runs")
    options = parser.parse_args()
    draw = random.Random(7)
    packed = {
        "100 of 100 B, 10 keys": make_records(draw, 100, 100, keys=10, hashed=False),
        "400 of 100 B, a key each": make_records(draw, 400, 100, keys=10**6, hashed=False),
        "400 of 100 B, hash keys": make_records(draw, 400, 100, keys=10**6, hashed=True),
        "40 of 1 kB, 10 keys": make_records(draw, 40, 1024, keys=10, hashed=False),
        "8,000 of 100 B, 200 keys": make_records(draw, 8000, 100, keys=200, hashed=False),
    }
    cases = {name: (make_aggregate(records), records) for name, records in packed.items()}
    assert all(open_here(data) == len(records) for data, records in cases.values())
    python = make_environment()
    peers = Peers(python, cases) if python else None
    rows, verdicts = [], []
    for name, (data, records) in cases.items():
        spent = compare(name, data, records, rounds=1 if options.quick else options.rounds, peers=peers)
        for side, each in spent.items():
            ours = spent[f"{side.partition(':')[0]}: sluiceway"]
            rows.append([name, side, f"{1 / each:.0f}", f"{each * 1e6:.2f}", f"{each / ours:.1f}"])
        if peers is not None:
            verdicts += [
                (f"{name}: {what}", spent[f"{what}: sluiceway"] / spent[f"{what}: aws-kinesis-agg"], budget)
                for what, budget in BUDGETS.items()
            ]
    if peers is not None:
        peers.close()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"User records, CPU time, Python {version} on {os.cpu_count()} cores.")
    print_table(["aggregate", "side", "records/s", "us", "/ sluiceway"], rows)
    for what, measured, budget in verdicts:
        print_verdict(f"{what}: of aws-kinesis-agg's CPU", measured=measured, budget=budget)


if __name__ == "__main__":
    main()
