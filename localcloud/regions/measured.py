"""Metrics of health checks, from the host that looks to CloudWatch of us-east-1, which alone has them.

PutMetricData takes nothing of AWS's own namespaces, so they go to a path of the local cloud's. Both ends stand here.
What cannot be told, since that Region is dark or is none of the cloud's, is gone, as it is on AWS.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import ClientError, ClientSession, web

from localcloud.front import OWN_PATHS
from localcloud.http_server import read_body
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.route53.health import NAMESPACE

__all__ = ["HEALTH_METRICS_PATH", "METRICS_REGION", "OwnMeasures", "ToldMeasures", "answer_health_metrics"]

METRICS_REGION: Final = "us-east-1"  # monitoring-health-checks.html
HEALTH_METRICS_PATH: Final = f"{OWN_PATHS}health-metrics"
MAX_WAITING: Final = 1_000  # values that were not told yet; beyond them the oldest are dropped
MAX_BODY_BYTES: Final = 1024 * 1024
PATIENCE_S: Final = 2.0  # for a Region that may be dark


class OwnMeasures:
    """Straight into the metrics of this process; `metrics` are those of us-east-1."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def put(self, check_id: str, name: str, value: float, *, unit: str) -> None:
        """One value, measured now."""
        self._metrics.put(NAMESPACE, name, value, dimensions={"HealthCheckId": check_id}, unit=unit)


class ToldMeasures:
    """Told to the cloud of us-east-1 while `run` runs. `address` is that of its AWS port, "" where there is none."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()

    def put(self, check_id: str, name: str, value: float, *, unit: str) -> None:
        """One value, measured now."""
        self._waiting.append({"check": check_id, "name": name, "value": value, "unit": unit})
        self._some.set()

    async def run(self) -> None:
        """Tell what is put, until cancelled."""
        async with ClientSession() as session:
            while True:
                await self._some.wait()
                self._some.clear()
                told = list(self._waiting)
                self._waiting.clear()
                await self._tell(session, told)

    async def _tell(self, session: ClientSession, told: list[dict[str, Any]]) -> None:
        address = self._address()
        if not address:
            return
        try:
            async with asyncio.timeout(PATIENCE_S), session.post(address + HEALTH_METRICS_PATH, json=told):
                pass
        except (ClientError, TimeoutError):
            return  # the metric has a gap, as when the Region is lost


async def answer_health_metrics(request: web.BaseRequest, metrics: Metrics) -> web.StreamResponse:
    """Take in what the host tells; `metrics` are those of us-east-1."""
    if request.path != HEALTH_METRICS_PATH or request.method != "POST":
        return web.json_response({"error": f"there is no {request.method} {request.path}"}, status=404)
    body = await read_body(request, MAX_BODY_BYTES)
    try:
        told = cast("list[dict[str, Any]]", json.loads(body or b""))
        measures = OwnMeasures(metrics)
        for each in told:
            measures.put(str(each["check"]), str(each["name"]), float(each["value"]), unit=str(each["unit"]))
    except (ValueError, KeyError, TypeError):
        return web.json_response({"error": "the body is no list of measures"}, status=400)
    return web.json_response({})
