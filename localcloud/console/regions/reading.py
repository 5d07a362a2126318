"""What one Region says of itself and of the other, asked of its own cloud as a person would, and the group's term.

Nothing here waits longer than PATIENCE_S for a Region that hangs: what did not answer is None.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from aiohttp import ClientError, ClientSession, ClientTimeout

from localcloud.console.mesh.cloud import CLOUDWATCH, Cloud, open_cloud_calls
from localcloud.state import RunningState
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.functions import LAMBDA
from sluiceway.errors import SluicewayError
from sluiceway.region.doubts import list_doubts
from sluiceway.region.records import open_doubts, open_terms
from sluiceway.rules.terms import Term

__all__ = ["Probed", "RegionReader", "open_readers", "read_health", "read_term", "short_name"]

PATIENCE_S: Final = 2.0
NAMESPACE: Final = "Sluiceway"  # template.yaml's
PROBE_PERIOD_S: Final = 10  # of OtherRegionDownAlarm
LOOK_BACK_S: Final = 120
MAX_DOUBTS: Final = 1_000
MAX_BODY_BYTES: Final = 64 * 1024
_SETTINGS: Final = ("REGION_GROUP", "REGIONS", "REGIONS_TABLE", "TERMS_TABLE", "TERMS_REGION")
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
Json: TypeAlias = dict[str, Any]
_T = TypeVar("_T")


class Probed(NamedTuple):
    """Whether a Region's probe found the other one well, and when (epoch milliseconds) it looked, to 10 s."""

    is_well: bool
    at_ms: float


class RegionReader:
    """One Region, asked at its own AWS port."""

    def __init__(self, state: RunningState, cloud: Cloud, session: ClientSession) -> None:
        self.region = state.region
        self.state = state
        self._cloud = cloud
        self._session = session
        self._settings: Mapping[str, str] | None = None

    async def settings(self) -> Mapping[str, str]:
        """The settings of its functions that tell of a group, {} where there are none or it does not answer."""
        if self._settings is None:
            self._settings = await _patiently(self._read_settings())
        return self._settings or {}

    async def _read_settings(self) -> Mapping[str, str]:
        told = await self._cloud.wire.call(LAMBDA, "ListFunctions", method="GET", path="/2015-03-31/functions")
        for function in cast("list[Json]", told.json().get("Functions") or []):
            environment = cast("Json", function.get("Environment") or {})
            variables = cast("Mapping[str, str]", environment.get("Variables") or {})
            if variables.get("REGION_GROUP"):
                return {name: variables[name] for name in _SETTINGS if variables.get(name)}
        return {}

    async def alarms(self, group: str) -> list[Json] | None:
        """The alarms that matter to the group: name, state, since when, and what they are about.

        Its own, whose names are written in the template; of a stack that is called like the group, those in ALARM.
        """
        asked = {"AlarmNamePrefix": f"{group}-", "AlarmTypes": ["CompositeAlarm", "MetricAlarm"]}
        told = await _patiently(self._cloud.ask(CLOUDWATCH, "DescribeAlarms", asked))
        if told is None:
            return None
        alarms = cast("list[Json]", [*(told.get("CompositeAlarms") or []), *(told.get("MetricAlarms") or [])])
        described = [_describe_alarm(alarm, group) for alarm in alarms]
        return sorted(filter(_matters, described), key=lambda alarm: str(alarm["name"]))

    async def probed(self, other: str, now_s: float) -> Probed | None:
        """What its probe of `other` found last."""
        asked = {
            "Namespace": NAMESPACE,
            "MetricName": "RegionHealthy",
            "Dimensions": [{"Name": "Region", "Value": other}],
            "StartTime": now_s - LOOK_BACK_S,
            "EndTime": now_s + 1,
            "Period": PROBE_PERIOD_S,
            "Statistics": ["Maximum"],
        }
        told = await _patiently(self._cloud.ask(CLOUDWATCH, "GetMetricStatistics", asked))
        points = cast("Sequence[Json]", (told or {}).get("Datapoints") or [])
        last = max(points, key=lambda point: float(point["Timestamp"]), default=None)
        return None if last is None else Probed(last["Maximum"] >= 1, float(last["Timestamp"]) * 1000)

    async def doubts(self) -> Mapping[str, int] | None:
        """How many keys it has in doubt, by why; those that a person released are another kind."""
        environ = await self.settings()
        if "REGIONS_TABLE" not in environ:
            return {}
        return await _patiently(self._count_doubts(environ))

    async def _count_doubts(self, environ: Mapping[str, str]) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        async for doubt in list_doubts(open_doubts(environ, self._cloud.wire), self.region):
            counts["released" if doubt.state == "released" else doubt.why] += 1
            if counts.total() >= MAX_DOUBTS:
                break
        return counts

    async def health(self) -> Json | None:
        """What its `/health` says: `{"status", "said", "checks"}`. None where it has none, status 0 for silence."""
        address = self.state.known.get("api") or self.state.known.get("ApiUrl")
        return None if address is None else await read_health(self._session, f"{address.rstrip('/')}/health")

    async def places(self, table: str) -> tuple[str, ...] | None:
        """The Regions that have `table`, itself among them."""
        told = await _patiently(self._cloud.ask(DYNAMODB, "DescribeTable", {"TableName": table}))
        if told is None:
            return None
        replicas = cast("list[Json]", told["Table"].get("Replicas") or [])
        return tuple(sorted({self.region, *(str(each["RegionName"]) for each in replicas)}))


