"""The Lambda API on the wire (REST-JSON): invocations, and the table of the other operations.

Owns the protocol. What operations do is in the modules `*_operations`, which request is for which in `routes`; event
source mappings have `mappings`. What is not served is refused by name.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from typing import Final

from localcloud.compute.function import parse_reference
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.mappings.registry import Mappings
from localcloud.json_text import parse_json
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import with_resource_tags
from localcloud.services.lambda_ import concurrency_operations as concurrency
from localcloud.services.lambda_ import event_invoke_operations as settings
from localcloud.services.lambda_ import function_operations as function
from localcloud.services.lambda_ import look_operations as look
from localcloud.services.lambda_ import policy_operations as policy
from localcloud.services.lambda_ import recursion_operations as recursion
from localcloud.services.lambda_ import tag_operations as tags
from localcloud.services.lambda_ import version_operations as version
from localcloud.services.lambda_.api import ApiParts, Operation, answer, find_record, function_arn
from localcloud.services.lambda_.call_permissions import call_permissions
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, no_such_function, service_failed
from localcloud.services.lambda_.event_stream import EVENT_STREAM, EventStreamBody
from localcloud.services.lambda_.mappings import answer_mappings, is_mappings, mapping_permissions
from localcloud.services.lambda_.routes import Call, find_call
from sluiceway.errors import Misconfigured

__all__ = ["LambdaService", "read_client_context"]

_LOG: Final = logging.getLogger(__name__)
_TYPES: Final = ("RequestResponse", "Event", "DryRun")
_STREAM_TYPES: Final = ("RequestResponse", "DryRun")
_MAX_CONTEXT_BYTES: Final = 3583  # Invoke: X-Amz-Client-Context, base64
_INVOKED: Final = frozenset({"Invoke", "InvokeWithResponseStream"})
_OPERATIONS: Final[Mapping[str, Operation]] = {
    "AddPermission": policy.add_permission,
    "CreateAlias": version.create_alias,
    "CreateFunction": function.create_function,
    "DeleteAlias": version.delete_alias,
    "DeleteFunction": function.delete_function,
    "DeleteFunctionConcurrency": concurrency.delete_concurrency,
    "DeleteFunctionEventInvokeConfig": settings.delete_settings,
    "DeleteProvisionedConcurrencyConfig": concurrency.delete_provisioned,
    "GetAccountSettings": concurrency.get_account_settings,
    "GetAlias": version.get_alias,
    "GetFunction": function.get_function,
    "GetFunctionConcurrency": concurrency.get_concurrency,
    "GetFunctionConfiguration": function.get_function_configuration,
    "GetFunctionEventInvokeConfig": settings.get_settings,
    "GetFunctionUrlConfig": look.get_url,
    "GetLayerVersion": look.get_layer_version,
    "GetFunctionRecursionConfig": recursion.get_recursion,
    "GetLayerVersionByArn": look.get_layer_version_by_arn,
    "GetPolicy": policy.get_policy,
    "GetProvisionedConcurrencyConfig": concurrency.get_provisioned,
    "ListAliases": version.list_aliases,
    "ListFunctionEventInvokeConfigs": settings.list_settings,
    "ListFunctionUrlConfigs": look.list_urls,
    "ListFunctions": function.list_functions,
    "ListLayerVersions": look.list_layer_versions,
    "ListLayers": look.list_layers,
    "ListProvisionedConcurrencyConfigs": concurrency.list_provisioned,
    "ListTags": tags.list_tags,
    "ListVersionsByFunction": version.list_versions,
    "PublishVersion": version.publish_version,
    "PutFunctionConcurrency": concurrency.put_concurrency,
    "PutFunctionEventInvokeConfig": settings.put_settings,
    "PutFunctionRecursionConfig": recursion.put_recursion,
    "PutProvisionedConcurrencyConfig": concurrency.put_provisioned,
    "RemovePermission": policy.remove_permission,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateAlias": version.update_alias,
    "UpdateFunctionCode": function.update_function_code,
    "UpdateFunctionConfiguration": function.update_function_configuration,
    "UpdateFunctionEventInvokeConfig": settings.update_settings,
}


class LambdaService:
    """The Lambda API over the functions, mappings and other parts of each Region, None for a Region without any."""

    name = "lambda"

    def __init__(
        self,
        functions: Callable[[str], Functions | None],
        mappings: Callable[[str], Mappings | None] = lambda _: None,
        *,
        parts: Callable[[str], ApiParts | None] = lambda _: None,
    ) -> None:
        self._functions = functions
        self._mappings = mappings
        self._parts = parts

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`."""
        try:
            mappings = self._mappings(request.region) if is_mappings(request) else None
            if mappings is not None:
                return answer_mappings(mappings, request)
            return await self._answer(find_call(request))
        except LambdaError as error:
            return _refuse(error)
        except Misconfigured as error:
            _LOG.warning("lambda.misconfigured what=%s", error.what)
            return _refuse(service_failed(str(error)))

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The action, on what the request names."""
        if is_mappings(request):
            return mapping_permissions(request, self._mappings(request.region))
        call = find_call(request)
        if call.operation not in _OPERATIONS and call.operation not in _INVOKED:
            return ()
        return with_resource_tags(call_permissions(call), self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a function, None where there is none."""
        reference = parse_reference(arn)
        functions = self._functions(reference.region) if reference is not None else None
        try:
            return functions.get(arn).tags if functions is not None else None
        except LambdaError:
            return None

    async def _answer(self, call: Call) -> WireResponse:
        region = call.request.region
        functions = self._functions(region)
        operation = _OPERATIONS.get(call.operation)
        if operation is None and call.operation not in _INVOKED:
            raise _unserved(call)
        if functions is None and call.function:
            raise no_such_function(function_arn(call.function, region, qualifier=call.qualifier))
        if operation is None and functions is not None:
            return await (_invoke if call.operation == "Invoke" else _invoke_stream)(functions, call)
        parts = self._parts(region)
        if parts is None and call.operation == "ListFunctions":
            return answer({"Functions": []})
        if parts is None or operation is None:
            raise _unserved(call)
        return await operation(parts, call)


