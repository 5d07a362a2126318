"""AppSync's Event APIs put together: the model, who may, the broker, and its HTTP and WebSocket fronts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from localcloud.compute.functions import Functions
from localcloud.front import Front
from localcloud.gateway.appsync.http import EventsHttp
from localcloud.gateway.appsync.realtime import Realtime
from localcloud.gateway.appsync.signed import SignedPublishing
from localcloud.parts.services import Services
from localcloud.services.appsync.admission import Admission
from localcloud.services.appsync.authorizer import LambdaAuthorizer
from localcloud.services.appsync.backends import IamAccess, LambdaFunctions, LocalTokenKeys
from localcloud.services.appsync.broker import Broker
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.tokens import TokenReader

__all__ = ["AppSync", "open_appsync"]


@dataclass(frozen=True, slots=True)
class AppSync:
    """Event APIs, working."""

    apis: EventApis
    http: EventsHttp
    realtime: Realtime


def open_appsync(
    services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup, state: Path
) -> AppSync:
    """Serve Event APIs; their control plane, and publishing, behind `front` as well. `state`: the issuer's folder."""
    apis = EventApis(clock=services.clock, rng=services.rng)
    backends = LambdaFunctions(functions, services.policies, services.iam, may_do=services.may_do)
    admission = Admission(
        apis,
        IamAccess(services.iam, services.authoriser()),
        tokens=TokenReader(LocalTokenKeys(state), clock=services.clock),
        authorizer=LambdaAuthorizer(backends, clock=services.clock),
    )
    broker = Broker(apis, admission, backends, rng=services.rng)
    http = EventsHttp(broker)
    front.add(SignedPublishing(apis, http))
    return AppSync(apis, http, Realtime(broker, group=group))
