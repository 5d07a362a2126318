"""The event source mapping operations of the Lambda API on the wire (REST-JSON).

Owns the protocol: routes, pages, how a mapping is described. What a body may hold is `mapping_members`, the rules are
the registry's.
Sources: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html,
https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qs, unquote

from localcloud.compute.function import Reference, parse_reference
from localcloud.compute.mappings.registry import EventSourceMapping, Mappings
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.json_text import MalformedJson, read_json
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import ContextPairs, read_tag_map, request_tags, resource_tags
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, refused
from localcloud.services.lambda_.mapping_members import read_members
from localcloud.template.errors import TemplateError
from localcloud.template.properties import Properties

__all__ = ["answer_mappings", "is_mappings", "mapping_permissions"]

MAX_ITEMS: Final = 100  # ListEventSourceMappings answers at most 100 in one response
MOST_ITEMS: Final = 10_000  # and takes a MaxItems up to this
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_ROUTE: Final = re.compile(r"/2015-03-31/event-source-mappings(?:/(?P<id>[^/]*))?/?")
_ACTIONS: Final = {
    ("POST", False): "CreateEventSourceMapping",
    ("GET", False): "ListEventSourceMappings",
    ("GET", True): "GetEventSourceMapping",
    ("PUT", True): "UpdateEventSourceMapping",
    ("DELETE", True): "DeleteEventSourceMapping",
}
_SHOWN: Final = ("FilterCriteria", "ScalingConfig", "ProvisionedPollerConfig", "MetricsConfig")


def is_mappings(request: WireRequest) -> bool:
    """Whether `request` is for an operation of this module."""
    return _ROUTE.fullmatch(request.path) is not None


def mapping_permissions(request: WireRequest, mappings: Mappings | None) -> tuple[Permission, ...]:
    """What IAM checks: the mapping itself, or * where none is named.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
    """
    action, mapping_id = _read_route(request)
    if not action:
        return ()
    arn = f"arn:aws:lambda:{request.region}:{ACCOUNT_ID}:event-source-mapping:{mapping_id}"
    if action == "CreateEventSourceMapping":
        return (Permission(f"lambda:{action}", "*", _tags_in(request)),)
    known = [each for each in mappings.list() if each.mapping_id == mapping_id] if mappings is not None else []
    tags = resource_tags(known[0].tags) if known else ()
    return (Permission(f"lambda:{action}", arn if mapping_id else "*", tags),)


def _tags_in(request: WireRequest) -> ContextPairs:
    try:
        body = read_json(request.body or b"{}")
    except MalformedJson:
        return ()
    return request_tags(read_tag_map(cast("dict[str, Any]", body).get("Tags"))) if isinstance(body, dict) else ()


def answer_mappings(mappings: Mappings, request: WireRequest) -> WireResponse:
    """Answer one request. Raises LambdaError."""
    action, mapping_id = _read_route(request)
    if action == "ListEventSourceMappings":
        return _respond(200, _list(mappings, request))
    if action == "GetEventSourceMapping":
        return _respond(200, _describe(mappings.get(mapping_id)))
    if action == "DeleteEventSourceMapping":
        return _respond(202, _describe(mappings.delete(mapping_id)))
    if not action:
        text = f"{request.method} {request.path} of Lambda is not served by this local cloud."
        raise LambdaError("NotImplemented", text, 501, fault="Service")
    body = read_members(request.body, is_new=action == "CreateEventSourceMapping")
    tags: dict[str, str] = body.pop("Tags")
    try:
        if action == "UpdateEventSourceMapping":
            return _respond(202, _describe(mappings.update(mapping_id, body)))
        return _respond(202, _describe(mappings.create(Properties(body, where=""), tags=tags)))
    except TemplateError as error:
        raise refused(str(error)) from error


def _read_route(request: WireRequest) -> tuple[str, str]:
    found = _ROUTE.fullmatch(request.path)
    mapping_id = unquote(found["id"] or "") if found is not None else ""
    return _ACTIONS.get((request.method, bool(mapping_id)), ""), mapping_id


def _list(mappings: Mappings, request: WireRequest) -> dict[str, Any]:
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    source_arn, named = query.get("EventSourceArn", ""), query.get("FunctionName", "")
    reference = parse_reference(named) if named else None
    if named and reference is None:
        raise refused(f"FunctionName: {named} is no function name or ARN")
    found = [
        mapping
        for mapping in mappings.list()
        if source_arn in {"", mapping.source_arn} and (reference is None or _is_of(mapping, reference))
    ]
    first, most = _read_page(query, [mapping.mapping_id for mapping in found])
    answer: dict[str, Any] = {"EventSourceMappings": [_describe(each) for each in found[first : first + most]]}
    if first + most < len(found):
        answer["NextMarker"] = found[first + most].mapping_id
    return answer


def _is_of(mapping: EventSourceMapping, reference: Reference) -> bool:
    """Whether a mapping is one of the function that is named, and of the version or alias where one is named."""
    qualified = f"{mapping.spec.arn}:{reference.qualifier}"
    return reference.name == mapping.spec.name and (not reference.qualifier or qualified == mapping.function_arn)


def _read_page(query: Mapping[str, str], ids: list[str]) -> tuple[int, int]:
    """Where a page begins, and how many it may hold."""
    text, marker = query.get("MaxItems", str(MAX_ITEMS)), query.get("Marker", "")
    if _COUNT.fullmatch(text) is None or not 1 <= int(text) <= MOST_ITEMS:
        raise bad_constraint("MaxItems", text, f"Member must have value from 1 to {MOST_ITEMS}")
    if marker and marker not in ids:
        raise refused("Marker: it is not one that ListEventSourceMappings gave")
    return ids.index(marker) if marker else 0, min(int(text), MAX_ITEMS)


def _describe(mapping: EventSourceMapping) -> dict[str, Any]:
    poller, members = mapping.settings.poller, mapping.members
    found: dict[str, Any] = {
        "UUID": mapping.mapping_id,
        "EventSourceMappingArn": mapping.arn,
        "EventSourceArn": mapping.source_arn,
        "FunctionArn": mapping.function_arn,
        "BatchSize": poller.batch_size,
        "MaximumBatchingWindowInSeconds": int(poller.window_s),
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if poller.report_failures else [],
        "LastModified": mapping.modified_s,
        "State": mapping.state,
        "StateTransitionReason": "USER_INITIATED",
    }
    if isinstance(poller, StreamMappingConfig):
        arn = mapping.settings.destination_arn
        found |= {
            "StartingPosition": poller.start.kind.value,
            "ParallelizationFactor": poller.parallelization,
            "BisectBatchOnFunctionError": poller.bisect,
            "MaximumRetryAttempts": poller.max_retries,
            "MaximumRecordAgeInSeconds": poller.max_record_age_s,
            "TumblingWindowInSeconds": poller.tumbling_window_s,
            "DestinationConfig": {"OnFailure": {"Destination": arn} if arn else {}},
            "LastProcessingResult": mapping.last_result,
        }
        if "StartingPositionTimestamp" in members:
            found["StartingPositionTimestamp"] = poller.start.timestamp_s
    return found | {name: members[name] for name in _SHOWN if members.get(name)}


def _respond(status: int, answer: Mapping[str, Any]) -> WireResponse:
    body = json.dumps(answer, separators=(",", ":")).encode()
    return WireResponse(status, body, {"content-type": "application/json"})
