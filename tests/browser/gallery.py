"""Makes a picture of every state of the page, for people to look at: python -m tests.browser.gallery FOLDER."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.browser.browser import running_browser
from tests.browser.fake_regions import FakeRegions, told_failover, told_pair
from tests.browser.fake_service import Answer, FakeService
from tests.browser.mesh import told_record
from tests.browser.spans import span

DESKTOP = {"viewport": {"width": 1360, "height": 860}}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
TEXT = """A lock is a **chamber with two gates**. A boat enters at the lower level, the gate behind it closes, and \
water is let in from above through small openings called *sluices*.

1. The lower gate shuts; the chamber is sealed.
2. Sluices open, and water flows in by gravity alone.
3. When both levels are equal, the upper gate swings open with a push.

No pump is needed: the river does the work. In code, it is a bounded queue:

```python
async with lock.chamber(level="low") as boat:
    await lock.fill(until=river.level)
```

What goes up is the water, and the boat with it."""
HALF = TEXT.index("bounded") + 3


def answer_spans(trace: str, connection: str = "", *, open_ended: bool = False) -> list[dict[str, Any]]:
    """What a streamed answer of 900 ms leaves; without its end where it is `open_ended`."""
    now: dict[str, Any] = {"trace": trace, "begin_ms": time.time() * 1000 - 420}
    begun = [
        span("ask", at=0, end=48, kind="gateway", id="a", detail={"connection": connection, "stage": "v1"}, **now),
        span("servesocket", at=2, end=46, kind="function", id="b", parent="a", detail={"cold_start": True}, **now),
        span("servesocket", at=2, end=28, kind="init", id="c", parent="b", **now),
        span("DynamoDB UpdateItem", at=30, end=34, id="d", parent="b", **now),
        span("DynamoDB PutItem", at=34, end=39, id="e", parent="b", **now),
        span("Lambda Invoke", at=39, end=46, id="f", parent="b", **now),
        span("streamanswer", at=46, end=49, kind="queue", id="g", parent="f", **now),
    ]
    said = {"model": "scripted", "first_token_ms": 92.4, "input_tokens": 14, "output_tokens": 168}
    until = (None, None) if open_ended else (912, 880)
    posts = [
        span("API Gateway PostToConnection", at=150 + 60 * turn, end=154 + 60 * turn, id=f"p{turn}", parent="h", **now)
        for turn in range(4 if open_ended else 12)
    ]
    return [
        *begun,
        span("streamanswer", at=49, end=until[0], kind="function", id="h", parent="g", **now),
        span("DynamoDB GetItem", at=51, end=54, id="i", parent="h", **now),
        span("ConverseStream", at=58, end=until[1], kind="model", id="j", parent="h", detail=said, **now),
        *posts,
    ]


class Gallery:
    """Pictures of one theme on one screen."""

    def __init__(self, page: Page, service: FakeService, folder: Path, name: str) -> None:
        self.page = page
        self.service = service
        self.folder = folder
        self.name = name

    async def take(self, state: str) -> None:
        """One picture."""
        path = self.folder / f"{state}-{self.name}.png"
        await self.page.screenshot(path=path)
        print(path)

    async def ask(self, prompt: str) -> Answer:
        """Ask, and have the answer to speak for."""
        await self.page.get_by_label("Your question").fill(prompt)
        await self.page.get_by_role("button", name="Send").click()
        return await self.service.next_answer()

    async def show(self, view: str) -> None:
        """Open a view."""
        await self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
        await expect(self.page.get_by_role("heading", name=view, level=1)).to_be_attached()

    async def chat(self) -> None:
        """Nothing, waiting, streaming, cut, finished, refused."""
        page, service = self.page, self.service
        await expect(page.locator("#link")).to_have_text("Connected")
        await self.take("empty")
        answer = await self.ask("Why do locks lift boats, and what does that have to do with queues?")
        await expect(page.locator(".wait")).to_be_visible()
        await self.take("waiting")
        for at in range(0, HALF, 12):
            await answer.say(TEXT[at : min(HALF, at + 12)])
        for each in answer_spans(f"1-live-{self.name}", list(service.sockets)[-1], open_ended=True):
            await service.tell("span", each)
        await expect(page.get_by_text("In code, it is a bou")).to_be_visible()
        await self.take("streaming")
        service.close_gate()
        service.cut()
        await expect(page.get_by_text("Reconnecting…").first).to_be_visible()
        await self.take("reconnecting")
        service.open_gate()
        await service.next_resume(answer)
        await answer.say(TEXT[HALF:])
        await answer.final(tokens=168)
        for each in answer_spans(f"1-live-{self.name}"):
            await service.tell("span", each)
        await expect(page.get_by_role("button", name="Copy")).to_be_visible()
        await self.take("finished")
        answer = await self.ask("Tell me what you may not say.")
        await answer.say("Well, since you ask, the way to do this is")
        await answer.retract(0)
        await answer.fail("content-filtered", "Withheld")
        answer = await self.ask("And when the model is busy?")
        await answer.say("Then it would")
        await answer.fail("model-throttled", "Busy", resumable=True)
        await expect(page.get_by_role("button", name="Go on")).to_be_visible()
        await self.take("errors")

    async def jobs(self) -> None:
        """None, and one in each state."""
        await self.show("Jobs")
        await self.take("jobs-empty")
        rivers = "- **Rhine**: it joins six countries, and their barges.\n- **Mekong**: it feeds sixty million people."
        for prompt, kind, data in (
            ("Name two rivers, and say why each of them matters.", "final", {"result": {"text": rivers}}),
            ("Write the annual report.", "error", {"type": "/problems/context-too-long"}),
            ("Summarise the flood records since 1900 in a table.", "ping", {"state": "running"}),
            ("Translate the tide tables.", "", {}),
        ):
            await self.page.get_by_label("Prompt").fill(prompt)
            await self.page.get_by_role("button", name="Submit job").click()
            req = (await self.service.next_message("submit"))["req"]
            if kind:
                await self.service.tell_job(req, kind, {"job_id": f"k.developer.{req}"} | data)
        await expect(self.page.locator(".job .state")).to_have_text(["Queued", "Running", "Failed", "Done"])
        await self.take("jobs")

    async def panels(self) -> None:
        """Requests, a waterfall, logs, connections."""
        await self.show("Requests")
        await self.take("requests")
        await self.page.locator('.trace-list a[href*="1-live"]').first.click()
        await self.page.locator("#trace .span[data-kind=model]").hover()
        await self.take("waterfall")
        await self.show("Logs")
        await expect(self.page.locator(".log-line").first).to_be_visible()
        await self.take("logs")
        await self.show("Connections")
        await expect(self.page.locator(".connection").first).to_be_visible()
        await self.take("connections")
        await self.show("Identity")
        await expect(self.page.locator("#identity .keys li")).to_have_count(1)
        await self.take("identity")

    async def streams(self) -> None:
        """A stream that was split, with a hot shard and something wrong everywhere; all of the view in one picture."""
        page = self.page
        await self.show("Streams")
        await expect(page.locator(".record")).to_have_count(9)
        await page.locator(".record summary").nth(1).click()
        await page.get_by_role("button", name="Why").click()
        await expect(page.locator(".reasons").filter(has_text="invalid-json")).to_be_visible()
        await self.take("streams")
        tall = await page.evaluate("document.querySelector('#streams').scrollHeight")
        size = page.viewport_size
        assert size is not None
        await page.set_viewport_size({"width": size["width"], "height": tall + 150})
        await self.take("streams-whole")
        await page.set_viewport_size(size)


def _fill(service: FakeService) -> None:
    service.records = [told_record(number) for number in range(8)]
    service.records.append(told_record(8, data=None, base64="84mawgo=", fault="corrupt-aggregate"))
    for turn, name in enumerate(("POST /jobs", "GET /jobs/{job_id}", "$connect", "resume", "ask")):
        spans = answer_spans(f"1-past-{turn}")[: 3 + 2 * turn]
        service.traces[f"1-past-{turn}"] = [spans[0] | {"name": name}, *spans[1:]]
    words = ("socket.connected", "answer.claimed", "answer.settled", "batch.settled")
    for turn in range(40):
        record: dict[str, Any] = {"level": "WARNING" if turn % 9 == 4 else "INFO", "message": words[turn % 4]}
        if turn % 5 == 0:
            record = {
                "type": "platform.report",
                "record": {"requestId": f"1d7e{turn}", "metrics": {"durationMs": 26.5}},
            }
        about = {"request_id": f"1d7e{turn}", "attempt": 1} if turn % 5 else {}
        line = {"function": ("ServeSocket", "StreamAnswer")[turn % 2], "stream": "s", "message": None}
        service.logs.append(line | {"timestamp_ms": time.time() * 1000 + turn * 70, "record": record | about})


async def _make(browser: Browser, folder: Path) -> None:
    async with FakeService().serving() as service:
        _fill(service)
        for screen, options in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                context = await browser.new_context(**options, color_scheme=scheme)
                page = await context.new_page()
                await page.goto(service.url)
                gallery = Gallery(page, service, folder, f"{screen}-{scheme}")
                await gallery.chat()
                await gallery.jobs()
                await gallery.panels()
                await gallery.streams()
                await context.close()
    async with FakeService(local=False).serving() as service:
        page = await browser.new_page(**DESKTOP)
        await page.goto(service.url)
        await page.get_by_label("Bearer token").fill("something")
        await page.keyboard.press("Enter")
        await Gallery(page, service, folder, "desktop").take("sign-in")


async def _make_regions(browser: Browser, folder: Path) -> None:
    """Two Regions that are well, and one of them lost; all of the page in one picture."""
    against = {"against": ["replication-lags"], "status": 0, "replicated_ms": None, "parked": 0}
    for state, told in (("well", told_pair()), ("failover", told_failover())):
        async with FakeRegions().serving() as host:
            host.told, host.readiness = told, against
            for screen, options in (("desktop", DESKTOP), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    page = await browser.new_page(**options, color_scheme=scheme)
                    await page.goto(host.url)
                    await expect(page.locator(".issuer .region-state")).to_have_text("Answers")
                    await expect(page.get_by_text("does not arrive")).to_have_count(len(told["asks"]))
                    tall = await page.evaluate("document.querySelector('#regions').scrollHeight")
                    await page.set_viewport_size({"width": options["viewport"]["width"], "height": tall + 150})
                    await page.screenshot(path=folder / f"regions-{state}-{screen}-{scheme}.png")
                    await page.close()


async def _main(folder: Path) -> None:
    async with running_browser() as browser:
        await _make(browser, folder)
        await _make_regions(browser, folder)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(Path(sys.argv[1])))
