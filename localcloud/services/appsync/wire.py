"""AppSync at the AWS port: the control plane of Event APIs, REST-JSON in and out, and publishing to them.

Owns routes, pages and what IAM checks; GraphQL's operations are refused by name.
Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from localcloud.json_text import MalformedJson, read_object
from localcloud.services.appsync.errors import AppSyncError, not_served
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.operations import ACTIONS, Call
from localcloud.services.appsync.shapes import read_request
from localcloud.services.appsync.unserved import find_unserved
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import ContextPairs, read_tag_map, request_tags, tag_keys, with_resource_tags

__all__ = ["AppSyncService"]

Publish = Callable[[WireRequest], Awaitable[WireResponse | None]]
"""The data plane: its answer, None where the request is not for it."""

_API: Final = r"/v[12]/apis/(?P<api>[^/]+)"
_ROUTES: Final = (
    (re.compile(r"/v2/apis/?"), {"GET": "ListApis", "POST": "CreateApi"}),
    (re.compile(r"/v2/apis/(?P<api>[^/]+)"), {"DELETE": "DeleteApi", "GET": "GetApi", "POST": "UpdateApi"}),
    (
        re.compile(rf"{_API}/channelNamespaces/?"),
        {"GET": "ListChannelNamespaces", "POST": "CreateChannelNamespace"},
    ),
    (
        re.compile(rf"{_API}/channelNamespaces/(?P<name>[^/]+)"),
        {"DELETE": "DeleteChannelNamespace", "GET": "GetChannelNamespace", "POST": "UpdateChannelNamespace"},
    ),
    (re.compile(rf"{_API}/apikeys/?"), {"GET": "ListApiKeys", "POST": "CreateApiKey"}),
    (re.compile(rf"{_API}/apikeys/(?P<name>[^/]+)"), {"DELETE": "DeleteApiKey", "POST": "UpdateApiKey"}),
    (re.compile(rf"{_API}/datasources/?"), {"GET": "ListDataSources", "POST": "CreateDataSource"}),
    (
        re.compile(rf"{_API}/datasources/(?P<name>[^/]+)"),
        {"DELETE": "DeleteDataSource", "GET": "GetDataSource", "POST": "UpdateDataSource"},
    ),
    (
        re.compile(r"/v1/tags/(?P<name>.+)"),
        {"DELETE": "UntagResource", "GET": "ListTagsForResource", "POST": "TagResource"},
    ),
)
_NO_BODY: Final = frozenset({"DELETE", "GET"})
_LISTS: Final = ("tagKeys",)


class AppSyncService:
    """The AppSync API of every Region. `publish` is asked first."""

    name = "appsync"

    def __init__(self, apis: EventApis, publish: Publish) -> None:
        self._apis = apis
        self._publish = publish

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        published = await self._publish(request)
        if published is not None:
            return published
        try:
            action, found = _route(request)
            values = read_request(action, _read_values(request, found))
            result = ACTIONS[action](Call(self._apis, request.region, found, values))
        except AppSyncError as error:
            headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
            return WireResponse(error.status, _encode({"message": error.message}), headers)
        return WireResponse(200, _encode(result), {"content-type": "application/json"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; nothing for the data plane, whose API says who may, and for what is no action.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsappsync.html
        """
        try:
            action, found = _route(request)
            context = _tags_in(action, request, found)
        except AppSyncError:
            return ()
        return with_resource_tags((_needed(action, request.region, found, context=context),), self._apis.tags_of)


def _route(request: WireRequest) -> tuple[str, Mapping[str, str]]:
    """The action, and what the path names. Raises AppSyncError."""
    for route, actions in _ROUTES:
        found = route.fullmatch(request.path)
        if found is not None and request.method in actions:
            named = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
            return actions[request.method], named
    unserved = find_unserved(request.method, request.path)
    if unserved:
        raise not_served(f"{unserved} is")
    message = f"{request.method} {request.path[:200]} is not an action of AppSync."
    raise AppSyncError("UnknownOperationException", message, 404)


def _needed(action: str, region: str, found: Mapping[str, str], *, context: ContextPairs) -> Permission:
    if action.endswith(("TagResource", "UntagResource", "ListTagsForResource")):
        return Permission(f"appsync:{action}", unquote(found["name"]), context)
    arn = "*"
    if found.get("api"):
        partition = "aws-cn" if region.startswith("cn-") else "aws"
        arn = f"arn:{partition}:appsync:{region}:{ACCOUNT_ID}:apis/{unquote(found['api'])}"
        if found.get("name") and "ChannelNamespace" in action:
            arn += f"/channelNamespace/{unquote(found['name'])}"
    return Permission(f"appsync:{action}", arn, context)


def _tags_in(action: str, request: WireRequest, found: Mapping[str, str]) -> ContextPairs:
    """The tags that a request gives, or the keys of those that it takes. Raises AppSyncError."""
    if action in {"CreateApi", "CreateChannelNamespace", "TagResource"}:
        return request_tags(read_tag_map(_read_values(request, found).get("tags")))
    return tag_keys(parse_qs(request.query).get("tagKeys", [])) if action == "UntagResource" else ()


def _read_values(request: WireRequest, found: Mapping[str, str]) -> dict[str, Any]:
    """The members of a request: the body's, or the query's; a name in the path stands above one in the body."""
    if request.method in _NO_BODY:
        given = parse_qs(request.query)
        values: dict[str, Any] = {name: each if name in _LISTS else each[-1] for name, each in given.items()}
        if "maxResults" in values:
            values["maxResults"] = _read_number(str(values["maxResults"]))
        return values
    try:
        body = read_object(request.body)
    except MalformedJson as error:
        raise AppSyncError("SerializationException", str(error), 400) from error
    named = {"name": found["name"]} if "name" in found and not request.path.startswith("/v1/tags/") else {}
    return {**body, **named}


def _read_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise AppSyncError("SerializationException", "maxResults is not a whole number.", 400) from error


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
