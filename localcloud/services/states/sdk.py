"""AWS's own service models: a call's arguments to an HTTP request, and an answer to the value that a state gets.

Names stand in PascalCase, as Step Functions has them for every service. Loads botocore when it is first needed.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from localcloud.services.states.task_resource import BadResource, TaskResource

__all__ = [
    "BadArguments",
    "Failure",
    "SdkRequest",
    "answer_problems",
    "check_action",
    "make_request",
    "read_answer",
    "read_failure",
    "signing_name",
]

_NAMES: Final[Mapping[str, str]] = {  # of AWS's SDK for Java, to botocore's
    "bedrockruntime": "bedrock-runtime",
    "cloudwatchlogs": "logs",
    "cognitoidentityprovider": "cognito-idp",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
_OPTIMISED: Final[Mapping[str, tuple[str, str]]] = {  # how errors begin, and the one that has no name of its own
    "dynamodb": ("DynamoDB", "AmazonDynamoDBException"),
    "events": ("EventBridge", "AmazonEventBridgeException"),
    "lambda": ("Lambda", "AWSLambdaException"),
    "sns": ("SNS", "AmazonSNSException"),
    "sqs": ("SQS", "AmazonSQSException"),
    "states": ("StepFunctions", "AWSStepFunctionsException"),
}
_OPTIMISED_MEMBERS: Final = frozenset({"SdkHttpMetadata", "SdkResponseMetadata"})
_WORDS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+")


class BadArguments(ValueError):
    """The arguments are none of this action."""


@dataclass(frozen=True, slots=True)
class SdkRequest:
    """An HTTP request. `service` is the signing name, `host` without a Region."""

    service: str
    host: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of a service: its name with the service's, and its sentence."""

    error: str
    cause: str


def check_action(resource: TaskResource) -> None:
    """Hold a resource of an SDK against AWS's models. Raises BadResource."""
    try:
        _operation(resource)
    except LookupError as error:
        message = f"The resource provided {resource.arn} is not recognized. The value is not a valid resource ARN"
        raise BadResource(message) from error


def signing_name(resource: TaskResource) -> str:
    """The name that requests to the service are signed with, of a resource that `check_action` has held."""
    return str(_service(resource.service).signing_name)


def make_request(resource: TaskResource, arguments: Any) -> SdkRequest:
    """The request of a call. Raises BadArguments."""
    model, operation = _service(resource.service), _operation(resource)
    if not isinstance(arguments, dict):
        raise BadArguments("The Parameters are not an object")
    given: dict[str, Any] = {}
    if operation.input_shape is not None:
        given = cast("dict[str, Any]", _to_members(arguments, operation.input_shape))
    validate: Any = import_module("botocore.validate")
    report = validate.ParamValidator().validate(given, operation.input_shape) if operation.input_shape else None
    if report is not None and report.has_errors():
        raise BadArguments(_say(report.generate_report()))
    serializer: Any = import_module("botocore.serialize")
    made = serializer.create_serializer(_protocol(model), include_validation=False).serialize_to_request(
        given, operation
    )
    return _to_request(operation, made, given)


