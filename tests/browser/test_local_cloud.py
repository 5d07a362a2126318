"""The page on the local cloud itself: real functions stream, real connections are cut, real spans are drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_chat import kept, note_of, text_of
from tests.browser.test_panels import go, submit
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="session")]

STORY = " ".join(f"{number} 🌊 boats rise," for number in range(60)) + " and the gate opens."
WHOLE_MS = 90_000  # for all of it, on a busy machine
SCRIPT = {"first_token_s": 0.05, "token_s": 0.02, "replies": [{"contains": "lock", "text": STORY}]}


@pytest.fixture(scope="module")
def slow_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose model takes some seconds for its story."""
    folder = tmp_path_factory.mktemp("console")
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    running = start_cloud(folder / "state", "--model", f"scripted:{script}")
    yield running
    running.sluiceway("down")


@pytest_asyncio.fixture(loop_scope="session")
async def console(open_page: OpenPage, slow_cloud: RunningCloud) -> Page:
    """The cloud's console, connected."""
    page = await open_page(slow_cloud.status["endpoints"]["console"])
    await expect(page.locator("#link")).to_have_text("Connected")
    return page


async def ask(page: Page, prompt: str = "What does a lock do?") -> Locator:
    """Ask, and wait until the answer has begun; its text."""
    await page.get_by_label("Your question").fill(prompt)
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("boats rise")
    return text_of(page)


async def test_an_answer_streams(console: Page) -> None:
    """Text is there, and more of it, before the answer has ended; in the end it is the model's."""
    text = await ask(console)
    early = len(await text.text_content() or "")
    await expect(text).to_contain_text("20 🌊")
    await expect(console.get_by_role("button", name="Stop")).to_be_visible()
    assert early < len(await text.text_content() or "") < len(STORY)
    await expect(text).to_have_text(STORY, timeout=WHOLE_MS)
    await expect(console.get_by_role("group", name="Answer").locator(".figures")).to_contain_text("tokens/s")
    assert await kept(console) == STORY


async def test_an_answer_survives_its_connection(console: Page) -> None:
    """The page's own connection is cut in the middle: it comes back, and not a character is wrong."""
    await ask(console)
    await go(console, "Connections")
    own = console.get_by_role("listitem").filter(has_text="This page")
    await own.get_by_role("button", name="Cut this page's connection").click()
    await console.get_by_role("navigation", name="Views").get_by_role("link", name="Chat").click()
    await expect(note_of(console)).to_have_text(re.compile(r"Resumed at character \d+\."))
    await expect(text_of(console)).to_have_text(STORY, timeout=WHOLE_MS)
    assert await kept(console) == STORY


async def test_an_answer_survives_a_reload(console: Page) -> None:
    """The page is loaded anew in the middle, and goes on."""
    await ask(console)
    await console.reload()
    await expect(console.get_by_text("What does a lock do?")).to_be_visible()
    await expect(text_of(console)).to_have_text(STORY, timeout=WHOLE_MS)
    await expect(note_of(console)).to_have_text(re.compile(r"Resumed at character \d+\."))


async def test_an_answer_is_stopped(console: Page) -> None:
    """The service stops, and says so; the rest never comes."""
    await ask(console)
    await console.get_by_role("button", name="Stop").click()
    await expect(note_of(console)).to_have_text("Stopped.")
    text = await kept(console)
    assert STORY.startswith(text)
    assert 0 < len(text) < len(STORY)


async def test_a_refused_question_is_a_sentence(console: Page) -> None:
    """What the service refuses is told by its own words, and the next question is answered."""
    await console.get_by_text("Options").click()
    await console.get_by_label("System text").evaluate("box => { box.value = 'x'.repeat(16385); }")
    await console.get_by_label("Your question").fill("Too much?")
    await console.get_by_label("Your question").press("Enter")
    await expect(note_of(console)).to_have_text(
        "The message does not fit. System must be text of 1 to 16384 characters."
    )
    await console.get_by_label("System text").fill("")
    await ask(console)


async def test_a_job_is_done(console: Page) -> None:
    """Submitted over the socket, taken by a worker, and its result is pushed."""
    await go(console, "Jobs")
    card = await submit(console, "What does a lock do?")
    await expect(card.locator(".text")).to_have_text(STORY, timeout=WHOLE_MS)
    await expect(card.locator(".state")).to_have_text("Done")
    await console.reload()
    await expect(card.locator(".text")).to_have_text(STORY, timeout=WHOLE_MS)


async def test_a_request_is_drawn_and_its_lines_are_found(console: Page) -> None:
    """An answer's request has its gateway, function and model bars, and leads to its log lines."""
    await ask(console, "What does a lock do, in short?")
    await expect(console.get_by_role("link", name="Look closer")).to_be_visible()  # the waterfall beside the chat
    await expect(text_of(console)).to_have_text(STORY, timeout=WHOLE_MS)
    await console.get_by_role("link", name="Look closer").click()
    rows = console.locator("#trace").get_by_role("button")
    for row in ("Gateway ask,", "Function ServeSocket,", "Function StreamAnswer,", "Model ConverseStream,"):
        await expect(rows.and_(console.get_by_role("button", name=re.compile(f"^{row}")))).to_be_visible()
    posts = re.compile(r"^Call \d+ . API Gateway PostToConnection")
    await expect(console.get_by_role("button", name=posts)).to_be_visible()
    await console.get_by_role("link", name="Its log lines").click()
    await expect(console.locator(".log-line").filter(has_text="answer.ended")).to_have_count(1)
