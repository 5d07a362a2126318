"""What people and the clouds of Regions ask of the host, beside AWS's APIs: JSON at paths that begin with /_sluiceway/.

| | |
|---|---|
| `GET regions` | each Region, what is cut, what is under way between them |
| `POST regions/<Region>/kill`, `.../recover` | make it dark, light it again |
| `POST links` | `{"source", "target", "cut": true, "both": true}` |
| `issuer/...` | the identity provider: see `localcloud.identity` |
| `POST resources` | from the cloud of a Region: see `sharing` |

On loopback; pages of other sites are refused before they get here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from aiohttp import web

from localcloud.front import OWN_PATHS
from localcloud.http_server import read_body
from localcloud.identity import IdentityProvider
from localcloud.issuer import ISSUER_PATH
from localcloud.regions.links import Links
from localcloud.regions.processes import RegionProcess
from localcloud.regions.sharing import RESOURCES_PATH, MalformedOrder, perform
from localcloud.template.handler import ResourceHandler

__all__ = ["Control", "ControlError"]

MAX_BODY_BYTES: Final = 1024 * 1024  # a resource's properties; a template has 1 MB
_REGIONS: Final = f"{OWN_PATHS}regions"
_NAME: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}")  # as in `rules.region_keys`
_MAX_NAME_CHARS: Final = 32
_Told: TypeAlias = dict[str, Any]


class ControlError(Exception):
    """What was asked cannot be done; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """The host's own API. `regions` are the processes by Region, `handlers` those of what all Regions share.

    `identity` is the provider that all of them have.
    """

    def __init__(
        self,
        regions: Mapping[str, RegionProcess],
        links: Links,
        *,
        handlers: Mapping[str, ResourceHandler],
        identity: IdentityProvider,
    ) -> None:
        self._identity = identity
        self._regions = regions
        self._links = links
        self._handlers = handlers
        self._changing = asyncio.Lock()  # a process and its links are dark together, whoever asks at once
        self._listeners: list[Callable[[str, tuple[str, ...]], None]] = []

    def listen(self, listener: Callable[[str, tuple[str, ...]], None]) -> None:
        """Call `listener` with each thing that is done, as it begins: `killed`, `recovered`, `cut` or `healed`, and

        the Region, or source and target, or both of these twice where both directions are meant.
        """
        self._listeners.append(listener)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors are `{"error": ...}`."""
        if request.path.startswith(ISSUER_PATH):
            return await self._identity.answer(request)
        body = await read_body(request, MAX_BODY_BYTES)
        if body is None:
            return web.json_response({"error": f"a body has {MAX_BODY_BYTES} bytes at most"}, status=413)
        try:
            told = await self._do(request.method, request.path, body)
        except ControlError as error:
            return web.json_response({"error": str(error)}, status=error.status)
        return web.json_response(told)

    async def _do(self, method: str, path: str, body: bytes) -> _Told:
        if path == RESOURCES_PATH and method == "POST":
            try:
                return await perform(self._handlers, body)
            except MalformedOrder as error:
                raise ControlError(400, str(error)) from error
        if path == _REGIONS and method == "GET":
            return self.tell()
        if path == f"{OWN_PATHS}links" and method == "POST":
            return self._link(_object(body))
        region, _, action = path.removeprefix(f"{_REGIONS}/").partition("/")
        actions: dict[str, Callable[[str], Awaitable[None]]] = {"kill": self.kill, "recover": self.recover}
        if not path.startswith(f"{_REGIONS}/") or action not in actions or method != "POST":
            raise ControlError(404, f"there is no {method} {path}")
        await actions[action](region)
        return self.tell()

    def tell(self) -> _Told:
        """Regions, cuts and what is under way, for pages and commands."""
        lags = [
            {
                "source": source,
                "target": target,
                "pending": self._links.pending(source, target),
                "oldest_s": round(self._links.oldest_lag_s(source, target), 3),
            }
            for source, target in self._links.directions()
        ]
        regions = [
            {
                "region": name,
                "dark": name in self._links.dark,
                "ended": process.has_ended,
                "endpoints": process.endpoints,
            }
            for name, process in self._regions.items()
        ]
        others = [{"region": name, "dark": True} for name in sorted(self._links.dark - set(self._regions))]
        return {
            "regions": regions + others,
            "cuts": [list(cut) for cut in sorted(self._links.cuts)],
            "lags": lags,
        }

    async def kill(self, region: str) -> None:
        """Make a Region dark: its cloud's process stopped with its functions dead, its replicas out of reach.

        Raises ControlError for no Region's name, and for one that has not started yet.
        """
        async with self._changing:
            process = self._regions.get(_known(region))
            if process is not None and not process.endpoints:
                raise ControlError(409, f"{region} has not started yet")
            self._links.darken(region)
            self._tell("killed", region)
            if process is not None:
                await process.go_dark()

    async def recover(self, region: str) -> None:
        """Light a Region again. Raises ControlError where it was not dark."""
        async with self._changing:
            if region not in self._links.dark:
                raise ControlError(409, f"{region} is not dark")
            if region in self._regions:
                self._regions[region].light()
            self._links.light(region)
            self._tell("recovered", region)

    def _link(self, asked: Mapping[str, Any]) -> _Told:
        source, target = _known(asked.get("source")), _known(asked.get("target"))
        if source == target:
            raise ControlError(400, "between a Region and itself nothing can be cut")
        self.link(source, target, cut=_flag(asked, "cut"), both=_flag(asked, "both"))
        return self.tell()

    def link(self, source: str, target: str, *, cut: bool, both: bool) -> None:
        """Let nothing through from `source` to `target`, or everything again; with `both` the other way as well."""
        change = self._links.cut if cut else self._links.heal
        change(source, target)
        if both:
            change(target, source)
        self._tell("cut" if cut else "healed", source, target, *((target, source) if both else ()))

    def _tell(self, what: str, *regions: str) -> None:
        for listener in self._listeners:
            listener(what, regions)


def _known(region: object) -> str:
    if not isinstance(region, str) or not region:
        raise ControlError(400, "a Region's name is missing")
    if len(region) > _MAX_NAME_CHARS or _NAME.fullmatch(region) is None:
        raise ControlError(400, f"{region[:_MAX_NAME_CHARS]!r} is no Region's name")
    return region


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name, True)
    if not isinstance(value, bool):
        raise ControlError(400, f"{name} is true or false")
    return value


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ControlError(400, "the body is no JSON object")
    return cast("Mapping[str, Any]", told)
