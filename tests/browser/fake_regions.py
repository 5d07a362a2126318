"""An identity provider, and the host of two Regions, that say and do what a test says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from localcloud.console.files import read_file, security_headers

EAST, WEST, THIRD = "us-east-1", "us-west-2", "us-east-2"
WAIT_S = 20


class FakeIssuer:
    """What the identity provider's routes answer; `asked` keeps what was asked of it."""

    def __init__(self) -> None:
        self.keys = [{"kid": "0f3a", "signs": True}]
        self.away = ""
        self.asked: list[Any] = []
        self.refusal = ""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/issuer", self._tell), web.post("/api/issuer/{what}", self._act)]

    async def _tell(self, _: web.Request) -> web.Response:
        told = {"issuer": "https://issuer.sluiceway.localhost", "away": self.away, "keys": self.keys}
        return web.json_response(told)

    async def _act(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        self.asked.append(what)
        if self.refusal:
            return web.json_response({"error": self.refusal}, status=502)
        if what == "rotate":
            self.keys = [{"kid": "77b1", "signs": True}, *({**key, "signs": False} for key in self.keys)]
        elif what == "withdraw":
            self.keys = self.keys[:1]
        else:
            self.away = {"up": ""}.get(what, what)
        return await self._tell(request)


def told_region(region: str, **more: Any) -> dict[str, Any]:
    """A Region that is well."""
    checks = {"keys": "ok", "jobs": "ok", "records": "ok", "term": "ok", "drills": "ok"}
    return {
        "region": region,
        "dark": False,
        "role": "primary" if region == EAST else "secondary",
        "home": region == EAST,
        "console": "http://127.0.0.1:9/",
        "health": {"status": 200, "said": "healthy", "checks": checks},
        "seen": {"well": True, "at_ms": time.time() * 1000 - 4_000, "by": WEST if region == EAST else EAST},
        "alarms": [told_alarm("other-region-down", "OK")],
        "doubts": {},
        "fresh": True,
    } | more


def told_alarm(name: str, state: str) -> dict[str, Any]:
    return {"name": name, "state": state, "since_ms": time.time() * 1000 - 9_000, "about": ""}


def told_pair() -> dict[str, Any]:
    """Two Regions that are well, and a name that answers the first."""
    now_ms = time.time() * 1000
    term = {
        "group": "sluiceway", "epoch": 1, "region": EAST, "begins_ms": now_ms - 600_000, "lease_ms": 30_000,
        "skew_ms": 5_000, "approval": "founding", "past": [],
    }  # fmt: skip
    check = {"id": "1", "name": "sluiceway traffic", "about": "", "healthy": True, "since_s": now_ms / 1000 - 300}
    return {
        "now_ms": now_ms,
        "regions": [told_region(EAST), told_region(WEST)],
        "beside": [{"region": THIRD, "dark": False}],
        "cuts": [],
        "lags": [],
        "group": {"name": "sluiceway", "term": term},
        "names": [{"name": "api.example.com", "region": EAST, "ttl_s": 60}],
        "checks": [check],
        "asks": [],
        "story": [],
    }


def told_failover() -> dict[str, Any]:
    """The first Region is lost, the alarm asks, and something is wrong or under way everywhere."""
    told = told_pair()
    now_ms = told["now_ms"]
    told["regions"][0] |= {"dark": True, "fresh": False, "health": {"status": 0, "said": "", "checks": {}}}
    told["regions"][0]["seen"] |= {"well": False}
    told["regions"][1] |= {
        "alarms": [told_alarm("failover-asked", "ALARM"), told_alarm("other-region-down", "ALARM")],
        "doubts": {"parked": 2, "fenced": 1},
        "health": {"status": 503, "said": "unhealthy", "checks": {"keys": "ok", "jobs": "failed"}},
    }
    told["cuts"] = [[WEST, THIRD]]
    told["lags"] = [
        {"source": WEST, "target": EAST, "pending": 12_345, "oldest_s": 95.4},
        {"source": THIRD, "target": WEST, "pending": 3, "oldest_s": 0.4},
    ]
    told["asks"] = [{"to": WEST, "why": "failover"}]
    told["story"] = [
        {"at_ms": now_ms - 9_000, "kind": "alarm-failover-asked", "tone": "asks", "since_ms": 26_000,
         "text": "The alarm asks to approve the failover to us-west-2"},
        {"at_ms": now_ms - 24_000, "kind": "probe", "tone": "bad", "since_ms": 11_000,
         "text": "A probe from us-west-2 gets no healthy answer of us-east-1"},
        {"at_ms": now_ms - 35_000, "kind": "killed", "tone": "bad", "since_ms": 0, "text": "us-east-1 is lost"},
    ]  # fmt: skip
    return told


class FakeRegions:
    """The host's console. `told` is what is so; `readiness` is found by a look; a `refusal` is said instead."""

    def __init__(self) -> None:
        self.told = told_pair()
        self.issuer = FakeIssuer()
        self.readiness: dict[str, Any] = {"against": [], "status": 0, "replicated_ms": None, "parked": 0}
        self.refusal = ""
        self.asked: list[tuple[str, Any]] = []
        self.url = ""
        self._feeds: list[web.StreamResponse] = []
        self._heard = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[FakeRegions]:
        """Serve on a free port while the context lasts."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/config.json", self._config),
                web.get("/api/regions", self._regions),
                web.get("/api/events", self._events),
                web.get("/api/look", self._look),
                web.post("/api/token", self._token),
                *self.issuer.routes(),
                web.post("/api/{what:.*}", self._do),
                web.get("/{path:.*}", self._file),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def tell(self, **more: Any) -> None:
        """Something has changed: every page is told, once there is one that listens."""
        async with asyncio.timeout(WAIT_S):
            await self._heard.wait()
        self.told = {**self.told, **more, "now_ms": time.time() * 1000}
        data = f"event: regions\ndata: {json.dumps(self.told)}\n\n".encode()
        for feed in self._feeds:
            with suppress(ConnectionError):
                await feed.write(data)

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response({"local": True, "regions": [EAST, WEST], "audience": "sluiceway", "endpoints": {}})

    async def _regions(self, _: web.Request) -> web.Response:
        return web.json_response(self.told)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._feeds.append(response)
        await response.write(b"retry: 1000\n\n")
        self._heard.set()
        await asyncio.Event().wait()
        return response

    async def _look(self, request: web.Request) -> web.Response:
        self.asked.append(("look", request.query["to"]))
        if self.refusal:
            return web.json_response({"error": self.refusal}, status=409)
        return web.json_response({"home": EAST, "epoch": 1, "readiness": self.readiness})

    async def _token(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.asked.append(("token", order))
        token = f"eyJhbGciOiJSUzI1NiJ9.{'x' * 300}.c2ln"
        return web.json_response({"token": token, "expires_s": order["minutes"] * 60, "subject": order["subject"]})

    async def _do(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.match_info["what"], body))
        if self.refusal:
            return web.json_response({"error": self.refusal}, status=409)
        if request.match_info["what"] in {"approve", "drill"}:
            return web.json_response({"home": WEST, "epoch": 2})
        return web.json_response(self.told)

    async def _file(self, request: web.Request) -> web.Response:
        found = read_file(request.path)
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        return web.Response(body=body, headers=security_headers({}) | {"Content-Type": content_type})
