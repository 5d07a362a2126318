"""What stages tell of requests: the metrics of AWS/ApiGateway, and the lines of access logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.ports import FunctionReply
from localcloud.gateway.telling import REST_NAMES, AccessLog, Answered, Called, StageTelling, Telling, rest_dimensions
from localcloud.gateway.websocket.gateway import Refused
from localcloud.services.logs.model import Logs
from localcloud.template.errors import TemplateError
from tests.unit import http_api_setup, rest_setup, websocket_setup
from tests.unit.counting_setup import Told
from tests.unit.gateway_setup import REGION

GROUP = "arn:aws:logs:eu-central-1:123456789012:log-group:/access/api"
LINES = json.dumps(
    {
        "ip": "$context.identity.sourceIp",
        "route": "$context.httpMethod $context.resourcePath$context.routeKey",
        "status": "$context.status",
        "length": "$context.responseLength",
        "integration": "$context.integration.status/$context.integration.latency/$context.integrationErrorMessage",
        "error": "$context.error.message",
        "none": "$context.nonsense $context.authorizer.claims $context.identity",
        "who": "$context.authorizer.principalId",
    }
)
SETTING = {"DestinationArn": f"{GROUP}:*", "Format": LINES}


class World(Told):
    """Counters and logs for a stage to tell."""

    def __init__(self) -> None:
        super().__init__("AWS/ApiGateway", REGION)
        self.logs = Logs(clock=self.clock)
        self.telling = Telling(self.counters, self.logs)

    def lines(self) -> list[Any]:
        return [json.loads(event.message) for event in self.logs.events("/access/api")]


def with_world(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(World())

    run_virtual(main)


async def make_rest(world: World, **stage: Any) -> rest_setup.Rest:
    """`GET /pets` of a mock, `POST /pets` of one that answers 502."""
    rest = rest_setup.Rest(telling=world.telling)
    await rest.make("RestApi", "Api", Name="pets")
    pets = await rest.resource("pets")
    await rest.method(pets)
    await rest.method(pets, "POST", Integration={"Type": "MOCK", "RequestTemplates": {"application/json": "nonsense"}})
    await rest.deploy(**stage)
    return rest


def test_a_rest_stage_counts_requests_and_errors() -> None:
    """Under the API's name, and its name and stage; the average of an error's metric is its rate."""

    async def test(world: World) -> None:
        rest = await make_rest(world)
        statuses = [(await rest.ask(*asked)).status for asked in (("GET", "/pets"), ("GET", "/no"), ("POST", "/pets"))]
        assert statuses == [200, 403, 500]
        for dimensions in ({"ApiName": "pets"}, {"ApiName": "pets", "Stage": "v1"}):
            assert world.stats("Count", **dimensions) == (3, 3, 1, 1)
            assert world.stats("4XXError", **dimensions) == (3, 1, 0, 1)
            assert world.stats("5XXError", **dimensions) == (3, 1, 0, 1)
            assert world.stats("Latency", **dimensions) == (3, 0, 0, 0)
            assert world.stats("IntegrationLatency", **dimensions) == (2, 0, 0, 0)
            assert world.unit("Latency", **dimensions) == "Milliseconds"
        assert len(world.sets("Count")) == 2

    with_world(test)


def test_methods_have_metrics_of_their_own_where_the_stage_says() -> None:
    """MetricsEnabled by method setting, the most specific one first; what leads nowhere has none."""

    async def test(world: World) -> None:
        settings = [
            {"ResourcePath": "/*", "HttpMethod": "*", "MetricsEnabled": True},
            {"ResourcePath": "/~1pets", "HttpMethod": "POST", "MetricsEnabled": False},
        ]
        rest = await make_rest(world, MethodSettings=settings)
        for asked in (("GET", "/pets"), ("POST", "/pets"), ("GET", "/no")):
            await rest.ask(*asked)
        own = {"ApiName": "pets", "Stage": "v1", "Method": "GET", "Resource": "/pets"}
        assert world.stats("Count", **own) == (1, 1, 1, 1)
        assert [each for each in world.sets("Count") if "Method" in each] == [dict(sorted(own.items()))]
        assert world.stats("Count", ApiName="pets") == (3, 3, 1, 1)

    with_world(test)


def test_an_http_stage_counts_bytes_too() -> None:
    """4xx and 5xx are spelt otherwise than a REST API's; routes have their own where DetailedMetricsEnabled says."""

    async def test(world: World) -> None:
        http = http_api_setup.World(world.clock, world.telling)
        await http.make("Api", Name="t", ProtocolType="HTTP")
        await http.make_route("GET /a")
        await http.make_route("POST /b")
        await http.make(
            "Stage", StageName="$default", AutoDeploy=True, RouteSettings={"GET /a": {"DetailedMetricsEnabled": True}}
        )
        http.functions.replies["Work"] = slow_reply
        await http.ask("GET", "/a")
        await http.ask("POST", "/b", b"12345")
        await http.ask("GET", "/c")
        whole, stage = {"ApiId": http.api_id}, {"ApiId": http.api_id, "Stage": "$default"}
        for dimensions in (whole, stage):
            assert world.stats("Count", **dimensions) == (3, 3, 1, 1)
            assert world.stats("4xx", **dimensions) == (3, 1, 0, 1)
            assert world.stats("5xx", **dimensions) == (3, 0, 0, 0)
            assert world.stats("Latency", **dimensions) == (3, 4000, 0, 2000)
            assert world.stats("IntegrationLatency", **dimensions) == (2, 4000, 2000, 2000)
        assert world.stats("DataProcessed", **stage) == (3, 4 + 9 + len(b'{"message":"Not Found"}'), 4, 23)
        assert world.unit("DataProcessed", **stage) == "Bytes"
        assert world.stats("Count", **stage, Method="GET", Resource="/a") == (1, 1, 1, 1)
        assert world.stats("Count", **stage, Method="POST", Resource="/b") is None

    with_world(test)


