"""The view of streams on the local cloud itself: resharded, filtered, subscribed to and replayed while it is shown."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import boto3
import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.aws.wire import Wire
from sluiceway.ports import SystemClock
from sluiceway.rules.filtering import parse_rule
from tests.answer_clients import connect
from tests.browser.conftest import OpenPage
from tests.local.conftest import RunningCloud, start_cloud
from tests.local.console_api import ask, reader_of

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="session")]

PATIENCE_S = 60.0  # a busy machine starts a process in seconds; nothing here waits for it
MASK_KEY = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
LAST_HASH = (1 << 128) - 1
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "root", "aws_secret_access_key": "root"}
LARGE = {"total": [{"numeric": [">=", 100]}]}
CUT = """() => {
  const wide = document.documentElement.clientWidth;
  const words = "h2, h3, b, .facts, .chip, .lag, dd, dt, td, th, label, button, p";
  const parts = [...document.querySelectorAll(`#streams :is(${words})`)].filter((each) => each.checkVisibility());
  return parts.filter((each) => !each.closest(".tail")).filter((each) => {
    const {left, right} = each.getBoundingClientRect();
    const isBlock = getComputedStyle(each).display !== "inline";
    return left < 0 || right > wide || (isBlock && each.scrollWidth > each.clientWidth + 1);
  }).map((each) => each.outerHTML.slice(0, 200));
}"""
PLACES = """() => [...document.querySelectorAll("#streams :is(.card, .reader, form, .facts)")]
  .filter((each) => each.checkVisibility() && !each.closest(".tail"))
  .map((each) => [each.textContent.trim().slice(0, 60), each.offsetLeft, each.offsetTop])"""
BOXES = """() => [...document.querySelectorAll(".shards .shard")].map((shard) => {
  const place = (each) => { const {x, y, width, height} = each.getBBox(); return [x, y, x + width, y + height]; };
  const text = shard.querySelector("text");
  return {name: shard.querySelector("title").textContent, box: place(shard.querySelector(".box")),
          text: text && place(text), said: text && text.textContent};
})"""


class Mesh:
    """The application's stack with a channel for its records, and clients of it."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.url: str = cloud.status["endpoints"]["aws"]
        self.console: str = cloud.status["endpoints"]["console"]
        self.stream = self.outputs["RecordsStreamName"]
        self.stack = self.stream.removesuffix("-RecordsStream")
        self.kinesis = self.client("kinesis")

    def client(self, name: str) -> Any:
        sdk: Any = boto3
        return sdk.client(name, endpoint_url=self.url, **KEYS)

    async def put(self, *orders: dict[str, Any], hash_key: int | None = None) -> None:
        """One PutRecords; to the shard of `hash_key`, or by customer."""
        place = {} if hash_key is None else {"ExplicitHashKey": str(hash_key)}
        records = [
            {"Data": json.dumps(order).encode(), "PartitionKey": order.get("customer", "somebody"), **place}
            for order in orders
        ]
        done = await asyncio.to_thread(self.kinesis.put_records, StreamName=self.stream, Records=records)
        assert done["FailedRecordCount"] == 0

    async def reshard(self, operation: str, **members: Any) -> None:
        """One change of the stream, until it is ACTIVE again."""
        await asyncio.to_thread(getattr(self.kinesis, operation), **members)
        summary = self.kinesis.describe_stream_summary
        while True:
            await asyncio.sleep(0.15)  # as often as AWS allows
            told = await asyncio.to_thread(summary, StreamName=self.stream)
            if told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                return

    async def write_rule(self, rule_id: str, queue: str, **more: Any) -> None:
        """A rule of the topic `records`, to a queue of this account."""
        url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{queue}"
        rule = {"topic": "records", "rule_id": rule_id, "destination": {"type": "sqs", "url": url}, **more}
        environ = {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1"}
        environ |= {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root"}
        async with Wire.open(environ) as wire:
            await DynamoDbFilterRuleStore(wire, self.outputs["RulesTableName"], SystemClock()).put(parse_rule(rule))

    def told(self) -> dict[str, Any]:
        """What the console's API says."""
        return ask(self.cloud, "GET", "api/streams")[1]

    def metric(self, namespace: str, name: str, statistic: str, **dimensions: str) -> list[float]:
        """A metric's values by minute, the newest first, as boto3 reads them from CloudWatch."""
        named = [{"Name": each, "Value": value} for each, value in dimensions.items()]
        stat = {"Metric": {"Namespace": namespace, "MetricName": name, "Dimensions": named}, "Period": 60}
        query = {"Id": "q", "MetricStat": {**stat, "Stat": statistic}}
        now_s = int(time.time())
        found = self.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query], StartTime=now_s - 3600, EndTime=now_s + 60
        )
        return found["MetricDataResults"][0]["Values"]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A cloud of its own, for the whole file: its stream is changed."""
    overrides = ("RecordsChannel=true", f"MaskKey={MASK_KEY}")
    state = tmp_path_factory.mktemp("mesh") / "state"
    running = start_cloud(state, "--model", "scripted", "--parameter-overrides", *overrides)
    yield Mesh(running)
    running.sluiceway("down")


@pytest_asyncio.fixture(loop_scope="session")
async def view(open_page: OpenPage, mesh: Mesh) -> Page:
    """The view of streams, its tail live."""
    return await open_view(open_page, mesh, width=1280)


async def open_view(open_page: OpenPage, mesh: Mesh, *, width: int) -> Page:
    page = await open_page(f"{mesh.console}/#streams", viewport={"width": width, "height": 800})
    await expect(page.locator("#tail-state")).to_have_text("Live")
    return page


async def until(holds: Callable[[], bool]) -> None:
    """What no page shows: asked for again until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.1)


