"""Jobs, requests, logs and connections in a browser: lists that live, bars that lie right, filters that filter."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.fake_service import TOKEN, FakeService
from tests.browser.spans import job_spans, span

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def go(page: Page, view: str) -> None:
    """Open a view by its link."""
    await page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    await expect(page.get_by_role("heading", name=view, level=1)).to_be_visible()


async def submit(page: Page, prompt: str) -> Locator:
    """Submit a job; its card."""
    await page.get_by_label("Prompt").fill(prompt)
    await page.get_by_role("button", name="Submit job").click()
    return page.get_by_role("list", name="Submitted jobs").get_by_role("listitem").filter(has_text=prompt)


# ---- jobs


async def test_a_job_changes_its_state_as_it_happens(page: Page, service: FakeService) -> None:
    """Queued, running and done come over the socket; the result is there to read, also after a reload."""
    await go(page, "Jobs")
    await expect(page.get_by_text("No jobs yet.")).to_be_visible()
    card = await submit(page, "Name three rivers")
    message = await service.next_message("submit")
    assert message["job"] == {"prompt": "Name three rivers"}
    await expect(card.locator(".state")).to_have_text("Queued")
    where = {"job_id": f"k.developer.{message['req']}", "status_url": "jobs/x"}
    await service.tell_job(message["req"], "ping", where | {"state": "running"})
    await expect(card.locator(".state")).to_have_text("Running")
    result = {"text": "Rhine, **Elbe**, Oder", "stop_reason": "end_turn", "usage": {}}
    await service.tell_job(message["req"], "final", where | {"state": "succeeded", "result": result})
    await expect(card.locator(".state")).to_have_text("Done")
    await expect(card.locator(".text")).to_have_text("Rhine, Elbe, Oder")
    await page.reload()
    await expect(card.locator(".text")).to_have_text("Rhine, Elbe, Oder")


async def test_a_failed_job_says_why_and_can_be_sent_again(page: Page, service: FakeService) -> None:
    """The problem is a sentence; submitting again makes another job."""
    await go(page, "Jobs")
    card = await submit(page, "Everything, please")
    message = await service.next_message("submit")
    problem = {"type": "/problems/result-too-large", "title": "Too large", "resumable": False}
    await service.tell_job(message["req"], "error", problem)
    await expect(card.locator(".state")).to_have_text("Failed")
    await expect(card.locator(".problem")).to_have_text("The answer is larger than a reply can be. Ask for less.")
    await card.get_by_role("button", name="Submit again").click()
    assert (await service.next_message("submit"))["req"] != message["req"]


async def test_without_a_socket_a_job_goes_over_http(page: Page, service: FakeService) -> None:
    """POST /jobs with an idempotency key, then GET until it has ended."""
    service.close_gate()
    service.cut()
    await expect(page.locator("#link")).not_to_have_text("Connected")
    await go(page, "Jobs")
    card = await submit(page, "By the road")
    job = await service.until(lambda: next(iter(service.jobs.values()), None))
    await expect(card.locator(".state")).to_have_text("Queued")
    job["state"] = "running"
    await expect(card.locator(".state")).to_have_text("Running")
    job |= {"state": "succeeded", "result": {"text": "There.", "stop_reason": "end_turn", "usage": {}}}
    await expect(card.locator(".text")).to_have_text("There.")


async def test_a_result_too_large_for_a_message_is_fetched(page: Page, service: FakeService) -> None:
    """Where the last frame brings no text, the page asks for it."""
    await go(page, "Jobs")
    card = await submit(page, "Much")
    message = await service.next_message("submit")
    job_id = f"k.developer.{message['req']}"
    service.jobs[job_id] = {"job_id": job_id, "state": "succeeded", "result": {"text": "Much indeed."}}
    await service.tell_job(message["req"], "final", {"job_id": job_id, "state": "succeeded"})
    await expect(card.locator(".text")).to_have_text("Much indeed.")


# ---- requests


async def boxes(page: Page) -> dict[str, dict[str, float]]:
    """Where each bar of the waterfall lies, by its row's name."""
    script = """rows => Object.fromEntries(rows.map(row => {
      const track = row.querySelector('.track').getBoundingClientRect();
      const bar = row.querySelector('.bar').getBoundingClientRect();
      const share = length => 100 * length / track.width;
      return [row.getAttribute('aria-label').split(',')[0],
              {left: share(bar.left - track.left), width: share(bar.width), height: bar.height}];
    }))"""
    return await page.locator("#trace .span").evaluate_all(script)


