"""The HTTP APIs that are served: which there are, and which stage a request is for. Knows no sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from localcloud.clock import Clock
from localcloud.gateway.http_api.backends import HttpBackends
from localcloud.gateway.http_api.definition import DEFAULT, HttpApi, Stage
from localcloud.gateway.http_api.errors import error_response
from localcloud.gateway.message import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from localcloud.gateway.http_api.stage import HttpStage

__all__ = ["HttpApis"]


class HttpApis:
    """The stages by API and name."""

    def __init__(self, backends: HttpBackends, *, clock: Clock, random: Random) -> None:
        self._backends = backends
        self._clock = clock
        self._random = random
        self._stages: dict[str, dict[str, HttpStage]] = {}
        self._known: dict[str, HttpApi] = {}

    def add(self, api: HttpApi) -> None:
        """Know an API; until it has a stage it answers 404."""
        self._known[api.id] = api

    def forget(self, api_id: str) -> None:
        """Know an API and its stages no longer."""
        self._known.pop(api_id, None)
        self._stages.pop(api_id, None)

    def deploy(self, api_id: str, stage: Stage, definition: Callable[[], HttpApi]) -> None:
        """Serve what `definition` gives at the stage from now on; a stage of the same name is replaced."""
        from localcloud.gateway.http_api.stage import HttpStage  # noqa: PLC0415 - 10 ms, where there is a stage

        made = HttpStage(stage, definition, backends=self._backends, clock=self._clock, random=self._random)
        self._stages.setdefault(api_id, {})[stage.name] = made

    def remove(self, api_id: str, stage_name: str) -> None:
        """Serve the stage no longer; nothing happens where it is not there."""
        self._stages.get(api_id, {}).pop(stage_name, None)

    def has(self, api_id: str) -> bool:
        """Whether this is an HTTP API."""
        return api_id in self._known

    async def handle(self, api_id: str, request: HttpRequest) -> HttpResponse:
        """Answer a request whose path still has its stage, where that has a part in it."""
        stages, known = self._stages.get(api_id, {}), self._known.get(api_id)
        if known is not None and not known.is_open and not request.name:
            return error_response(404)
        _, first, rest = (*request.path.split("/", 2), "", "")[:3]
        if first in stages and first != DEFAULT:
            return await stages[first].handle(replace(request, path=f"/{rest}"))
        if DEFAULT in stages:
            return await stages[DEFAULT].handle(request)
        return error_response(404)

    async def handle_at(self, api_id: str, stage_name: str, request: HttpRequest) -> HttpResponse:
        """Answer a request of a custom name, which maps to one stage."""
        stage = self._stages.get(api_id, {}).get(stage_name)
        return error_response(404) if stage is None else await stage.handle(request)
