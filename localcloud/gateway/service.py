"""AWS service, custom function and mock integrations: what they are asked, and their answers as they come.

A service is called by `path/...`, as its own requests look, or by `action/Name`, where API Gateway makes the request:
a query-protocol service gets `Action` in the query string, a JSON service the target header of the operation.
Sources: https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html#apigw-Type-Integration-uri
and https://docs.aws.amazon.com/apigateway/latest/developerguide/integrating-api-with-aws-services-kinesis.html
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote, urlencode

from localcloud.gateway.answers import Answer, answer_method
from localcloud.gateway.definition import Integration
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.invocation import EVENT, Invoker, access_key_of
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.parameters import Parameters, map_parameters
from localcloud.gateway.payload import request_payload
from localcloud.gateway.ports import Roles
from localcloud.gateway.proxy import invoke_function
from localcloud.json_text import parse_json
from localcloud.services.contract import Dispatch, WireRequest, WireResponse

__all__ = ["call_custom_function", "call_service", "mock_answer"]

MAX_ANSWER_BYTES: Final = 10 * 1024 * 1024  # api-gateway-execution-service-limits-table: payload size
_URI: Final = re.compile(r"arn:[\w-]+:apigateway:([\w-]+):([\w.-]+):(path|action)/(.*)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\{([\w.-]+)\}")
_BARE_STATUS: Final = re.compile(r"""\s*\{(?:[^{}]*,)?\s*["']?statusCode["']?\s*:\s*["']?(\d{3})["']?\s*[,}]""")
_MAX_REQUEST_BYTES: Final = 3 * 10 * 1024 * 1024  # a 10 MB payload with every byte percent-encoded


class _JsonService(NamedTuple):
    target: str
    version: str


_JSON_SERVICES: Final[Mapping[str, _JsonService]] = {
    "cognito-idp": _JsonService("AWSCognitoIdentityProviderService", "1.1"),
    "dynamodb": _JsonService("DynamoDB_20120810", "1.0"),
    "events": _JsonService("AWSEvents", "1.1"),
    "kinesis": _JsonService("Kinesis_20131202", "1.1"),
    "kms": _JsonService("TrentService", "1.1"),
    "logs": _JsonService("Logs_20140328", "1.1"),
    "secretsmanager": _JsonService("secretsmanager", "1.1"),
    "ssm": _JsonService("AmazonSSM", "1.1"),
    "states": _JsonService("AWSStepFunctions", "1.0"),
}  # the target prefix and JSON version in each service's botocore model


async def call_service(
    exchange: Exchange, integration: Integration, *, dispatch: Dispatch, roles: Roles
) -> HttpResponse:
    """Call the AWS service and map its answer. Raises GatewayError."""
    context = exchange.context()
    body = request_payload(exchange, integration, context)
    request = _wire_request(exchange, integration, body=body, context=context, roles=roles)
    try:
        async with asyncio.timeout(integration.timeout_s):
            answer = await _read_answer(await dispatch(request))
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{request.service} took too long") from error
    return answer_method(exchange, integration, answer, context=context)


async def call_custom_function(exchange: Exchange, integration: Integration, invoker: Invoker) -> HttpResponse:
    """Invoke a function with what the template made, and map what it returned or failed with. Raises GatewayError.

    Selection patterns are held against the `errorMessage` of a function that failed.
    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/handle-errors-in-lambda-integration.html
    """
    context = exchange.context()
    payload = request_payload(exchange, integration, context)
    headers = map_parameters(exchange, integration, context).headers
    kind = headers.get("x-amz-invocation-type", "RequestResponse")
    if kind not in {"RequestResponse", EVENT}:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{kind!r} is not an invocation type that is served here")
    reply = await invoke_function(exchange, integration, invoker, payload=payload or b"{}", kind=kind)
    known = {"content-type": "application/json", **({"x-amz-function-error": reply.error} if reply.error else {})}
    outcome = _error_message(reply.payload) if reply.error else ""
    answer = Answer(200, known, reply.payload, outcome)
    return answer_method(exchange, integration, answer, context=context)


def _error_message(payload: bytes) -> str:
    try:
        message = cast("Any", parse_json(payload)).get("errorMessage")
    except (ValueError, AttributeError):
        return ""
    return message if isinstance(message, str) else ""


def mock_answer(exchange: Exchange, integration: Integration) -> HttpResponse:
    """What a mock integration says: the status in the request template's `statusCode`. Raises GatewayError."""
    context = exchange.context()
    status = _mock_status(request_payload(exchange, integration, context))
    return answer_method(exchange, integration, Answer(status, {}, b"", str(status)), context=context)


def _mock_status(text: bytes) -> int:
    """The `statusCode` of a mock's template, which API Gateway reads without quotes as well (`{ statusCode: 204 }`)."""
    try:
        return int(cast("Any", parse_json(text))["statusCode"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        found = _BARE_STATUS.match(text.decode("utf-8", "replace"))
        if found is None:
            raise GatewayError("API_CONFIGURATION_ERROR", reason="a mock template gives no statusCode") from error
        return int(found[1])


def _wire_request(
    exchange: Exchange, integration: Integration, *, body: bytes, context: Mapping[str, Any], roles: Roles
) -> WireRequest:
    mapped = map_parameters(exchange, integration, context)
    uri = exchange.fill_stage_variables(integration.uri)
    uri = _VARIABLE.sub(lambda found: quote(mapped.path.get(found[1], ""), safe=""), uri)
    found = _URI.fullmatch(uri)
    if found is None:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{uri!r} is not an AWS service's")
    region, service, kind, rest = found.groups()
    headers = {"content-type": "application/json", "x-amzn-trace-id": exchange.trace_id, "accept": "application/json"}
    if kind == "action":
        _name_action(service, rest, headers=headers, mapped=mapped)
    if len(body) > _MAX_REQUEST_BYTES:
        raise GatewayError("REQUEST_TOO_LARGE", reason="the mapped request")
    path, _, fixed = rest.partition("?")
    method = exchange.request.method if integration.method == "ANY" else integration.method
    access_key = access_key_of(exchange, roles, integration.credentials)
    own = {
        "authorization": _authorization(exchange, access_key, region, service=service),
        "host": f"{service}.{region}.amazonaws.com",
    }
    return WireRequest(
        service=service,
        region=region,
        method=method,
        path="/" + path.lstrip("/") if kind == "path" else "/",
        query="&".join(part for part in (fixed, urlencode(mapped.query, doseq=True)) if part),
        headers={**headers, **mapped.headers, **own},
        body=b"" if method in {"GET", "HEAD"} else body,
        access_key=access_key,
        request_id=exchange.request_id,
    )


def _authorization(exchange: Exchange, access_key: str, region: str, *, service: str) -> str:
    """The header of a signed request, by which some services tell it from a public one; no signature is verified."""
    date = time.strftime("%Y%m%d", time.gmtime(exchange.now_s))
    scope = f"{access_key}/{date}/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"


def _name_action(service: str, action: str, *, headers: dict[str, str], mapped: Parameters) -> None:
    json_service = _JSON_SERVICES.get(service)
    if json_service is None:
        mapped.query["Action"] = [action]
    else:
        headers["x-amz-target"] = f"{json_service.target}.{action}"
        headers["content-type"] = f"application/x-amz-json-{json_service.version}"


async def _read_answer(response: WireResponse) -> Answer:
    given = response.body
    body = bytearray(given if isinstance(given, bytes) else b"")
    if not isinstance(given, bytes):
        async for chunk in given:
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                break
    if len(body) > MAX_ANSWER_BYTES:
        raise GatewayError("INTEGRATION_FAILURE", reason="the answer is larger than 10 MB")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, bytes(body), str(response.status))
