"""AppSync at the AWS port: the control plane, and beside it what a client with `AWS_ENDPOINT_URL` publishes there."""

from __future__ import annotations

from localcloud.gateway.appsync.http import EventsHttp, is_publishing
from localcloud.gateway.message import HttpRequest
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.wire import AppSyncService
from localcloud.services.contract import WireRequest, WireResponse

__all__ = ["SignedPublishing"]


class SignedPublishing(AppSyncService):
    """The AppSync API of every Region, and publishing to its Event APIs, signed or with a key or a token."""

    def __init__(self, apis: EventApis, events: EventsHttp) -> None:
        super().__init__(apis, self._answer)
        self._events = events

    def takes_unsigned(self, request: WireRequest) -> bool:
        """Whether a request without a signature is for the data plane, which judges it."""
        return is_publishing(request.path, request.headers.get("host", ""))

    async def _answer(self, request: WireRequest) -> WireResponse | None:
        host = request.headers.get("host", "")
        if not is_publishing(request.path, host):
            return None
        asked = HttpRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=tuple(request.headers.items()),
            body=request.body,
            host=host,
        )
        answer = await self._events.answer(asked)
        return WireResponse(answer.status, answer.body, dict(answer.headers))
