"""authorize_request: lets a request in whose bearer token is good, as the caller that the token names.

One function for every kind of API: REST (TOKEN and REQUEST), HTTP (payload 1.0 and 2.0) and WebSocket.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.codec import authorizer
from sluiceway.flows.authorize.opening import open_gate
from sluiceway.flows.authorize.request import AuthorizerDesk, authorize_request
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.ports.keys import KeySource
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[AuthorizerDesk]:
    """Read whom to trust. Raises: Misconfigured, at init, with the setting's name."""
    simple = settings.choice("HTTP_RESPONSES", ("iam", "simple"), default="iam") == "simple"
    async with open_gate(open_source=_open_source, clock=SystemClock(), chance=SystemChance()) as gate:
        yield AuthorizerDesk(gate, simple=simple)


def _open_source(url: str) -> AbstractAsyncContextManager[KeySource]:
    from sluiceway.aws.keys import HttpKeySource  # noqa: PLC0415 - TLS: only who reads keys pays for it

    return HttpKeySource.open(url, ca_bundle=settings.text("AWS_CA_BUNDLE", default=""))


handler = App(authorize_request, source=authorizer, steps=[log_context, metrics, trace], lifespan=lifespan)
