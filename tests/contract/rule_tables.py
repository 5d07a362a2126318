"""Tables of filter rules in two DynamoDBs here: as `answer_tables`, for transactions too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.errors import ConditionFailed, ServiceRefused
from tests.contract.answer_tables import REGION, Request, Send, make_moto

RULES = "rules"
TABLE: dict[str, Any] = {
    "TableName": RULES,
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "topic", "AttributeType": "S"},
        {"AttributeName": "rule_id", "AttributeType": "S"},
        {"AttributeName": "changed", "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": "topic", "KeyType": "HASH"},
        {"AttributeName": "rule_id", "KeyType": "RANGE"},
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_change",
            "KeySchema": [
                {"AttributeName": "topic", "KeyType": "HASH"},
                {"AttributeName": "changed", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


def _refuse(operation: str, fault: Mapping[str, Any]) -> Request:
    code = str(fault["__type"]).rpartition("#")[2]
    kind = ConditionFailed if code == "ConditionalCheckFailedException" else ServiceRefused
    raise kind(str(fault.get("message", "")), service="dynamodb", operation=operation, code=code)


def local_rules() -> Send:
    """The local cloud's DynamoDB with the table."""
    service = DynamoService(SystemClock())
    made: list[bool] = []

    async def ask(operation: str, request: Request) -> Request:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        sent = json.dumps(request).encode()
        answer = await service.handle(WireRequest("dynamodb", REGION, "POST", "/", "", headers, sent, "key", "req"))
        assert isinstance(answer.body, bytes)
        return json.loads(answer.body) if answer.status == 200 else _refuse(operation, json.loads(answer.body))

    async def send(operation: str, request: Request) -> Request:
        if not made:
            made.append(True)
            await ask("CreateTable", TABLE)
        return await ask(operation, request)

    return send


def moto_rules() -> Send:
    """moto's DynamoDB with the table; for use under `mock_aws`."""
    client = make_moto([TABLE])

    async def send(operation: str, request: Request) -> Request:
        try:
            return getattr(client, xform_name(operation))(**request)
        except ClientError as error:
            return _refuse(operation, {"__type": error.response["Error"]["Code"], **error.response["Error"]})

    return send
