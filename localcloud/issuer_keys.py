"""Where the keys of token issuers are: the local one's on the AWS port, user pools' in Cognito here, others' where
their discovery documents say.

Only an issuer that is neither is asked over the network. Source:
https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from localcloud.bearer_tokens import KeysUnavailable
from localcloud.gateway.ports import HttpCall, HttpCaller, HttpFailed
from localcloud.issuer import ISSUER, ISSUER_PATH
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import Dispatch, WireRequest

__all__ = ["IssuerKeys", "check_issuer"]

TIMEOUT_S: Final = 1.5  # JWKS and discovery endpoints, https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
MAX_DOCUMENT_BYTES: Final = 150 * 1000  # the same page: discovery and JWKS payloads
DISCOVERY: Final = "/.well-known/openid-configuration"
_POOL: Final = re.compile(r"https://cognito-idp\.([\w-]+)\.amazonaws\.com(?:\.cn)?/([\w-]+)")
_NO_DISCOVERY: Final = "OIDC discovery endpoint communication error"
_NO_KEYS: Final = "JWKS communication error"


def check_issuer(issuer: str) -> None:
    """Raise ValueError where this can be no issuer: an https address, or one of this machine."""
    parts = urlsplit(issuer)
    local = parts.scheme == "http" and (parts.hostname in {"localhost", "127.0.0.1", "::1"})
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ValueError(f"{issuer!r} is no issuer: it must be an https address")


class IssuerKeys:
    """Key sets by issuer. `provider` is the address of the AWS port that has the local issuer, `send` the network."""

    def __init__(self, dispatch: Dispatch, *, provider: str, send: HttpCaller, new_id: Callable[[], str]) -> None:
        self._dispatch = dispatch
        self._send = send
        self._provider = provider
        self._new_id = new_id

    async def __call__(self, issuer: str) -> Mapping[str, Any]:
        """The key set. Raises KeysUnavailable."""
        pool = _POOL.fullmatch(issuer)
        if pool is not None:
            return await self._ask_cognito(pool[1], pool[2])
        at = f"{self._provider}{ISSUER_PATH}" if issuer == ISSUER else issuer.rstrip("/")
        found = await self._get(f"{at}{DISCOVERY}", _NO_DISCOVERY)
        address = found.get("jwks_uri")
        if not isinstance(address, str):
            raise KeysUnavailable(_NO_DISCOVERY)
        return await self._get(address, _NO_KEYS)

    async def _ask_cognito(self, region: str, pool: str) -> Mapping[str, Any]:
        request = WireRequest(
            service="cognito-idp",
            region=region,
            method="GET",
            path=f"/{pool}/.well-known/jwks.json",
            query="",
            headers={"host": f"cognito-idp.{region}.amazonaws.com"},
            body=b"",
            access_key="local",
            request_id=self._new_id(),
        )
        answer = await self._dispatch(request)
        if answer.status != 200 or not isinstance(answer.body, bytes):
            raise KeysUnavailable(_NO_KEYS)
        return _read(answer.body, _NO_KEYS)

    async def _get(self, address: str, failure: str) -> Mapping[str, Any]:
        try:
            check_issuer(address)
            call = HttpCall("GET", address, (("accept", "application/json"),), b"")
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._send(call, limit_bytes=MAX_DOCUMENT_BYTES)
        except (HttpFailed, TimeoutError, ValueError) as error:
            raise KeysUnavailable(failure) from error
        if answer.status != 200:
            raise KeysUnavailable(failure)
        return _read(answer.body, failure)


def _read(body: bytes, failure: str) -> Mapping[str, Any]:
    try:
        found = parse_json(body)
    except MalformedJson as error:
        raise KeysUnavailable(failure) from error
    if not isinstance(found, dict):
        raise KeysUnavailable(failure)
    return cast("Mapping[str, Any]", found)
