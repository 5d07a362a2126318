"""Alarms and their metrics, asked of CloudWatch's own API in the Region of each: nothing here holds any.

Knows the API, not where it answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

from localcloud.services.contract import NoAnswer, WireRequest, WireResponse
from localcloud.services.route53.alarm_data import AlarmDefinition, NoAlarm, UnfitAlarm
from localcloud.services.route53.check_config import AlarmName

__all__ = ["CloudWatchReader"]

PATIENCE_S: Final = 5.0  # for a Region that may be dark; a check looks every 10 s
_TARGET: Final = "GraniteServiceVersion20100801"


class CloudWatchReader:
    """An AlarmReader over `ask`, which gives the answer of the Region that a request names."""

    def __init__(self, ask: Callable[[WireRequest], Awaitable[WireResponse]]) -> None:
        self._ask = ask

    async def define(self, alarm: AlarmName) -> AlarmDefinition | None:
        """The alarm as it is now, None where the Region gives no answer. Raises NoAlarm, UnfitAlarm."""
        told = await self._call(alarm.region, "DescribeAlarms", {"AlarmNames": [alarm.name]})
        if told is None:
            return None
        alarms = cast("Sequence[Mapping[str, Any]]", told.get("MetricAlarms") or ())
        if not alarms:
            raise NoAlarm(f"{alarm.region} has no metric alarm {alarm.name}")
        found = alarms[0]
        definition = AlarmDefinition(
            namespace=str(found.get("Namespace", "")),
            metric=str(found.get("MetricName", "")),
            statistic=str(found.get("Statistic", "")),
            dimensions=tuple((str(each["Name"]), str(each["Value"])) for each in found.get("Dimensions") or ()),
            period_s=int(found.get("Period", 0)),
            periods=int(found.get("EvaluationPeriods", 1)),
            threshold=float(found.get("Threshold", 0)),
            comparison=str(found.get("ComparisonOperator", "")),
        )
        if int(found.get("DatapointsToAlarm") or definition.periods) != definition.periods:
            raise UnfitAlarm("M out of N datapoints are not supported")
        definition.judge()
        return definition

    async def read(self, region: str, definition: AlarmDefinition, now_s: float) -> Mapping[int, float]:
        """The statistic of each whole period that counts, by its start; {} where the Region gives no answer."""
        end_s = int(now_s) - int(now_s) % definition.period_s
        asked = {
            "Namespace": definition.namespace,
            "MetricName": definition.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in definition.dimensions],
            "Statistics": [definition.statistic],
            "Period": definition.period_s,
            "StartTime": end_s - definition.periods * definition.period_s,
            "EndTime": end_s,
        }
        told = await self._call(region, "GetMetricStatistics", asked)
        points = cast("Sequence[Mapping[str, Any]]", (told or {}).get("Datapoints") or ())
        return {int(point["Timestamp"]): float(point[definition.statistic]) for point in points}

    async def _call(self, region: str, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        request = WireRequest(
            service="monitoring",
            region=region,
            method="POST",
            path="/",
            query="",
            headers={
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": f"{_TARGET}.{operation}",
                "authorization": f"AWS4-HMAC-SHA256 Credential=route53/20130401/{region}/monitoring/aws4_request",
            },
            body=json.dumps(asked).encode(),
            access_key="route53",
            request_id="",
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await self._ask(request)
                body = response.body if isinstance(response.body, bytes) else b"".join([b async for b in response.body])
        except (NoAnswer, TimeoutError):
            return None
        try:
            return cast("Mapping[str, Any]", json.loads(body)) if response.status == 200 else None
        except ValueError:
            return None
