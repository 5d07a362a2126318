"""The management API of WebSocket APIs (`@connections`): post to a connection, describe it, close it.

Reached at the AWS port, signed for `execute-api`, in any of these forms: `/@connections/{id}` (ids are unique),
`/{stage}/@connections/{id}` and `/{api id}/{stage}/@connections/{id}`, and under the host name the API has on AWS.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from localcloud.gateway.websocket.connection import BufferFull, Connection
from localcloud.gateway.websocket.exchange import Ending
from localcloud.gateway.websocket.frames import MAX_MESSAGE_BYTES
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse

__all__ = ["ManagementService"]

CLOSED: Final = Ending(1000, "Connection Closed Normally")
_PATH: Final = re.compile(r"(?:/(?P<api>[^/@]+))?(?:/(?P<stage>[^/@]+))?/(?:@|%40)connections/(?P<id>[^/]+)")
_HOST: Final = re.compile(r"([\w-]+)\.execute-api\.[\w-]+\.[\w.-]+(?::\d+)?", re.IGNORECASE)
_METHODS: Final = ("DELETE", "GET", "POST")


@dataclass(frozen=True, slots=True)
class _Target:
    """What a request is about; API and stage are "" where neither the request nor the connection says."""

    api_id: str
    stage: str
    connection_id: str
    connection: Connection | None


class ManagementService:
    """`execute-api` over the connections of one gateway."""

    name = "execute-api"

    def __init__(self, gateway: WebSocketGateway) -> None:
        self._gateway = gateway

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`."""
        target = self._read_target(request)
        if target is None or request.method not in _METHODS or not self._is_served(target):
            return _refuse(403, "ForbiddenException", "Forbidden")
        if not self._gateway.admit_call():
            return _refuse(429, "LimitExceededException", "Too Many Requests")
        if target.connection is None:
            return _refuse(410, "GoneException", "")
        answer = _act(target.connection, request)
        if request.method == "POST" and answer.status < 300:
            self._gateway.note_sent(target.connection)
        return answer

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """execute-api:ManageConnections on the stage's connection.

        Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html
        """
        target = self._read_target(request)
        if target is None:
            return ()
        api = self._gateway.api(target.api_id, target.stage)
        rest = f"{target.stage or '*'}/{request.method}/@connections/{target.connection_id}"
        if api is not None:
            return (Permission("execute-api:ManageConnections", api.arn(rest)),)
        partition = "aws-cn" if request.region.startswith("cn-") else "aws"
        arn = f"arn:{partition}:execute-api:{request.region}:{ACCOUNT_ID}:{target.api_id or '*'}/{rest}"
        return (Permission("execute-api:ManageConnections", arn),)

    def _read_target(self, request: WireRequest) -> _Target | None:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        host = _HOST.fullmatch(request.headers.get("host", ""))
        first, second, connection_id = found["api"] or "", found["stage"] or "", unquote(found["id"])
        api_id, stage = (first, second) if second else (host[1] if host else "", first)
        connection = self._gateway.find(connection_id)
        if connection is not None:
            api_id, stage = api_id or connection.api_id, stage or connection.stage
            if (connection.api_id, connection.stage) != (api_id, stage):
                connection = None
        elif not api_id or not stage:
            api_id, stage = self._guess(api_id, stage)
        return _Target(api_id, stage, connection_id, connection)

    def _guess(self, api_id: str, stage: str) -> tuple[str, str]:
        """The only stage that fits, where there is only one."""
        fits = [each for each in self._gateway.stages() if api_id in {"", each[0]} and stage in {"", each[1]}]
        return fits[0] if len(fits) == 1 else (api_id, stage)

    def _is_served(self, target: _Target) -> bool:
        """Whether some stage fits; a wrong address is forbidden, as on AWS."""
        return any(
            target.api_id in {"", api_id} and target.stage in {"", stage} for api_id, stage in self._gateway.stages()
        )


def _act(connection: Connection, request: WireRequest) -> WireResponse:
    if request.method == "GET":
        return _describe(connection)
    if request.method == "DELETE":
        connection.close(CLOSED)
        return WireResponse(204)
    return _post(connection, request.body)


def _post(connection: Connection, data: bytes) -> WireResponse:
    if len(data) > MAX_MESSAGE_BYTES:
        return _refuse(413, "PayloadTooLargeException", "Message too long")
    try:
        connection.post(data.decode("utf-8", "replace").encode())
    except BufferFull:
        return _refuse(429, "LimitExceededException", "WebSocket client side buffer is full")
    except ConnectionError:
        return _refuse(410, "GoneException", "")
    return WireResponse(200)


def _describe(connection: Connection) -> WireResponse:
    client = connection.client
    described = {
        "connectedAt": _iso(client.connected_at_s),
        "identity": {"userAgent": client.user_agent, "sourceIp": client.source_ip},
        "lastActiveAt": _iso(connection.last_active_s),
    }
    return WireResponse(200, json.dumps(described).encode(), {"content-type": "application/json"})


def _iso(epoch_s: float) -> str:
    moment = datetime.fromtimestamp(epoch_s, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse(status: int, code: str, message: str) -> WireResponse:
    body = json.dumps({"message": message}).encode() if message else b"{}"
    return WireResponse(status, body, {"content-type": "application/json", "x-amzn-errortype": code})
