"""DynamoDB beside single items against moto and a peer: indexes, pages, segments, batches, transactions, time to live.

moto runs in this process, at a small budget; dynalite or MiniStack where SLUICEWAY_DYNAMODB_PEER names a running one
(see `test_dynamodb_peers`). SLUICEWAY_DYNAMODB_PEER_REQUESTS says how many requests are sent to each, 1,000 otherwise.
Every difference is a named one of `docs/fidelity/dynamodb.md`; one without a name fails, and so does a name whose
difference is gone.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService
from tests.contract.dynamodb_areas_operations import CREATE, TABLE, Asked, Generator, Paged

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "dynamodb.md"
NAME, _, URL = os.environ.get("SLUICEWAY_DYNAMODB_PEER", "").partition("=")
COUNT = int(os.environ.get("SLUICEWAY_DYNAMODB_PEER_REQUESTS", "1000"))
SEED = 31
MAX_PAGES = 30
END_S = 20.0
_REGION = "us-east-1"
_SCOPE = f"Credential=key/20260101/{_REGION}/dynamodb/aws4_request"
Told = tuple[int, dict[str, Any]]
Send = Callable[[str, dict[str, Any]], Told]
Explains = Callable[[Asked, Told, Told], bool]


def headers_of(operation: str) -> dict[str, str]:
    return {
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        "x-amz-date": "20260101T000000Z",
        "content-type": "application/x-amz-json-1.0",
        "authorization": f"AWS4-HMAC-SHA256 {_SCOPE}, SignedHeaders=host, Signature=x",
    }


def posted(url: str) -> Send:
    """A service at an address, without botocore before it; what it raises in this process is its crash."""

    def send(operation: str, request: dict[str, Any]) -> Told:
        try:
            reply = requests.post(url, data=json.dumps(request), headers=headers_of(operation), timeout=10)
        except Exception as error:  # noqa: BLE001 - whatever moto raises
            return 500, {"message": repr(error)}
        return reply.status_code, json.loads(reply.text)

    return send


class Ours:
    """Our service, through its wire."""

    def __init__(self) -> None:
        self.service = DynamoService(SystemClock(), randomness=Random(1))

    async def send(self, operation: str, request: dict[str, Any]) -> Told:
        body = json.dumps(request).encode()
        wire = WireRequest("dynamodb", _REGION, "POST", "/", "", headers_of(operation), body, "key", "id")
        answer = await self.service.handle(wire)
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)


def fault_of(told: Told) -> str:
    """The error's name, "" for none, and why a transaction was cancelled."""
    status, body = told
    if status == 200:
        return ""
    name = str(body.get("__type", "")).rpartition("#")[2] or f"status {status}"
    reasons = [reason.get("Code", "None") for reason in body.get("CancellationReasons") or []]
    return f"{name} {reasons}" if reasons else name


def message_of(told: Told) -> str:
    return str(told[1].get("message", told[1].get("Message", "")))