async def read_health(session: ClientSession, address: str) -> Json | None:
    """See `RegionReader.health`."""
    try:
        async with session.get(address, timeout=ClientTimeout(total=PATIENCE_S)) as answer:
            if answer.status in {403, 404}:
                return None
            body = await answer.content.read(MAX_BODY_BYTES)
            told = _parse(body)
    except (ClientError, TimeoutError):
        return {"status": 0, "said": "", "checks": {}}
    members = cast("Json", told) if isinstance(told, dict) else {}
    checks: object = members.get("checks")
    given = cast("Json", checks) if isinstance(checks, dict) else {}
    said = str(members.get("status") or ("healthy" if answer.status < 400 else "unhealthy"))
    return {"status": answer.status, "said": said, "checks": {str(name): str(each) for name, each in given.items()}}


async def read_term(settings: Mapping[str, str], address: str) -> Term | None:
    """The group's term, asked at the AWS port `address`; None where it has none or nobody answers."""
    environ = {**settings, **_KEYS, "AWS_ENDPOINT_URL": address}

    async def ask() -> Term | None:
        async with open_terms(environ) as group:
            return await group.terms.get(group.name)

    return await _patiently(ask())


@asynccontextmanager
async def open_readers(states: Sequence[RunningState]) -> AsyncGenerator[Mapping[str, RegionReader]]:
    """Readers by Region, for the length of the block; no connection is opened before the first question."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession())
        readers: dict[str, RegionReader] = {}
        for state in states:
            cloud = await stack.enter_async_context(open_cloud_calls(state))
            readers[state.region] = RegionReader(state, cloud, session)
        yield readers


def short_name(alarm: str, group: str) -> str:
    """An alarm's name without its group's."""
    return alarm.removeprefix(f"{group}-")


async def _patiently(asking: Awaitable[_T]) -> _T | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asking
    except (SluicewayError, TimeoutError):
        return None


def _matters(alarm: Json) -> bool:
    """CloudFormation's own names have a logical id, with capitals."""
    return str(alarm["name"]).islower() or alarm["state"] == "ALARM"


def _describe_alarm(alarm: Json, group: str) -> Json:
    return {
        "name": short_name(str(alarm["AlarmName"]), group),
        "state": str(alarm["StateValue"]),
        "since_ms": round(float(alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]) * 1000),
        "about": str(alarm.get("AlarmDescription") or ""),
    }


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
