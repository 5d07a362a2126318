"""Thousands of generated requests to our DynamoDB and to moto; every difference is a named one, decided by AWS's pages.

`docs/fidelity/dynamodb.md` lists the names with their reasons; a difference without a name fails.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("dynamodb_operations", HERE / "dynamodb_operations.py")
assert SPEC is not None
assert SPEC.loader is not None
OPERATIONS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(OPERATIONS)
TABLE, CREATE, Generator = OPERATIONS.TABLE, OPERATIONS.CREATE, OPERATIONS.Generator
Answer = tuple[int, dict[str, Any]]
PAGE = HERE.parents[1] / "docs" / "fidelity" / "dynamodb.md"
SCOPE = "20260101/us-east-1/dynamodb/aws4_request"


class Ours:
    """Our service, called through its wire."""

    def __init__(self) -> None:
        self.service = DynamoService(SystemClock())

    async def call(self, operation: str, request: dict[str, Any]) -> Answer:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        body = json.dumps(request).encode()
        wire = WireRequest("dynamodb", "us-east-1", "POST", "/", "", headers, body, "key", "id")
        answer = await self.service.handle(wire)
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)


def call_moto(operation: str, request: dict[str, Any]) -> Answer:
    """moto, in this process, without botocore before it."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=key/{SCOPE}, SignedHeaders=host, Signature=x",
    }
    try:
        reply = requests.post(
            "https://dynamodb.us-east-1.amazonaws.com/", data=json.dumps(request), headers=headers, timeout=10
        )
    except Exception as error:  # noqa: BLE001 - whatever moto raises is moto's crash
        return 500, {"message": repr(error)}
    return reply.status_code, json.loads(reply.text)


def sort_sets(raw: Any) -> Any:
    """Sets have no order."""
    if isinstance(raw, dict):
        return {
            name: sorted(value) if name in {"SS", "NS", "BS"} and isinstance(value, list) else sort_sets(value)
            for name, value in raw.items()
        }
    return [sort_sets(value) for value in raw] if isinstance(raw, list) else raw


def text_of(item: dict[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


def plain_body(operation: str, request: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: without the units moto always shows, and in one order where AWS promises none."""
    body = sort_sets(body)
    for member in ("ConsumedCapacity", "ItemCollectionMetrics", "LastEvaluatedKey"):
        body.pop(member, None)
    if operation == "Scan" or "IndexName" in request:
        body["Items"] = sorted(body.get("Items", []), key=text_of)
    if operation == "BatchGetItem":
        body["Responses"][TABLE].sort(key=text_of)
    return body


def fault_of(answer: Answer) -> tuple[str, str]:
    body = answer[1]
    return body.get("__type", "").rpartition("#")[2], str(body.get("message", body.get("Message", "")))


def has_crashed(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    code, message = fault_of(moto)
    return (
        moto[0] >= 500
        or message.startswith("Bad Filter Expression")
        or (code == "TransactionCanceledException" and ("TypeError" in message or "ValueError" in message))
        or (code == "TransactionCanceledException" and "AttributeError" in message)
    )


def has_null_or_in(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    text = json.dumps(request)
    return '{"NULL": true}' in text or " IN (" in text


def has_binary_prefix(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return "begins_with(" in json.dumps(request) and '{"B": ' in json.dumps(request)


def told_another_fault(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return fault_of(ours)[0] == fault_of(moto)[0] == "ValidationException" and "UpdateExpression" in request


def checked_condition_late(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return fault_of(ours)[0] == "ConditionalCheckFailedException" and fault_of(moto)[0] == "ValidationException"


def ignored_bad_place(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return moto[0] == 200 and fault_of(ours)[1].endswith("is invalid for update")


def refused_absent_default(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return ours[0] == 200 and "if_not_exists(" in json.dumps(request) and fault_of(moto)[1].endswith("for update")


def lost_alias(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return ours[0] == 200 and "ExpressionAttributeNames unused" in fault_of(moto)[1]


def showed_key_as_updated(request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    return request.get("ReturnValues") == "UPDATED_NEW" and "pk" in moto[1].get("Attributes", {})


KNOWN: dict[str, Callable[[dict[str, Any], Answer, Answer], bool]] = {
    "moto-crashes": has_crashed,
    "moto-null-is-missing": has_null_or_in,
    "moto-binary-prefix": has_binary_prefix,
    "moto-another-fault": told_another_fault,
    "moto-condition-late": checked_condition_late,
    "moto-bad-place-ignored": ignored_bad_place,
    "moto-absent-default": refused_absent_default,
    "moto-alias-lost": lost_alias,
    "moto-key-as-updated": showed_key_as_updated,
}


def differs(operation: str, request: dict[str, Any], ours: Answer, moto: Answer) -> bool:
    if ours[0] != moto[0] or (ours[0] != 200 and fault_of(ours) != fault_of(moto)):
        return True
    return ours[0] == 200 and plain_body(operation, request, ours[1]) != plain_body(operation, request, moto[1])


async def stored(ours: Ours) -> list[str]:
    _, body = await ours.call("Scan", {"TableName": TABLE})
    return sorted(text_of(sort_sets(item)) for item in body["Items"])


async def start_over(ours: Ours) -> None:
    """Both sides empty: after a difference nothing that follows can be compared."""
    for item in list(ours.service.database("us-east-1").table(TABLE).records.values()):
        key = {name: {item.item[name].type: str(item.item[name].data)} for name in ("pk", "sk")}
        await ours.call("DeleteItem", {"TableName": TABLE, "Key": key})
    call_moto("DeleteTable", {"TableName": TABLE})
    call_moto("CreateTable", CREATE)


@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_every_difference_from_moto_is_a_named_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 1,000 generated requests a seed, our answers and state equal moto's but for moto's named faults."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    generator, ours, named = Generator(seed), Ours(), Counter[str]()
    with mock_aws():
        await ours.call("CreateTable", CREATE)
        call_moto("CreateTable", CREATE)
        for number in range(1000):
            operation, request = generator.operation()
            mine, theirs = await ours.call(operation, request), call_moto(operation, request)
            if differs(operation, request, mine, theirs):
                names = [name for name, explains in KNOWN.items() if explains(request, mine, theirs)]
                assert names, (operation, request, mine, theirs)
                named[names[0]] += 1
                if operation not in {"Query", "Scan", "GetItem", "BatchGetItem"}:
                    await start_over(ours)
            elif number % 20 == 0:
                moto_items = call_moto("Scan", {"TableName": TABLE})[1]["Items"]
                if await stored(ours) != sorted(text_of(sort_sets(item)) for item in moto_items):
                    named["moto-failed-update-leaks"] += 1
                    await start_over(ours)
    assert sum(named.values()) < 350, named
    assert named["moto-failed-update-leaks"] <= 10, named


def test_every_named_difference_is_on_the_page() -> None:
    """The page of known differences explains each name that the differential test accepts."""
    page = PAGE.read_text()
    assert [name for name in (*KNOWN, "moto-failed-update-leaks") if f"`{name}`" not in page] == []