def _to_request(operation: Any, made: Mapping[str, Any], given: Mapping[str, Any]) -> SdkRequest:
    model, body = operation.service_model, made["body"]
    headers = {str(name).lower(): str(value) for name, value in made["headers"].items()}
    if isinstance(body, dict):
        body = urlencode(cast("dict[str, Any]", body), quote_via=quote)
        headers.setdefault("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    encoded = body.encode() if isinstance(body, str) else bytes(body or b"")
    query: Any = made["query_string"]
    path = str(made["url_path"])
    if model.service_name == "s3" and "Bucket" in given and "{Bucket}" not in operation.http["requestUri"]:
        path = f"/{given['Bucket']}{path if path.startswith('/') else f'/{path}'}"
    path, _, more = path.partition("?")
    shown = query if isinstance(query, str) else urlencode(query, doseq=True, quote_via=quote)
    return SdkRequest(
        service=model.signing_name,
        host=model.endpoint_prefix,
        method=made["method"],
        path=path,
        query="&".join(filter(None, (more, shown))),
        headers={**headers, "content-length": str(len(encoded))},
        body=encoded,
    )


def read_answer(resource: TaskResource, status: int, headers: Mapping[str, str], *, body: bytes) -> dict[str, Any]:
    """What a call gives of an answer that is none of an error."""
    operation = _operation(resource)
    parsed = _parse(operation, _service(resource.service), status, headers=headers, body=body)
    parsed.pop("ResponseMetadata", None)
    return cast("dict[str, Any]", _from_members(parsed, operation.output_shape))


def answer_problems(resource: TaskResource, answer: object, *, strict: bool) -> str:
    """What keeps a value from being what a call gives, "" for nothing; `strict`: what is required must be there."""
    if not isinstance(answer, dict):
        return "The result is not an object"
    given = {name: each for name, each in cast("dict[str, Any]", answer).items() if name not in _OPTIMISED_MEMBERS}
    shape = _operation(resource).output_shape
    if shape is None:
        return f"The field '{next(iter(given))}' is not supported" if given else ""
    validate: Any = import_module("botocore.validate")
    report = validate.ParamValidator().validate(_to_members(given, shape), shape)
    lines = _say(report.generate_report()).splitlines() if report.has_errors() else []
    return "; ".join(line for line in lines if strict or "is required but was missing" not in line)


def read_failure(resource: TaskResource, status: int, headers: Mapping[str, str], *, body: bytes) -> Failure:
    """The error in an answer."""
    model, operation = _service(resource.service), _operation(resource)
    parsed = _parse(operation, model, status, headers=headers, body=body)
    error: Mapping[str, Any] = parsed.get("Error", {})
    codes = {str(error.get("QueryErrorCode", "")), str(error.get("Code", ""))}
    named = next((_named(shape) for shape in operation.error_shapes if codes & {shape.name, shape.error_code}), "")
    message = str(error.get("Message") or parsed.get("message") or error.get("Code", ""))
    request_id = str(parsed.get("ResponseMetadata", {}).get("RequestId", ""))
    if resource.kind == "sdk":
        service = "".join(word.capitalize() for word in _WORDS.findall(model.service_id.replace(" ", "")))
        cause = f"{message} (Service: {service}, Status Code: {status}, Request ID: {request_id})"
        return Failure(f"{service}.{named or f'{service}Exception'}", cause)
    service, other = _OPTIMISED[resource.service]
    code = error.get("Code", "")
    cause = f"{message} (Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request_id})"
    return Failure(f"{service}.{named or other}", cause)


def _named(shape: Any) -> str:
    return shape.name if shape.name.endswith("Exception") else f"{shape.name}Exception"


@lru_cache(maxsize=64)
def _service(service: str) -> Any:
    """botocore's model of a service. Raises LookupError."""
    loaders: Any = import_module("botocore.loaders")
    models: Any = import_module("botocore.model")
    name = _NAMES.get(service, service)
    loader = loaders.create_loader()
    known: list[str] = loader.list_available_services("service-2")
    found = next((each for each in known if each == name or each.replace("-", "") == name), None)
    if found is None:
        raise LookupError(service)
    return models.ServiceModel(loader.load_service_model(found, "service-2"), service_name=found)


def _operation(resource: TaskResource) -> Any:
    model = _service(resource.service)
    name = f"{resource.action[:1].upper()}{resource.action[1:]}"
    if name not in model.operation_names or resource.action[:1].isupper():
        raise LookupError(resource.action)
    return model.operation_model(name)


def _protocol(model: Any) -> str:
    return str(model.resolved_protocol)


def _parse(operation: Any, model: Any, status: int, *, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    parsers: Any = import_module("botocore.parsers")
    awsrequest: Any = import_module("botocore.awsrequest")
    told = {"status_code": status, "headers": awsrequest.HeadersDict(dict(headers)), "body": body}
    parsed: dict[str, Any] = parsers.create_parser(_protocol(model)).parse(told, operation.output_shape)
    return parsed


def _say(report: str) -> str:
    """botocore's words in Step Functions' own."""
    text = re.sub(
        r'Missing required parameter in \S+: "([^"]+)"', r"The field '\1' is required but was missing", report
    )
    return re.sub(r'Unknown parameter in \S+: "([^"]+)", must be one of: .*', r"The field '\1' is not supported", text)


def _to_members(value: Any, shape: Any) -> Any:
    """Arguments as a model has them: names in its own case, JSON as text where it wants text."""
    if shape.type_name == "structure" and isinstance(value, dict):
        by_name = {_pascal(name): (name, member) for name, member in shape.members.items()}
        given = cast("dict[str, Any]", value)
        return {
            by_name[name][0] if name in by_name else name: _to_members(each, by_name[name][1])
            if name in by_name
            else each
            for name, each in given.items()
            if each is not None
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_to_members(each, shape.member) for each in cast("list[Any]", value)]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: _to_members(each, shape.value) for name, each in cast("dict[str, Any]", value).items()}
    if shape.type_name in {"blob", "string"} and not isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode() if shape.type_name == "blob" else text
    return value.encode() if shape.type_name == "blob" else value


def _from_members(value: Any, shape: Any) -> Any:
    if shape is None:
        return {}
    if isinstance(value, dict) and shape.type_name == "structure":
        found = cast("dict[str, Any]", value)
        return {
            _pascal(name): _from_members(found[name], shape.members[name]) for name in shape.members if name in found
        }
    if isinstance(value, list):
        return [_from_members(each, shape.member) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: _from_members(each, shape.value) for name, each in cast("dict[str, Any]", value).items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _pascal(name: str) -> str:
    return f"{name[:1].upper()}{name[1:]}"