def card(page: Page, group: str, name: str) -> Locator:
    """An entry of a list, by the name that it begins with."""
    entries = page.get_by_role("list", name=group, exact=True).locator("> li")
    return entries.filter(has=page.locator("b", has_text=re.compile(f"^{re.escape(name)}$")))


@asynccontextmanager
async def hear_channel(mesh: Mesh) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """A subscriber of the topic's channel, by AppSync's own protocol."""
    appsync = mesh.client("appsync")
    (api,) = appsync.list_apis()["apis"]
    (key,) = appsync.list_api_keys(apiId=api["apiId"])["apiKeys"]
    shown = {"host": api["dns"]["HTTP"], "x-api-key": key["id"]}
    header = base64.urlsafe_b64encode(json.dumps(shown).encode()).rstrip(b"=").decode()
    protocols = ("aws-appsync-event-ws", f"header-{header}")
    address = mesh.cloud.status["endpoints"]["recordevents-realtime"]
    async with aiohttp.ClientSession() as session, session.ws_connect(address, protocols=protocols) as socket:
        asked = {"type": "subscribe", "id": "s", "channel": "/records/live", "authorization": shown}
        await socket.send_json(asked)
        assert (await socket.receive_json(timeout=PATIENCE_S))["type"] == "subscribe_success"
        yield socket


# ---- where records go


async def test_a_rule_stands_there_with_its_destination_and_what_became_of_its_records(view: Page, mesh: Mesh) -> None:
    """Written while somebody looks; then the records that it matched, those sent, and the rule that cannot send."""
    await expect(view.locator("#rules")).to_contain_text("No rules: every record is read, and goes nowhere.")
    queue = f"{mesh.stack}-mesh-large"
    url = mesh.client("sqs").create_queue(QueueName=queue)["QueueUrl"]
    columns, masks = ["order", "total", "customer"], {"customer": "tokenise"}
    await mesh.write_rule("large-orders", queue, pattern=LARGE, columns=columns, masks=masks)
    await mesh.write_rule("to-nowhere", f"{mesh.stack}-mesh-none", pattern={"order": [1]})
    large, nowhere = card(view, "Rules", "large-orders"), card(view, "Rules", "to-nowhere")
    await expect(large.locator(".chip")).to_have_text("Enabled")
    await expect(large.locator("dd")).to_have_text(
        ['{"total":[{"numeric":[">=",100]}]}', "customer, order, total", "customer: tokenise", f"queue {queue}"]
    )
    await mesh.put(*({"order": at, "total": 40 * at, "customer": "ann"} for at in range(6)))
    await expect(view.locator("#rules > .facts")).to_have_text(
        re.compile(r"^Since the start: 4 matched\W+2 unmatched\W+0 poison\W+3 sent\W+0 refused\W+0 returned$")
    )
    await expect(nowhere.locator("dd").last).to_have_text("0 refused, 0 returned, 1 misconfigured")
    await expect(large.get_by_text("Wrong")).to_have_count(0)
    letters = card(view, "Dead-letter queues", f"{mesh.stack}-FilterDeadLetters")
    await expect(letters).to_contain_text("1 letter")
    await letters.get_by_role("button", name="Why").click()
    await expect(letters.locator("ol")).to_contain_text("misconfigured")
    count = "ApproximateNumberOfMessages"
    told = mesh.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[count])
    assert told["Attributes"][count] == "3"


