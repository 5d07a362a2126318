"""Thousands of drawn requests, each held against botocore's own serialiser.

Broad and cheap beside the searching tests of each service: seeded draws from many alphabets, empty values, nested
shapes and everything optional at once. A failure is the same on every machine.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import botocore.session
from boto3.dynamodb.types import TypeSerializer
from botocore.serialize import create_serializer

from sluiceway.aws.bedrock import Converse, Turn, converse
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Expression, QueryRequest, Table
from sluiceway.aws.functions import invoke_later
from sluiceway.aws.reply import Reply
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.sqs import Queue
from tests.fakes import RecordingCaller

SESSION = botocore.session.get_session()
SEED = 20261123
POOL = "aZ09-_.~ /%+&=?#:;,@!$'()*\"<>[]{}|\\^`\t\n\r\0\x7f\u00e9\u00a0\u2028\u2603\u4e16\ufeff\U0001f30d\u0301"
URL = "http://127.0.0.1:4600/123456789012/jobs"
ANSWER = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}'
)


def drawn_text(chance: random.Random, *, least: int = 0) -> str:
    """Up to eleven characters, `least` at least."""
    return "".join(chance.choices(POOL, k=least + chance.randrange(12 - least)))


def drawn_number(chance: random.Random) -> int | Decimal:
    digits = chance.randrange(-(10 ** chance.randrange(1, 38)), 10 ** chance.randrange(1, 38))
    return digits if chance.random() < 0.5 else Decimal(digits).scaleb(chance.randrange(-40, 40))


def drawn_set(chance: random.Random) -> set[Any]:
    draw = chance.choice([drawn_text, drawn_number, lambda c: c.randbytes(c.randrange(9))])
    return {draw(chance) for _ in range(chance.randrange(1, 4))}


def drawn_value(chance: random.Random, depth: int = 0) -> Any:
    """Any attribute value: scalars with their empty ones, sets, and lists and maps down to four levels."""
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([None, True, False, "", b"", 0, [], {}])
    if kind in {1, 2}:
        return drawn_text(chance)
    if kind == 3:
        return drawn_number(chance)
    if kind == 4:
        return chance.randbytes(chance.randrange(20))
    if kind == 5:
        return drawn_set(chance)
    if kind == 6:
        return [drawn_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {drawn_text(chance, least=1): drawn_value(chance, depth + 1) for _ in range(chance.randrange(4))}


def drawn_item(chance: random.Random) -> dict[str, Any]:
    return {drawn_text(chance, least=1): drawn_value(chance) for _ in range(chance.randrange(5))}


def settled(value: Any) -> Any:
    """A body whose numbers compare by value and whose sets have no order."""
    if isinstance(value, list):
        return [settled(each) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("N"), str):
        return {"N": Decimal(value["N"])}
    for kind in ("SS", "NS", "BS"):
        if len(value) == 1 and isinstance(value.get(kind), list):
            return {kind: sorted(Decimal(each) if kind == "NS" else each for each in value[kind])}
    return {name: settled(each) for name, each in value.items()}


class Authority:
    """botocore's serialiser of one service."""

    def __init__(self, service: str, protocol: str) -> None:
        self._model = SESSION.get_service_model(service)
        self._serializer = create_serializer(protocol, include_validation=True)

    def request(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._serializer.serialize_to_request(params, self._model.operation_model(operation))

    def body(self, operation: str, params: dict[str, Any]) -> Any:
        return json.loads(self.request(operation, params)["body"])


async def test_a_thousand_drawn_dynamodb_requests() -> None:
    """Puts, gets, updates and queries of drawn items, with and without conditions, have botocore's bodies."""
    chance, dynamodb, serializer = random.Random(SEED), Authority("dynamodb", "json"), TypeSerializer()

    def written(item: dict[str, Any]) -> dict[str, Any]:
        return {name: serializer.serialize(value) for name, value in item.items()}

    for number in range(1000):
        caller = RecordingCaller()
        table = Table(caller, "jobs")
        key, value = {"job_id": drawn_text(chance, least=1)}, drawn_value(chance)
        params: dict[str, Any] = {"TableName": "jobs"}
        if number % 4 == 0:
            item = key | drawn_item(chance)
            await table.put_item(item)
            params |= {"Item": written(item)}
        elif number % 4 == 1:
            await table.get_item(key, consistent=False)
            params |= {"Key": written(key), "ConsistentRead": False}
        elif number % 4 == 2:
            update = Expression("SET #a = :a", {"#a": drawn_text(chance, least=1)}, {":a": value})
            condition = Expression("#b <> :b", {"#b": drawn_text(chance, least=1)}, {":b": drawn_value(chance)})
            await table.update_item(key, update, condition=condition, returning="ALL_NEW")
            params |= {
                "Key": written(key),
                "UpdateExpression": update.text,
                "ConditionExpression": condition.text,
                "ExpressionAttributeNames": {**update.names, **condition.names},
                "ExpressionAttributeValues": written({**update.values, **condition.values}),
                "ReturnValues": "ALL_NEW",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        else:
            keyed = Expression("#k = :k", {"#k": drawn_text(chance, least=1)}, {":k": key["job_id"]})
            limit = chance.randrange(1, 1000)
            await table.query(QueryRequest(keyed, limit=limit, start=key))
            params |= {
                "KeyConditionExpression": keyed.text,
                "ExpressionAttributeNames": dict(keyed.names),
                "ExpressionAttributeValues": written(dict(keyed.values)),
                "Limit": limit,
                "ExclusiveStartKey": written(key),
                "ScanIndexForward": True,
                "ConsistentRead": False,
            }
        (call,) = caller.calls
        assert settled(json.loads(json.dumps(call.body))) == settled(dynamodb.body(call.operation, params))


async def test_five_hundred_drawn_sqs_requests() -> None:
    """Sends with drawn bodies, attributes and delays, and changed visibilities, have botocore's bodies."""
    chance, sqs = random.Random(SEED), Authority("sqs", "json")
    for number in range(500):
        caller = RecordingCaller([Reply(200, {}, b'{"MessageId":"m"}')])
        params: dict[str, Any] = {"QueueUrl": URL}
        if number % 5 == 0:
            params |= {"ReceiptHandle": drawn_text(chance, least=1), "VisibilityTimeout": chance.randrange(43_201)}
            await Queue(caller, URL).change_visibility(params["ReceiptHandle"], params["VisibilityTimeout"])
        else:
            body, delay_s = drawn_text(chance), chance.choice([None, 0, chance.randrange(901)])
            attributes = {drawn_text(chance, least=1): drawn_text(chance) for _ in range(chance.randrange(5))}
            await Queue(caller, URL).send(body, attributes=attributes, delay_s=delay_s)
            told = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
            params |= {"MessageBody": body}
            params |= {"MessageAttributes": told} if told else {}
            params |= {} if delay_s is None else {"DelaySeconds": delay_s}
        (call,) = caller.calls
        assert json.loads(json.dumps(call.body)) == sqs.body(call.operation, params)


async def test_five_hundred_drawn_s3_requests() -> None:
    """Objects under drawn keys are put to and got from botocore's paths, bytes and type as they are."""
    chance, s3 = random.Random(SEED), Authority("s3", "rest-xml")
    for number in range(500):
        caller = RecordingCaller()
        key = "/".join(drawn_text(chance) for _ in range(chance.randrange(1, 4))) or "."
        params: dict[str, Any] = {"Bucket": "results", "Key": key}
        if number % 2:
            await Bucket(caller, "results").get(key)
        else:
            params |= {"Body": chance.randbytes(chance.randrange(64)), "ContentType": "application/json"}
            await Bucket(caller, "results").put(key, params["Body"], content_type=params["ContentType"])
        (call,) = caller.calls
        sent = s3.request(call.operation, params)
        assert call.path == f"/results{sent['url_path'].removeprefix('/results')}"
        assert (call.method, call.body) == (sent["method"], params.get("Body", b""))
        assert call.headers.get("content-type") == sent["headers"].get("Content-Type")


async def test_five_hundred_drawn_bedrock_requests() -> None:
    """Conversations of drawn turns, systems and settings have botocore's path and body."""
    chance, bedrock = random.Random(SEED), Authority("bedrock-runtime", "rest-json")
    models = ["amazon.nova-micro-v1:0", "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abcdefghijkl"]
    for _ in range(500):
        turns = tuple(
            Turn(chance.choice(["user", "assistant"]), drawn_text(chance)) for _ in range(chance.randrange(1, 5))
        )
        heat, top, system = chance.choice([None, 0, 1, chance.random()]), chance.choice([None, 0.5]), drawn_text(chance)
        stop = tuple(drawn_text(chance, least=1) for _ in range(chance.randrange(3)))
        caller = RecordingCaller([Reply(200, {}, ANSWER)])
        request = Converse(
            chance.choice(models), turns, chance.randrange(1, 8193), system, heat, top_p=top, stop_sequences=stop
        )
        await converse(caller, request)
        config: dict[str, Any] = {"maxTokens": request.max_tokens}
        config |= {} if heat is None else {"temperature": heat}
        config |= {} if top is None else {"topP": top}
        config |= {"stopSequences": list(stop)} if stop else {}
        params: dict[str, Any] = {
            "modelId": request.model_id,
            "messages": [{"role": turn.role, "content": [{"text": turn.text}]} for turn in turns],
            "inferenceConfig": config,
        }
        params |= {"system": [{"text": system}]} if system else {}
        sent = bedrock.request("Converse", params)
        (call,) = caller.calls
        assert (call.method, call.path) == (sent["method"], sent["url_path"])
        assert json.loads(json.dumps(call.body)) == json.loads(sent["body"])


async def test_five_hundred_drawn_posts_to_connections() -> None:
    """Posts of drawn bytes to drawn connections, and their closing, have botocore's path and body."""
    chance, management = random.Random(SEED), Authority("apigatewaymanagementapi", "rest-json")
    for number in range(500):
        caller = RecordingCaller()
        connections = ApiConnections(caller, "https://a1.execute-api.eu-west-1.amazonaws.com/v1")
        params: dict[str, Any] = {"ConnectionId": drawn_text(chance, least=1)}
        if number % 5 == 0:
            await connections.disconnect(params["ConnectionId"])
        else:
            params["Data"] = chance.randbytes(1 + chance.randrange(64))
            await connections.post(params["ConnectionId"], params["Data"])
        (call,) = caller.calls
        sent = management.request(call.operation, params)
        assert (call.method, call.path) == (sent["method"], f"/v1{sent['url_path']}")
        assert call.body == (sent["body"] or b"")


async def test_five_hundred_drawn_asynchronous_invocations() -> None:
    """Invocations of drawn functions with drawn payloads have botocore's path and headers, and its payload's bytes."""
    chance, functions = random.Random(SEED), Authority("lambda", "rest-json")
    for _ in range(500):
        caller = RecordingCaller()
        payload = {drawn_text(chance): drawn_text(chance) for _ in range(chance.randrange(3))}
        params = {
            "FunctionName": drawn_text(chance, least=1),
            "InvocationType": "Event",
            "Payload": json.dumps(payload),
        }
        await invoke_later(caller, params["FunctionName"], payload)
        (call,) = caller.calls
        sent = functions.request("Invoke", params)
        assert (call.method, call.path) == (sent["method"], sent["url_path"])
        assert json.loads(json.dumps(call.body)) == json.loads(sent["body"])
        assert call.headers.items() <= {name.lower(): value for name, value in sent["headers"].items()}.items()
