"""The Lambda API on the wire (REST-JSON): Invoke, InvokeWithResponseStream, GetFunction, GetFunctionConfiguration,
ListFunctions, and the operations of event source mappings (see `mappings`).

The other actions are refused by name. Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from localcloud.compute.function import LATEST, FunctionSpec, parse_reference
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.mappings.registry import Mappings
from localcloud.json_text import parse_json
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import with_resource_tags
from localcloud.services.lambda_.errors import LambdaError, no_such_function, service_failed
from localcloud.services.lambda_.event_stream import EVENT_STREAM, EventStreamBody
from localcloud.services.lambda_.mappings import answer_mappings, is_mappings, mapping_permissions
from sluiceway.errors import Misconfigured

__all__ = ["LambdaService", "read_client_context"]

_LOG: Final = logging.getLogger(__name__)
_ROUTE: Final = re.compile(r"/2015-03-31/functions(?:/(?P<name>[^/]+)(?:/(?P<rest>.*))?)?/?")
_STREAM_ROUTE: Final = re.compile(r"/2021-11-15/functions/(?P<name>[^/]+)/response-streaming-invocations/?")
_TYPES: Final = ("RequestResponse", "Event", "DryRun")
_STREAM_TYPES: Final = ("RequestResponse", "DryRun")
_STREAM_ACTION: Final = "InvokeWithResponseStream"
_MAX_CONTEXT_BYTES: Final = 3583  # Invoke: X-Amz-Client-Context, base64
_ACTIONS: Final = {
    ("POST", "invocations"): "InvokeFunction",
    ("GET", ""): "GetFunction",
    ("GET", "configuration"): "GetFunctionConfiguration",
}


@dataclass(frozen=True, slots=True)
class _Target:
    """What the path names: `action` "" where it is not served."""

    action: str
    name: str = ""


class LambdaService:
    """The Lambda API over the functions and mappings of each Region, None for a Region without any."""

    name = "lambda"

    def __init__(
        self, functions: Callable[[str], Functions | None], mappings: Callable[[str], Mappings | None] = lambda _: None
    ) -> None:
        self._functions = functions
        self._mappings = mappings

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`."""
        try:
            mappings = self._mappings(request.region) if is_mappings(request) else None
            if mappings is not None:
                return answer_mappings(mappings, request)
            return await self._answer(request, _read_target(request))
        except LambdaError as error:
            return _refuse(error)
        except Misconfigured as error:
            _LOG.warning("lambda.misconfigured what=%s", error.what)
            return _refuse(service_failed(str(error)))

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The action, on the function.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
        """
        if is_mappings(request):
            return mapping_permissions(request, self._mappings(request.region))
        target = _read_target(request)
        if not target.action:
            return ()
        if target.action == "ListFunctions":
            return (Permission("lambda:ListFunctions", "*"),)
        action = "InvokeFunction" if target.action == _STREAM_ACTION else target.action
        needed = (Permission(f"lambda:{action}", _arn(target.name, request.region)),)
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a function, None where there is none."""
        reference = parse_reference(arn)
        functions = self._functions(reference.region) if reference is not None else None
        try:
            return functions.get(arn).tags if functions is not None else None
        except LambdaError:
            return None

    async def _answer(self, request: WireRequest, target: _Target) -> WireResponse:
        functions = self._functions(request.region)
        if not target.action:
            text = f"{request.method} {request.path} of Lambda is not served by this local cloud."
            raise LambdaError("NotImplemented", text, 501, fault="Service")
        if target.action == "ListFunctions":
            found = functions.list() if functions is not None else ()
            return _json({"Functions": [_configuration(spec) for spec in found]})
        if functions is None:
            raise no_such_function(_arn(target.name, request.region))
        qualifier = parse_qs(request.query).get("Qualifier", [""])[0]
        if target.action == "InvokeFunction":
            return await _invoke(functions, target.name, request, qualifier=qualifier)
        if target.action == _STREAM_ACTION:
            return await _invoke_stream(functions, target.name, request, qualifier=qualifier)
        spec = _get(functions, target.name, request.region, qualifier=qualifier)
        return _json(_description(spec) if target.action == "GetFunction" else _configuration(spec))


def _read_target(request: WireRequest) -> _Target:
    streaming = _STREAM_ROUTE.fullmatch(request.path)
    if streaming is not None:
        return _Target(_STREAM_ACTION if request.method == "POST" else "", unquote(streaming["name"]))
    found = _ROUTE.fullmatch(request.path)
    if found is None:
        return _Target("")
    name, rest = unquote(found["name"] or ""), (found["rest"] or "").rstrip("/")
    if not name:
        return _Target("ListFunctions" if request.method == "GET" else "")
    return _Target(_ACTIONS.get((request.method, rest), ""), name)


async def _invoke(functions: Functions, name: str, request: WireRequest, *, qualifier: str) -> WireResponse:
    headers = request.headers
    kind, log_tail = _read_kind(request, _TYPES)
    spec = _get(functions, name, request.region, qualifier=qualifier)
    result = await functions.invoke(
        spec.arn,
        request.body,
        invocation_type=kind,
        log_tail=log_tail,
        client_context=read_client_context(headers.get("x-amz-client-context", "")),
        trace_header=headers.get("x-amzn-trace-id", ""),
    )
    return WireResponse(result.status, result.payload, _headers(result))


