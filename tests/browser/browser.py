"""Finds and starts Debian's Chromium, through Playwright's client; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--font-render-hinting=none")


def find_browser() -> str:
    """The path of a Chromium. Where there is none: a failure in CI, elsewhere a skip that says so."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail("there is no Chromium here; on Debian: apt-get install chromium")
    pytest.skip("there is no Chromium here; on Debian: apt-get install chromium")


@asynccontextmanager
async def running_browser() -> AsyncGenerator[Browser]:
    """A headless browser while the context lasts."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=list(OPTIONS))
        try:
            yield browser
        finally:
            await browser.close()
