"""The view of streams in a browser: a tail that is held still, forms that say what is wrong, replays that are ended."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.fake_service import FakeService
from tests.browser.mesh import STREAM, shard, told_record
from tests.browser.test_panels import go

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stream_is_drawn_with_its_shards(page: Page, service: FakeService) -> None:
    """The picture says in words what it shows; the list has every shard, with its parents."""
    await go(page, "Streams")
    await expect(page.get_by_role("img", name="2 open and 3 closed shards; shard 2 is hot")).to_be_visible()
    await expect(page.get_by_role("heading", name=STREAM)).to_be_visible()
    await expect(page.locator("#stream-facts")).to_contain_text("815 records/s, 137 KB/s in")
    await page.get_by_text("Shards as a list").click()
    row = page.get_by_role("row").filter(has_text="shardId-000000000004")
    await expect(row).to_contain_text("shard 3, shard 1")
    await expect(page.locator(".shards .kin")).to_have_count(4)
    service.mesh["streams"][0]["shards"] = [shard(at, at / 4, (at + 1) / 4) for at in range(4)]
    await expect(page.get_by_role("img", name="4 open and 0 closed shards")).to_be_visible()


async def test_a_template_without_a_stream_says_so(page: Page, service: FakeService) -> None:
    """Nothing is read, and nothing is offered."""
    service.mesh |= {"streams": [], "readers": [], "topics": {}}
    await go(page, "Streams")
    await expect(page.get_by_text("There is no Kinesis stream here.")).to_be_visible()
    await expect(page.get_by_role("button", name="Send demo orders")).to_be_hidden()
    assert [what for what, _ in service.asked if what == "tail"] == []


async def test_the_tail_waits_while_it_is_paused(page: Page, service: FakeService) -> None:
    """What comes meanwhile is counted, and shown on resuming; each record once."""
    await go(page, "Streams")
    await service.until(lambda: service.asked)
    await service.arrive(told_record(1), told_record(2), told_record(2))
    await expect(page.locator(".record summary b")).to_have_text(["customer-02", "customer-01"])
    pause = page.locator("#tail-pause")
    await pause.click()
    await expect(pause).to_have_attribute("aria-pressed", "true")
    await service.arrive(told_record(3), told_record(4))
    await expect(pause).to_have_text("Resume (2 records wait)")
    await expect(page.locator(".record")).to_have_count(2)
    await pause.press("Enter")
    await expect(page.locator(".record summary b")).to_have_text([f"customer-0{at}" for at in (4, 3, 2, 1)])


async def test_a_record_opens_by_keyboard_and_is_no_markup(page: Page, service: FakeService) -> None:
    """Its data stand there as JSON over lines, its sequence number above; HTML in it is quoted."""
    await go(page, "Streams")
    await service.until(lambda: service.asked)
    await service.arrive(told_record(1, data={"html": "<img src=x onerror=alert(1)>"}))
    await page.locator(".record summary").press("Enter")
    await expect(page.locator(".record pre")).to_have_text('{\n  "html": "<img src=x onerror=alert(1)>"\n}')
    await expect(page.locator(".record .facts")).to_contain_text("sequence number 4968")
    assert await page.locator(".record img").count() == 0


async def test_a_pattern_is_checked_before_it_is_used(page: Page, service: FakeService) -> None:
    """A bad one is a sentence and changes nothing; a good one reads the stream anew, through it."""
    service.bad_patterns["{"] = "The pattern is not JSON."
    await go(page, "Streams")
    await service.until(lambda: service.asked)
    await service.arrive(told_record(1))
    box = page.get_by_label("Event pattern")
    await box.fill("{")
    await box.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="The pattern is not JSON.")).to_be_visible()
    await expect(box).to_have_attribute("aria-invalid", "true")
    await expect(page.locator(".record")).to_have_count(1)
    pattern = '{"total":[12.5]}'
    await box.fill(pattern)
    await page.get_by_role("button", name="Filter", exact=True).click()
    await service.until(lambda: ("tail", {"stream": STREAM, "pattern": pattern}) in service.asked)
    await expect(page.get_by_text("The pattern is not JSON.")).to_be_hidden()


async def test_a_view_that_is_left_reads_nothing(page: Page, service: FakeService) -> None:
    """Its tail is closed with it, and opened again with it."""
    await go(page, "Streams")
    await service.until(lambda: len(service.asked) == 1)
    await go(page, "Logs")
    await service.until(lambda: not service.tails)
    await go(page, "Streams")
    await service.until(lambda: len(service.asked) == 2 and service.tails)


async def test_readers_say_how_far_behind_they_are_and_what_is_wrong(page: Page) -> None:
    """The metric of the last minute; Lambda's own word for a failed call; windows."""
    await go(page, "Streams")
    readers = page.get_by_role("list", name="Readers").get_by_role("listitem")
    await expect(readers.nth(0)).to_contain_text("840 ms behind")
    await expect(readers.nth(0)).to_contain_text("1,204 batches, 3 failed")
    await expect(readers.nth(1)).to_contain_text("PROBLEM: Function call failed")
    await expect(readers.nth(1)).to_contain_text("2 dead letters")
    await expect(readers.nth(2)).to_contain_text("nothing to do yet")
    await expect(readers.nth(3)).to_contain_text("enhanced fan-out, active: this page")
    rules = page.get_by_role("list", name="Rules").get_by_role("listitem")
    await expect(rules.nth(0)).to_contain_text("customer.email: tokenise, customer.card: hash")
    await expect(rules.nth(1)).to_contain_text("invalid-pattern pattern.total")
    chips = [rules.nth(at).locator(".chip") for at in range(2)]
    colours = [await chip.evaluate("each => getComputedStyle(each).backgroundColor") for chip in chips]
    assert colours[0] != colours[1]