def _unserved(call: Call) -> LambdaError:
    named = call.operation or f"{call.request.method} {call.request.path}"
    return LambdaError("NotImplemented", f"{named} of Lambda is not served by this local cloud.", 501, fault="Service")


async def _invoke(functions: Functions, call: Call) -> WireResponse:
    request = call.request
    kind, log_tail = _read_kind(request, _TYPES)
    record, qualifier = find_record(functions, call)
    result = await functions.invoke(
        record.spec.arn,
        request.body,
        qualifier=qualifier,
        invocation_type=kind,
        log_tail=log_tail,
        client_context=read_client_context(request.headers.get("x-amz-client-context", "")),
        trace_header=request.headers.get("x-amzn-trace-id", ""),
    )
    return WireResponse(result.status, result.payload, _headers(result))


async def _invoke_stream(functions: Functions, call: Call) -> WireResponse:
    request = call.request
    kind, log_tail = _read_kind(request, _STREAM_TYPES)
    record, qualifier = find_record(functions, call)
    arn = record.spec.arn
    context = read_client_context(request.headers.get("x-amz-client-context", ""))
    if kind == "DryRun":
        dry = await functions.invoke(arn, request.body, qualifier=qualifier, invocation_type=kind)
        return WireResponse(dry.status)
    invocation = await functions.invoke_stream(
        arn,
        request.body,
        qualifier=qualifier,
        client_context=context,
        trace_header=request.headers.get("x-amzn-trace-id", ""),
    )
    answered = {"content-type": EVENT_STREAM, "x-amz-executed-version": invocation.version}
    return WireResponse(200, EventStreamBody(invocation, log_tail=log_tail), answered)


def _read_kind(request: WireRequest, kinds: tuple[str, ...]) -> tuple[str, bool]:
    """The invocation type, and whether the end of the log is asked for."""
    kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
    log_type = request.headers.get("x-amz-log-type", "None")
    if kind not in kinds:
        raise bad_constraint("invocationType", kind, f"Member must satisfy enum value set: [{', '.join(kinds)}]")
    if log_type not in {"None", "Tail"}:
        raise bad_constraint("logType", log_type, "Member must satisfy enum value set: [None, Tail]")
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


def _refuse(error: LambdaError) -> WireResponse:
    body = {**error.extra, "Type": error.fault, error.message_key: error.message}
    headers = {"content-type": "application/json", "x-amzn-errortype": error.code, **error.headers}
    return WireResponse(error.status, json.dumps(body, separators=(",", ":")).encode(), headers)
