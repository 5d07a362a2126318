"""First-class integrations of HTTP APIs with AWS services: parameters in, the service's own answer out.

Each subtype is one action; its parameters are the action's, evaluated as parameter mappings. Values that are not text
in the action are read from it. SQS is called by its query protocol, the others in JSON.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from urllib.parse import urlencode

from localcloud.gateway.http_api.definition import Integration
from localcloud.gateway.http_api.errors import ApiError
from localcloud.gateway.http_api.exchange import Exchange
from localcloud.gateway.http_api.mapping import evaluate, read_variable
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.ports import Roles
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import Dispatch, NoAnswer, WireRequest

__all__ = ["SUBTYPES", "call_service", "check_parameters"]

_REGION: Final = "Region"


@dataclass(frozen=True, slots=True)
class _Action:
    """One subtype. `target` is X-Amz-Target, "" for the query protocol; `parsed` are parameters that are no text."""

    service: str
    name: str
    required: frozenset[str]
    optional: frozenset[str]
    target: str = ""
    json_version: str = "1.1"
    parsed: frozenset[str] = frozenset()


def _sqs(name: str, required: set[str], optional: set[str]) -> _Action:
    return _Action("sqs", name, frozenset(required | {"QueueUrl"}), frozenset(optional))


def _states(name: str, required: str, optional: set[str]) -> _Action:
    target = f"AWSStepFunctions.{name}"
    return _Action("states", name, frozenset({required}), frozenset(optional), target=target, json_version="1.0")


_SENT: Final = {"DelaySeconds", "MessageAttributes", "MessageDeduplicationId", "MessageGroupId"} | {
    "MessageSystemAttributes"
}
SUBTYPES: Final[Mapping[str, _Action]] = {
    "EventBridge-PutEvents": _Action(
        "events",
        "PutEvents",
        frozenset({"Detail", "DetailType", "Source"}),
        frozenset({"Time", "EventBusName", "Resources", "TraceHeader"}),
        target="AWSEvents.PutEvents",
        parsed=frozenset({"Resources"}),
    ),
    "SQS-SendMessage": _sqs("SendMessage", {"MessageBody"}, _SENT),
    "SQS-ReceiveMessage": _sqs(
        "ReceiveMessage",
        set(),
        {"AttributeNames", "MaxNumberOfMessages", "MessageAttributeNames", "ReceiveRequestAttemptId"}
        | {"VisibilityTimeout", "WaitTimeSeconds"},
    ),
    "SQS-DeleteMessage": _sqs("DeleteMessage", {"ReceiptHandle"}, set()),
    "SQS-PurgeQueue": _sqs("PurgeQueue", set(), set()),
    "Kinesis-PutRecord": _Action(
        "kinesis",
        "PutRecord",
        frozenset({"StreamName", "Data", "PartitionKey"}),
        frozenset({"SequenceNumberForOrdering", "ExplicitHashKey"}),
        target="Kinesis_20131202.PutRecord",
    ),
    "StepFunctions-StartExecution": _states("StartExecution", "StateMachineArn", {"Name", "Input"}),
    "StepFunctions-StartSyncExecution": _states(
        "StartSyncExecution", "StateMachineArn", {"Name", "Input", "TraceHeader"}
    ),
    "StepFunctions-StopExecution": _states("StopExecution", "ExecutionArn", {"Cause", "Error"}),
}


def check_parameters(subtype: str, parameters: Mapping[str, str]) -> None:
    """Raise ValueError where a parameter is none of the subtype's, or one is missing."""
    action = SUBTYPES[subtype]
    for name in parameters:
        if name not in action.required | action.optional | {_REGION}:
            raise ValueError(f"{name} is no parameter of {subtype}")
    missing = sorted(action.required - parameters.keys())
    if missing:
        raise ValueError(f"{subtype} needs {', '.join(missing)}")


