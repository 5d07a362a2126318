"""The view of streams on the local cloud itself: records pass through real functions, replays invoke them again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.local.conftest import RunningCloud, start_cloud
from tests.local.console_api import ask, reader_of

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="session")]

ARRIVES_MS = 2_000  # from the answer to the form until the record stands in the tail
IDLE_MS = 150_000  # the metric of a lag is of a minute


@pytest.fixture(scope="module")
def mesh_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud of its own: its stream has what these tests put into it."""
    running = start_cloud(tmp_path_factory.mktemp("mesh") / "state", "--model", "scripted")
    yield running
    running.sluiceway("down")


@pytest_asyncio.fixture(loop_scope="session")
async def view(open_page: OpenPage, mesh_cloud: RunningCloud) -> Page:
    """The view of streams, its tail live."""
    page = await open_page(f"{mesh_cloud.status['endpoints']['console']}/#streams")
    await expect(page.locator("#tail-state")).to_have_text("Live")
    return page


async def publish(page: Page, key: str, data: object) -> None:
    """By the form, until the receipt is there."""
    await page.get_by_label("Key").fill(key)
    await page.get_by_label("JSON").fill(json.dumps(data))
    await page.get_by_role("button", name="Publish record").click()
    await expect(page.locator("#publish-receipt")).to_have_text(
        re.compile(r"^Stored in shard \d+, sequence number \d+$")
    )


async def test_a_published_record_is_in_the_tail_within_two_seconds(view: Page) -> None:
    """From the form through the API, the authorizer and the function into the stream, and from there onto the page."""
    await publish(view, "warm", {"order": 0})  # the functions start
    await expect(view.locator(".record").filter(has_text="warm")).to_have_count(1)
    await view.evaluate("document.querySelector('#publish-receipt').replaceChildren()")
    began = time.monotonic()
    await publish(view, "quick", {"order": 1, "total": 120})
    await expect(view.locator(".record").filter(has_text="quick")).to_have_count(1, timeout=ARRIVES_MS)
    assert time.monotonic() - began < 20  # the publishing itself, on a busy machine
    record = view.locator(".record").filter(has_text="quick")
    await record.locator("summary").click()
    number = (await view.locator("#publish-receipt").text_content() or "").rpartition(" ")[2]
    await expect(record.locator(".facts")).to_contain_text(number)


async def test_a_pattern_is_matched_by_the_local_cloud(view: Page) -> None:
    """Only what matches is shown, of what was there and of what comes; a bad pattern has the engine's own words."""
    await publish(view, "small", {"total": 5})
    await publish(view, "large", {"total": 500})
    await expect(view.locator(".record").filter(has_text="small")).to_have_count(1)
    box = view.get_by_label("Event pattern")
    await box.fill('{"total": [{"numeric": [">=", 400]}]}')
    await box.press("Enter")
    await expect(view.locator(".record").filter(has_text="small")).to_have_count(0)
    await expect(view.locator(".record").filter(has_text="large")).to_have_count(1)
    await publish(view, "larger", {"total": 600})
    await expect(view.locator(".record").filter(has_text="larger")).to_have_count(1)
    await box.fill('{"total": 5}')
    await box.press("Enter")
    await expect(view.locator("#tail-problem")).to_contain_text("That is no event pattern")


async def test_a_replay_runs_with_progress_and_is_cancelled(view: Page, mesh_cloud: RunningCloud) -> None:
    """Records go to the function again, a few a second; cancelled, no more of them do; another runs to its end."""
    await view.get_by_role("button", name="Send demo orders").click()
    await expect(view.locator(".record").nth(40)).to_be_attached(timeout=60_000)
    await view.get_by_role("button", name="Stop sending").click()
    await expect(view.get_by_role("button", name="Send demo orders")).to_be_visible()
    await view.locator("#replay-reader").select_option(label="BroadcastRecords")
    await view.get_by_label("Records a second").fill("4")
    await view.get_by_role("button", name="Replay", exact=True).click()
    first = view.locator("#replay-list li").first
    await expect(first).to_contain_text(re.compile(r"Running  ·  [1-9]\d* sent"))
    await view.get_by_role("button", name="Cancel the replay to BroadcastRecords").click()
    await expect(first).to_contain_text("Cancelled")
    told = ask(mesh_cloud, "GET", "api/streams")[1]["replays"][0]
    assert told["state"] == "cancelled"
    assert 0 < told["done"] < 40
    batches = reader_of(mesh_cloud, "BroadcastRecords")["last"]["batches"]
    await view.get_by_label("Records a second").fill("1000")
    await view.get_by_role("button", name="Replay", exact=True).click()
    await expect(view.locator("#replay-list li").first).to_contain_text("Done", timeout=60_000)
    whole = ask(mesh_cloud, "GET", "api/streams")[1]["replays"][0]
    assert (whole["refused"], whole["shards_done"], whole["fraction"]) == (0, whole["shards"], 1.0)
    assert whole["done"] > 40
    ends = time.monotonic() + 10  # the console gives an answer again for half a second
    while reader_of(mesh_cloud, "BroadcastRecords")["last"]["batches"] <= batches:
        assert time.monotonic() < ends


async def test_the_lag_goes_to_nothing(view: Page) -> None:
    """While records come, the metric of the last minute; once a minute has passed without any, 0."""
    await publish(view, "last", {"order": 2})
    lag = (
        view.get_by_role("list", name="Readers")
        .get_by_role("listitem")
        .filter(has_text="BroadcastRecords")
        .locator(".lag")
    )
    await expect(lag).to_have_text(re.compile(r"^(\d+ ms|\d+\.\d+ s) behind$"))
    await expect(lag).to_have_text("0 s behind", timeout=IDLE_MS)