async def test_dead_letters_are_looked_at_on_demand(page: Page, service: FakeService) -> None:
    """Not before somebody asks, for looking counts as a receive; the button keeps the focus."""
    await go(page, "Streams")
    button = page.get_by_role("button", name="Why: newest letters of shop-BroadcastDeadLetters")
    await button.press("Enter")
    await expect(page.get_by_role("list", name="Newest letters of shop-BroadcastDeadLetters")).to_contain_text(
        "invalid-json"
    )
    await expect(button).to_be_focused()
    assert [what for what, _ in service.asked if what.startswith("POST")] == ["POST letters/shop-BroadcastDeadLetters"]


async def test_a_replay_from_a_record_shows_its_progress_and_is_cancelled(page: Page, service: FakeService) -> None:
    """The record's time goes along; events move the bar; a function that counts in windows is not offered."""
    record = told_record(7)
    service.mesh["replays"] = []
    await go(page, "Streams")
    await service.until(lambda: service.asked)
    await service.arrive(record)
    await page.locator(".record summary").click()
    await page.get_by_role("button", name="Replay from here").click()
    to = page.locator("#replay-reader")
    await expect(to).to_be_focused()
    assert await to.locator("option:disabled").all_text_contents() == ["RollUpRecords (counts in windows)"]
    await page.get_by_label("Records a second").fill("20")
    await page.get_by_role("button", name="Replay", exact=True).click()
    wanted = {"reader": "u1", "since_ms": record["arrived_ms"], "rate": 20}
    await service.until(lambda: ("POST replays", wanted) in service.asked)
    bar = page.get_by_role("progressbar", name="Replay to FilterRecords")
    await expect(bar).to_have_attribute("value", "0")
    running = {"id": "r2", "function": "FilterRecords", "rate": 20, "state": "running", "refused": 0, "error": None}
    running |= {"shards": 4, "shards_done": 1, "done": 60, "fraction": 0.5, "reasons": []}
    await service.tell("replay", running)
    await expect(page.locator("#replay-list")).to_contain_text("60 sent")
    assert await bar.evaluate("bar => bar.value") == 0.5
    await page.get_by_role("button", name="Cancel the replay to FilterRecords").click()
    await service.until(lambda: ("DELETE replays/r2", None) in service.asked)
    await service.tell("replay", running | {"state": "cancelled"})
    await expect(page.locator("#replay-list")).to_contain_text("Cancelled")
    await expect(page.get_by_role("button", name="Cancel the replay to FilterRecords")).to_be_hidden()