async def call_service(
    exchange: Exchange, integration: Integration, *, dispatch: Dispatch, roles: Roles
) -> HttpResponse:
    """Call the action with the integration's role, and hand on the answer. Raises ApiError."""
    action = SUBTYPES[integration.subtype]
    values = {
        name: evaluate(value, lambda variable: read_variable(variable, exchange))
        for name, value in integration.parameters.items()
    }
    region = values.pop(_REGION, "") or exchange.api.region
    try:
        access_key = roles.assume(integration.credentials)
    except LookupError as error:
        raise ApiError(500, f"API Gateway may not assume {integration.credentials}: {error}") from error
    request = _make_request(exchange, action, {name: value for name, value in values.items() if value}, region=region)
    try:
        async with asyncio.timeout(integration.timeout_s):
            answer = await dispatch(replace(request, access_key=access_key))
            body = answer.body if isinstance(answer.body, bytes) else b"".join([each async for each in answer.body])
    except (TimeoutError, NoAnswer) as error:
        raise ApiError(503, f"{action.service} gives no answer in time") from error
    found = {name.lower(): value for name, value in answer.headers.items()}
    headers = (("Content-Type", found.get("content-type", "application/json")),)
    return HttpResponse(answer.status, headers, body)


def _make_request(exchange: Exchange, action: _Action, values: dict[str, str], *, region: str) -> WireRequest:
    headers = {"host": f"{action.service}.{region}.amazonaws.com", "x-amzn-trace-id": exchange.trace_id}
    if action.target:
        headers |= {"content-type": f"application/x-amz-json-{action.json_version}", "x-amz-target": action.target}
        body = json.dumps(_json_body(action, values), separators=(",", ":"))
    else:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode({"Action": action.name, "Version": "2012-11-05", **_query_body(values)})
    return WireRequest(
        service=action.service,
        region=region,
        method="POST",
        path="/",
        query="",
        headers=headers,
        body=body.encode("utf-8", "replace"),
        access_key="",
        request_id=exchange.request_id,
    )


def _json_body(action: _Action, values: dict[str, str]) -> dict[str, Any]:
    read = {name: _parsed(name, value) if name in action.parsed else value for name, value in values.items()}
    if action.service == "events":
        if "Time" in read:
            read["Time"] = _time(read["Time"])
        return {"Entries": [read]}
    if action.service == "states":
        return {name[0].lower() + name[1:]: value for name, value in read.items()}
    return read


def _time(value: str) -> Any:
    """Epoch seconds as a number; anything else as it is, for the service to judge."""
    try:
        return float(value)
    except ValueError:
        return value


def _query_body(values: dict[str, str]) -> dict[str, str]:
    """The query protocol's parameters: attributes are maps in JSON, names are lists."""
    body: dict[str, str] = {}
    for name, value in values.items():
        if name in {"MessageAttributes", "MessageSystemAttributes"}:
            body |= _attributes(name.removesuffix("s"), _parsed(name, value))
        elif name in {"AttributeNames", "MessageAttributeNames"}:
            body |= {f"{name[:-1]}.{index}": each for index, each in enumerate(_names(value), 1)}
        else:
            body[name] = value
    return body


def _attributes(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ApiError(400, f"{name} is no map")
    body: dict[str, str] = {}
    for index, (key, parts) in enumerate(cast("dict[str, Any]", value).items(), 1):
        if not isinstance(parts, dict):
            raise ApiError(400, f"{name} {key} is no map")
        body[f"{name}.{index}.Name"] = key
        body |= {f"{name}.{index}.Value.{kind}": str(each) for kind, each in cast("dict[str, Any]", parts).items()}
    return body


def _names(value: str) -> list[str]:
    if value.startswith("["):
        return [str(each) for each in cast("list[object]", _parsed("AttributeNames", value))]
    return [each.strip() for each in value.split(",")]


def _parsed(name: str, value: str) -> Any:
    try:
        return parse_json(value)
    except MalformedJson as error:
        raise ApiError(400, f"{name} is not JSON") from error
