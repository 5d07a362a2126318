"""That everyone can use the page: by keyboard, by ear, in the dark, on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.fake_service import FakeService
from tests.browser.mesh import told_record
from tests.browser.spans import job_spans
from tests.browser.test_chat import ask, note_of, text_of
from tests.browser.test_panels import line

pytestmark = pytest.mark.asyncio(loop_scope="session")

VIEWS = ("Chat", "Jobs", "Requests", "Logs", "Connections", "Streams", "Identity")
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3, for text of this size

FOCUSABLE = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "DisclosureTriangle"}


async def fill(page: Page, service: FakeService) -> None:
    """Something in every view: an answer with all kinds of text, problems, jobs, requests, lines."""
    await expect(page.locator("#link")).to_have_text("Connected")  # before that nobody listens to the keys
    service.traces["1-a-b"] = job_spans()
    service.logs += [line("ServeSocket", level=level, detail="x" * 300) for level in ("INFO", "WARNING", "ERROR")]
    await service.arrive(told_record(1), told_record(2, data=None, text="x" * 400, cut=True, key="k" * 80))
    answer = await ask(page, service, "Why?" * 60)
    await answer.say(f"# Locks\n\n1. shut\n2. fill\n\n```\n{'wide ' * 80}\n```\n\n`code` and {'long' * 100}\n\n")
    await answer.final()
    await (await ask(page, service)).fail("model-throttled", "busy", resumable=True)
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()
    await show(page, "Jobs")
    for prompt, kind in (("Good", "final"), ("Bad", "error"), ("Open", "ping")):
        await page.get_by_label("Prompt").fill(prompt * 40)
        await page.get_by_role("button", name="Submit job").click()
        req = (await service.next_message("submit"))["req"]
        data = {"job_id": f"k.developer.{req * 6}", "state": "running", "result": {"text": "done " * 50}}
        await service.tell_job(req, kind, data | ({"type": "/problems/model-timeout"} if kind == "error" else {}))
    await expect(page.locator(".job .state")).to_have_text(["Running", "Failed", "Done"])


async def show(page: Page, view: str) -> None:
    """Open a view, with something in it."""
    await page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    await expect(page.get_by_role("heading", name=view, level=1)).to_be_attached()
    if view == "Requests":
        await page.locator(".trace-list a").first.click()
        await expect(page.locator("#trace .span")).to_have_count(6)
    if view == "Connections":
        await expect(page.locator(".connection")).to_be_visible()
    if view == "Logs":
        await expect(page.locator(".log-line")).to_have_count(3)
    if view == "Identity":
        await expect(page.locator("#identity .keys li")).to_have_count(1)
        await page.get_by_role("button", name="Issue token").click()
        await expect(page.get_by_label("The token")).to_be_visible()
    if view == "Streams":
        await expect(page.locator(".record")).to_have_count(2)
        await page.locator(".record summary").first.click()
        await page.get_by_text("Shards as a list").click()
        await page.get_by_role("button", name="Why").click()
        await expect(page.locator(".reasons").filter(has_text="invalid-json")).to_be_visible()


async def test_nothing_is_wider_than_a_phone(open_page: OpenPage, service: FakeService) -> None:
    """At 360 px no view scrolls sideways, whatever long words it shows, and every control is within reach."""
    page = await open_page(service.url, **PHONE)
    await fill(page, service)
    for view in VIEWS:
        await show(page, view)
        widths = await page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
        assert max(widths) <= 360, view
        beyond = await page.locator("button, a, input, textarea, select").evaluate_all(
            "all => all.filter(one => one.getClientRects().length && one.getBoundingClientRect().right > 361)"
            ".map(one => one.outerHTML)"
        )
        assert beyond == [], view


async def test_targets_are_large_enough_for_a_finger(open_page: OpenPage, service: FakeService) -> None:
    """Buttons and links of the navigation have 24 px at least (WCAG 2.2, 2.5.8)."""
    page = await open_page(service.url, **PHONE)
    await fill(page, service)
    for view in VIEWS:
        await show(page, view)
        small = await page.locator("button, nav a, summary, select").evaluate_all(
            "all => all.map(one => [one.outerHTML, one.getBoundingClientRect()])"
            ".filter(([, box]) => box.width && Math.min(box.width, box.height) < 24).map(([html]) => html)"
        )
        assert small == [], view


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_contrast(open_page: OpenPage, service: FakeService, scheme: str) -> None:
    """Every visible text stands out from what is behind it, in either theme."""
    page = await open_page(service.url, color_scheme=scheme)
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(_channels(background)) < 64) == (scheme == "dark")
    await fill(page, service)
    for view in VIEWS:
        await show(page, view)
        assert await page.evaluate(FAINT, CONTRAST) == [], view


def _channels(color: str) -> list[int]:
    return [int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]


FAINT = """least => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const box = element.getBoundingClientRect();
    if (!hasText || box.width < 2 || !element.checkVisibility({visibilityProperty: true})) continue;
    if (element.matches('[data-inside]')) continue; // lies on its bar, which is no ancestor
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) faint.push(`${ratio.toFixed(2)} ${element.outerHTML}`);
  }
  return faint;
}"""


async def test_the_theme_is_a_switch_that_stays(page: Page) -> None:
    """As the system, light, dark, and round again; a reload keeps it."""
    dark = "getComputedStyle(document.body).backgroundColor === 'rgb(14, 22, 24)'"
    await expect(page.get_by_role("button", name="Theme: as the system")).to_be_visible()
    assert not await page.evaluate(dark)
    await page.get_by_role("button", name="Theme: as the system").click()
    await page.get_by_role("button", name="Theme: light").click()
    await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert await page.evaluate(dark)
    await page.reload()
    await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert await page.evaluate(dark)
    await page.get_by_role("button", name="Theme: dark").click()
    assert not await page.evaluate(dark)


async def test_nothing_moves_for_those_who_want_none(open_page: OpenPage, service: FakeService) -> None:
    """With reduced motion no animation runs, also while an answer is made."""
    page = await open_page(service.url, reduced_motion="reduce")
    await expect(page.locator("#link")).to_have_text("Connected")
    answer = await ask(page, service)
    await expect(page.locator(".wait")).to_be_visible()
    assert await page.evaluate("document.getAnimations().length") == 0
    await answer.say("Water")
    await expect(text_of(page)).to_have_text("Water")
    assert await page.evaluate("document.getAnimations().length") == 0


async def test_a_conversation_needs_no_mouse(page: Page, service: FakeService) -> None:
    """Type, break a line, send, stop, walk through the views and back, by keyboard alone."""
    await expect(page.get_by_label("Your question")).to_be_focused()
    await page.keyboard.type("One")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    answer = await service.next_answer()
    assert answer.question == {"prompt": "One\ntwo"}
    await answer.say("Water")
    await expect(text_of(page)).to_have_text("Water")
    await page.keyboard.press("Escape")
    await service.next_message("cancel")
    await answer.final("cancelled")
    await expect(note_of(page)).to_have_text("Stopped.")
    await expect(page.get_by_label("Your question")).to_be_focused()
    seen = await _walk(page, backwards=True)
    assert seen[-8:] == [*reversed(VIEWS), "Sluiceway, home"]
    for _ in range(3):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Prompt")).to_be_focused()
    await page.keyboard.type("By hand")
    await page.keyboard.press("Enter")
    assert (await service.next_message("submit"))["job"] == {"prompt": "By hand"}


async def test_a_waterfall_needs_no_mouse(page: Page, service: FakeService) -> None:
    """From the list into a request, and along its spans."""
    service.traces["1-a-b"] = job_spans()
    await page.get_by_role("link", name="Requests").press("Enter")
    await expect(page.get_by_role("link", name="POST /jobs")).to_be_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="POST /jobs")).to_be_focused()
    await expect(page.locator("#trace .span")).to_have_count(6)  # drawn in the frame after the heading's
    for _ in range(3):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Queue JobsQueue, 200 ms")).to_be_focused()
    await expect(page.locator("#trace .span-detail")).to_contain_text("Queue: JobsQueue")


async def test_focus_is_seen(page: Page, service: FakeService) -> None:
    """Whatever the keyboard reaches in the chat has a ring round it, or its box has."""
    await (await ask(page, service)).fail("model-throttled", "busy", resumable=True)
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()
    await page.get_by_label("Your question").focus()
    for _ in range(12):
        await page.keyboard.press("Shift+Tab")
        ring = await page.evaluate(
            "[document.activeElement.outerHTML.slice(0, 80), getComputedStyle(document.activeElement).outlineStyle]"
        )
        if ring[0].startswith("<body"):
            break
        assert ring[1] != "none", ring[0]


async def _walk(page: Page, *, backwards: bool) -> list[str]:
    """The names of what has the focus, one after another, up to the first that ends the page."""
    seen: list[str] = []
    while len(seen) < 40:
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        name = await page.evaluate(
            "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
        )
        if name == "Skip to the question" or await page.evaluate("document.activeElement === document.body"):
            break
        seen.append(name)
    return seen


async def test_everything_has_a_name(page: Page, service: FakeService) -> None:
    """In the browser's accessibility tree no control is nameless, and every view has one heading of its own."""
    await fill(page, service)
    session = await page.context.new_cdp_session(page)
    for view in VIEWS:
        await show(page, view)
        tree = (await session.send("Accessibility.getFullAXTree"))["nodes"]
        found = [(_value(node, "role"), _value(node, "name")) for node in tree if not node["ignored"]]
        assert [role for role, name in found if role in FOCUSABLE and not name.strip()] == [], view
        roles = [role for role, _ in found]
        assert {"banner", "navigation", "main"} <= set(roles), view
        headings = [node for node in tree if _value(node, "role") == "heading" and _level(node) == 1]
        assert [_value(node, "name") for node in headings] == [view]


