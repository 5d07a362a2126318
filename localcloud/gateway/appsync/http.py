"""Publishing over HTTP: `POST /event` of an Event API, at the gateway's port and, signed or not, at the AWS port.

An API is at `/<api id>/event`, and at `/event` under the host name it has on AWS. At the AWS port `/event` alone is the
one API that has the channel's namespace: so a client whose endpoint is set by `AWS_ENDPOINT_URL` finds it.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/publish-http.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.appsync.broker import Broker, Sender
from localcloud.services.appsync.channels import read_channel
from localcloud.services.appsync.errors import AppSyncError, bad_request
from localcloud.services.appsync.model import ID_CHARACTERS, EventApi

__all__ = ["EventsHttp", "is_publishing"]

MAX_BODY_BYTES: Final = 2 * 1024 * 1024  # ours: five events of 240 KB, and what JSON's escapes make of them
_HOST: Final = re.compile(rf"([a-z0-9]{{{ID_CHARACTERS}}})\.appsync-api\.[\w-]+\.[\w.-]+(?::\d+)?", re.IGNORECASE)
_CORS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType"),
)
_PATH: Final = re.compile(rf"(?:/(?P<api>[a-z0-9]{{{ID_CHARACTERS}}}))?/(?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class _Place:
    """What a request is addressed to; `api_id` is "" where it does not say."""

    api_id: str
    path: str


def is_publishing(path: str, host: str) -> bool:
    """Whether a request to the AWS port is for the data plane."""
    return _HOST.fullmatch(host) is not None or _find(path, host).path == "/event"


class EventsHttp:
    """The HTTP endpoints of every Event API."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request to an Event API; None where it is for none."""
        place = _find(request.path, request.host)
        if not place.api_id or (self._broker.apis.find(place.api_id) is None and _HOST.fullmatch(request.host) is None):
            return None
        return await self.answer(request)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request that is for an Event API."""
        place = _find(request.path, request.host)
        request_id = self._broker.new_id()
        if request.method == "OPTIONS" and place.path == "/event":
            return HttpResponse(
                200, (*_CORS, ("Access-Control-Allow-Methods", "POST, OPTIONS"), *_asked_headers(request))
            )
        try:
            asked = _read_request(request.method, place.path, request.body)
            api = self._find_api(place.api_id, asked)
            headers = {name.lower(): value for name, value in request.headers}
            published = await self._broker.publish(api, asked, Sender(headers, request.source_ip))
        except AppSyncError as error:
            told = {"errorType": error.code, "message": error.message}
            return _respond(error.status, {"errors": [told]}, request_id, code=error.code)
        return _respond(200, published.to_json(), request_id)

    def _find_api(self, api_id: str, asked: Mapping[str, Any]) -> EventApi:
        """The API, by its id or by the channel's namespace. Raises AppSyncError."""
        if api_id:
            api = self._broker.apis.find(api_id)
            if api is None:
                raise AppSyncError("ResourceNotFoundException", "Unable to find the Api.", 404)
            return api
        name = read_channel(asked.get("channel")).namespace
        found = [api for api in self._broker.apis.all() if name in api.namespaces]
        if len(found) != 1:
            many = "several Event APIs have" if found else "no Event API has"
            message = f"{many} the channel namespace {name}; name the API: /<api id>/event"
            raise bad_request(f"In this local cloud {message}.")
        return found[0]


def _find(path: str, host: str) -> _Place:
    named = _HOST.fullmatch(host)
    if named is not None:
        return _Place(named[1].lower(), path)
    found = _PATH.fullmatch(path)
    return _Place(found["api"] or "", f"/{found['rest']}") if found is not None else _Place("", path)


def _read_request(method: str, path: str, body: bytes) -> Mapping[str, Any]:
    """What a request asks to publish. Raises AppSyncError."""
    if method != "POST" or path != "/event":
        raise AppSyncError("UnknownOperationException", "Unknown Operation Request.", 404)
    if len(body) > MAX_BODY_BYTES:
        raise AppSyncError("RequestEntityTooLargeException", "The request's body is too large.", 413)
    try:
        value = parse_json(body or b"{}")
    except MalformedJson as error:
        raise AppSyncError("SerializationException", "Unable to parse request body", 400) from error
    if not isinstance(value, dict):
        raise bad_request("Request body must be a JSON object")
    return cast("dict[str, Any]", value)


def _respond(status: int, answer: Mapping[str, Any], request_id: str, *, code: str = "") -> HttpResponse:
    """An answer; `code` is the error's."""
    headers = (("Content-Type", "application/json;charset=UTF-8"), ("x-amzn-RequestId", request_id), *_CORS)
    if code:
        headers = (*headers, ("x-amzn-ErrorType", code))
    return HttpResponse(status, headers, json.dumps(answer, separators=(",", ":")).encode())


def _asked_headers(request: HttpRequest) -> tuple[tuple[str, str], ...]:
    """The headers that a page may send: whatever it asks for, as AppSync's do not need credentials of the browser."""
    asked = request.header("access-control-request-headers")
    return (("Access-Control-Allow-Headers", asked),) if asked else ()