async def test_a_subscriber_stands_there_with_its_topic_its_rows_and_its_columns(view: Page, mesh: Mesh) -> None:
    """One over the WebSocket, gone with its connection; AppSync's are not known, the channel is; both hear a record."""
    await expect(view.locator("#subscribers")).to_contain_text("Nobody has subscribed.")
    await expect(view.locator("#subscribers .facts")).to_have_text(
        "Topic records is published to /records/live as well; AppSync does not tell who listens there."
    )
    async with hear_channel(mesh) as channel:
        async with connect(mesh.outputs["SocketUrl"], mesh.cloud.token()) as client:
            asked = {
                "action": "subscribe",
                "req": "s1",
                "topic": "records",
                "pattern": LARGE,
                "columns": ["order", "total"],
            }
            await client.say(asked)
            answer = await client.receive(PATIENCE_S)
            assert answer["t"] == "subscribed", answer
            mine = card(view, "Subscribers by topic", "records")
            await expect(mine.locator(".facts")).to_have_text("1 connection")
            await expect(mine.locator(".reasons li")).to_have_text(
                ['1 connection: rows {"total":[{"numeric":[">=",100]}]}, columns order, total']
            )
            await expect(view.locator("#subscribers .facts").last).to_contain_text("/records/live")
            heard = asyncio.ensure_future(client.receive(PATIENCE_S))
            async with asyncio.timeout(PATIENCE_S):
                while not heard.done():  # the subscription counts within two seconds
                    await mesh.put({"order": 77, "total": 770, "customer": "bob"})
                    await asyncio.wait([heard], timeout=1)
            assert [record["d"] for record in heard.result()["d"]] == [{"order": 77, "total": 770}]
            await expect(view.locator(".record").filter(has_text="bob").first).to_contain_text('"total":770')
        event = await channel.receive_json(timeout=PATIENCE_S)
        while event["type"] != "data":
            event = await channel.receive_json(timeout=PATIENCE_S)
        assert json.loads(event["event"])["d"][0]["d"] == {"order": 77, "total": 770, "customer": "bob"}
    await expect(view.locator("#subscribers")).to_contain_text("Nobody has subscribed.")


# ---- shards


async def test_a_split_and_a_merge_are_drawn_with_parents_on_any_screen(
    view: Page, open_page: OpenPage, mesh: Mesh
) -> None:
    """Generations from left to right, hash keys from top to bottom; each shard's name in its box."""
    phone = await open_view(open_page, mesh, width=360)
    await expect(view.get_by_role("img", name=re.compile("^4 open and 0 closed shards"))).to_be_visible()
    arn = mesh.told()["streams"][0]["arn"]
    provisioned = {"StreamMode": "PROVISIONED"}
    await mesh.reshard("update_stream_mode", StreamARN=arn, StreamModeDetails=provisioned)
    await expect(view.locator("#stream-facts")).to_contain_text("provisioned, 4 open shards")
    stream = {"StreamName": mesh.stream}
    eighth = {"ShardToSplit": shard_id(0), "NewStartingHashKey": str(1 << 125)}
    await mesh.reshard("split_shard", **stream, **eighth)
    await mesh.reshard("merge_shards", **stream, ShardToMerge=shard_id(2), AdjacentShardToMerge=shard_id(3))
    await mesh.reshard("merge_shards", **stream, ShardToMerge=shard_id(1), AdjacentShardToMerge=shard_id(5))
    for page in (view, phone):
        await expect(page.get_by_role("img", name=re.compile("^3 open and 5 closed shards"))).to_be_visible()
        await expect(page.locator(".shards .kin")).to_have_count(6)
        await page.get_by_text("Shards as a list").click()
        rows = await page.locator("#shard-list tbody tr").all()
        assert [(await row.locator("td").all_text_contents())[:4] for row in rows] == [
            [shard_id(0), "closed", "0.0 to 25.0 %", "none"],
            [shard_id(1), "closed", "25.0 to 50.0 %", "none"],
            [shard_id(2), "closed", "50.0 to 75.0 %", "none"],
            [shard_id(3), "closed", "75.0 to 100.0 %", "none"],
            [shard_id(4), "open", "0.0 to 12.5 %", "shard 0"],
            [shard_id(5), "closed", "12.5 to 25.0 %", "shard 0"],
            [shard_id(6), "open", "50.0 to 100.0 %", "shard 2, shard 3"],
            [shard_id(7), "open", "12.5 to 50.0 %", "shard 1, shard 5"],
        ]
        shards = {each["id"]: each for each in mesh.told()["streams"][0]["shards"]}
        check_picture(await boxes_of(page), shards, await page.locator("#shards").evaluate("each => each.clientWidth"))