async def _invoke_stream(functions: Functions, name: str, request: WireRequest, *, qualifier: str) -> WireResponse:
    headers = request.headers
    kind, log_tail = _read_kind(request, _STREAM_TYPES)
    spec = _get(functions, name, request.region, qualifier=qualifier)
    context = read_client_context(headers.get("x-amz-client-context", ""))
    if kind == "DryRun":
        return WireResponse((await functions.invoke(spec.arn, request.body, invocation_type=kind)).status)
    invocation = await functions.invoke_stream(
        spec.arn, request.body, client_context=context, trace_header=headers.get("x-amzn-trace-id", "")
    )
    answered = {"content-type": EVENT_STREAM, "x-amz-executed-version": LATEST}
    return WireResponse(200, EventStreamBody(invocation, log_tail=log_tail), answered)


def _read_kind(request: WireRequest, kinds: tuple[str, ...]) -> tuple[str, bool]:
    """The invocation type, and whether the end of the log is asked for."""
    kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
    log_type = request.headers.get("x-amz-log-type", "None")
    if kind not in kinds:
        raise _invalid(kind, "invocationType", kinds)
    if log_type not in {"None", "Tail"}:
        raise _invalid(log_type, "logType", ("None", "Tail"))
    return kind, log_type == "Tail"


def _headers(result: InvokeResult) -> dict[str, str]:
    found = {"content-type": "application/json"}
    if result.status == 200:
        found["x-amz-executed-version"] = result.version
    if result.function_error:
        found["x-amz-function-error"] = result.function_error
    if result.log_tail:
        found["x-amz-log-result"] = base64.b64encode(result.log_tail).decode()
    return found


def read_client_context(encoded: str) -> str:
    """The context as the runtime gets it: JSON, out of base64."""
    if not encoded:
        return ""
    try:
        context = parse_json(base64.b64decode(encoded, validate=True))
    except ValueError:
        context = None
    if not isinstance(context, dict) or len(encoded) > _MAX_CONTEXT_BYTES:
        text = f"Client context must be a JSON object in base64 of at most {_MAX_CONTEXT_BYTES} bytes."
        raise LambdaError("InvalidRequestContentException", text, 400)
    return json.dumps(context)


def _get(functions: Functions, name: str, region: str, *, qualifier: str) -> FunctionSpec:
    try:
        return functions.get(name, qualifier=qualifier)
    except LambdaError:
        arn = _arn(name, region)
        raise no_such_function(f"{arn}:{qualifier}" if qualifier else arn) from None


def _arn(name: str, region: str) -> str:
    reference = parse_reference(name)
    if name.startswith("arn:") or reference is None:
        return name
    qualifier = f":{reference.qualifier}" if reference.qualifier else ""
    return f"arn:aws:lambda:{region}:{reference.account or ACCOUNT_ID}:function:{reference.name}{qualifier}"


def _configuration(spec: FunctionSpec) -> dict[str, Any]:
    modified = datetime.fromtimestamp(spec.modified_s, UTC)
    logging_config = {"LogFormat": spec.log_format.value, "LogGroup": spec.group}
    if spec.log_level:
        logging_config |= {"ApplicationLogLevel": spec.log_level, "SystemLogLevel": "INFO"}
    found: dict[str, Any] = {
        "FunctionName": spec.name,
        "FunctionArn": spec.arn,
        "Runtime": spec.runtime,
        "Role": spec.role_arn,
        "Handler": spec.handler,
        "Description": spec.description,
        "Timeout": spec.timeout_s,
        "MemorySize": spec.memory_mb,
        "LastModified": modified.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Version": LATEST,
        "TracingConfig": {"Mode": "Active" if spec.tracing else "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [spec.architecture],
        "LoggingConfig": logging_config,
    }
    if spec.environment:
        found["Environment"] = {"Variables": dict(spec.environment)}
    if spec.layer_arns:
        found["Layers"] = [{"Arn": arn} for arn in spec.layer_arns]
    return found


def _description(spec: FunctionSpec) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Configuration": _configuration(spec),
        "Code": {"RepositoryType": "Local", "Location": spec.code_dir.as_uri()},
    }
    if spec.tags:
        found["Tags"] = dict(spec.tags)
    if spec.reserved_concurrency is not None:
        found["Concurrency"] = {"ReservedConcurrentExecutions": spec.reserved_concurrency}
    return found


def _invalid(value: str, member: str, allowed: tuple[str, ...]) -> LambdaError:
    text = (
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(allowed)}]"
    )
    return LambdaError("ValidationException", text, 400)


def _json(body: dict[str, Any]) -> WireResponse:
    return WireResponse(200, json.dumps(body, separators=(",", ":")).encode(), {"content-type": "application/json"})


def _refuse(error: LambdaError) -> WireResponse:
    body = {**error.extra, "Type": error.fault, error.message_key: error.message}
    headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
    return WireResponse(error.status, json.dumps(body, separators=(",", ":")).encode(), headers)
