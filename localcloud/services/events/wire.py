"""EventBridge on the wire: AWS JSON 1.1 in, an action over the model, AWS JSON 1.1 out.

Owns the envelope and which action a request is; the actions themselves are `operations` and
`archive_operations`, their shapes `requests`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.json_text import MalformedJson, read_object
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.events.access import needed_permissions, tags_of
from localcloud.services.events.archive_operations import ARCHIVE_ACTIONS
from localcloud.services.events.errors import EventsError
from localcloud.services.events.model import Buses
from localcloud.services.events.operations import ACTIONS, Call, Result
from localcloud.services.events.requests import NOT_SERVED, REQUESTS
from localcloud.services.events.shapes import check_request
from localcloud.services.iam.tags import with_resource_tags

__all__ = ["EventsService"]

_TARGET: Final = "AWSEvents."
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_ACTIONS: Final[Mapping[str, Callable[[Call], Result]]] = {**ACTIONS, **ARCHIVE_ACTIONS}


class EventsService:
    """The EventBridge API of every Region."""

    name = "events"

    def __init__(self, buses: Buses) -> None:
        self._buses = buses

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            action = _read_action(request)
            values = check_request(REQUESTS[action], _read_body(request.body))
            trace = request.headers.get("x-amzn-trace-id", "")
            result = _ACTIONS[action](Call(self._buses, request.region, values, trace))
        except EventsError as error:
            return _respond(error.status, {"__type": error.code, "message": error.message})
        return _respond(200, result)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for a malformed request or an unknown action."""
        try:
            action, values = _read_action(request), _read_body(request.body)
        except EventsError:
            return ()
        needed = needed_permissions(action, values, lambda name: self._buses.arn_of(name, request.region))
        return with_resource_tags(needed, lambda needed_action, arn: tags_of(self._buses, needed_action, arn))


def _read_action(request: WireRequest) -> str:
    action = request.target.removeprefix(_TARGET) if request.target.startswith(_TARGET) else ""
    if action in NOT_SERVED:
        raise EventsError("OperationDisabledException", f"{action} is not served by this local cloud.")
    if action not in _ACTIONS:
        message = f"The action {action or request.target or '(none named)'} is not an action of EventBridge."
        raise EventsError("UnknownOperationException", message)
    return action


def _read_body(body: bytes) -> dict[str, Any]:
    try:
        return read_object(body)
    except MalformedJson as error:
        raise EventsError("SerializationException", str(error)) from error


def _respond(status: int, answer: Mapping[str, Any]) -> WireResponse:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return WireResponse(status, body, {"content-type": _CONTENT_TYPE})
