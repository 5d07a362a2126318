"""What is measured of a local cloud that runs, the same way on every side."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from http_calls import SCOPE, Connection, Failed, count_requests, write_call, write_request
from local_sides import Place, Side

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
BATCH_OF_MESSAGES = 10
BATCH_OF_ITEMS = 25
PARTITION = 10  # items that a query finds
TEXT = "Name three rivers. " * 10
MAPPED_GAP_S = 0.05  # between messages, so that none waits for the one before
WAIT_S = 30.0
FILL_S = 30.0  # for a queue or a table to be filled; a side that takes longer is left out, aloud
DYNAMODB = "DynamoDB_20120810."
SQS = "AmazonSQS."
_names = count()


def invoke_of(place: Place) -> bytes:
    headers = {"authorization": SCOPE.format(service="lambda")}
    return write_request(place.aws, "POST", "/2015-03-31/functions/hello/invocations", b"{}", headers=headers)


def resident_mib(pid: int) -> float:
    """Of the server and whatever it has started."""
    return sum(_resident_kib(each) for each in _tree(pid)) / 1024


def cpu_s(pid: int) -> float:
    """Of the server's own process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def time_first(place: Place) -> float:
    """Seconds of the first invocation, which starts an environment."""
    with Connection(place.aws) as connection:
        return connection.time(invoke_of(place))


def time_calls(url: str, request: bytes, *, calls: int, pid: int) -> tuple[float, float, float]:
    """Median and 99th percentile of one client's calls in seconds, and the server's CPU seconds for one."""
    with Connection(url) as connection:
        connection.ask(request)
        before = cpu_s(pid)
        took = sorted(connection.time(request) for _ in range(calls))
        return statistics.median(took), took[min(calls - 1, calls * 99 // 100)], (cpu_s(pid) - before) / calls


def rate(place: Place, *, clients: int, round_s: float) -> float:
    """Requests a second through the HTTP API to the function."""
    with asyncio.Runner() as runner:
        answered, failed = runner.run(count_requests(place.http, place.get_hello, clients=clients, round_s=round_s))
    if failed:
        print(f"  {failed} of the answers to {clients} clients at {place.http} were errors")
    return answered


def time_mapped(place: Place, times: Path, *, messages: int) -> list[float]:
    """Seconds from before SendMessage to the handler's first line, for each message, sorted."""
    times.unlink(missing_ok=True)
    with Connection(place.aws) as connection:
        for _ in range(messages):
            body = {"QueueUrl": place.mapped, "MessageBody": repr(time.time())}
            connection.call(write_call(place.aws, "sqs", f"{SQS}SendMessage", body))
            time.sleep(MAPPED_GAP_S)
    ends = time.monotonic() + WAIT_S
    while len(found := _read_times(times)) < messages:
        if time.monotonic() > ends:
            raise Failed(f"{len(found)} of {messages} messages came to the handler")
        time.sleep(0.05)
    return sorted(found)


def time_reload(side: Side, place: Place) -> float:
    """Seconds from the change to the first new answer, asked for all the while."""
    word = f"word{next(_names)}"
    invoke = invoke_of(place)
    with Connection(place.aws) as connection:
        connection.ask(invoke)
        begun = time.perf_counter()
        side.reload(place, word)
        while word.encode() not in connection.ask(invoke)[1]:
            if time.perf_counter() - begun > WAIT_S:
                raise Failed("the function was not made anew")
        return time.perf_counter() - begun


def measure_queue(place: Place, *, length: int, round_s: float) -> dict[str, float]:
    """SendMessage, ReceiveMessage and DeleteMessage a second, at a queue that has `length` messages."""
    ends = time.monotonic() + FILL_S
    with Connection(place.aws) as connection:

        def call(action: str, **body: Any) -> dict[str, Any]:
            return connection.call(write_call(place.aws, "sqs", f"{SQS}{action}", body))

        url = call("CreateQueue", QueueName=f"queue{next(_names)}")["QueueUrl"]
        for first in range(0, length, BATCH_OF_MESSAGES):
            _check_time(ends)
            numbers = range(first, min(length, first + BATCH_OF_MESSAGES))
            call("SendMessageBatch", QueueUrl=url, Entries=[{"Id": str(each), "MessageBody": TEXT} for each in numbers])
        handles: list[str] = []

        def receive() -> None:
            found = call("ReceiveMessage", QueueUrl=url)["Messages"]
            handles.append(found[0]["ReceiptHandle"])

        spent = _spend(
            round_s,
            {
                "send": lambda: call("SendMessage", QueueUrl=url, MessageBody=TEXT),
                "receive": receive,
                "delete": lambda: call("DeleteMessage", QueueUrl=url, ReceiptHandle=handles.pop()),
            },
        )
        call("DeleteQueue", QueueUrl=url)
    return spent


def measure_table(place: Place, *, size: int, round_s: float) -> dict[str, float]:
    """PutItem, GetItem and Query (of ten items) a second, at a table that has `size` items."""
    name, ends = f"table{next(_names)}", time.monotonic() + FILL_S
    with Connection(place.aws) as connection:

        def call(action: str, **body: Any) -> dict[str, Any]:
            given = {"TableName": name, **body} if action != "BatchWriteItem" else body
            return connection.call(write_call(place.aws, "dynamodb", f"{DYNAMODB}{action}", given))

        keys = [{"AttributeName": key, "KeyType": kind} for key, kind in (("pk", "HASH"), ("sk", "RANGE"))]
        types = [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")]
        call("CreateTable", KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
        for first in range(0, size, BATCH_OF_ITEMS):
            _check_time(ends)
            numbers = range(first, min(size, first + BATCH_OF_ITEMS))
            call("BatchWriteItem", RequestItems={name: [{"PutRequest": {"Item": _item(each)}} for each in numbers]})
        numbers = _scattered(size)
        spent = _spend(
            round_s,
            {
                "put": lambda: call("PutItem", Item=_item(next(numbers))),
                "get": lambda: call("GetItem", Key=_key(next(numbers))),
                "query": lambda: call(
                    "Query",
                    KeyConditionExpression="pk = :p",
                    ExpressionAttributeValues={":p": _key(next(numbers))["pk"]},
                ),
            },
        )
        call("DeleteTable")
    return spent


def _check_time(ends: float) -> None:
    if time.monotonic() > ends:
        raise Failed(f"was not filled within {FILL_S:.0f} s")


def _spend(round_s: float, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Calls a second of each kind; one of each in turn, until `round_s` is over, three times at least."""
    spent = dict.fromkeys(calls, 0.0)
    begun, turns = time.perf_counter(), 0
    while turns < 3 or time.perf_counter() - begun < round_s:
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            spent[name] += time.perf_counter() - before
        turns += 1
    return {name: turns / spent_s for name, spent_s in spent.items()}


def _key(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"p{number // PARTITION}"}, "sk": {"S": f"s{number % PARTITION}"}}


def _item(number: int) -> dict[str, Any]:
    return {**_key(number), "text": {"S": TEXT}, "attempt": {"N": str(number)}}


def _scattered(size: int) -> Iterator[int]:
    """Numbers below `size`, far from one another."""
    return (each * 7919 % size for each in count())


def _read_times(times: Path) -> list[float]:
    return [json.loads(line) for line in times.read_text().splitlines()] if times.exists() else []


def _tree(pid: int) -> list[int]:
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += _tree(int(child))
    return found


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
