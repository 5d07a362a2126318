"""CloudWatch as a caller sees it, in the query, JSON and CBOR protocols: operations, limits, pages, errors."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from localcloud.refusals import refuse_denied
from localcloud.services.cloudwatch import queries, wire
from localcloud.services.cloudwatch.cbor import MAX_VALUES, Stamp, read_cbor, write_cbor
from localcloud.services.cloudwatch.protocols import Asked, read_request
from localcloud.services.contract import Denied, Permission, WireRequest
from tests.unit.cloudwatch_setup import PROTOCOLS, SERVICE, World, make_request, read_answer, wire_request

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)  # the virtual clock's epoch
HOUR = timedelta(hours=1)
WHEN: dict[str, Any] = {"StartTime": NOW - HOUR, "EndTime": NOW + HOUR, "Period": 60}


@pytest.fixture(params=list(PROTOCOLS))
def world(request: pytest.FixtureRequest) -> World:
    """The service under each protocol."""
    return World(request.param)


def datum(**more: Any) -> dict[str, Any]:
    return {"MetricName": "m", "Value": 1.0, **more}


def stat(query_id: str = "a", statistic: str = "Sum", period: int = 60, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "app", "MetricName": "m", **more}
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic}}


async def test_what_is_put_is_read_as_statistics(world: World) -> None:
    """Values, statistic sets, and arrays of values with counts add up to one point, with the metric's name as label."""
    dimensions = [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}]
    first = datum(Dimensions=dimensions, Unit="Milliseconds", Timestamp=NOW)
    data = [
        first,
        {**first, "Value": 5.5, "Dimensions": dimensions[::-1]},
        {
            "MetricName": "m",
            "Dimensions": dimensions,
            "Unit": "Milliseconds",
            "StatisticValues": {"SampleCount": 2.0, "Sum": 4.0, "Minimum": -1.0, "Maximum": 5.0},
        },
        {
            "MetricName": "m",
            "Dimensions": dimensions,
            "Unit": "Milliseconds",
            "Values": [10.0, 20.0],
            "Counts": [3.0, 1.0],
        },
    ]
    await world.ok("PutMetricData", Namespace="app", MetricData=data)
    answer = await world.ok(
        "GetMetricStatistics",
        Namespace="app",
        MetricName="m",
        Dimensions=dimensions,
        Statistics=["SampleCount", "Average", "Sum", "Minimum", "Maximum"],
        **WHEN,
    )
    assert answer["Label"] == "m"
    (point,) = answer["Datapoints"]
    assert point.pop("Timestamp").timestamp() == NOW.timestamp()
    assert point == {
        "SampleCount": 8.0,
        "Sum": 60.5,
        "Average": 60.5 / 8,
        "Minimum": -1.0,
        "Maximum": 20.0,
        "Unit": "Milliseconds",
    }


async def test_only_the_asked_statistics_and_unit_are_answered(world: World) -> None:
    """A point has the statistics that were asked for; without a unit every unit has its own."""
    await world.put(Unit="Seconds")
    await world.put()
    asked = {"Namespace": "app", "MetricName": "m", "Statistics": ["Sum"], **WHEN}
    points = (await world.ok("GetMetricStatistics", **asked))["Datapoints"]
    assert [{name for name in point if name != "Timestamp"} for point in points] == [{"Sum", "Unit"}] * 2
    assert [point["Unit"] for point in points] == ["None", "Seconds"]
    points = (await world.ok("GetMetricStatistics", **asked, Unit="Seconds"))["Datapoints"]
    assert [point["Unit"] for point in points] == ["Seconds"]
    assert (await world.ok("GetMetricStatistics", **asked, Unit="Bytes"))["Datapoints"] == []


async def test_the_start_is_rounded_down_and_the_end_is_out(world: World) -> None:
    """A start within a minute begins with it; a point at the end is not answered."""
    for minute in range(3):
        await world.put(Timestamp=NOW + timedelta(minutes=minute))
    asked = {"Namespace": "app", "MetricName": "m", "Statistics": ["Sum"], "Period": 120}
    start, end = NOW + timedelta(seconds=59), NOW + timedelta(minutes=2)
    points = (await world.ok("GetMetricStatistics", **asked, StartTime=start, EndTime=end))["Datapoints"]
    assert [(point["Timestamp"].timestamp() - NOW.timestamp(), point["Sum"]) for point in points] == [(0, 2.0)]