async def test_a_waterfall_shows_where_the_time_went(page: Page, service: FakeService) -> None:
    """Bars begin and end where their spans do, on one axis, in the order of cause."""
    service.traces["1-a-b"] = job_spans()
    await go(page, "Requests")
    await page.get_by_role("link", name="POST /jobs").click()
    await expect(page.locator("#trace .span")).to_have_count(6)
    found = await boxes(page)
    expected = {
        "Gateway POST /jobs": (0, 10),
        "Queue JobsQueue": (10, 50),
        "Function GenerateAnswer": (60, 40),
        "Cold start GenerateAnswer": (60, 15),
        "Model Converse": (77.5, 17.5),
        "Call DynamoDB PutItem": (96.25, 1.25),
    }
    assert list(found) == list(expected)
    for name, (left, width) in expected.items():
        assert found[name]["left"] == pytest.approx(left, abs=0.3), name
        assert found[name]["width"] == pytest.approx(width, abs=0.6), name  # no bar is thinner than 3 px
        assert found[name]["height"] > 5
    await expect(page.locator("#trace .axis span")).to_have_text(["0", "100 ms", "200 ms", "300 ms"])


async def test_details_come_by_focus_and_by_pointer(page: Page, service: FakeService) -> None:
    """The row that is looked at says more; an error is said, not only coloured."""
    service.traces["1-a-b"] = job_spans()
    await page.goto(f"{service.url}/#requests/1-a-b")
    await expect(page.locator("#trace .span")).to_have_count(6)
    await page.get_by_role("button", name="Model Converse, 70 ms").focus()
    details = page.locator("#trace .span-detail")
    await expect(details).to_contain_text("Begins")
    await expect(details).to_contain_text("First token")
    await expect(details).to_contain_text("13 ms")
    await page.get_by_role("button", name="Call DynamoDB PutItem, 5 ms, with an error").hover()
    await expect(details).to_contain_text("Throttled")


async def test_requests_show_as_they_happen(page: Page, service: FakeService) -> None:
    """A new request appears in the list; a span that runs grows, and gets its length when it ends."""
    await go(page, "Requests")
    await expect(page.get_by_text("No requests yet.")).to_be_visible()
    now_ms = time.time() * 1000
    opened = {**span("ask", at=0, end=None, kind="gateway"), "start_ms": now_ms}
    await service.tell("span", opened)
    await page.get_by_role("link", name="ask").click()
    row = page.locator("#trace .span")
    await expect(row).to_have_attribute("aria-label", "Gateway ask, running")
    called = {**span("Lambda Invoke", at=0, end=None, parent="ask"), "start_ms": now_ms + 5}
    await service.tell("span", called)
    await expect(row).to_have_count(2)
    await service.tell("span", called | {"end_ms": now_ms + 25})
    await service.tell("span", opened | {"end_ms": now_ms + 50})
    await expect(row.first).to_have_attribute("aria-label", "Gateway ask, 50 ms")
    found = await boxes(page)
    assert found["Call Lambda Invoke"]["left"] == pytest.approx(10, abs=0.3)
    assert found["Call Lambda Invoke"]["width"] == pytest.approx(40, abs=0.3)
    await expect(page.get_by_role("link", name="ask")).to_contain_text("50 ms")


async def test_the_newest_question_is_followed_beside_the_chat(page: Page, service: FakeService) -> None:
    """Where there is room, the chat shows what the cloud does for its question, and not for anybody else's."""
    await service.until(lambda: service.sockets)
    other = span("ask", at=0, end=5, kind="gateway", trace="1-x-y", id="o", detail={"connection": "another="})
    mine = span("ask", at=0, end=5, kind="gateway", detail={"connection": next(iter(service.sockets))})
    await service.tell("span", other)
    await service.tell("span", mine)
    await expect(page.get_by_role("group", name="Waterfall of the newest question")).to_be_visible()
    await expect(page.get_by_role("link", name="Look closer")).to_have_attribute("href", "#requests/1-a-b")


async def test_a_request_that_is_gone_says_so(page: Page, service: FakeService) -> None:
    """An old address ends in a sentence."""
    await page.goto(f"{service.url}/#requests/1-none")
    await expect(page.get_by_role("alert").filter(has_text="no longer kept")).to_be_visible()


# ---- logs


def line(function: str, **more: Any) -> dict[str, Any]:
    """A line of a function's log."""
    record = {"level": "INFO", "message": "answer.ended"} | more
    return {"function": function, "stream": "s", "timestamp_ms": time.time() * 1000, "message": None, "record": record}


async def test_logs_follow_and_are_narrowed(page: Page, service: FakeService) -> None:
    """Lines come as they are logged; by function and by text fewer are shown."""
    service.logs += [line("ServeSocket", request_id="q-1"), line("StreamAnswer", request_id="q-2")]
    await go(page, "Logs")
    lines = page.locator(".log-line")
    await expect(lines).to_have_count(2)
    await service.tell("log", line("StreamAnswer", level="ERROR", message="model.denied", request_id="q-3"))
    await expect(lines).to_have_count(3)
    await expect(lines.last).to_contain_text("ERROR")
    await page.get_by_label("Function").select_option("StreamAnswer")
    await expect(lines).to_have_count(2)
    await page.get_by_label("Has the text").fill("DENIED")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("request_id=q-3")
    await page.get_by_label("Has the text").fill("nothing like it")
    await expect(page.get_by_text("No line fits.")).to_be_visible()


