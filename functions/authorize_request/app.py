"""authorize_request: lets a request in whose bearer token is good, as the caller that the token names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluiceway import settings
from sluiceway.app import App
from sluiceway.codec import authorizer
from sluiceway.codec.authorizer import Unauthorized, stage_resource
from sluiceway.errors import Misconfigured
from sluiceway.events.authorizer import AuthorizerReply, AuthorizerRequest
from sluiceway.events.invocation import Invocation
from sluiceway.ports import Clock, SystemClock
from sluiceway.rules.tokens import InvalidKeys, InvalidToken, Verifier, read_keys
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import count, metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@dataclass(frozen=True, slots=True)
class Services:
    """What an authorizer needs: the issuer's keys, and the date."""

    verifier: Verifier
    clock: Clock


@asynccontextmanager
async def lifespan() -> AsyncGenerator[Services]:
    """Read issuer, audience and keys. Raises: Misconfigured, at init."""
    try:
        keys = read_keys(settings.json_object("TOKEN_KEYS"))
    except InvalidKeys as cause:
        raise Misconfigured(f"TOKEN_KEYS is no usable key set: {cause}", what="TOKEN_KEYS") from cause
    verifier = Verifier(keys, issuer=settings.text("TOKEN_ISSUER"), audience=settings.text("TOKEN_AUDIENCE"))
    yield Services(verifier=verifier, clock=SystemClock())


async def authorize(request: AuthorizerRequest, _call: Invocation, services: Services) -> AuthorizerReply:
    """Allow the whole stage to the token's caller. Raises: Unauthorized, which the API answers with 401."""
    try:
        identity = services.verifier.verify(request.token, now_s=services.clock.now_ms() / 1000)
    except InvalidToken as refusal:
        count("TokenRefused")
        raise Unauthorized(reason=refusal.reason) from None
    return AuthorizerReply(principal=identity.caller, resource=stage_resource(request.method_arn), allow=True)


handler = App(authorize, source=authorizer, steps=[log_context, metrics, trace], lifespan=lifespan)