async def test_metric_data_comes_in_order_and_pages(world: World) -> None:
    """Newest first unless asked otherwise; pages of MaxDatapoints join without gap or repeat."""
    for minute in range(5):
        await world.put(Timestamp=NOW + timedelta(minutes=minute), Value=float(minute))
    await world.put("n", Timestamp=NOW, Value=7.0)
    queries = [stat("a"), stat("none", MetricName="none"), stat("b", "Average", MetricName="n")]
    asked = {"MetricDataQueries": queries, "StartTime": NOW - HOUR, "EndTime": NOW + HOUR}
    whole = await world.ok("GetMetricData", **asked)
    results = {result["Id"]: result for result in whole["MetricDataResults"]}
    assert {name: result["Values"] for name, result in results.items()} == {
        "a": [4.0, 3.0, 2.0, 1.0, 0.0],
        "none": [],
        "b": [7.0],
    }
    assert [round((at - NOW).total_seconds()) for at in results["a"]["Timestamps"]] == [240, 180, 120, 60, 0]
    assert {result["StatusCode"] for result in results.values()} == {"Complete"}
    assert [result["Label"] for result in results.values()] == ["m", "none", "n"]
    assert "NextToken" not in whole
    found: dict[str, list[float]] = {}
    page = await world.ok("GetMetricData", **asked, ScanBy="TimestampAscending", MaxDatapoints=2)
    statuses = [[result["StatusCode"] for result in page["MetricDataResults"]]]
    while True:
        for result in page["MetricDataResults"]:
            found.setdefault(result["Id"], []).extend(result["Values"])
        if "NextToken" not in page:
            break
        again = {"ScanBy": "TimestampAscending", "MaxDatapoints": 2, "NextToken": page["NextToken"]}
        page = await world.ok("GetMetricData", **asked, **again)
        statuses.append([result["StatusCode"] for result in page["MetricDataResults"]])
    assert found == {"a": [0.0, 1.0, 2.0, 3.0, 4.0], "none": [], "b": [7.0]}
    assert statuses == [["PartialData"], ["PartialData"], ["Complete", "Complete", "Complete"]]


async def test_metric_data_takes_labels_and_hides_what_is_not_asked_for(world: World) -> None:
    """A label stands in for the name, units count together, and ReturnData false answers nothing."""
    await world.put(Unit="Seconds")
    await world.put(Unit="Count")
    queries = [{**stat("a"), "Label": "mine & yours"}, {**stat("b"), "ReturnData": False}]
    asked = {"MetricDataQueries": queries, "StartTime": NOW - HOUR, "EndTime": NOW + HOUR}
    (result,) = (await world.ok("GetMetricData", **asked))["MetricDataResults"]
    assert (result["Label"], result["Values"]) == ("mine & yours", [2.0])


async def test_metrics_are_listed_with_filters_and_pages(world: World) -> None:
    """Names, dimensions with and without value, and recent activity filter; 500 are a page; after two weeks none."""
    for number in range(501):
        world.metrics.in_region("eu-west-1").put("many", f"m{number:03}", 1.0, dimensions={})
    await world.put("x", Dimensions=[{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}])
    await world.put("x", Dimensions=[{"Name": "a", "Value": "2"}])
    page = await world.ok("ListMetrics", Namespace="many")
    rest = await world.ok("ListMetrics", Namespace="many", NextToken=page["NextToken"])
    names = [metric["MetricName"] for metric in [*page["Metrics"], *rest["Metrics"]]]
    assert (len(page["Metrics"]), names) == (500, [f"m{number:03}" for number in range(501)])
    assert "NextToken" not in rest
    for filters, count in (
        ({"MetricName": "x"}, 2),
        ({"Dimensions": [{"Name": "a"}]}, 2),
        ({"Dimensions": [{"Name": "a", "Value": "2"}]}, 1),
        ({"Dimensions": [{"Name": "a"}, {"Name": "b"}]}, 1),
        ({"Namespace": "app", "MetricName": "y"}, 0),
        ({"Namespace": "app", "RecentlyActive": "PT3H"}, 2),
    ):
        assert len((await world.ok("ListMetrics", **filters))["Metrics"]) == count
    (metric,) = (await world.ok("ListMetrics", Dimensions=[{"Name": "b"}]))["Metrics"]
    assert metric == {
        "Namespace": "app",
        "MetricName": "x",
        "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
    }
    await world.put("x", Dimensions=[{"Name": "a", "Value": "2"}], Timestamp=NOW - 4 * HOUR)
    assert len((await world.ok("ListMetrics", Namespace="app", RecentlyActive="PT3H"))["Metrics"]) == 2
    world.clock.now += 3 * 3600
    assert (await world.ok("ListMetrics", RecentlyActive="PT3H"))["Metrics"] == []
    assert len((await world.ok("ListMetrics", Namespace="app"))["Metrics"]) == 2
    world.clock.now += 14 * 86_400
    assert (await world.ok("ListMetrics"))["Metrics"] == []