async def test_logs_of_one_request(page: Page, service: FakeService) -> None:
    """From a request one comes to its own lines, and back to all."""
    service.traces["1-a-b"] = job_spans()
    service.logs += [line("GenerateAnswer", request_id="q-1"), line("GenerateAnswer", request_id="q-2")]
    await page.goto(f"{service.url}/#requests/1-a-b")
    await page.get_by_role("link", name="Its log lines").click()
    await expect(page.locator(".log-line")).to_have_count(1)
    await expect(page.locator(".log-line")).to_contain_text("q-1")
    await page.get_by_role("link", name="Show all").click()
    await expect(page.locator(".log-line")).to_have_count(2)


async def test_following_ends_where_one_scrolls_up(page: Page, service: FakeService) -> None:
    """New lines do not move what is being read."""
    service.logs += [line("ServeSocket", message=f"line {number}") for number in range(200)]
    await go(page, "Logs")
    await expect(page.get_by_text("line 199")).to_be_in_viewport()
    await page.get_by_role("log", name="Log lines").evaluate("log => log.scrollTo(0, 0)")
    await expect(page.get_by_label("Follow")).not_to_be_checked()
    await service.tell("log", line("ServeSocket", message="line 200"))
    await expect(page.get_by_text("line 200")).to_be_attached()
    await expect(page.get_by_text("line 0", exact=True)).to_be_in_viewport()


# ---- connections


async def test_the_own_connection_is_marked_and_can_be_cut(page: Page, service: FakeService) -> None:
    """Cutting the own connection brings another, by itself."""
    await go(page, "Connections")
    own = page.get_by_role("listitem").filter(has_text="This page")
    await expect(own).to_contain_text("c1=")
    await own.get_by_role("button", name="Cut this page's connection").click()
    await expect(own).to_contain_text("c2=")
    await expect(page.get_by_role("listitem").filter(has_text="c1=")).to_have_count(0)
    await expect(page.locator("#link")).to_have_text("Connected")


# ---- another template, and no local cloud


async def test_a_template_without_a_socket_has_no_chat(open_page: OpenPage, service: FakeService) -> None:
    """Any template runs on the local cloud: its requests and logs are there, and nothing that it cannot do."""
    service.has_socket = False
    service.traces["1-a-b"] = job_spans()
    page = await open_page(service.url)
    links = page.get_by_role("navigation", name="Views").get_by_role("link")
    await expect(links).to_have_text(["Requests", "Logs", "Connections", "Streams", "Identity"])
    await page.get_by_role("link", name="POST /jobs").click()
    await expect(page.locator("#trace .span")).to_have_count(6)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_deployed_page_asks_for_a_token(open_page: OpenPage) -> None:
    """Only what a deployment can do is shown; a wrong token is told from a right one, which stays in the tab."""
    async with FakeService(local=False).serving() as service:
        page = await open_page(service.url)
        await expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
        await page.get_by_label("Bearer token").fill("something")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("That is no token.")).to_be_visible()
        await page.get_by_label("Bearer token").fill(f"Bearer {TOKEN}")
        await page.get_by_role("button", name="Use this token").click()
        await expect(page.locator("#link")).to_have_text("Connected")
        await expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_text(["Chat", "Jobs"])
        assert service.tokens[-1] == TOKEN
        assert await page.evaluate("JSON.stringify(localStorage).includes('eyJ')") is False
        await page.reload()
        await expect(page.locator("#link")).to_have_text("Connected")


async def test_a_token_that_is_refused_leads_to_another(open_page: OpenPage) -> None:
    """A service that lets nobody in is told as what it may be, with the way out."""
    async with FakeService(local=False).serving() as service:
        page = await open_page(service.url)
        await page.clock.install()
        await page.get_by_label("Bearer token").fill("aaaa.bbbb.cccc")
        await page.keyboard.press("Enter")
        for _ in range(3):
            await expect(page.locator("#link")).to_contain_text("Retry in")
            await page.clock.fast_forward(10_000)
        await expect(page.get_by_role("alert").filter(has_text="the token is not accepted")).to_be_visible()
        await page.get_by_role("button", name="Use another token").click()
        await page.get_by_label("Bearer token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#link")).to_have_text("Connected")


async def test_a_page_without_configuration_says_so(open_page: OpenPage, service: FakeService) -> None:
    """Whoever forgot config.json reads what to do."""
    service.configured = False
    page = await open_page(service.url)
    await expect(page.get_by_role("alert")).to_contain_text("There is no config.json here.")