def _value(node: dict[str, Any], field: str) -> str:
    return str(node.get(field, {}).get("value", ""))


def _level(node: dict[str, Any]) -> int:
    return next((each["value"]["value"] for each in node.get("properties", []) if each["name"] == "level"), 0)


async def test_an_answer_is_announced_once_and_not_token_by_token(page: Page, service: FakeService) -> None:
    """Screen readers hear that it was asked, and the whole answer at its end."""
    await page.evaluate(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#announcer').textContent))"
        ".observe(document.querySelector('#announcer'), {childList: true})"
    )
    answer = await ask(page, service)
    answer_box = page.get_by_role("group", name="Answer")
    for number in range(30):
        await answer.say(f"{number} ")
    await expect(text_of(page)).to_contain_text("29")
    await expect(answer_box).to_have_attribute("aria-busy", "true")
    await answer.final()
    await expect(answer_box).to_have_attribute("aria-busy", "false")
    said = await page.evaluate("said")
    assert said[0] == "Asked. The answer is on its way."
    assert said[1:] == [f"Answer: {answer.text} "]
    await expect(page.get_by_role("log", name="Conversation")).to_have_attribute("aria-live", "off")
    await expect(page.locator("#announcer")).to_have_attribute("aria-live", "polite")


async def test_nothing_is_asked_of_anybody_else(open_page: OpenPage, service: FakeService) -> None:
    """The page loads from its own origin alone, and its policy forbids anything else."""
    page = await open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(service.url)
    await expect(page.locator("#link")).to_have_text("Connected")
    await fill(page, service)
    for view in VIEWS:
        await show(page, view)
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(service.url)] == []
