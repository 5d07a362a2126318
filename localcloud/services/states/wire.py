"""Step Functions on the wire: AWS JSON 1.0 in, an operation over the model, AWS JSON 1.0 out.

Owns the envelope and which operation a request is; the operations themselves are `operations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from localcloud.json_text import MalformedJson, read_object
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.events.errors import EventsError
from localcloud.services.events.shapes import check_request
from localcloud.services.iam.tags import with_resource_tags
from localcloud.services.states.access import needed_permissions, tags_of
from localcloud.services.states.call import Call
from localcloud.services.states.errors import StatesError
from localcloud.services.states.model import StateMachines
from localcloud.services.states.operations import OPERATIONS
from localcloud.services.states.requests import REQUESTS

__all__ = ["StatesService"]

_TARGET: Final = "AWSStepFunctions."
_CONTENT_TYPE: Final = "application/x-amz-json-1.0"


class StatesService:
    """The Step Functions API of every Region."""

    name = "states"

    def __init__(self, machines: StateMachines, *, may_log: Callable[[str], bool]) -> None:
        self._machines = machines
        self._may_log = may_log

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            action = _read_action(request)
            values = check_request(REQUESTS[action], _read_body(request.body))
            result = await OPERATIONS[action](Call(self._machines, request.region, values, self._may_log))
        except (EventsError, StatesError) as error:
            return _respond(error.status, {"__type": error.code, "message": error.message})
        return _respond(200, result)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for a malformed request or an unknown operation."""
        try:
            action, values = _read_action(request), _read_body(request.body)
        except StatesError:
            return ()
        needed = needed_permissions(action, values, self._machines, region=request.region)
        return with_resource_tags(needed, partial(tags_of, self._machines))


def _read_action(request: WireRequest) -> str:
    action = request.target.removeprefix(_TARGET) if request.target.startswith(_TARGET) else ""
    if action not in OPERATIONS:
        message = f"The action {action or request.target or '(none named)'} is not an action of Step Functions."
        raise StatesError("UnknownOperationException", message)
    return action


def _read_body(body: bytes) -> dict[str, Any]:
    try:
        return read_object(body)
    except MalformedJson as error:
        raise StatesError("SerializationException", str(error)) from error


def _respond(status: int, answer: Mapping[str, Any]) -> WireResponse:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return WireResponse(status, body, {"content-type": _CONTENT_TYPE})
