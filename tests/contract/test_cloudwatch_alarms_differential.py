"""The control plane of alarms against moto: what boto3 would send to both, generated, with the same answers.

botocore writes the requests and reads the answers. moto evaluates nothing, so each alarm's state is set by hand; where
it answers otherwise than AWS documents, docs/fidelity/cloudwatch.md says so under the name in `DIFFERS`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from botocore import parsers, serialize, session
from moto.cloudwatch.models import cloudwatch_backends

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.contract import ACCOUNT_ID, Service, WireRequest

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "cloudwatch.md"
REGION = "eu-west-1"
SEEDS, COUNT = (1, 2, 3), 300
DIFFERS = ("moto-first-state", "moto-metric-without-dimensions", "moto-filters-apart", "moto-limits")
_DATES = ("AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp", "StateTransitionedTimestamp")
_STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
_ANY: Any = session
_MODEL: Any = _ANY.get_session().get_service_model("cloudwatch")
_SERIALIZER: Any = cast("Any", serialize).create_serializer("query", include_validation=False)
_PARSER: Any = cast("Any", parsers).create_parser("query")


@contextmanager
def both() -> Iterator[tuple[Service, Service]]:
    """Ours, and moto's without an alarm."""
    cloudwatch_backends[ACCOUNT_ID][REGION].reset()
    delegate = Delegate()
    try:
        clock = SystemClock()
        yield (
            CloudWatchService(Metrics(clock), Alarms(clock=clock)),
            DelegatedService("monitoring", delegate, needs=lambda _: ()),
        )
    finally:
        delegate.close()


