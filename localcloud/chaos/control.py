"""Chaos over HTTP, at paths of the AWS port that begin with `/_sluiceway/chaos`: of one cloud, or of a host of several.

| | |
|---|---|
| `POST chaos` | a plan; lines of JSON while it is on, the last is the report. `?seed=N` stands above the plan's |
| `GET chaos` | whether a plan is on, and what it has done |
| `POST chaos/stop` | end it, and wait until it has ended |

A plan lasts as long as the connection that began it: whoever goes away has ended it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from aiohttp import web

from localcloud.chaos.engine import Busy, Tell
from localcloud.chaos.plan import MAX_SEED, Plan, PlanError, read_plan
from localcloud.front import OWN_PATHS
from localcloud.http_server import read_body

__all__ = ["CHAOS_PATH", "PART", "ChaosControl", "Runs"]

CHAOS_PATH: Final = f"{OWN_PATHS}chaos"
MAX_BODY_BYTES: Final = 1024 * 1024
PART: Final = "part"  # the query of a host's to one of its Regions


class Runs(Protocol):
    """What runs plans."""

    async def run(self, plan: Plan, tell: Tell, *, is_part: bool = False) -> dict[str, Any]:
        """Run a plan to its end. Raises PlanError, Busy."""
        ...

    async def stop(self) -> None:
        """End the plan that is on."""
        ...

    def tell(self) -> dict[str, Any]:
        """Whether a plan is on, and what it has done."""
        ...


class ChaosControl:
    """Answers at its paths."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors are `{"error": ...}`."""
        act = (request.method, request.path)
        if act == ("POST", CHAOS_PATH):
            return await self._run(request)
        if act == ("GET", CHAOS_PATH):
            return web.json_response(self._runs.tell())
        if act == ("POST", f"{CHAOS_PATH}/stop"):
            await self._runs.stop()
            return web.json_response(self._runs.tell())
        return web.json_response({"error": f"there is no {request.method} {request.path}"}, status=404)

    async def _run(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await read_body(request, MAX_BODY_BYTES)
        if body is None:
            return web.json_response({"error": f"a plan has {MAX_BODY_BYTES} bytes at most"}, status=413)
        stream = web.StreamResponse(headers={"content-type": "application/x-ndjson"})

        async def tell(event: Mapping[str, Any]) -> None:
            with suppress(ConnectionError):  # whoever asked is gone: this request is about to be cancelled
                if not stream.prepared:
                    await stream.prepare(request)
                await stream.write(json.dumps(event).encode() + b"\n")

        try:
            plan = read_plan(body, seed=_read_seed(request.query.get("seed", "")))
            report = await self._runs.run(plan, tell, is_part=PART in request.query)
        except PlanError as error:
            return web.json_response({"error": str(error)}, status=400)
        except Busy as error:
            return web.json_response({"error": str(error)}, status=409)
        await tell({"type": "report", "seed": plan.seed, **report})
        with suppress(ConnectionError):
            await stream.write_eof()
        return stream


def _read_seed(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MAX_SEED)) or int(text) > MAX_SEED:
        raise PlanError(f"seed: a whole number from 0 to {MAX_SEED}, not {text[:30]!r}")
    return int(text)