async def slow_reply(_: Any) -> FunctionReply:
    await asyncio.sleep(2)
    return FunctionReply(b'{"statusCode":200,"body":"done"}')


def test_a_rest_stage_writes_a_line_for_each_request() -> None:
    """Variables are replaced, unknown ones and maps by a dash; what went wrong is told where it did."""

    async def test(world: World) -> None:
        rest = await make_rest(world, AccessLogSetting=SETTING)
        await rest.ask("GET", "/pets")
        await rest.ask("GET", "/no")
        await rest.ask("POST", "/pets")
        found, missing, broken = world.lines()
        assert found == {
            "ip": "127.0.0.1",
            "route": "GET /pets-",
            "status": "200",
            "length": "0",
            "integration": "200/0/-",
            "error": "-",
            "none": "- - -",
            "who": "-",
        }
        assert (missing["status"], missing["error"]) == ("403", "Missing Authentication Token")
        assert missing["integration"] == "-/-/-"
        assert broken["integration"] == "-/0/a mock template gives no statusCode"
        assert (broken["status"], broken["error"]) == ("500", "Internal server error")

    with_world(test)


def test_an_http_stage_writes_a_line_for_each_request() -> None:
    """With the route's key, and the message that the client got."""

    async def test(world: World) -> None:
        http = http_api_setup.World(world.clock, world.telling)
        await http.make("Api", Name="t", ProtocolType="HTTP")
        await http.make("Stage", StageName="$default", AutoDeploy=True, AccessLogSettings=SETTING)
        await http.make_route("GET /a")
        await http.ask("GET", "/a")
        await http.ask("GET", "/b")
        found, missing = world.lines()
        assert (found["route"], found["status"], found["integration"]) == ("GET -GET /a", "200", "200/0/-")
        assert found["length"] == "4"
        assert (missing["route"], missing["status"], missing["error"]) == ("GET --", "404", "Not Found")

    with_world(test)


