"""Metric math: what expressions give, what GetMetricData makes of them, and alarms on them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.expressions import (
    BadExpression,
    NotServed,
    Series,
    Span,
    Value,
    parse_expression,
)
from localcloud.services.cloudwatch.model import MetricId, Stats
from localcloud.services.cloudwatch.resources import AlarmHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource
from localcloud.template.stack import stack_context
from tests.unit.cloudwatch_setup import REGION, World
from tests.unit.test_cloudwatch_evaluator import World as Watched
from tests.unit.test_cloudwatch_evaluator import on_time

SPAN = Span(0, 240, 60)
ERRORS: Series = {0: 1.0, 60: 0.0, 120: 3.0}
CALLS: Series = {0: 4.0, 60: 0.0, 180: 2.0}
KNOWN: dict[str, Value] = {"errors": ERRORS, "calls": CALLS, "none": {}}


def value(text: str) -> Value:
    metrics = {"errors": ERRORS, "calls": CALLS}
    return parse_expression(text).value(KNOWN, metrics, SPAN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3 * 2 ^ 2 ^ 0 - -1", 2 + 3 * 2 + 1.0),
        ("(2 + 3) * 2", 10.0),
        ("errors / calls * 100", {0: 25.0}),
        ("errors * 2", {0: 2.0, 60: 0.0, 120: 6.0}),
        ("100 - errors", {0: 99.0, 60: 100.0, 120: 97.0}),
        ("errors > 0", {0: 1.0, 60: 0.0, 120: 1.0}),
        ("errors > 0 AND calls > 0", {0: 1.0, 60: 0.0}),
        ("errors > 0 || calls == 0", {0: 1.0, 60: 1.0}),
        ("SUM(METRICS())", {0: 5.0, 60: 0.0, 120: 3.0, 180: 2.0}),
        ('SUM(METRICS("err"))', ERRORS),
        ("SUM([errors, calls])", {0: 5.0, 60: 0.0, 120: 3.0, 180: 2.0}),
        ("AVG([errors, calls])", {0: 2.5, 60: 0.0, 120: 3.0, 180: 2.0}),
        ("MAX(errors)", 3.0),
        ("errors - MIN(errors)", ERRORS),
        ("DATAPOINT_COUNT(errors)", 3.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("FILL(calls, 0)", {0: 4.0, 60: 0.0, 120: 0.0, 180: 2.0}),
        ("FILL(none, 0)", {0: 0.0, 60: 0.0, 120: 0.0, 180: 0.0}),
        ("FILL(errors, REPEAT)", {**ERRORS, 180: 3.0}),
        ("FILL(calls, LINEAR)", {0: 4.0, 60: 0.0, 120: 1.0, 180: 2.0}),
        ("FILL(errors, calls)", {**ERRORS, 180: 2.0}),
        ("IF(errors > 0, errors, 0)", {0: 1.0, 60: 0.0, 120: 3.0}),
        ("IF(errors > 0, 7)", {0: 7.0, 120: 7.0}),
        ("IF(calls > 1, errors / calls, 0)", {0: 0.25, 60: 0.0}),
        ("IF(1, calls, errors)", CALLS),
        ("if(errors>=1,1,0)", {0: 1.0, 60: 0.0, 120: 1.0}),
        ("DIFF(errors)", {60: -1.0, 120: 3.0}),
        ("RATE(errors)", {60: -1 / 60, 120: 3 / 60}),
        ("RUNNING_SUM(errors)", {0: 1.0, 60: 1.0, 120: 4.0}),
        ("errors / PERIOD(errors)", {0: 1 / 60, 60: 0.0, 120: 3 / 60}),
        ("CEIL(errors / 2)", {0: 1.0, 60: 0.0, 120: 2.0}),
        ("CEIL(AVG(none)) * errors", {}),
        ("FLOOR(1e999) * errors", {}),
        ("TIME_SERIES(AVG(none))", {}),
        ("FILL(errors, AVG(none))", ERRORS),
        ("+".join(["errors"] * 290), {0: 290.0, 60: 0.0, 120: 870.0}),
        ("-".join(["1"] * 1024), -1022.0),
        ("ABS(0 - errors)", ERRORS),
        ("TIME_SERIES(3) - errors", {0: 2.0, 60: 3.0, 120: 0.0}),
        ("LAST([errors, calls])", CALLS),
        ("[errors, calls] * 2", [{0: 2.0, 60: 0.0, 120: 6.0}, {0: 8.0, 60: 0.0, 180: 4.0}]),
        ("calls ^ 1000", {60: 0.0, 180: 2.0**1000}),
        ("errors / 0", {}),
    ],
)
def test_an_expression_has_the_value_that_the_guide_gives_it(text: str, expected: Value) -> None:
    """Period by period, where both sides have a value that is a finite number."""
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "errors +", "(errors", "errors)", "errors calls", "errors $ 2", "FILL(errors)", "SUM()", "unknown + 1",
     "IF([errors], 1, 2)", "ABS(REPEAT)", "[errors] + [errors, calls]", "FIRST(errors)", "(" * 60 + "1" + ")" * 60,
     "1 +" * 1000 + "1"],
    ids=range(15),
)  # fmt: skip
def test_what_makes_no_sense_is_refused(text: str) -> None:
    """When it is read, or when it meets the values; never by a stack that overflows."""
    with pytest.raises(BadExpression):
        value(text)


@pytest.mark.parametrize("text", ["SEARCH('x', 'Sum')", "ANOMALY_DETECTION_BAND(errors)", "SORT(errors, MAX)"])
def test_functions_that_are_not_here_are_refused_by_name(text: str) -> None:
    """With those that are."""
    with pytest.raises(NotServed, match=f"function {text.partition('(')[0]}; it serves ABS"):
        value(text)


def metric(query_id: str, name: str, **more: Any) -> dict[str, Any]:
    stat = {"Metric": {"Namespace": "app", "MetricName": name}, "Period": 60, "Stat": more.pop("Stat", "Sum")}
    return {"Id": query_id, "MetricStat": stat, **more}


async def ask(world: World, *queries: dict[str, Any]) -> dict[str, Any]:
    now = world.clock.time()
    times = {"StartTime": datetime.fromtimestamp(now - 180, UTC), "EndTime": datetime.fromtimestamp(now + 60, UTC)}
    return await world.ok("GetMetricData", MetricDataQueries=list(queries), ScanBy="TimestampAscending", **times)


def world_with(protocol: str = "cbor", **values: list[float]) -> World:
    """Metrics of namespace `app`, one value a minute up to now."""
    world = World(protocol)
    for name, given in values.items():
        for back, number in enumerate(reversed(given)):
            stats = Stats(1.0, number, number, number)
            at_s = world.clock.time() - 60 * back
            world.metrics.in_region(REGION).add(MetricId("app", name), stats, at_s=at_s)
    return world


@pytest.mark.parametrize("protocol", ["query", "json", "cbor"])
async def test_expressions_are_read_beside_metrics(protocol: str) -> None:
    """An error rate over expressions over metrics that are not shown themselves; its label is its id."""
    world = world_with(protocol, errors=[0.0, 1.0, 2.0], calls=[4.0, 4.0, 4.0])
    told = await ask(
        world,
        metric("e", "errors", ReturnData=False),
        metric("c", "calls", ReturnData=False),
        {"Id": "share", "Expression": "e / c", "ReturnData": False},
        {"Id": "rate", "Expression": "share * 100", "Label": "percent"},
        {"Id": "all", "Expression": "SUM(METRICS())"},
    )
    found = [(each["Id"], each["Label"], each["Values"]) for each in told["MetricDataResults"]]
    assert found == [("rate", "percent", [0.0, 25.0, 50.0]), ("all", "all", [4.0, 5.0, 6.0])]


async def test_an_expression_may_give_several_series() -> None:
    """One result each, all with its id; percentiles are statistics as well."""
    world = world_with(a=[1.0, 2.0], b=[3.0, 4.0])
    told = await ask(
        world,
        metric("a", "a", ReturnData=False, Stat="p50"),
        metric("b", "b", ReturnData=False),
        {"Id": "both", "Expression": "METRICS() * 10"},
    )
    assert [(each["Id"], each["Values"]) for each in told["MetricDataResults"]] == [
        ("both", [10.0, 20.0]),
        ("both", [30.0, 40.0]),
    ]


@pytest.mark.parametrize(
    ("queries", "part"),
    [
        ([{"Id": "x", "Expression": "x + 1"}], "it names itself"),
        ([{"Id": "x", "Expression": "y"}, {"Id": "y", "Expression": "x"}], "it names itself"),
        ([{"Id": "x", "Expression": "z * 2"}], "the id z is unknown"),
        ([{"Id": "x", "Expression": "1 + 1"}], "it gives a number"),
        ([{"Id": "x", "Expression": "1 +"}], "ends too early"),
    ],
    ids=["itself", "round", "unknown", "number", "cut"],
)
async def test_what_cannot_be_evaluated_is_a_validation_error(queries: list[dict[str, Any]], part: str) -> None:
    """That names the expression."""
    world = world_with()
    now = world.clock.time()
    times = {"StartTime": datetime.fromtimestamp(now - 180, UTC), "EndTime": datetime.fromtimestamp(now, UTC)}
    code, message = await world.error("GetMetricData", MetricDataQueries=queries, **times)
    assert (code, message.startswith("Error in expression 'x'"), part in message) == ("ValidationError", True, True)


async def test_expressions_on_expressions_cost_no_more_than_there_are() -> None:
    """Five hundred that each name the two before them."""
    world = world_with(a=[1.0])
    chain = [metric("q0", "a", ReturnData=False), metric("q1", "a", ReturnData=False)]
    chain += [{"Id": f"q{n}", "Expression": f"q{n - 1} - q{n - 2}", "ReturnData": n == 399} for n in range(2, 400)]
    began = time.process_time()
    told = await ask(world, *chain)
    assert len(told["MetricDataResults"]) == 1
    assert time.process_time() - began < 2


RATE: list[dict[str, Any]] = [
    {"Id": "rate", "Expression": "IF(calls > 0, errors / calls * 100, 0)"},
    metric("errors", "errors", ReturnData=False),
    metric("calls", "calls", ReturnData=False),
]


def test_an_alarm_on_an_error_rate_goes_off_and_recovers() -> None:
    """Its notice, event and description have its queries in the place of one metric."""

    async def story(world: Watched) -> None:
        named = dict.fromkeys(("Namespace", "MetricName", "Statistic", "Period"))
        world.metric("rate", **named, Metrics=RATE, Threshold=10, AlarmActions=["arn:aws:sns:us-west-2:1:told"])
        for minute, errors in enumerate((0.0, 1.0, 0.0)):
            await world.until(60 * minute + 30)
            world.measure("errors", errors)
            world.measure("calls", 4.0)
        await world.until(200)
        alarm = world.alarms.find("rate", "us-west-2")
        assert alarm is not None
        assert [query["Id"] for query in alarm.definition.described["Metrics"]] == ["rate", "errors", "calls"]
        assert alarm.definition.described["Metrics"][0] == {
            "Id": "rate", "Expression": RATE[0]["Expression"], "ReturnData": True,
        }  # fmt: skip
        assert "MetricName" not in alarm.definition.described

    world = on_time(story)
    assert world.heard.states() == [(61, "rate", "OK"), (121, "rate", "ALARM"), (181, "rate", "OK")]
    event = next(detail for _, _, kind, detail in world.heard.emitted if kind == "CloudWatch Alarm State Change")
    metrics = event["configuration"]["metrics"]
    assert metrics[0] == {"id": "rate", "expression": RATE[0]["Expression"], "returnData": True}
    assert metrics[1]["metricStat"]["metric"] == {"namespace": "app", "name": "errors", "dimensions": {}}


@pytest.mark.parametrize(
    ("metrics", "part"),
    [
        ([{**RATE[0], "ReturnData": False}, *RATE[1:]], "Exactly one element"),
        ([metric("a", "a", ReturnData=False), {"Id": "e", "Expression": "a", "Period": 120}], "the same Period"),
        ([{"Id": "e", "Expression": "TIME_SERIES(1)"}], "At least one element"),
        ([metric(f"m{n}", "a", ReturnData=not n) for n in range(11)], "10 of them metrics"),
    ],
    ids=["nothing-shown", "two-periods", "no-metric", "eleven"],
)
async def test_lists_of_metrics_have_their_rules(metrics: list[dict[str, Any]], part: str) -> None:
    """Those of PutMetricAlarm."""
    world = World()
    given = {
        "AlarmName": "a", "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
        "Metrics": metrics,
    }  # fmt: skip
    code, message = await world.error("PutMetricAlarm", **given)
    assert (code, part in message) == ("ValidationError", True)


def test_a_template_may_have_an_alarm_on_metric_math() -> None:
    """As YAML has it: numbers and truths, and nothing of one metric beside."""
    properties = {
        "EvaluationPeriods": 3, "Threshold": 10, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching", "Metrics": RATE,
    }  # fmt: skip
    context = stack_context(Path())
    resource = Resource("Rate", AlarmHandler.type, properties, context)
    alarms = Alarms(clock=World().clock)
    asyncio.run(AlarmHandler(alarms).create(resource))
    (alarm,) = alarms.all()
    watch = alarm.definition.watch
    assert watch is not None
    assert [(query.query_id, query.is_shown, query.period_s) for query in watch.queries] == [
        ("rate", True, 0), ("errors", False, 60), ("calls", False, 60),
    ]  # fmt: skip
    asked = {**properties, "Metrics": [{"Id": "s", "Expression": "SEARCH('x', 'Sum')"}]}
    refused = AlarmHandler(alarms).create(Resource("Rate", AlarmHandler.type, asked, context))
    with pytest.raises(TemplateError, match="SEARCH"):
        asyncio.run(refused)