async def test_a_hot_shard_and_the_rates_are_those_of_the_records(view: Page, open_page: OpenPage, mesh: Mesh) -> None:
    """Of the last ten seconds: ten times what is shown is what was put; CloudWatch has counted as many."""
    phone = await open_view(open_page, mesh, width=360)
    shards = {each["id"]: each for each in mesh.told()["streams"][0]["shards"]}
    numbers = {each["from"]: int(each["id"][-3:]) for each in shards.values() if each["open"]}
    cold, hot = numbers[0.0], numbers[max(numbers)]
    incoming = {"namespace": "AWS/Kinesis", "name": "IncomingRecords", "statistic": "Sum", "StreamName": mesh.stream}
    before = sum(mesh.metric(**incoming))
    await mesh.put(*({"order": 500 + at, "customer": "hot"} for at in range(24)), hash_key=LAST_HASH)
    await mesh.put(*({"order": 600 + at, "customer": "cold"} for at in range(3)), hash_key=0)
    await expect(view.get_by_role("img", name=re.compile(f"; shard {hot} is hot$"))).to_be_visible()
    await expect(view.locator(".shard[data-state=hot] text")).to_have_text(re.compile(rf"^shard {hot}, hot\s+2\.4\D"))
    await expect(view.locator("#stream-facts")).to_have_text(re.compile(r"^2\.7 records/s, \d+ B/s in"))
    await expect(view.locator(".shard[data-state=open] text").first).to_have_text(
        re.compile(rf"^shard {cold}\s+0\.3\D")
    )
    await expect(phone.locator(".shard[data-state=hot] text")).to_contain_text(re.compile(rf"\b{hot},? hot"))
    for page in (view, phone):
        check_picture(await boxes_of(page), shards, await page.locator("#shards").evaluate("each => each.clientWidth"))
    await expect(view.locator(".record").filter(has_text="hot").first).to_contain_text(f"shard {hot}")
    await expect(view.locator(".record").filter(has_text="cold").first).to_contain_text(f"shard {cold}")
    assert sum(mesh.metric(**incoming)) - before == 27
    closed = [each for each in mesh.told()["streams"][0]["shards"] if not each["open"]]
    assert {each["records_s"] for each in closed} <= {0}


# ---- readers


def in_words(age_ms: float) -> str:
    """A lag of less than a minute as the page rounds it."""
    if age_ms < 0.95:
        return "0 ms" if age_ms < 0.05 else f"{age_ms:.1f} ms"
    if age_ms < 999.5:
        return f"{age_ms:.0f} ms"
    return f"{age_ms / 1000:.2f} s" if age_ms < 9_995 else f"{age_ms / 1000:.1f} s"