def test_a_websocket_stage_counts_connections_and_messages_both_ways() -> None:
    """Events and errors by where they went wrong; a line of the access log for each event."""

    async def test(world: World) -> None:
        def alter(properties: dict[str, Any], logical_id: str) -> None:
            if logical_id.endswith("Stage"):
                properties["AccessLogSettings"] = SETTING

        async with websocket_setup.open_world(alter=alter, telling=world.telling) as there:
            connection, wire = await there.open()
            there.functions.replies["Serve"] = b'{"statusCode":200,"body":"an answer"}'
            await there.say(connection, wire, {"action": "ask"})
            there.functions.replies["Serve"] = b'{"statusCode":404}'
            await there.say(connection, wire, {"action": "ask"})
            there.functions.replies["Serve"] = FunctionReply(b"{}", "Unhandled")
            await there.say(connection, wire, {"action": "ask"})
            answer = await there.manage(
                "POST", f"/{there.api_id}/v1/@connections/{connection.client.connection_id}", b"x"
            )
            assert answer.status == 200
            assert isinstance(await there.shake(query=""), Refused)
            stage = {"ApiId": there.api_id, "Stage": "v1"}
            assert world.stats("ConnectCount", **stage) == (1, 1, 1, 1)
            assert world.stats("MessageCount", **stage) == (5, 5, 1, 1)
            assert world.stats("ClientError", **stage) == (5, 1, 0, 1)
            assert world.stats("IntegrationError", **stage) == (5, 1, 0, 1)
            assert world.stats("ExecutionError", **stage) == (5, 1, 0, 1)
            assert world.stats("IntegrationLatency", **stage) == (4, 0, 0, 0)
            assert world.stats("MessageCount", ApiId=there.api_id) == (5, 5, 1, 1)
            lines = world.lines()
            assert [line["status"] for line in lines] == ["200", "200", "404", "502", "401"]
            assert [line["route"] for line in lines] == ["- -$connect", "- -ask", "- -ask", "- -ask", "- -$connect"]
            assert (lines[0]["who"], lines[3]["error"]) == ("ann", "Internal server error")

    with_world(test)


class Chunks:
    """Three times four bytes, a second each."""

    def __init__(self) -> None:
        self.left = 3

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        await asyncio.sleep(1)
        return b"four"

    async def aclose(self) -> None: ...


def test_a_stream_is_told_when_it_has_ended_or_nobody_reads_on() -> None:
    """With all its bytes and all its time."""

    async def test(world: World) -> None:
        names = rest_dimensions("id", "n")
        log = AccessLog("/access/api", '{"length":"$context.responseLength","took":"$context.responseLatency"}')
        stage = StageTelling(
            telling=world.telling, names=REST_NAMES, region=REGION, sets=[names], own=names, log=log, stream="s"
        )
        for most in (9, 1):
            now = asyncio.get_running_loop().time()
            asked = Answered(began=now, called=Called(), method="", resource="", in_bytes=0, context=dict[str, Any])
            sent = stage.tell(asked, HttpResponse(200, stream=Chunks())).stream
            assert sent is not None
            assert world.lines() == ([] if most == 9 else world.lines())
            read = 0
            async for _ in sent:
                read += 1
                if read == most:
                    break
            await sent.aclose()
        assert world.lines() == [{"length": "12", "took": "3000"}, {"length": "4", "took": "1000"}]
        assert world.stats("Latency", ApiName="n") == (2, 4000, 1000, 3000)

    with_world(test)


def test_an_api_without_a_letter_of_ascii_in_its_name_is_told_by_its_id() -> None:
    """API Gateway takes the other characters out of ApiName."""
    assert rest_dimensions("abc", "Zoë's") == {"ApiName": "Zo's"}
    assert rest_dimensions("abc", "東京") == {"ApiName": "abc"}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"DestinationArn": GROUP}, "Format"),
        ({"Format": "$context.requestId"}, "DestinationArn"),
        ({"DestinationArn": "arn:aws:sqs:eu-central-1:123456789012:q", "Format": "x"}, "no log group"),
        (
            {
                "DestinationArn": "arn:aws:firehose:eu-central-1:123456789012:deliverystream/amazon-apigateway-x",
                "Format": "x",
            },
            "Firehose is not served",
        ),
        ({"DestinationArn": GROUP, "Format": "x" * 3073}, "3072 at most"),
        ({"DestinationArn": GROUP, "Format": "a\nb"}, "single line"),
    ],
    ids=["no-format", "no-destination", "a-queue", "firehose", "long", "two-lines"],
)
def test_a_setting_that_cannot_be_is_refused_by_name(setting: dict[str, str], says: str) -> None:
    """When the stage is made."""

    async def test(world: World) -> None:
        with pytest.raises(TemplateError, match=says):
            await make_rest(world, AccessLogSetting=setting)

    with_world(test)
