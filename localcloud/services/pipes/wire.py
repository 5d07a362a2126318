"""EventBridge Pipes on the wire: REST-JSON in, the model, REST-JSON out.

Source: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_Operations.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from localcloud.json_text import MalformedJson, read_object
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import ContextPairs, read_tag_map, request_tags, tag_keys, with_resource_tags
from localcloud.services.pages import MalformedToken, cut_page
from localcloud.services.pipes.errors import PipesError, validation
from localcloud.services.pipes.model import Pipe, Pipes
from localcloud.services.pipes.requests import CREATE, LIST, NAME, TAG, UPDATE, read_request

__all__ = ["PipesService"]

MAX_LISTED: Final = 100  # Limit of ListPipes
_ROUTES: Final = (
    (re.compile(r"/v1/pipes/?"), {"GET": "ListPipes"}),
    (
        re.compile(r"/v1/pipes/(?P<name>[^/]+)"),
        {"DELETE": "DeletePipe", "GET": "DescribePipe", "POST": "CreatePipe", "PUT": "UpdatePipe"},
    ),
    (re.compile(r"/v1/pipes/(?P<name>[^/]+)/start"), {"POST": "StartPipe"}),
    (re.compile(r"/v1/pipes/(?P<name>[^/]+)/stop"), {"POST": "StopPipe"}),
    (
        re.compile(r"/tags/(?P<name>.+)"),
        {"DELETE": "UntagResource", "GET": "ListTagsForResource", "POST": "TagResource"},
    ),
)
_ON_TAGS: Final = frozenset({"ListTagsForResource", "TagResource", "UntagResource"})


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: its action, what its path names, its body and its query."""

    action: str
    name: str
    region: str
    body: Mapping[str, Any]
    query: Mapping[str, list[str]]


