"""One browser for all tests, a page and a service of its own for each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Error, Page, expect

from tests.browser.browser import running_browser
from tests.browser.fake_service import FakeService

WAIT_MS = 20_000  # at most, for what comes at once on a machine with nothing else to do
CUT = ("WebSocket connection to", "ERR_", "the server responded with a status of")  # a browser's word for what tests do

OpenPage = Callable[..., Awaitable[Page]]

expect.set_options(timeout=WAIT_MS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """Debian's Chromium, headless."""
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def service() -> AsyncGenerator[FakeService]:
    """A service that does what the test says."""
    async with FakeService().serving() as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncGenerator[OpenPage]:
    """Opens an address in a fresh profile, with Playwright's options of a context; a program's error fails the test."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(word in message.text for word in CUT):
            complaints.append(message.text)

    def fail(error: Error) -> None:
        complaints.append(str(error))

    async with AsyncExitStack() as stack:

        async def open_address(address: str, **options: Any) -> Page:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
            stack.push_async_callback(context.close)
            context.set_default_timeout(WAIT_MS)
            page = await context.new_page()
            page.on("console", hear)
            page.on("pageerror", fail)
            await page.goto(address)
            return page

        yield open_address
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: OpenPage, service: FakeService) -> Page:
    """The console of `service`, connected."""
    opened = await open_page(service.url)
    await expect(opened.locator("#link")).to_have_text("Connected")
    return opened