async def test_each_reader_is_as_late_as_cloudwatch_says(view: Page, mesh: Mesh) -> None:
    """IteratorAge of a function is the reader's; the stream's own metric knows the readers together."""
    await mesh.put({"order": 1, "total": 1, "customer": "late"}, hash_key=0)
    for function, output in (("FilterRecords", "FilterRecordsName"), ("BroadcastRecords", "BroadcastRecordsName")):
        mine = {"FunctionName": mesh.outputs[output]}

        def agrees(function: str = function, mine: dict[str, str] = mine) -> bool:
            newest = mesh.metric("AWS/Lambda", "IteratorAge", "Maximum", **mine)[:1]
            return [reader_of(mesh.cloud, function)["age_ms"]] == newest

        for left in reversed(range(5)):  # another record may come between the question and the look at the page
            await until(agrees)
            age_ms: float = reader_of(mesh.cloud, function)["age_ms"]
            lag = card(view, "Readers", function).locator(".lag")
            try:
                await expect(lag).to_have_text(f"{in_words(age_ms)} behind")
                break
            except AssertionError:
                if not left:
                    raise
    counts = card(view, "Readers", "RollUpRecords")
    await expect(counts).to_contain_text("windows of 60 s")
    await expect(card(view, "Readers", "sluiceway-console")).to_contain_text("enhanced fan-out, active: this page")
    ages = mesh.metric("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "Maximum", StreamName=mesh.stream)
    assert all(0 <= age < PATIENCE_S * 1000 for age in ages)
    pushed = {"StreamName": mesh.stream, "ConsumerName": "sluiceway-console"}
    assert sum(mesh.metric("AWS/Kinesis", "SubscribeToShardEvent.Records", "Sum", **pushed)) > 0


async def test_a_replay_from_a_record_progresses_and_ends(view: Page, mesh: Mesh) -> None:
    """That record and all after it, a few a second, over the children of a reshard; then nothing is left to cancel."""
    begin = "replay-from-here"
    await mesh.put({"order": 0, "total": 1, "customer": begin}, hash_key=0)
    await expect(view.locator(".record").filter(has_text=begin)).to_have_count(1)
    await mesh.put(*({"order": at, "total": 1, "customer": "again"} for at in range(11)), hash_key=LAST_HASH)
    batches = reader_of(mesh.cloud, "FilterRecords")["last"]["batches"]
    record = view.locator(".record").filter(has_text=begin)
    await record.locator("summary").click()
    await record.get_by_role("button", name="Replay from here").click()
    await view.locator("#replay-reader").select_option(label="FilterRecords")
    await view.get_by_label("Records a second").fill("2")
    await view.get_by_role("button", name="Replay", exact=True).click()
    entry = card(view, "Replays", "FilterRecords, 2 a second")
    await expect(entry.locator(".facts")).to_have_text(
        re.compile(r"^Running\s+·\s+[1-9]\d* sent\s+·\s+\d of \d shards$")
    )
    cancel = view.get_by_role("button", name="Cancel the replay to FilterRecords")
    await expect(cancel).to_be_visible()
    await expect(entry.locator(".facts")).to_have_text(re.compile(r"^Done\s+·\s+12 sent\s+·\s+(\d) of \1 shards$"))
    assert await entry.locator("progress").evaluate("bar => bar.value") == 1
    await expect(cancel).to_be_hidden()
    await until(lambda: reader_of(mesh.cloud, "FilterRecords")["last"]["batches"] > batches)


# ---- how it looks


async def test_nothing_is_cut_and_nothing_jumps(open_page: OpenPage, mesh: Mesh) -> None:
    """With all that there is to show, no part is wider than the page; news that change nothing move nothing."""
    ask(mesh.cloud, "POST", "api/replays", {"reader": reader_of(mesh.cloud, "FilterRecords")["id"], "rate": 1_000})
    pages = [await open_view(open_page, mesh, width=width) for width in (1280, 360)]
    for page in pages:
        await expect(page.get_by_role("list", name="Replays").locator("> li").first).to_contain_text("Done")
        await page.get_by_text("Shards as a list").click()
        assert await page.evaluate(CUT) == []
    for page in pages:
        for left in reversed(range(5)):  # what the mesh still works on may move something once
            before = await page.evaluate(PLACES)
            for _ in range(2):
                async with page.expect_response("**/api/streams"):
                    pass
            after = await page.evaluate(PLACES)
            moved = [pair for pair in zip(before, after, strict=False) if pair[0][1:] != pair[1][1:]]
            if not moved and len(before) == len(after):
                break
            assert left, moved


async def boxes_of(page: Page) -> dict[int, dict[str, Any]]:
    """The boxes of the picture by shard: where they and their words lie, as left, top, right, bottom."""
    found = await page.evaluate(BOXES)
    return {int(re.findall(r"\d+", each["name"])[0]): each for each in found}


def check_picture(boxes: dict[int, dict[str, Any]], shards: dict[str, dict[str, Any]], width: float) -> None:
    """Children right of their parents, no box on another, every name in its box, each within the picture."""
    assert {shard_id(number) for number in boxes} == set(shards)
    for number, each in boxes.items():
        for parent in shards[shard_id(number)]["parents"]:
            assert boxes[int(parent[-3:])]["box"][2] < each["box"][0]
    places = [each["box"] for each in boxes.values()]
    for at, one in enumerate(places):
        assert one[0] >= 0
        assert one[2] <= width
        for other in places[at + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)
    for number, each in boxes.items():
        assert each["text"] is not None, number
        assert str(number) in each["said"]
        box, text = each["box"], each["text"]
        assert box[0] <= text[0]
        assert text[2] <= box[2], each["said"]
        assert box[1] - 1 <= text[1]
        assert text[3] <= box[3] + 1


def shard_id(number: int) -> str:
    """The id of a shard."""
    return f"shardId-{number:012}"