class PipesService:
    """The Pipes API of every Region."""

    name = "pipes"

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._actions: Mapping[str, Callable[[_Call], dict[str, Any]]] = {
            "CreatePipe": self._create,
            "DeletePipe": self._delete,
            "DescribePipe": self._describe,
            "ListPipes": self._list,
            "ListTagsForResource": self._list_tags,
            "StartPipe": self._start,
            "StopPipe": self._stop,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdatePipe": self._update,
        }

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            action, name = _route(request)
            call = _Call(action, name, request.region, _read_body(request.body), parse_qs(request.query))
            result = self._actions[action](call)
        except PipesError as error:
            headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
            return WireResponse(error.status, _encode({"message": error.message}), headers)
        return WireResponse(200, _encode(result), {"content-type": "application/json"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for what is no action of Pipes.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgepipes.html
        """
        try:
            action, name = _route(request)
            body = _read_body(request.body)
        except PipesError:
            return ()
        if action == "ListPipes":
            return (Permission("pipes:ListPipes", "*"),)
        arn = name if action in _ON_TAGS else self._pipes.arn_of(name, request.region)
        context = _tags_in(action, body, request.query)
        needed = [Permission(f"pipes:{action}", arn, context)]
        if action == "CreatePipe" and body.get("Tags"):
            needed.append(Permission("pipes:TagResource", arn, context))
        role = body.get("RoleArn")
        if action in {"CreatePipe", "UpdatePipe"} and isinstance(role, str) and role:
            needed.append(Permission("iam:PassRole", role, (("iam:PassedToService", "pipes.amazonaws.com"),)))
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a pipe, None where there is none."""
        try:
            return self._pipes.get_by_arn(arn).tags
        except PipesError:
            return None

    # ------------------------------------------------------------------ actions

    def _create(self, call: _Call) -> dict[str, Any]:
        values = read_request(CREATE, {**call.body, "Name": call.name})
        return _summary(self._pipes.create(values, call.region))

    def _update(self, call: _Call) -> dict[str, Any]:
        values = read_request(UPDATE, {**call.body, "Name": call.name})
        pipe = self._pipes.get(call.name, call.region)
        self._pipes.update(pipe, {name: value for name, value in values.items() if name in UPDATE.members})
        return _summary(pipe)

    def _delete(self, call: _Call) -> dict[str, Any]:
        pipe = self._get(call)
        self._pipes.delete(pipe)
        return _summary(pipe)

    def _start(self, call: _Call) -> dict[str, Any]:
        pipe = self._get(call)
        self._pipes.start(pipe)
        return _summary(pipe)

    def _stop(self, call: _Call) -> dict[str, Any]:
        pipe = self._get(call)
        self._pipes.stop(pipe)
        return _summary(pipe)

    def _describe(self, call: _Call) -> dict[str, Any]:
        pipe = self._get(call)
        shown = ("Description", "Source", "SourceParameters", "Enrichment", "EnrichmentParameters", "Target")
        more = ("TargetParameters", "RoleArn", "LogConfiguration")
        found = {name: pipe.values[name] for name in (*shown, *more) if pipe.values.get(name)}
        return {**_summary(pipe), **found, "Tags": pipe.tags, **({"StateReason": pipe.reason} if pipe.reason else {})}

    def _list(self, call: _Call) -> dict[str, Any]:
        values = read_request(LIST, _read_query(call.query))
        found = [pipe for pipe in self._pipes.list(call.region) if _is_wanted(pipe, values)]
        most = values.get("Limit", MAX_LISTED)
        try:
            page, token = cut_page(found, lambda pipe: pipe.name, token=values.get("NextToken"), most=most)
        except MalformedToken as error:
            raise validation("NextToken is not valid.") from error
        return {"Pipes": [_entry(pipe) for pipe in page], **({"NextToken": token} if token else {})}

    def _list_tags(self, call: _Call) -> dict[str, Any]:
        return {"tags": self._pipes.get_by_arn(call.name).tags}

    def _tag(self, call: _Call) -> dict[str, Any]:
        pipe = self._pipes.get_by_arn(call.name)
        self._pipes.tag(pipe, read_request(TAG, dict(call.body)).get("tags", {}))
        return {}

    def _untag(self, call: _Call) -> dict[str, Any]:
        pipe = self._pipes.get_by_arn(call.name)
        gone = read_request(TAG, {"tagKeys": call.query.get("tagKeys", [])})["tagKeys"]
        pipe.tags = {key: value for key, value in pipe.tags.items() if key not in gone}
        return {}

    def _get(self, call: _Call) -> Pipe:
        read_request(NAME, {"Name": call.name})
        return self._pipes.get(call.name, call.region)


def _route(request: WireRequest) -> tuple[str, str]:
    """The action, and what the path names. Raises PipesError."""
    for route, actions in _ROUTES:
        found = route.fullmatch(request.path)
        if found is not None and request.method in actions:
            return actions[request.method], unquote(found.groupdict().get("name", ""))
    message = f"{request.method} {request.path} is not an action of EventBridge Pipes."
    raise PipesError("UnknownOperationException", message, 404)


def _tags_in(action: str, body: Mapping[str, Any], query: str) -> ContextPairs:
    """The tags that a request gives, or the keys of those that it takes."""
    if action in {"CreatePipe", "TagResource"}:
        return request_tags(read_tag_map(body.get("Tags" if action == "CreatePipe" else "tags")))
    return tag_keys(parse_qs(query).get("tagKeys", [])) if action == "UntagResource" else ()


def _read_body(body: bytes) -> Mapping[str, Any]:
    try:
        return read_object(body)
    except MalformedJson as error:
        raise PipesError("SerializationException", str(error), 400) from error


def _read_query(query: Mapping[str, list[str]]) -> dict[str, Any]:
    values: dict[str, Any] = {name: given[-1] for name, given in query.items() if name in LIST.members}
    if "Limit" in values:
        try:
            values["Limit"] = int(values["Limit"])
        except ValueError as error:
            raise PipesError("SerializationException", "Limit is not a whole number.", 400) from error
    return values


def _is_wanted(pipe: Pipe, values: Mapping[str, Any]) -> bool:
    return (
        pipe.name.startswith(values.get("NamePrefix", ""))
        and pipe.desired == values.get("DesiredState", pipe.desired)
        and pipe.state == values.get("CurrentState", pipe.state)
        and pipe.settings.source_arn.startswith(values.get("SourcePrefix", ""))
        and pipe.settings.target.arn.startswith(values.get("TargetPrefix", ""))
    )


def _summary(pipe: Pipe) -> dict[str, Any]:
    return {
        "Arn": pipe.arn,
        "Name": pipe.name,
        "DesiredState": pipe.desired,
        "CurrentState": pipe.state,
        "CreationTime": pipe.created_s,
        "LastModifiedTime": pipe.modified_s,
    }


def _entry(pipe: Pipe) -> dict[str, Any]:
    reason = {"StateReason": pipe.reason} if pipe.reason else {}
    settings = pipe.settings
    enrichment = {"Enrichment": settings.enrichment_arn} if settings.enrichment_arn else {}
    return {**_summary(pipe), "Source": settings.source_arn, "Target": settings.target.arn, **enrichment, **reason}


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
