"""Thousands of generated requests to our DynamoDB and to a second implementation that is running; opt-in.

Set SLUICEWAY_DYNAMODB_PEER to `dynalite=http://127.0.0.1:4567` or `ministack=http://127.0.0.1:4566`, started without
tables, and SLUICEWAY_DYNAMODB_PEER_REQUESTS to how many requests a seed sends (1,000 otherwise). Every difference is
a named one of `docs/fidelity/dynamodb.md`; a difference without a name fails.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import requests

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "fidelity" / "dynamodb.md"
NAME, _, URL = os.environ.get("SLUICEWAY_DYNAMODB_PEER", "").partition("=")
COUNT = int(os.environ.get("SLUICEWAY_DYNAMODB_PEER_REQUESTS", "1000"))
SCOPE = "20260101/us-east-1/dynamodb/aws4_request"
END_S = 20.0
Answer = tuple[int, dict[str, Any]]


def load_generator() -> ModuleType:
    """The generator beside this file."""
    spec = importlib.util.spec_from_file_location("dynamodb_operations", HERE / "dynamodb_operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OPERATIONS = load_generator()
TABLE: str = OPERATIONS.TABLE


def call_peer(operation: str, request: dict[str, Any]) -> Answer:
    """The peer, over its socket, without botocore before it."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "X-Amz-Date": "20260101T000000Z",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=key/{SCOPE}, SignedHeaders=host, Signature=x",
    }
    reply = requests.post(URL, data=json.dumps(request), headers=headers, timeout=10)
    return reply.status_code, json.loads(reply.text)


class Ours:
    """Our service, through its wire."""

    def __init__(self) -> None:
        self.service = DynamoService(SystemClock(), randomness=Random(1))

    async def call(self, operation: str, request: dict[str, Any]) -> Answer:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        body = json.dumps(request).encode()
        answer = await self.service.handle(
            WireRequest("dynamodb", "us-east-1", "POST", "/", "", headers, body, "key", "id")
        )
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)


def sort_sets(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {name: sorted(each) if name in {"SS", "NS", "BS"} else sort_sets(each) for name, each in raw.items()}
    return [sort_sets(each) for each in raw] if isinstance(raw, list) else raw


def text_of(item: dict[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


def plain_body(operation: str, request: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: without what is only there on request, and in one order where AWS promises none."""
    left_out = {"ConsumedCapacity", "ItemCollectionMetrics", "LastEvaluatedKey"}
    body = {name: sort_sets(each) for name, each in body.items() if name not in left_out}
    if operation == "Scan" or "IndexName" in request:
        body["Items"] = sorted(body.get("Items", []), key=text_of)
    if operation == "BatchGetItem":
        body["Responses"][TABLE].sort(key=text_of)
    return body


def fault_of(answer: Answer) -> tuple[str, str]:
    body = answer[1]
    return body.get("__type", "").rpartition("#")[2], str(body.get("message", body.get("Message", "")))


def differs(operation: str, request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    if ours[0] != peer[0]:
        return True
    if ours[0] != 200:
        return fault_of(ours) != fault_of(peer)
    return plain_body(operation, request, ours[1]) != plain_body(operation, request, peer[1])


def is_unknown(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return fault_of(peer)[0] == "UnknownOperationException"


def has_double_not(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return "NOT NOT" in json.dumps(request) and "Syntax error" in fault_of(peer)[1]


def shows_nothing(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return "Attributes" not in ours[1] and peer[1].get("Attributes") == {}


def told_another(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return fault_of(ours)[0] == fault_of(peer)[0] == "ValidationException" and "UpdateExpression" in request


def made_place(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return peer[0] == 200 and fault_of(ours)[1].endswith("is invalid for update")


def refused_prefix(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return "operator or function: begins_with" in fault_of(peer)[1]


def takes_list_operand(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return peer[0] == 200 and fault_of(ours)[1].startswith("An operand in the update expression has an incorrect")


def overlooks_members(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return "contains(" in json.dumps(request) and '{"B": ' in json.dumps(request)


def measures_numbers(request: dict[str, Any], ours: Answer, peer: Answer) -> bool:
    return "size(" in json.dumps(request)


Explains = Callable[[dict[str, Any], Answer, Answer], bool]
KNOWN: dict[str, dict[str, Explains]] = {
    "dynalite": {
        "dynalite-no-transactions": is_unknown,
        "dynalite-double-not": has_double_not,
        "dynalite-empty-attributes": shows_nothing,
        "dynalite-operand-first": told_another,
    },
    "ministack": {
        "ministack-empty-attributes": shows_nothing,
        "ministack-place-made": made_place,
        "ministack-binary-prefix": refused_prefix,
        "ministack-any-operand": takes_list_operand,
        "ministack-another-fault": told_another,
        "ministack-binary-members": overlooks_members,
        "ministack-size-of-numbers": measures_numbers,
    },
}


async def start_over(ours: Ours) -> None:
    """An empty table on both sides: after a difference nothing that follows can be compared."""
    await ours.call("DeleteTable", {"TableName": TABLE})
    call_peer("DeleteTable", {"TableName": TABLE})
    ends = time.monotonic() + END_S
    while call_peer("DescribeTable", {"TableName": TABLE})[0] == 200:
        assert time.monotonic() < ends, "the peer keeps its table"
    await ours.call("CreateTable", OPERATIONS.CREATE)
    call_peer("CreateTable", OPERATIONS.CREATE)
    while call_peer("DescribeTable", {"TableName": TABLE})[1]["Table"]["TableStatus"] != "ACTIVE":
        assert time.monotonic() < ends, "the peer's table is not ACTIVE"


@pytest.mark.skipif(not URL, reason="SLUICEWAY_DYNAMODB_PEER names no second implementation")
@pytest.mark.parametrize("seed", [21, 22, 23])
async def test_every_difference_from_a_peer_is_a_named_one(seed: int) -> None:
    """Answer by answer, our answers equal the peer's but for its named faults; most requests differ in nothing."""
    generator, ours, named = OPERATIONS.Generator(seed), Ours(), Counter[str]()
    await start_over(ours)
    for _ in range(COUNT):
        operation, request = generator.operation()
        mine, theirs = await ours.call(operation, request), call_peer(operation, request)
        if not differs(operation, request, mine, theirs):
            continue
        names = [name for name, explains in KNOWN[NAME].items() if explains(request, mine, theirs)]
        assert names, (operation, request, mine, theirs)
        named[names[0]] += 1
        if operation not in {"Query", "Scan", "GetItem", "BatchGetItem"}:
            await start_over(ours)
    assert sum(named.values()) < COUNT / 5, named


def test_every_named_difference_of_a_peer_is_on_the_page() -> None:
    """The page of known differences explains each name that the test against a peer accepts."""
    page = PAGE.read_text()
    assert [name for names in KNOWN.values() for name in names if f"`{name}`" not in page] == []
