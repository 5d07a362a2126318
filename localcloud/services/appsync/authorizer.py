"""Lambda authorizers of Event APIs: the call, what is made of its answer, and what is kept of it.

Source: https://docs.aws.amazon.com/appsync/latest/eventapi/configure-event-api-auth.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.clock import Clock
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.appsync.errors import unauthorized
from localcloud.services.appsync.ports import Functions, InvocationFailed
from localcloud.services.appsync.settings import DEFAULT_TTL_S, Provider, fits_pattern

__all__ = ["LambdaAuthorizer"]

TIMEOUT_S: Final = 10.0  # of an authorizer, the page above
MAX_TTL_S: Final = 3600  # LambdaAuthorizerConfig, authorizerResultTtlInSeconds
MAX_KEPT: Final = 10_000  # ours: answers kept at once
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """An authorizer's answer; `context` None where it refused."""

    context: Mapping[str, Any] | None
    until_s: float


class LambdaAuthorizer:
    """Asks authorizers. An answer is kept for the same token, operation and channel."""

    def __init__(self, functions: Functions, *, clock: Clock) -> None:
        self._functions = functions
        self._clock = clock
        self._kept: dict[tuple[str, ...], _Verdict] = {}

    async def admit(self, provider: Provider, event: Mapping[str, Any], *, api_arn: str) -> Mapping[str, Any]:
        """The authorizer's `handlerContext`. Raises AppSyncError where it refuses, or fails."""
        token = str(event["authorizationToken"])
        pattern = str(provider.settings.get("identityValidationExpression") or "")
        if pattern and not fits_pattern(pattern, token):
            raise unauthorized()
        about = cast("Mapping[str, Any]", event["requestContext"])
        key = (api_arn, str(about["operation"]), str(about["channel"]), token)
        verdict = self._kept.get(key)
        if verdict is None or self._clock.time() >= verdict.until_s:
            verdict = await self._ask(provider, event, api_arn=api_arn)
            self._keep(key, verdict)
        if verdict.context is None:
            raise unauthorized()
        return verdict.context

    async def _ask(self, provider: Provider, event: Mapping[str, Any], *, api_arn: str) -> _Verdict:
        payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        arn = str(provider.settings["authorizerUri"])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = parse_json(await self._functions.authorize(arn, payload, api_arn=api_arn))
        except (InvocationFailed, MalformedJson, TimeoutError) as error:
            _LOG.warning("appsync.authorizer_failed function=%s reason=%s", arn, error or "it took over 10 s")
            raise unauthorized() from error
        if not isinstance(answer, dict):
            _LOG.warning("appsync.authorizer_failed function=%s reason=its answer is no object", arn)
            raise unauthorized()
        said = cast("dict[str, Any]", answer)
        context = said.get("handlerContext")
        allowed = said.get("isAuthorized") is True
        kept: Mapping[str, Any] = cast("dict[str, Any]", context) if isinstance(context, dict) else {}
        return _Verdict(kept if allowed else None, self._clock.time() + _ttl_s(said, provider))

    def _keep(self, key: tuple[str, ...], verdict: _Verdict) -> None:
        if verdict.until_s <= self._clock.time():
            self._kept.pop(key, None)
            return
        if key not in self._kept and len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = verdict


def _ttl_s(said: Mapping[str, Any], provider: Provider) -> int:
    override = said.get("ttlOverride")
    if isinstance(override, int) and not isinstance(override, bool) and override >= 0:
        return min(override, MAX_TTL_S)
    given = provider.settings.get("authorizerResultTtlInSeconds")
    return DEFAULT_TTL_S if given is None else int(given)