async def test_regions_have_metrics_of_their_own(world: World) -> None:
    """What a request of one Region put is not in another's."""
    await world.put()
    world.metrics.in_region("us-east-1").put("app", "elsewhere", 1.0, dimensions={})
    listed = (await world.ok("ListMetrics"))["Metrics"]
    assert [metric["MetricName"] for metric in listed] == ["m"]


VALUES = {"Value": None, "Values": [1.0]}
BAD_DATA: list[tuple[dict[str, Any], str, str]] = [
    ({"MetricName": None}, "MissingParameter", "The parameter MetricData.member.1.MetricName is required."),
    ({"MetricName": "x" * 256}, "InvalidParameterValue", "MetricName must be shorter than 256 characters."),
    ({"MetricName": "a\u00e9"}, "InvalidParameterValue", "must be printable ASCII"),
    ({"MetricName": " "}, "InvalidParameterValue", "must be printable ASCII"),
    ({"Value": None}, "MissingParameter", "The parameter MetricData.member.1.Value is required."),
    ({"Value": 2.0**361}, "InvalidParameterValue", "for parameter MetricData.member.1.Value is invalid."),
    (
        {"Values": [1.0]},
        "InvalidParameterCombination",
        "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive",
    ),
    ({**VALUES, "Values": [1.0] * 151}, "InvalidParameterValue", "must not have a size greater than 150."),
    ({**VALUES, "Counts": [1.0, 1.0]}, "InvalidParameterValue", "Counts must be of the same size."),
    ({**VALUES, "Counts": [0.0]}, "InvalidParameterValue", "The value 0 for parameter MetricData.member.1.Counts"),
    ({**VALUES, "Values": []}, "MissingParameter", "The parameter MetricData.member.1.Values is required."),
    ({"Counts": [1.0]}, "InvalidParameterCombination", "needs the parameter MetricData.member.1.Values"),
    (
        {"Value": None, "StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 2.0, "Maximum": 1.0}},
        "InvalidParameterValue",
        "StatisticValues.Maximum must be greater than MetricData.member.1.StatisticValues.Minimum.",
    ),
    (
        {"Value": None, "StatisticValues": {"SampleCount": 0.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0}},
        "InvalidParameterValue",
        "SampleCount must be greater than 0.",
    ),
    (
        {"Value": None, "StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0}},
        "MissingParameter",
        "The parameter MetricData.member.1.StatisticValues.Maximum is required.",
    ),
    ({"Unit": "Fortnights"}, "InvalidParameterValue", "Unit must be a value in the set [ Seconds, Microseconds, "),
    ({"StorageResolution": 30}, "InvalidParameterValue", "StorageResolution must be a value in the set [ 1, 60 ]."),
    (
        {"Timestamp": NOW - timedelta(days=14, seconds=1)},
        "InvalidParameterValue",
        "Timestamp must specify a time within the past two weeks.",
    ),
    ({"Timestamp": NOW + timedelta(hours=2, seconds=1)}, "InvalidParameterValue", "Timestamp must specify a time"),
    ({"Dimensions": [{"Name": "a"}]}, "MissingParameter", "MetricData.member.1.Dimensions.member.1.Value is required."),
    ({"Dimensions": [{"Name": ":a", "Value": "1"}]}, "InvalidParameterValue", "Dimensions.member.1.Name is invalid."),
    ({"Dimensions": [{"Name": "a", "Value": "1"}] * 2}, "InvalidParameterValue", "more than once"),
    (
        {"Dimensions": [{"Name": f"d{number}", "Value": "1"} for number in range(31)]},
        "InvalidParameterValue",
        "The collection MetricData.member.1.Dimensions must not have a size greater than 30.",
    ),
]


@pytest.mark.parametrize(("changes", "code", "part"), BAD_DATA)
async def test_bad_data_are_refused_whole(world: World, changes: dict[str, Any], code: str, part: str) -> None:
    """A request with one bad datum is refused in AWS's words, and none of it is kept."""
    bad = {name: value for name, value in {**datum(), **changes}.items() if value is not None}
    found, message = await world.error("PutMetricData", Namespace="app", MetricData=[bad])
    assert (found, part in message) == (code, True), message
    good = datum(MetricName="good")
    assert (await world.call("PutMetricData", Namespace="app", MetricData=[good, bad]))[0] == 400
    assert (await world.ok("ListMetrics"))["Metrics"] == []


@pytest.mark.parametrize("protocol", ["query", "cbor"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
async def test_special_numbers_are_refused(protocol: str, value: float) -> None:
    """NaN and the infinities, which JSON has not, are no values of a metric."""
    code, message = await World(protocol).error("PutMetricData", Namespace="app", MetricData=[datum(Value=value)])
    assert (code, message.endswith("for parameter MetricData.member.1.Value is invalid.")) == (
        "InvalidParameterValue",
        True,
    )


BAD_REQUESTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("PutMetricData", {"MetricData": [datum()]}, "MissingParameter", "The parameter Namespace is required."),
    ("PutMetricData", {"Namespace": "n"}, "MissingParameter", "The parameter MetricData is required."),
    ("PutMetricData", {"Namespace": "AWS/x", "MetricData": [datum()]}, "InvalidParameterValue", "The value AWS/ for"),
    ("PutMetricData", {"Namespace": ":x", "MetricData": [datum()]}, "InvalidParameterValue", "parameter Namespace"),
    ("PutMetricData", {"Namespace": "a\nb", "MetricData": [datum()]}, "InvalidParameterValue", "parameter Namespace"),
    ("PutMetricData", {"Namespace": "n", "MetricData": [datum()] * 1001}, "InvalidParameterValue", "than 1000."),
    (
        "PutMetricData",
        {"Namespace": "n", "EntityMetricData": [{"MetricData": [datum()]}]},
        "InvalidParameterValue",
        "does not serve",
    ),
    ("ListMetrics", {"NextToken": "x"}, "InvalidNextToken", "The next token"),
    ("ListMetrics", {"NextToken": "1"}, "InvalidNextToken", "The next token"),
    ("ListMetrics", {"RecentlyActive": "PT1H"}, "InvalidParameterValue", "RecentlyActive must be a value in the set"),
    ("ListMetrics", {"IncludeLinkedAccounts": True}, "InvalidParameterValue", "does not serve metrics of linked"),
    ("ListMetrics", {"Dimensions": [{"Name": "a"}] * 11}, "InvalidParameterValue", "greater than 10."),
    ("DescribeAlarms", {"MaxRecords": 101}, "InvalidParameterValue", "The value 101 for parameter MaxRecords"),
    (
        "DescribeAlarms",
        {"AlarmNames": ["a"], "AlarmNamePrefix": "a"},
        "ValidationError",
        "cannot be specified together",
    ),
]
STATS: dict[str, Any] = {"Namespace": "n", "MetricName": "m", "Statistics": ["Sum"], **WHEN}
DATA: dict[str, Any] = {"MetricDataQueries": [stat()], "StartTime": NOW - HOUR, "EndTime": NOW}
BAD_READS: list[tuple[str, dict[str, Any], str, str]] = [
    ("GetMetricStatistics", {**STATS, "Period": 90}, "InvalidParameterValue", "multiple of 60."),
    ("GetMetricStatistics", {**STATS, "Period": 0}, "InvalidParameterValue", "The value 0 for parameter Period"),
    (
        "GetMetricStatistics",
        {**STATS, "EndTime": NOW - HOUR},
        "InvalidParameterValue",
        "The parameter StartTime must be less than the parameter EndTime.",
    ),
    (
        "GetMetricStatistics",
        {**STATS, "StartTime": NOW - timedelta(days=2)},
        "InvalidParameterCombination",
        "You have requested up to 2,940 datapoints, which exceeds the limit of 1,440.",
    ),
    ("GetMetricStatistics", {**STATS, "Statistics": []}, "InvalidParameterCombination", "Must specify either"),
    ("GetMetricStatistics", {**STATS, "Statistics": ["Mode"]}, "InvalidParameterValue", "Statistics.member.1 must be"),
    (
        "GetMetricStatistics",
        {**STATS, "ExtendedStatistics": ["p99"]},
        "InvalidParameterValue",
        "does not serve percent",
    ),
    (
        "GetMetricData",
        {**DATA, "EndTime": NOW - HOUR},
        "ValidationError",
        "StartTime must not equal parameter EndTime.",
    ),
    (
        "GetMetricData",
        {**DATA, "EndTime": NOW - 2 * HOUR},
        "ValidationError",
        "The parameter EndTime must be greater than StartTime.",
    ),
    ("GetMetricData", {**DATA, "MetricDataQueries": []}, "MissingParameter", "MetricDataQueries is required."),
    ("GetMetricData", {**DATA, "MetricDataQueries": [stat()] * 501}, "ValidationError", "greater than 500."),
    ("GetMetricData", {**DATA, "MetricDataQueries": [stat()] * 2}, "ValidationError", "are not unique"),
    ("GetMetricData", {**DATA, "MetricDataQueries": [stat("A")]}, "ValidationError", "member.1.Id is invalid."),
    ("GetMetricData", {**DATA, "MetricDataQueries": [stat("a", "tm90")]}, "InvalidParameterValue", "statistic tm90"),
    (
        "GetMetricData",
        {**DATA, "MetricDataQueries": [stat("a", "Sum", 7)]},
        "InvalidParameterValue",
        "MetricStat.Period",
    ),
    (
        "GetMetricData",
        {**DATA, "MetricDataQueries": [{"Id": "e", "Expression": "SELECT AVG(x) FROM y"}]},
        "InvalidParameterValue",
        "does not serve Metrics Insights queries (MetricDataQueries.member.1.Expression).",
    ),
    (
        "GetMetricData",
        {**DATA, "MetricDataQueries": [{**stat(), "Label": "${AVG}"}]},
        "InvalidParameterValue",
        "does not serve dynamic labels",
    ),
    (
        "GetMetricData",
        {**DATA, "MetricDataQueries": [{**stat(), "AccountId": "111111111111"}]},
        "InvalidParameterValue",
        "does not serve metrics of other accounts",
    ),
    ("GetMetricData", {**DATA, "MetricDataQueries": [{"Id": "a"}]}, "MissingParameter", "member.1.MetricStat is requi"),
    ("GetMetricData", {**DATA, "NextToken": "3:0"}, "InvalidNextToken", "The next token"),
    ("GetMetricData", {**DATA, "NextToken": "x"}, "InvalidNextToken", "The next token"),
    ("GetMetricData", {**DATA, "MaxDatapoints": 100_801}, "InvalidParameterValue", "parameter MaxDatapoints"),
    ("GetMetricData", {**DATA, "LabelOptions": {"Timezone": "+0000"}}, "InvalidParameterValue", "does not serve"),
]


@pytest.mark.parametrize(("operation", "request_", "code", "part"), [*BAD_REQUESTS, *BAD_READS])
async def test_bad_requests_get_awss_errors(
    world: World, operation: str, request_: dict[str, Any], code: str, part: str
) -> None:
    """What AWS refuses is refused with its code in every protocol; what is not served is refused by name."""
    found, message = await world.error(operation, **request_)
    assert (found, part in message) == (code, True), message


async def test_compressed_data_are_taken() -> None:
    """gzip, as SDKs send from 10 kB on, is read; a broken one, another encoding and a bomb are refused."""
    world = World()
    plain = make_request("cbor", "PutMetricData", {"Namespace": "app", "MetricData": [datum()] * 200})

    async def send(body: bytes, encoding: str = "gzip") -> tuple[int, Any]:
        headers = {**plain.headers, "content-encoding": encoding}
        response = await world.service.handle(wire_request(headers, body, plain.path))
        assert isinstance(response.body, bytes)
        return response.status, read_cbor(response.body) if response.body else None

    packed = gzip.compress(plain.body)
    assert await send(packed) == (200, None)
    assert (await world.ok("GetMetricStatistics", **{**STATS, "Namespace": "app"}))["Datapoints"][0]["Sum"] == 200.0
    for body, encoding in (
        (packed, "br"),
        (packed[:-9], "gzip"),
        (packed + b"x", "gzip"),
        (b"x", "gzip"),
        (plain.body, "br"),
    ):
        status, told = await send(body, encoding)
        assert (status, told["__type"].partition("#")[2]) == (400, "MalformedInput")
    status, told = await send(gzip.compress(bytes(17 * 1024 * 1024)))
    assert (status, told["__type"].partition("#")[2]) == (413, "RequestEntityTooLarge")
    status, told = await send(bytes(1024 * 1024 + 1), "identity")
    assert (status, told["__type"].partition("#")[2]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("headers", "body", "path", "code"),
    [
        ({"smithy-protocol": "rpc-v2-cbor"}, b"", "/", "UnknownOperationException"),
        ({"smithy-protocol": "rpc-v2-cbor"}, b"", f"/service/{SERVICE}/operation/Nothing", "UnknownOperationException"),
        ({"smithy-protocol": "rpc-v2-cbor"}, b"\x80", f"/service/{SERVICE}/operation/ListMetrics", "MalformedInput"),
        ({"smithy-protocol": "rpc-v2-cbor"}, b"\xa1", f"/service/{SERVICE}/operation/ListMetrics", "MalformedInput"),
        ({"smithy-protocol": "rpc-v2-json"}, b"{}", f"/service/{SERVICE}/operation/ListMetrics", "UnknownOperation"),
        ({"x-amz-target": f"{SERVICE}.Nothing"}, b"{}", "/", "UnknownOperationException"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b"[]", "/", "MalformedInput"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b"{", "/", "MalformedInput"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b'{"MaxRecords": NaN}', "/", "MalformedInput"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b'{"Namespace": 1}', "/", "MalformedInput"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b'{"Dimensions": {}}', "/", "MalformedInput"),
        ({"x-amz-target": f"{SERVICE}.ListMetrics"}, b'{"Dimensions": [1]}', "/", "MalformedInput"),
        ({}, b"", "/", "MissingAction"),
        ({}, b"Action=Nothing", "/", "UnknownOperationException"),
        ({}, b"Action=ListMetrics&Version=2009-01-01", "/", "NoSuchVersion"),
        ({}, b"Action=ListMetrics&a.b.c.d.e.f.g.h.i.j.k.l.m=1", "/", "MalformedQueryString"),
        ({}, b"Action=ListMetrics&a=1&a.b=2", "/", "MalformedInput"),
        ({}, b"Action=ListMetrics&Dimensions.member.x.Name=a", "/", "MalformedInput"),
        ({}, b"Action=ListMetrics&Dimensions.member.0.Name=a", "/", "MalformedInput"),
        ({}, b"Action=ListMetrics&Namespace=%ff", "/", "MalformedQueryString"),
        ({}, b"Action=ListMetrics&Namespace.x=1", "/", "MalformedInput"),
        ({}, b"Action.x=ListMetrics", "/", "MissingAction"),
    ],
)
async def test_malformed_requests_are_answers(headers: dict[str, str], body: bytes, path: str, code: str) -> None:
    """Whatever is not in the form of its protocol gets an error in that protocol, never a failure of ours."""
    world = World()
    request = wire_request(headers, body, path)
    response = await world.service.handle(request)
    assert response.status == 400
    assert isinstance(response.body, bytes)
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        told: Any = read_cbor(response.body)
        text = told["__type"]
    elif headers:
        text = json.loads(response.body)["__type"]
    else:
        text = response.body.decode()
    assert code in text
    known = "/operation/ListMetrics" in path or b"ListMetrics" in body or "ListMetrics" in str(headers)
    assert known or world.service.permissions(request) == ()


async def test_text_of_a_request_cannot_break_an_answer() -> None:
    """Markup and control characters of a request are escaped in the XML of the answer."""
    world = World("query")
    query = "MetricDataQueries.member.1"
    request = make_form(
        {
            "Action": "GetMetricData",
            "StartTime": "2027-01-15T07:00:00Z",
            "EndTime": "2027-01-15T08:00:00Z",
            f"{query}.Id": "a",
            f"{query}.Label": "<b>\0&",
            f"{query}.MetricStat.Metric.Namespace": "n",
            f"{query}.MetricStat.Metric.MetricName": "m",
            f"{query}.MetricStat.Period": "60",
            f"{query}.MetricStat.Stat": "Sum",
        }
    )
    response = await world.service.handle(request)
    (result,) = read_answer("query", "GetMetricData", response)["MetricDataResults"]
    assert result["Label"] == "<b>\ufffd&"
    response = await world.service.handle(
        wire_request({}, b"Action=PutMetricData&MetricData.member.1.Value=1&Namespace=%01")
    )
    assert response.status == 400
    assert "\ufffd" in read_answer("query", "PutMetricData", response)["Error"]["Message"]


async def test_numbers_and_dates_of_a_form_are_read_strictly() -> None:
    """What Python takes for a number and no other language does is refused; ISO dates have zones or are UTC."""
    world = World("query")
    for text in ("1_0", " 1", "0x10", "nan", "1e99999", "\u0663", "", "9" * 401):
        body = {"Action": "PutMetricData", "Namespace": "n", "MetricData.member.1.MetricName": "m"}
        request = make_form({**body, "MetricData.member.1.Value": text})
        assert (await world.service.handle(request)).status == 400, text
    for text, is_good in (
        ("2027-01-15T08:00:00Z", True),
        ("2027-01-15T08:00:00.123Z", True),
        ("2027-01-15T09:00:00+01:00", True),
        ("2027-01-15T08:00:00", True),
        ("yesterday", False),
        ("1800000000", False),
    ):
        body = {"Action": "PutMetricData", "Namespace": "n", "MetricData.member.1.MetricName": "m"}
        request = make_form({**body, "MetricData.member.1.Value": "-1.5e+2", "MetricData.member.1.Timestamp": text})
        assert ((await world.service.handle(request)).status == 200) is is_good, text


def make_form(parameters: dict[str, str]) -> WireRequest:
    return wire_request({}, urlencode(parameters).encode())


@pytest.mark.parametrize(
    "start", [Stamp(float("nan")), Stamp(float("inf")), Stamp(1e18), Stamp(-1.0), True, "1e9", {}, []]
)
async def test_dates_beyond_the_calendar_are_refused(start: Any) -> None:
    """Dates before 1970 or after 9999, and such as are none, are no dates."""
    body = write_cbor({**STATS, "StartTime": start, "EndTime": Stamp(NOW.timestamp())})
    path = f"/service/{SERVICE}/operation/GetMetricStatistics"
    response = await World().service.handle(wire_request({"smithy-protocol": "rpc-v2-cbor"}, body, path))
    assert response.status == 400


async def test_a_date_without_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever zone the machine is in, a form's date without one is UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        world = World("query")
        body = {"Action": "PutMetricData", "Namespace": "app", "MetricData.member.1.MetricName": "m"}
        body |= {"MetricData.member.1.Value": "1", "MetricData.member.1.Timestamp": "2027-01-15T08:00:00"}
        assert (await world.service.handle(make_form(body))).status == 200
        (point,) = (await world.ok("GetMetricStatistics", **{**STATS, "Namespace": "app"}))["Datapoints"]
        assert point["Timestamp"].timestamp() == NOW.timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_whole_numbers_are_whole() -> None:
    """A period of half seconds is refused, a whole one as a float is taken."""
    for period, status in ((60.5, 400), (60.0, 200)):
        body = write_cbor({**STATS, "StartTime": Stamp(1.0), "EndTime": Stamp(61.0), "Period": period})
        path = f"/service/{SERVICE}/operation/GetMetricStatistics"
        response = await World().service.handle(wire_request({"smithy-protocol": "rpc-v2-cbor"}, body, path))
        assert response.status == status


async def test_seconds_are_read_with_periods_under_a_minute(world: World) -> None:
    """A resolution of a second is read by 5 seconds, from a start rounded down to such; without it there is nothing."""
    for second in (2, 7, 11):
        await world.put(Timestamp=NOW + timedelta(seconds=second), StorageResolution=1)
    await world.put(Timestamp=NOW + timedelta(seconds=12))
    asked = {"Namespace": "app", "MetricName": "m", "Statistics": ["Sum"], "Period": 5}
    start, end = NOW + timedelta(seconds=8), NOW + timedelta(seconds=59)
    points = (await world.ok("GetMetricStatistics", **asked, StartTime=start, EndTime=end))["Datapoints"]
    assert [(point["Timestamp"].timestamp() - NOW.timestamp(), point["Sum"]) for point in points] == [
        (5, 1.0),
        (10, 1.0),
    ]


@pytest.mark.parametrize(
    ("days", "minutes", "period", "rounded"), [(1, 4, 3600, 4), (20, 4, 3600, 0), (20, 6, 3600, 5), (70, 59, 7200, 0)]
)
async def test_an_older_start_is_rounded_more(days: int, minutes: int, period: int, rounded: int) -> None:
    """To the minute within 15 days, to five minutes within 63, to the hour before that; periods begin there."""
    world = World()
    await world.put(Timestamp=NOW)
    start = NOW - timedelta(days=days) + timedelta(minutes=minutes)
    asked = {**STATS, "Namespace": "app", "StartTime": start, "EndTime": NOW + HOUR, "Period": period}
    (point,) = (await world.ok("GetMetricStatistics", **asked))["Datapoints"]
    begin = NOW - timedelta(days=days) + timedelta(minutes=rounded)
    assert (point["Timestamp"] - begin).total_seconds() % period == 0


async def test_long_lists_keep_their_order(world: World) -> None:
    """Eleven queries are answered in the order in which they were asked, in a form as well."""
    queries = [stat(f"q{number}") for number in range(11)]
    answer = await world.ok("GetMetricData", MetricDataQueries=queries, StartTime=NOW - HOUR, EndTime=NOW)
    assert [result["Id"] for result in answer["MetricDataResults"]] == [f"q{number}" for number in range(11)]


async def test_permissions_name_the_action_and_the_namespace(world: World) -> None:
    """PutMetricData is judged with its namespace as condition; reads have no resource, alarms have."""

    def needed(operation: str, **parameters: Any) -> tuple[Permission, ...]:
        return world.service.permissions(make_request(world.protocol, operation, parameters))

    assert needed("PutMetricData", Namespace="app", MetricData=[datum()]) == (
        Permission("cloudwatch:PutMetricData", "*", (("cloudwatch:namespace", "app"),)),
    )
    assert needed("ListMetrics") == (Permission("cloudwatch:ListMetrics", "*"),)
    assert needed("GetMetricStatistics", **STATS) == (Permission("cloudwatch:GetMetricStatistics", "*"),)
    assert needed("DescribeAlarms") == (
        Permission("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:*"),
    )
    assert needed("PutDashboard", DashboardName="a", DashboardBody="{}") == ()
    code, message = await world.error("PutDashboard", DashboardName="a", DashboardBody="{}")
    assert (code, "does not serve the CloudWatch operation PutDashboard" in message) == (
        "UnknownOperationException",
        True,
    )


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_iams_refusal_speaks_the_callers_protocol(protocol: str) -> None:
    """A 403 AccessDenied that botocore can read, whatever it speaks."""
    denied = Denied("arn:aws:sts::1:assumed-role/r/f", Permission("cloudwatch:ListMetrics", "*"), "no policy allows it")
    answer = refuse_denied(make_request(protocol, "ListMetrics", {}), denied)
    told = read_answer(protocol, "ListMetrics", answer)
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert (told["Error"]["Code"], "cloudwatch:ListMetrics" in told["Error"]["Message"]) == ("AccessDenied", True)


async def test_json_holds_so_many_values_and_no_more() -> None:
    """A megabyte of gzip may hold millions of values: their number has a bound, as in CBOR."""
    body = gzip.compress(b"[" + b"{}," * MAX_VALUES + b"{}]")
    headers = {"x-amz-target": f"{SERVICE}.PutMetricData", "content-encoding": "gzip"}
    response = await World("json").service.handle(wire_request(headers, body))
    assert response.status == 400
    assert isinstance(response.body, bytes)
    assert b"too many values" in response.body


@pytest.mark.parametrize(
    "counted",
    [
        {"StatisticValues": {"SampleCount": 5e-324, "Sum": 1e100, "Minimum": 0.0, "Maximum": 1.0}},
        {"Values": [1e100], "Counts": [5e-324]},
    ],
)
async def test_a_count_next_to_nothing_is_refused(counted: dict[str, Any]) -> None:
    """Its average would be infinite, which no answer in JSON can tell."""
    world = World("json")
    code, _ = await world.error("PutMetricData", Namespace="app", MetricData=[{"MetricName": "m", **counted}])
    assert code == "InvalidParameterValue"


async def test_iams_check_and_the_operation_read_a_request_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `permissions` has read of a request, `handle` does not read again."""
    reads: list[WireRequest] = []

    def read(request: WireRequest) -> Asked:
        reads.append(request)
        return read_request(request)

    monkeypatch.setattr(wire, "read_request", read)
    world = World("json")
    for _ in range(2):
        request = make_request("json", "ListMetrics", {})
        assert world.service.permissions(request) == (Permission("cloudwatch:ListMetrics", "*"),)
        assert (await world.service.handle(request)).status == 200
    broken = wire_request({"x-amz-target": f"{SERVICE}.ListMetrics"}, b"{")
    assert world.service.permissions(broken) == ()
    assert (await world.service.handle(broken)).status == 400
    assert len(reads) == 3


async def test_a_page_of_values_ends_where_it_has_looked_at_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five queries of a metric with three points, and a page that looks at no more once it has looked at four."""
    monkeypatch.setattr(queries, "MAX_READ", 4)
    world = World("json")
    for minute in range(3):
        await world.put(Timestamp=NOW - timedelta(minutes=minute + 1))
    asked = {"MetricDataQueries": [stat(f"q{number}") for number in range(5)], "StartTime": NOW - HOUR, "EndTime": NOW}
    pages: list[list[tuple[str, int]]] = []
    token: dict[str, str] = {}
    while token or not pages:
        answer = await world.ok("GetMetricData", **asked, **token)
        pages.append([(result["Id"], len(result["Values"])) for result in answer["MetricDataResults"]])
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    assert pages == [[("q0", 3), ("q1", 3)], [("q2", 3), ("q3", 3)], [("q4", 3)]]