async def test_publishing_shows_receipts_and_problems(page: Page, service: FakeService) -> None:
    """What is no JSON is not sent; what the service refuses is its own words; what is stored has its number."""
    await go(page, "Streams")
    await page.get_by_label("JSON").fill("{")
    await page.get_by_role("button", name="Publish record").click()
    await expect(page.locator("#publish-problem")).to_contain_text("That is not JSON")
    await expect(page.get_by_label("JSON")).to_be_focused()
    await page.get_by_label("JSON").fill('{"order": 9}')
    await page.get_by_label("Key").fill("nobody")
    await page.get_by_role("button", name="Publish record").click()
    await expect(page.locator("#publish-problem")).to_contain_text("The caller may not publish to this topic")
    await page.get_by_label("Key").fill("ann")
    await page.get_by_role("button", name="Publish record").click()
    await expect(page.locator("#publish-receipt")).to_have_text("Stored in shard 2, sequence number 4968")
    await expect(page.locator("#publish-problem")).to_be_hidden()
    sent = [body for what, body in service.asked if what == "publish orders"]
    assert sent[-1] == {"records": [{"key": "ann", "data": {"order": 9}}]}


async def test_what_is_published_goes_to_the_stream_that_is_looked_at(page: Page, service: FakeService) -> None:
    """The topic follows the stream; one that is chosen by hand stays until another stream is."""
    first = service.mesh["streams"][0]
    service.mesh |= {
        "streams": [first, first | {"name": "Invoices"}],
        "topics": {"orders": STREAM, "invoices": "Invoices"},
    }
    await go(page, "Streams")
    topic, data = page.locator("#publish-topic"), page.get_by_label("JSON")
    await expect(topic).to_have_value("orders")
    await page.locator("#stream-name").select_option("Invoices")
    await expect(topic).to_have_value("invoices")
    await data.fill("{}")
    await page.get_by_label("Key").fill("ann")
    await page.get_by_role("button", name="Publish record").click()
    await service.until(lambda: "publish invoices" in [what for what, _ in service.asked])
    await topic.select_option("orders")
    service.mesh["streams"][1]["status"] = "UPDATING"
    await expect(page.locator("#stream-facts")).to_contain_text("updating")
    await expect(topic).to_have_value("orders")
    await page.locator("#stream-name").select_option(STREAM)
    await page.locator("#stream-name").select_option("Invoices")
    await expect(topic).to_have_value("invoices")


async def test_demo_orders_are_asked_for_and_stopped(page: Page, service: FakeService) -> None:
    """One button, for the topic of the stream that is shown."""
    await go(page, "Streams")
    await page.get_by_role("button", name="Send demo orders").click()
    await service.until(lambda: ("POST demo", {"topic": "orders", "rate": 8, "seconds": 60}) in service.asked)
    service.mesh["demo"] = {
        "topic": "orders",
        "stream": STREAM,
        "sent": 16,
        "total": 480,
        "running": True,
        "error": None,
    }
    await expect(page.get_by_text("16 of 480 sent")).to_be_visible()
    await page.get_by_role("button", name="Stop sending").click()
    await service.until(lambda: ("DELETE demo", None) in service.asked)


async def test_the_newest_two_hundred_are_shown(page: Page, service: FakeService) -> None:
    """The page holds no more, however many arrive."""
    await go(page, "Streams")
    await service.until(lambda: service.asked)
    await service.arrive(*(told_record(number) for number in range(1, 251)))
    await expect(page.locator(".record").first).to_contain_text("customer-250")
    await expect(page.locator(".record")).to_have_count(200)


async def test_a_reader_keeps_the_focus_while_its_numbers_change(page: Page, service: FakeService) -> None:
    """The list is drawn anew each time; whoever is in it by keyboard stays there."""
    await go(page, "Streams")
    link = page.get_by_role("link", name="Its last batch").first
    await link.focus()
    service.mesh["readers"][0]["age_ms"] = 77.0
    await expect(page.get_by_role("list", name="Readers")).to_contain_text("77 ms behind")
    await expect(link).to_be_focused()
