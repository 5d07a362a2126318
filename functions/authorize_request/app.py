"""authorize_request: lets a request in whose bearer token is good, as the caller that the token names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluiceway import settings
from sluiceway.app import App
from sluiceway.codec import authorizer
from sluiceway.codec.authorizer import Unauthorized, stage_resource
from sluiceway.codec.groups import encode_groups
from sluiceway.errors import Misconfigured
from sluiceway.events.authorizer import AuthorizerReply, AuthorizerRequest
from sluiceway.events.invocation import Invocation
from sluiceway.ports import Clock, SystemClock
from sluiceway.rules.tokens import LEEWAY_S, Claims, Identity, InvalidKeys, InvalidToken, Verifier, read_keys
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
    claims = Claims(
        settings.text("GROUPS_CLAIM", default=Claims().groups), settings.text("TENANT_CLAIM", default=Claims().tenant)
    )
    issuer, audience = settings.text("TOKEN_ISSUER"), settings.text("TOKEN_AUDIENCE")
    verifier = Verifier(keys, issuer=issuer, audience=audience, claims=claims)
    yield Services(verifier=verifier, clock=SystemClock())


async def authorize(request: AuthorizerRequest, _call: Invocation, services: Services) -> AuthorizerReply:
    """Allow the whole stage to the token's caller. Raises: Unauthorized, which the API answers with 401."""
    try:
        identity = services.verifier.verify(request.token, now_s=services.clock.now_ms() / 1000)
    except InvalidToken as refusal:
        count("TokenRefused")
        raise Unauthorized(reason=refusal.reason) from None
    resource = stage_resource(request.method_arn)
    return AuthorizerReply(identity.caller, resource, allow=True, context=_describe(identity))


def _describe(identity: Identity) -> dict[str, str | int | bool]:
    """What decides later what the caller may read, as far as the token says it, and until when it may be asked for."""
    described = {"groups": encode_groups(identity.groups) if identity.groups else "", "tenant": identity.tenant}
    told: dict[str, str | int | bool] = {name: value for name, value in described.items() if value}
    # A connection lives up to two hours, and nobody is asked again: whoever serves it holds this against the time.
    return {**told, "expires_s": identity.expires_s + LEEWAY_S}


handler = App(authorize, source=authorizer, steps=[log_context, metrics, trace], lifespan=lifespan)