def text_of(item: dict[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


def plain(asked: Asked, told: Told) -> Any:
    """What must be equal: the fault, or the answer without what is only there on request, in one order where AWS
    promises none.
    """
    fault = fault_of(told)
    if fault:
        return fault
    left_out = {"ConsumedCapacity", "ItemCollectionMetrics", "LastEvaluatedKey"}
    body = {name: item for name, item in told[1].items() if name not in left_out}
    if isinstance(asked, Paged) and (asked.operation == "Scan" or "IndexName" in asked.request) and "Items" in body:
        body["Items"].sort(key=text_of)
    for items in (body.get("Responses") or {}).values() if isinstance(body.get("Responses"), dict) else ():
        items.sort(key=text_of)
    return body


def joined(pages: list[Told]) -> Told:
    """What all pages hold, or the fault of the last."""
    if pages[-1][0] != 200:
        return pages[-1]
    found: dict[str, Any] = {name: sum(body.get(name, 0) for _, body in pages) for name in ("Count", "ScannedCount")}
    if any("Items" in body for _, body in pages):
        found["Items"] = [item for _, body in pages for item in body.get("Items", [])]
    return 200, found


def next_request(request: dict[str, Any], told: Told) -> dict[str, Any] | None:
    last = told[1].get("LastEvaluatedKey") if told[0] == 200 else None
    return {**request, "ExclusiveStartKey": last} if last else None


class Pair:
    """Ours and a peer, fed the same."""

    def __init__(self, peer: str, send: Send) -> None:
        self.peer, self.send, self.ours = peer, send, Ours()
        self.named = Counter[str]()

    async def ask(self, asked: Asked) -> tuple[Told, Told]:
        if not isinstance(asked, Paged):
            return await self.ours.send(*asked), self.send(*asked)
        here: list[Told] = []
        there: list[Told] = []
        request: dict[str, Any] | None = asked.request
        while request is not None and len(here) < MAX_PAGES:
            here.append(await self.ours.send(asked.operation, request))
            request = next_request(request, here[-1])
        request = asked.request
        while request is not None and len(there) < MAX_PAGES:
            there.append(self.send(asked.operation, request))
            request = next_request(request, there[-1])
        return joined(here), joined(there)

    async def start(self) -> None:
        """An empty table on both sides: after a difference nothing that follows can be compared."""
        await self.ours.send("DeleteTable", {"TableName": TABLE})
        self.send("DeleteTable", {"TableName": TABLE})
        ends = time.monotonic() + END_S
        while self.send("DescribeTable", {"TableName": TABLE})[0] == 200:
            assert time.monotonic() < ends, "the peer keeps its table"
        answers = await self.ours.send("CreateTable", CREATE), self.send("CreateTable", CREATE)
        assert [status for status, _ in answers] == [200, 200], answers
        while self.send("DescribeTable", {"TableName": TABLE})[1]["Table"]["TableStatus"] != "ACTIVE":
            assert time.monotonic() < ends, "the peer's table is not ACTIVE"

    async def run(self, count: int) -> None:
        generator = Generator(SEED)
        await self.start()
        for _ in range(count):
            asked = generator.ask()
            ours, theirs = await self.ask(asked)
            if plain(asked, ours) == plain(asked, theirs):
                continue
            names = [name for name, explains in KNOWN[self.peer].items() if explains(asked, ours, theirs)]
            assert names, (asked, ours, theirs)
            self.named[names[0]] += 1
            if not isinstance(asked, Paged):
                await self.start()
        assert set(KNOWN[self.peer]) - set(self.named) == set(), "no longer differences"


def is_of(*operations: str) -> Callable[[Asked], bool]:
    return lambda asked: (asked.operation if isinstance(asked, Paged) else asked[0]) in operations


def took(*operations: str, words: str) -> Explains:
    """Refused here with these words, and not there."""

    def explains(asked: Asked, ours: Told, theirs: Told) -> bool:
        told = json.dumps(ours[1])
        return is_of(*operations)(asked) and words in told and fault_of(theirs) != fault_of(ours)

    return explains


def is_unknown(asked: Asked, ours: Told, theirs: Told) -> bool:
    return fault_of(theirs).startswith("UnknownOperationException")


def serves_partiql(asked: Asked, ours: Told, theirs: Told) -> bool:
    return is_of("ExecuteStatement")(asked) and theirs[0] == 200


def ignores_projection(asked: Asked, ours: Told, theirs: Told) -> bool:
    return (
        not isinstance(asked, Paged)
        and "Get" in json.dumps(asked[1])
        and "ProjectionExpression" in json.dumps(asked[1])
    )


def filters_more(asked: Asked, ours: Told, theirs: Told) -> bool:
    """By an attribute that the index does not hold."""
    return isinstance(asked, Paged) and {"IndexName", "FilterExpression"} <= asked.request.keys()


def holds_no_more_than_its_index(asked: Asked, ours: Told, theirs: Told) -> bool:
    return isinstance(asked, Paged) and asked.request.get("Select") == "ALL_ATTRIBUTES" and "IndexName" in asked.request


_WRITES = ("PutItem", "BatchWriteItem", "TransactWriteItems")
KNOWN: dict[str, dict[str, Explains]] = {
    "moto": {
        "moto-any-index-key": took(*_WRITES, words="Type mismatch for Index Key"),
        "moto-no-tokens": took("TransactWriteItems", words="IdempotentParameterMismatchException"),
        "moto-ttl-twice": took("UpdateTimeToLive", words="already disabled"),
        "moto-beyond-projection": took("Query", words="does not project"),
        "moto-lsi-without-table": holds_no_more_than_its_index,
        "moto-transaction-unprojected": ignores_projection,
        "moto-batch-of-many": took("BatchWriteItem", words="Too many items"),
        "moto-batch-key-twice": took("BatchWriteItem", words="contains duplicates"),
        "moto-partiql": serves_partiql,
    },
    "dynalite": {
        "dynalite-unknown-operations": is_unknown,
        "dynalite-beyond-projection": took("Query", words="does not project"),
        "dynalite-all-projected": took("Query", words="ALL_PROJECTED_ATTRIBUTES"),
        "dynalite-segment-alone": took("Scan", words="TotalSegments parameter is required"),
    },
    "ministack": {
        "ministack-ttl-twice": took("UpdateTimeToLive", words="already disabled"),
        "ministack-beyond-projection": took("Query", words="does not project"),
        "ministack-all-attributes": took("Query", words="Select type ALL_ATTRIBUTES"),
        "ministack-lsi-without-table": holds_no_more_than_its_index,
        "ministack-filter-beyond-projection": filters_more,
        "ministack-partiql": serves_partiql,
    },
}


async def test_areas_are_answered_as_moto_does_or_is_known_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole answers, all pages of one, and the faults by name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    with mock_aws():
        await Pair("moto", posted("https://dynamodb.us-east-1.amazonaws.com/")).run(COUNT)


@pytest.mark.skipif(not URL, reason="SLUICEWAY_DYNAMODB_PEER names no second implementation")
async def test_areas_are_answered_as_a_peer_does_or_is_known_not_to() -> None:
    """The same requests over its socket."""
    await Pair(NAME, posted(URL)).run(COUNT)


@pytest.mark.parametrize("name", sorted({name for names in KNOWN.values() for name in names}))
def test_a_known_difference_is_on_the_page(name: str) -> None:
    """The page explains it."""
    assert f"`{name}`" in PAGE.read_text()
