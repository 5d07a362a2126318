"""The local issuer as an identity provider: its keys over HTTP, rotated and withdrawn by hand, away when told to be.

At paths that begin with `/_sluiceway/issuer` of the AWS port:

| | |
|---|---|
| `GET jwks.json` | the key set, to be kept for a minute |
| `GET .well-known/openid-configuration` | where that is |
| `GET` (nothing more) | which keys are published, which one signs, and whether the provider is away |
| `POST rotate`, `withdraw` | sign with a new key; publish no older one any more |
| `POST down`, `hang`, `up` | answer the first two with 503, not at all, as ever |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from aiohttp import web

from localcloud.issuer import ISSUER, ISSUER_PATH, LocalIssuer, keys_url, read_key_set, rotate_key, withdraw_keys

__all__ = ["IdentityProvider"]

MAX_AGE_S: Final = 60  # the authorizer's least: a rotation is seen within a minute even where no new id comes
SILENCE_S: Final = 60.0

_Away = Literal["", "down", "hang"]


class IdentityProvider:
    """One provider, whose key is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._away: _Away = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at its paths."""
        what = request.path.removeprefix(ISSUER_PATH).strip("/")
        if request.method == "GET" and what in {"jwks.json", ".well-known/openid-configuration"}:
            return await self._publish(request, what)
        if request.method == "GET" and not what:
            return web.json_response(self.tell())
        acts: dict[str, Callable[[], object]] = {
            "rotate": lambda: rotate_key(self._folder),
            "withdraw": lambda: withdraw_keys(self._folder),
            "down": lambda: self._go("down"),
            "hang": lambda: self._go("hang"),
            "up": lambda: self._go(""),
        }
        if request.method != "POST" or what not in acts:
            return web.json_response({"error": f"there is no {request.method} {request.path}"}, status=404)
        await asyncio.to_thread(acts[what])
        return web.json_response(self.tell())

    def tell(self) -> dict[str, Any]:
        """Its keys and whether it is away, for pages and commands."""
        signs = LocalIssuer.open(self._folder).key_id
        keys = [key["kid"] for key in json.loads(read_key_set(self._folder))["keys"]]
        return {"issuer": ISSUER, "away": self._away, "keys": [{"kid": kid, "signs": kid == signs} for kid in keys]}

    def _go(self, away: _Away) -> None:
        self._away = away

    async def _publish(self, request: web.BaseRequest, what: str) -> web.StreamResponse:
        if self._away == "hang":
            await asyncio.sleep(SILENCE_S)
        if self._away:
            return web.json_response({"error": "the identity provider is away"}, status=503)
        headers = {"cache-control": f"public, max-age={MAX_AGE_S}"}
        if what == "jwks.json":
            body = read_key_set(self._folder)
            return web.Response(text=body, content_type="application/json", headers=headers)
        told = {"issuer": ISSUER, "jwks_uri": keys_url(f"http://{request.host}")}
        return web.json_response(told, headers=headers)
