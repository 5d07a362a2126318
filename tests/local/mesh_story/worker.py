"""A worker of the mesh's analytics, in a process of its own: each record as a line of a file, as soon as it is handled.

python worker.py FILE
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

from sluiceway import settings
from sluiceway.aws.jobs import SqsDeadLetters
from sluiceway.aws.leases import DynamoDbLeaseStore
from sluiceway.aws.sqs import Queue
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import Wire
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume import ConsumeDesk, ConsumeOptions, Consumer, Manner
from sluiceway.rules.consuming.spans import Span

WORK_S = 0.01  # of a record, as a write to a database takes: so there is something in hand when a worker is killed


async def main(path: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    async def handle(record: KinesisRecord) -> None:
        await asyncio.sleep(WORK_S)
        line = {
            "at": time.monotonic_ns(),
            "shard": record.shard_id,
            "arrived_ms": record.arrived_ms,
            "key": record.partition_key,
            "message": json.loads(record.data),
        }
        os.write(file, json.dumps(line).encode() + b"\n")  # one call: a kill leaves whole lines

    async with Wire.open(settings.environ()) as wire:
        consumer = Consumer(
            KinesisReader(wire, settings.text("STREAM")),
            DynamoDbLeaseStore(wire, settings.text("LEASES_TABLE"), namespace="analytics"),
            handle,
            desk=ConsumeDesk(SqsDeadLetters(Queue(wire, settings.url("DEAD_LETTERS_URL")))),
            span=Span("TRIM_HORIZON"),
            options=ConsumeOptions(lease_s=4.0, round_s=0.5, manner=Manner(share=0.8, idle_s=0.25)),
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        await consumer.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
