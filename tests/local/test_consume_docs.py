"""The worker of docs/consuming.md as a process: it reads a stream, and hands its shards over when it is told to end."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
from pathlib import Path

import pytest

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.leases import DynamoDbLeaseStore
from sluiceway.aws.wire import Wire
from tests.contract.test_lease_stores import DEFINITION, TABLE
from tests.local.test_consume_sockets import Cloud
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[2]


async def test_the_worker_of_the_page_reads_and_leaves_in_order(tmp_path: Path) -> None:
    """It handles what is put, exits with 0 on SIGTERM, and its lease is free with the checkpoint in it."""
    (block, *_) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "consuming.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "worker.py").write_text(block)
    streams = Streams(clock=SystemClock(), rng=random.Random(1), limits=Limits(calls=False), delay_s=0.05)
    front = Front(
        [KinesisService(streams), DynamoService(SystemClock())], authorise=lambda *_: None, rng=random.Random(1)
    )
    async with front.serve(open_listener()) as address:
        settings = environ(AWS_ENDPOINT_URL=address)
        async with Wire.open(settings) as wire:
            cloud = Cloud(streams, wire)
            await wire.call(DYNAMODB, "CreateTable", DEFINITION)
            await cloud.call("CreateStream", StreamName="s", ShardCount=1)
            await cloud.settle()
            await cloud.put(1, 2)
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                str(tmp_path / "worker.py"),
                stdout=asyncio.subprocess.PIPE,
                env={
                    **settings,
                    "PYTHONPATH": str(ROOT / "layers" / "sluiceway"),
                    "ORDERS_STREAM": cloud.arn,
                    "LEASES_TABLE": TABLE,
                    "DEAD_LETTERS_URL": f"{address}/123456789012/dead",
                    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
                },
            )
            try:
                assert worker.stdout is not None
                async with asyncio.timeout(20):
                    assert [await worker.stdout.readline() for _ in range(2)] == [b"indexing 1\n", b"indexing 2\n"]
                    worker.send_signal(signal.SIGTERM)
                    assert await worker.wait() == 0
            finally:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            (lease,) = await DynamoDbLeaseStore(wire, TABLE, namespace="index-orders").list()
    assert (lease.owner, bool(lease.checkpoint.sequence_number)) == ("", True)
