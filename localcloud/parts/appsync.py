"""AppSync's Event APIs put together: the model, who may, the broker, and its HTTP and WebSocket fronts.

Imported and made with the first Event API, or the first call of AppSync's.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localcloud.compute.functions import Functions
from localcloud.front import Front
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.parts.delegated import Lazily
from localcloud.parts.services import Services
from localcloud.services.contract import Service

if TYPE_CHECKING:
    from localcloud.gateway.appsync.http import EventsHttp
    from localcloud.gateway.appsync.realtime import Realtime
    from localcloud.gateway.websocket.server import Carried
    from localcloud.services.appsync.broker import Broker
    from localcloud.services.appsync.model import EventApis

__all__ = ["AppSync", "open_appsync"]

_SUBPROTOCOL: Final = "aws-appsync-event-ws"  # of `localcloud.gateway.appsync.realtime`
_HOST_PART: Final = "appsync"  # in every host name of Event APIs


class AppSync:
    """Event APIs. `handle` is what gateways ask of HTTP requests, `connect` what they ask of WebSockets."""

    subprotocol = _SUBPROTOCOL

    def __init__(self, services: Services, functions: Functions, *, group: asyncio.TaskGroup, state: Path) -> None:
        self._services = services
        self._functions = functions
        self._group = group
        self._state = state

    @cached_property
    def apis(self) -> EventApis:
        """The APIs, imported and made now where they were not yet."""
        from localcloud.services.appsync.model import EventApis  # noqa: PLC0415 - few stacks have one, as those below

        return EventApis(clock=self._services.clock, rng=self._services.rng)

    @cached_property
    def http(self) -> EventsHttp:
        """Their HTTP endpoints, likewise."""
        from localcloud.gateway.appsync.http import EventsHttp  # noqa: PLC0415

        return EventsHttp(self._broker)

    @cached_property
    def _realtime(self) -> Realtime:
        from localcloud.gateway.appsync.realtime import Realtime  # noqa: PLC0415

        return Realtime(self._broker, group=self._group)

    @cached_property
    def _broker(self) -> Broker:
        from localcloud.services.appsync.admission import Admission  # noqa: PLC0415
        from localcloud.services.appsync.authorizer import LambdaAuthorizer  # noqa: PLC0415
        from localcloud.services.appsync.backends import IamAccess, LambdaFunctions, LocalTokenKeys  # noqa: PLC0415
        from localcloud.services.appsync.broker import Broker  # noqa: PLC0415
        from localcloud.services.appsync.tokens import TokenReader  # noqa: PLC0415

        services = self._services
        backends = LambdaFunctions(self._functions, services.policies, services.iam, may_do=services.may_do)
        admission = Admission(
            self.apis,
            IamAccess(services.iam, services.authoriser()),
            tokens=TokenReader(LocalTokenKeys(self._state), clock=services.clock),
            authorizer=LambdaAuthorizer(backends, clock=services.clock),
        )
        return Broker(self.apis, admission, backends, rng=services.rng)

    def open_api(self) -> Service:
        """The API of AppSync, with publishing."""
        from localcloud.gateway.appsync.signed import SignedPublishing  # noqa: PLC0415

        return SignedPublishing(self.apis, self.http)

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request to an Event API; None where it is for none."""
        if not self._has_apis and _HOST_PART not in request.host.lower():
            return None
        return await self.http.handle(request)

    async def connect(self, handshake: HttpRequest) -> Carried | None:
        """A connection to be opened, None where the address is no Event API's."""
        return await self._realtime.connect(handshake) if self._has_apis else None

    def close(self) -> None:
        """Close every connection and drop what is under way."""
        if "_realtime" in vars(self):
            self._realtime.close()

    @property
    def _has_apis(self) -> bool:
        return "apis" in vars(self)


def open_appsync(
    services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup, state: Path
) -> AppSync:
    """Serve Event APIs; their control plane, and publishing, behind `front` as well. `state`: the issuer's folder."""
    appsync = AppSync(services, functions, group=group, state=state)
    front.add(Lazily("appsync", appsync.open_api))
    return appsync