async def ask(service: Service, operation: str, parameters: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer, without dates and the order of dimensions."""
    model = _MODEL.operation_model(operation)
    sent = _SERIALIZER.serialize_to_request(parameters, model)
    body = urlencode(sent["body"]).encode()
    credential = f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/monitoring/aws4_request, Signature=x"
    own = {"authorization": credential, "content-length": str(len(body)), "host": f"monitoring.{REGION}.amazonaws.com"}
    headers = {name.lower(): value for name, value in sent["headers"].items()} | own
    response = await service.handle(WireRequest("monitoring", REGION, "POST", "/", "", headers, body, "AK", "r"))
    answer = {"status_code": response.status, "headers": dict(response.headers), "body": response.body}
    parsed = _PARSER.parse(answer, model.output_shape) if model.output_shape or response.status >= 400 else {}
    parsed.pop("ResponseMetadata", None)
    return response.status, normal(parsed)


def normal(value: Any) -> Any:
    """Without dates, with lists of structures in the order of their texts, and numbers as floats."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        kept = {name: normal(item) for name, item in members.items() if name not in _DATES}
        return {name: item for name, item in kept.items() if item not in ([], "", None)}
    if isinstance(value, list):
        return sorted((normal(item) for item in cast("list[Any]", value)), key=repr)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def without_words(told: tuple[int, dict[str, Any]]) -> tuple[int, Any]:
    """An answer, or an error's code."""
    return told[0], told[1]["Error"]["Code"] if "Error" in told[1] else told[1]


def an_alarm(rng: random.Random, name: str) -> dict[str, Any]:
    """What PutMetricAlarm takes."""
    periods = rng.randint(1, 5)
    percentile = rng.random() < 0.2
    asked: dict[str, Any] = {
        "AlarmName": name,
        "Namespace": rng.choice(("app", "other")),
        "MetricName": rng.choice(("m", "n")),
        "Dimensions": [{"Name": f"d{number}", "Value": "v"} for number in range(rng.randint(0, 2))],
        "ExtendedStatistic" if percentile else "Statistic": "p99" if percentile else rng.choice(("Sum", "Average")),
        "Period": rng.choice((10, 30, 60, 300)),
        "EvaluationPeriods": periods,
        "Threshold": rng.choice((0.0, 1.5, 1e9)),
        "ComparisonOperator": rng.choice(("GreaterThanThreshold", "LessThanOrEqualToThreshold")),
    }
    maybe: dict[str, Any] = {
        "AlarmDescription": "why & how",
        "ActionsEnabled": rng.random() < 0.5,
        "AlarmActions": [f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:t{rng.randint(1, 2)}"],
        "OKActions": [f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:t3"],
        "DatapointsToAlarm": rng.randint(1, periods),
        "TreatMissingData": rng.choice(("missing", "breaching", "notBreaching", "ignore")),
        "Unit": "Count",
        **({"EvaluateLowSampleCountPercentile": "ignore"} if percentile else {}),
    }
    return asked | {member: value for member, value in maybe.items() if rng.random() < 0.4}


def a_request(rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """One thing that a caller does, as requests."""
    name = f"alarm-{rng.randint(1, 6)}"
    some = [f"alarm-{rng.randint(1, 7)}" for _ in range(rng.randint(1, 3))]
    state = {"AlarmName": name, "StateValue": rng.choice(_STATES), "StateReason": "by hand", "StateReasonData": "{}"}
    return rng.choice((
        [("PutMetricAlarm", an_alarm(rng, name)), ("SetAlarmState", state)],
        [("PutMetricAlarm", an_alarm(rng, name)), ("SetAlarmState", state)],
        [("SetAlarmState", state)],
        [("SetAlarmState", {**state, "StateReasonData": "{"})],
        [("DeleteAlarms", {"AlarmNames": some})],
        [("DisableAlarmActions", {"AlarmNames": [name]})],
        [("EnableAlarmActions", {"AlarmNames": [name]})],
        [("DescribeAlarms", {})],
        [("DescribeAlarms", {"AlarmNames": some})],
        [("DescribeAlarms", {"AlarmNamePrefix": "alarm-1"})],
        [("DescribeAlarms", {"StateValue": rng.choice(_STATES)})],
        [("DescribeAlarms", {"ActionPrefix": f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:t1"})],
    ))  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_requests_are_answered_alike(seed: int) -> None:
    """Definitions, states, filters, switches and deletions: the same status, code and answer."""
    rng = random.Random(seed)
    done = Counter[tuple[str, int]]()

    async def play() -> None:
        with both() as (ours, theirs):
            made: set[str] = set()
            for _ in range(COUNT):
                for operation, asked in a_request(rng):
                    if operation.endswith("AlarmActions") and asked["AlarmNames"][0] not in made:
                        continue  # moto knows only those that there are
                    mine, other = await ask(ours, operation, asked), await ask(theirs, operation, asked)
                    assert without_words(mine) == without_words(other), (operation, asked)
                    done[operation, mine[0]] += 1
                    if operation == "PutMetricAlarm":
                        made.add(asked["AlarmName"])
                    if operation == "DeleteAlarms":
                        made -= set(asked["AlarmNames"])

    asyncio.run(play())
    assert min(done[operation, 200] for operation in ("PutMetricAlarm", "SetAlarmState", "DescribeAlarms")) > 20
    assert min(done["SetAlarmState", 404], done["SetAlarmState", 400]) > 0


BASE: dict[str, Any] = {
    "AlarmName": "a", "Namespace": "app", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
    "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
}  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"Statistic": None, "ExtendedStatistic": "x90"},
    {"EvaluateLowSampleCountPercentile": "sometimes", "Statistic": None, "ExtendedStatistic": "p90"},
]


@pytest.mark.parametrize("changes", REFUSED)
def test_what_both_refuse_has_one_code(changes: dict[str, Any]) -> None:
    """Where moto checks at all."""

    async def play() -> None:
        asked = {name: value for name, value in {**BASE, **changes}.items() if value is not None}
        with both() as (ours, theirs):
            mine, other = await ask(ours, "PutMetricAlarm", asked), await ask(theirs, "PutMetricAlarm", asked)
            assert (mine[0], mine[1]["Error"]["Code"]) == (other[0], other[1].get("Error", {}).get("Code")), (
                mine,
                other,
            )

    asyncio.run(play())


def test_the_differences_are_real_and_explained() -> None:
    """Each of `DIFFERS` shows itself, and the page names it."""

    async def play() -> dict[str, tuple[Any, Any]]:
        found: dict[str, tuple[Any, Any]] = {}
        with both() as (ours, theirs):
            sides = (ours, theirs)

            async def each(operation: str, **asked: Any) -> tuple[Any, Any]:
                mine, other = [await ask(side, operation, asked) for side in sides]
                return mine, other

            await each("PutMetricAlarm", **BASE, Dimensions=[{"Name": "d", "Value": "v"}])
            first = await each("DescribeAlarms")
            found["moto-first-state"] = tuple(side[1]["MetricAlarms"][0]["StateValue"] for side in first)
            asked = {"Namespace": "app", "MetricName": "m"}
            watched = await each("DescribeAlarmsForMetric", **asked)
            found["moto-metric-without-dimensions"] = tuple(len(side[1].get("MetricAlarms", [])) for side in watched)
            filtered = await each("DescribeAlarms", AlarmNamePrefix="a", StateValue="ALARM")
            found["moto-filters-apart"] = tuple(len(side[1].get("MetricAlarms", [])) for side in filtered)
            limits = await each("PutMetricAlarm", **{**BASE, "Period": 45})
            found["moto-limits"] = tuple(side[0] for side in limits)
        return found

    found = asyncio.run(play())
    assert found == {
        "moto-first-state": ("INSUFFICIENT_DATA", "OK"),
        "moto-metric-without-dimensions": (0, 1),
        "moto-filters-apart": (0, 1),
        "moto-limits": (400, 200),
    }
    page = PAGE.read_text()
    assert [name for name in DIFFERS if f"`{name}`" not in page] == []
