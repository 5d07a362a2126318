"""What does it cost to put a record: the producer beside PutRecords by hand, with boto3 and with aiobotocore?

A call is 500 records of 200 bytes, a key each. By hand is the least: one PutRecords of 500, and a look at the number of
failed records; no order, no retries of what is declined, no bound. "Wire, by hand" is the same through the layer's
client. The producer keeps its promises and gives every record its receipt; "packed" puts them as one aggregate. Each
client runs in a process of its own against the same stand-in server in another process. Rounds are interleaved and
ratios are the medians of the rounds' own, since machines change speed while they are measured.
Run: python bench/producer.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from clients import Worker, compare, obey
from stand_in import write_certificate
from table import pair, print_table

RECORDS = 500
DATA = b'{"order":7,"customer":"' + b"a" * 175 + b'"}'
CLIENTS = ("producer", "producer, packed", "wire, by hand", "boto3, by hand", "aiobotocore, by hand")
WARM_S = 0.5
SEQUENCE = "49670715437019536408378120000000000000000000000000000004"
SHARDS = {
    "Shards": [
        {
            "ShardId": "shardId-000000000000",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str((1 << 128) - 1)},
            "SequenceNumberRange": {"StartingSequenceNumber": SEQUENCE},
        }
    ]
}


# ---------------------------------------------------------------- the stand-in


@cache
def answer(records: int) -> bytes:
    """Of PutRecords with so many records, all of them put; of ListShards for -1."""
    placed = [{"SequenceNumber": SEQUENCE, "ShardId": "shardId-000000000000"}] * max(0, records)
    told = SHARDS if records < 0 else {"FailedRecordCount": 0, "Records": placed}
    body = json.dumps(told, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"\r\ncontent-length:")
            whole = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < whole:
                return
            records = -1 if b"listshards" in head else self.buffer.count(b'"PartitionKey"', end, whole)
            self.transport.write(answer(records))  # type: ignore[attr-defined]
            del self.buffer[:whole]


async def serve() -> None:
    """Serve plain and TLS; print the ports and the certificate's folder, then run until stdin closes."""
    import ssl  # noqa: PLC0415 - only the server needs it

    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        write_certificate(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(folder, "server.pem"))
        servers = [await loop.create_server(Answering, "127.0.0.1", 0, ssl=tls) for tls in (None, context)]
        print(json.dumps([*(server.sockets[0].getsockname()[1] for server in servers), folder]), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


# ---------------------------------------------------------------- the clients


def make_request() -> list[dict[str, object]]:
    """As it is written by hand for an SDK."""
    return [{"Data": DATA, "PartitionKey": f"customer-{at}"} for at in range(RECORDS)]


async def run_producer(*, aggregate: bool) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "sluiceway"))
    from sluiceway.aws.kinesis import KinesisStream  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same
    from sluiceway.flows.publish.options import ProducerOptions  # noqa: PLC0415 - the same
    from sluiceway.flows.publish.producer import Producer  # noqa: PLC0415 - the same
    from sluiceway.flows.publish.shards import Outlet  # noqa: PLC0415 - the same

    options = ProducerOptions(aggregate=aggregate)
    async with (
        Wire.open(dict(os.environ)) as wire,
        Producer(Outlet(KinesisStream(wire, "orders")), options=options) as producer,
    ):

        async def call(_number: int) -> None:
            futures = [await producer.submit(f"customer-{at}", DATA) for at in range(RECORDS)]
            await producer.flush()
            assert all(future.result() for future in futures)

        await obey(call)


async def run_wire() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "sluiceway"))
    from sluiceway.aws.kinesis import KinesisStream  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same
    from sluiceway.ports.producing import Entry, Placed  # noqa: PLC0415 - the same

    async with Wire.open(dict(os.environ)) as wire:
        stream = KinesisStream(wire, "orders")

        async def call(_number: int) -> None:
            answers = await stream.put([Entry(f"customer-{at}", DATA) for at in range(RECORDS)])
            assert all(isinstance(answer, Placed) for answer in answers)

        await obey(call)


async def run_boto3() -> None:
    import boto3  # noqa: PLC0415 - only the process that measures it may load it

    client = boto3.client("kinesis")

    async def call(_number: int) -> None:
        assert client.put_records(StreamName="orders", Records=make_request())["FailedRecordCount"] == 0

    await obey(call)


async def run_aiobotocore() -> None:
    import aioboto3  # noqa: PLC0415 - only the process that measures it may load it

    async with aioboto3.Session().client("kinesis") as client:

        async def call(_number: int) -> None:
            told = await client.put_records(StreamName="orders", Records=make_request())
            assert told["FailedRecordCount"] == 0

        await obey(call)


RUN = {
    "producer": lambda: run_producer(aggregate=False),
    "producer, packed": lambda: run_producer(aggregate=True),
    "wire, by hand": run_wire,
    "boto3, by hand": run_boto3,
    "aiobotocore, by hand": run_aiobotocore,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.4, help="seconds of one client in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client or options.serve:
        with asyncio.Runner() as runner:
            runner.run(serve() if options.serve else RUN[options.client]())
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    command = [sys.executable, __file__, "--serve"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    plain, secure, folder = json.loads(server.stdout.readline())
    rows = []
    for scheme, port in (("http", plain), ("https", secure)):
        url, ca = f"{scheme}://127.0.0.1:{port}", Path(folder, "ca.pem")
        workers = {client: Worker(__file__, client, url=url, ca=ca) for client in CLIENTS}
        for worker in workers.values():
            worker.measure(WARM_S, 1)  # warm
        costs = compare(workers, rounds=rounds, round_s=round_s, concurrency=1)
        cpu = {client: [cost[0] for cost in costs[client]] for client in CLIENTS}
        wall = {client: [cost[1] for cost in costs[client]] for client in CLIENTS}
        rows += [
            [
                scheme,
                client,
                f"{statistics.median(cpu[client]) / RECORDS * 1e6:.1f}",
                f"{pair(cpu[client], cpu['producer']):.2f}",
                f"{min(cpu[client]) / RECORDS * 1e6:.1f}-{max(cpu[client]) / RECORDS * 1e6:.1f}",
                f"{pair(wall[client], wall['producer']):.2f}",
            ]
            for client in CLIENTS
        ]
        for worker in workers.values():
            worker.close()
    server.stdin.close()
    server.wait(10)
    print(f"{rounds} rounds of {round_s} s; CPU microseconds of a record")
    print_table(["", "client", "CPU", "of the producer's", "range", "wall, of the producer's"], rows)


if __name__ == "__main__":
    main()
