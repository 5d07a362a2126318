"""Metrics that functions write into their logs, as GetMetricStatistics tells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.services.cloudwatch.embedded import MAX_BYTES, EmbeddedMetrics
from localcloud.services.logs.model import Logs
from sluiceway.events.invocation import Invocation
from sluiceway.steps.metrics import count, count_of, metrics
from tests.unit.cloudwatch_setup import REGION, World

GROUP = "/aws/lambda/f"


class Listening(World):
    """A service that hears logs."""

    def __init__(self) -> None:
        super().__init__()
        self.logs = Logs(clock=self.clock)
        self.logs.listen(EmbeddedMetrics(self.metrics.in_region(REGION)).hear)

    def say(self, message: str) -> None:
        self.logs.append(GROUP, "s", message)

    def document(self, **members: Any) -> dict[str, Any]:
        directive = {"Namespace": "App", "Dimensions": [["service"]], "Metrics": [{"Name": "Sent", "Unit": "Count"}]}
        about = {"Timestamp": int(self.clock.now * 1000), "CloudWatchMetrics": [directive]}
        return {"_aws": about, "service": "f", "Sent": 3, **members}

    async def read(self, name: str, namespace: str = "App", **dimensions: str) -> list[tuple[float, float, str]]:
        """Sum, sample count and unit of each minute of the last hour."""
        now = self.clock.now
        told = await self.ok(
            "GetMetricStatistics",
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": each, "Value": value} for each, value in dimensions.items()],
            StartTime=datetime.fromtimestamp(now - 3600, UTC),
            EndTime=datetime.fromtimestamp(now + 60, UTC),
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )
        return [(each["Sum"], each["SampleCount"], each["Unit"]) for each in told["Datapoints"]]

    async def errors(self) -> tuple[float, float]:
        """How many documents could not be parsed, and how many were wrong."""
        found = [
            await self.read(name, "AWS/Logs", LogGroupName=GROUP)
            for name in ("EMFParsingErrors", "EMFValidationErrors")
        ]
        return sum(point[0] for point in found[0]), sum(point[0] for point in found[1])


async def test_a_line_of_the_format_is_a_metric() -> None:
    """With its date, unit and dimensions; arrays hold several values; members that no directive names are none."""
    world = Listening()
    world.say(json.dumps(world.document(Other=9)) + "\n")
    world.say(json.dumps(world.document(Sent=[1, 2, 4.5])))
    world.say("START RequestId: r Version: $LATEST")
    assert await world.read("Sent", service="f") == [(10.5, 4.0, "Count")]
    assert await world.read("Other", service="f") == []
    assert await world.read("Sent") == []
    late = world.document()
    late["_aws"]["Timestamp"] -= 600_000
    world.say(json.dumps(late))
    assert sorted(await world.read("Sent", service="f")) == [(3.0, 1.0, "Count"), (10.5, 4.0, "Count")]
    assert await world.errors() == (0, 0)


async def test_each_set_of_dimensions_is_a_metric_of_its_own() -> None:
    """Several sets, several directives, and an empty set, in one document."""
    world = Listening()
    document = world.document(rule="large", Left=1)
    directive = document["_aws"]["CloudWatchMetrics"][0]
    directive["Dimensions"] = [["service"], ["service", "rule"], []]
    document["_aws"]["CloudWatchMetrics"].append(
        {"Namespace": "Other", "Dimensions": [["rule"]], "Metrics": [{"Name": "Left"}]}
    )
    world.say(json.dumps(document))
    assert await world.read("Sent", service="f") == [(3.0, 1.0, "Count")]
    assert await world.read("Sent", service="f", rule="large") == [(3.0, 1.0, "Count")]
    assert await world.read("Sent") == [(3.0, 1.0, "Count")]
    assert await world.read("Left", "Other", rule="large") == [(1.0, 1.0, "None")]


def test_what_the_step_writes_is_read_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both writers of the layer: Powertools' documents, and those with dimensions of their own."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Sluiceway")
    world = Listening()

    async def flow(_event: object, _call: Invocation) -> object:
        count("RecordsMatched", 2)
        count_of({"topic": "orders", "rule": "large"}, {"RuleSent": 2, "RuleDroppedUnmatched": 5})
        return None

    async def play() -> None:
        call = Invocation(request_id="r", function_name="filter", function_arn="arn", deadline=0, cold_start=False)
        await metrics(flow)(None, call)
        for line in capsys.readouterr().out.splitlines():
            document = json.loads(line)
            document["_aws"]["Timestamp"] = int(world.clock.now * 1000)
            world.say(json.dumps(document))
        of_rule = {"service": "filter", "topic": "orders", "rule": "large"}
        assert await world.read("RecordsMatched", "Sluiceway", service="filter") == [(2.0, 1.0, "Count")]
        assert await world.read("RuleSent", "Sluiceway", **of_rule) == [(2.0, 1.0, "Count")]
        assert await world.read("RuleDroppedUnmatched", "Sluiceway", **of_rule) == [(5.0, 1.0, "Count")]

    run_virtual(play)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("_aws", "Timestamp"), None),
        (("_aws", "Timestamp"), True),
        (("_aws", "Timestamp"), 1_000_000_000_000),  # older than two weeks
        (("_aws", "CloudWatchMetrics"), {}),
        (("_aws", "CloudWatchMetrics", 0), "x"),
        (("_aws", "CloudWatchMetrics", 0, "Namespace"), "AWS/Lambda"),
        (("_aws", "CloudWatchMetrics", 0, "Namespace"), None),
        (("_aws", "CloudWatchMetrics", 0, "Dimensions"), ["service"]),
        (("_aws", "CloudWatchMetrics", 0, "Dimensions"), [["absent"]]),
        (("_aws", "CloudWatchMetrics", 0, "Dimensions"), [["service"] * 31]),
        (("_aws", "CloudWatchMetrics", 0, "Dimensions"), [[{}]]),
        (("_aws", "CloudWatchMetrics", 0, "Metrics"), [{"Name": "Sent"}] * 101),
        (("_aws", "CloudWatchMetrics", 0, "Metrics"), [{"Name": "Absent"}]),
        (("_aws", "CloudWatchMetrics", 0, "Metrics"), [{"Name": "Sent", "Unit": "Pieces"}]),
        (("_aws", "CloudWatchMetrics", 0, "Metrics"), [{"Name": "Sent", "StorageResolution": 30}]),
        (("Sent",), "3"),
        (("Sent",), True),
        (("Sent",), []),
        (("Sent",), [1] * 101),
        (("service",), ""),
        (("service",), 7),
        (("service",), "x" * 1025),
    ],
)
async def test_a_wrong_document_is_counted_and_puts_nothing(path: tuple[Any, ...], value: object) -> None:
    """As AWS counts it: in AWS/Logs, by group."""
    world = Listening()
    document: Any = world.document()
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    world.say(json.dumps(document))
    assert await world.read("Sent", service="f") == []
    assert await world.errors() == (0, 1)


@pytest.mark.parametrize("rest", ["", "}x", "}" + " " * MAX_BYTES])
async def test_a_line_that_is_no_whole_document_is_counted(rest: str) -> None:
    """Cut, followed by something, or larger than an event may be."""
    world = Listening()
    world.say(json.dumps(world.document()).removesuffix("}") + rest)
    assert await world.read("Sent", service="f") == []
    assert await world.errors() == (1, 0)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(_json, _json, _json, _json)
def test_nothing_that_a_function_logs_breaks_the_listener(about: Any, dimensions: Any, listed: Any, value: Any) -> None:
    """Whatever stands where the format has something: it is put, or counted as wrong."""
    world = Listening()
    directive = {"Namespace": "App", "Dimensions": dimensions, "Metrics": listed}
    named = {"Namespace": "App", "Dimensions": [["service"]], "Metrics": [{"Name": "Sent", "Unit": listed}]}
    for directives in (about, [directive], [named], [{**named, "Namespace": about}]):
        inner = {"Timestamp": int(world.clock.now * 1000), "CloudWatchMetrics": directives}
        world.say(json.dumps({"_aws": inner, "service": dimensions, "Sent": value}))
    world.say(json.dumps({"_aws": about, "CloudWatchMetrics": 1}))
    assert list(world.metrics.in_region(REGION).all()) != []
