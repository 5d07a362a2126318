"""The page of several Regions on a real pair: a Region is lost, a person approves, and it comes back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from localcloud.regions.switching import LOCAL_KEYS
from sluiceway.aws.functions import invoke_later
from sluiceway.aws.wire import Wire
from tests.browser.conftest import OpenPage
from tests.browser.test_regions import card
from tests.local.conftest import ROOT, RunningCloud, clean_environment, start_cloud

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="session")]

EAST, WEST = "us-east-1", "us-west-2"
TEMPLATE = Path(__file__).parent / "pair_regions" / "template.yaml"
GROUP = ("--group", "pair", "--terms-table", "pair-terms", "--terms-region", WEST, "--regions", f"{EAST},{WEST}")
ASKED_MS = 45_000  # the alarm looks once in ten seconds, at periods that have ended
PROBE_S = 3.0


class Names(ThreadingHTTPServer):
    """Stands in for the Regions' names: `/us-east-1/health` goes to that Region's API, once `apis` knows it."""

    daemon_threads = True
    apis: dict[str, str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Passes)
        self.apis = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Passes(BaseHTTPRequestHandler):
    server: Names  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        region, _, path = self.path[1:].partition("/")
        try:
            with urllib.request.urlopen(f"{self.server.apis[region]}/{path}", timeout=PROBE_S) as answer:
                status = answer.status
        except (OSError, KeyError):
            status = 503
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        del format, args


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Two Regions with us-east-1 home, whose lease is a second."""
    with Names() as names:
        threading.Thread(target=names.serve_forever, daemon=True).start()
        overrides = (f"EastUrl={names.url}/{EAST}", f"WestUrl={names.url}/{WEST}")
        options = ("--template", str(TEMPLATE), "--regions", f"{EAST},{WEST}", "--parameter-overrides", *overrides)
        cloud = start_cloud(tmp_path_factory.mktemp("pair") / "state", *options)
        try:
            names.apis = {region: cloud.status["endpoints"][f"api-{region}"] for region in (EAST, WEST)}
            _found(cloud)
            yield cloud
        finally:
            cloud.sluiceway("down")
            names.shutdown()


def _found(cloud: RunningCloud) -> None:
    environ = {**clean_environment(), **LOCAL_KEYS, "AWS_REGION": WEST, "AWS_ENDPOINT_URL": _aws(cloud, WEST)}
    words = ("regions", "found", "--home", EAST, "--lease-s", "1", "--skew-s", "0", *GROUP)
    subprocess.run([sys.executable, "-m", "localcloud", *words], cwd=ROOT, env=environ, check=True, capture_output=True)


def _aws(cloud: RunningCloud, region: str) -> str:
    return cloud.status["endpoints"][f"aws-{region}"]


async def probe(cloud: RunningCloud, region: str) -> None:
    """Let the probe of `region` begin now, and not with the next minute."""
    state = json.loads((cloud.state / region / "state.json").read_text())
    environ = {**LOCAL_KEYS, "AWS_REGION": region, "AWS_ENDPOINT_URL": _aws(cloud, region)}
    event = {"id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": [],
             "time": "2026-01-01T00:00:00Z", "region": region, "account": "123456789012", "version": "0"}  # fmt: skip
    async with Wire.open(environ) as wire:
        await invoke_later(wire, state["functions"]["ProbeRegion"], event)


async def told(page: Page, *words: str) -> None:
    """Wait until the story has a line with each of `words`."""
    for each in words:
        line = page.locator("#story li").filter(has_text=each)
        await expect(line.first).to_be_visible(timeout=ASKED_MS)


async def test_a_failover_is_followed_and_approved_on_the_page(open_page: OpenPage, pair: RunningCloud) -> None:
    """Probed, lost, asked for, approved, begun, back, and handed back with what speaks against it said before."""
    await probe(pair, WEST)
    page = await open_page(pair.status["endpoints"]["console"])
    east, west = card(page, EAST), card(page, WEST)
    await expect(east.locator(".chip")).to_have_text(["Home", "Primary"])
    await expect(east.get_by_text("term ok")).to_be_visible()
    await expect(east).to_contain_text(re.compile(r"Well, .*, from us-west-2"))
    await expect(page.locator("#region-names")).to_contain_text("api.example.test")
    await expect(page.locator("#region-map")).to_contain_text("us-east-2")

    await page.get_by_role("button", name="Kill us-east-1").click()
    await expect(east.locator(".region-state")).to_have_text("Dark")
    asked = page.locator(".approval")
    await expect(asked).to_contain_text("Hand over to us-west-2?")  # the home is dark: nobody waits for the alarm
    await told(page, "us-east-1 is lost", "A probe from us-west-2 gets no healthy answer of us-east-1")
    await told(page, "The alarm asks to approve the failover to us-west-2")
    await expect(west).to_contain_text("ALARM: asks to approve a failover")

    await expect(asked).to_contain_text("Nothing speaks against it.")
    await asked.get_by_label("Your name").fill("R. Roe")
    await asked.get_by_label("Reason").fill("incident 4711")
    await asked.get_by_role("button", name="Approve failover to us-west-2").click()
    await told(page, "Approved: incident 4711, R. Roe", "Epoch 2: us-west-2 is home", "us-west-2 begins work")
    await expect(asked).to_have_count(0)
    await expect(west.locator(".chip")).to_have_text(["Home", "Secondary"])
    since = await page.locator("#story li[data-kind=begins] .since").first.text_content() or ""
    assert re.fullmatch(r"\+(\d+\.\d+ s|\d min \d+ s)", since)

    await page.get_by_role("button", name="Recover us-east-1").click()
    await expect(east.locator(".region-state")).to_have_text("Up")
    await expect(east.get_by_text("Healthy")).to_be_visible()
    await told(page, "us-east-1 is back")


async def test_what_speaks_against_a_hand_over_is_said_by_the_function(open_page: OpenPage, pair: RunningCloud) -> None:
    """With the link cut, marks do not arrive: refused in words, and nothing has moved."""
    page = await open_page(pair.status["endpoints"]["console"])
    await expect(card(page, WEST).locator(".chip")).to_have_text(["Home", "Secondary"])
    await page.get_by_role("button", name="Cut us-east-1 to us-west-2 only").click()
    await expect(page.locator("#region-map [data-way=cut]")).to_have_count(1)
    order = {"to": EAST, "name": "R. Roe", "reason": "back"}
    answer = await page.evaluate(
        "order => fetch('api/approve', {method: 'POST', body: JSON.stringify(order)})"
        ".then(async answer => [answer.status, (await answer.json()).error])",
        order,
    )
    assert answer[0] == 409
    assert answer[1] == "Refused: not handed over to us-east-1: replication-lags (not-ready)."
    await page.get_by_role("button", name="Heal us-east-1 to us-west-2 only").click()
    await expect(page.locator("#region-map [data-way=cut]")).to_have_count(0)
    await expect(page.locator("#term")).to_contain_text("us-west-2 is home of the group pair: epoch 2")


async def test_no_other_sites_page_kills_a_region(open_page: OpenPage, pair: RunningCloud) -> None:
    """The host's console answers its own page alone, as every console does."""
    address = pair.status["endpoints"]["console"]
    page = await open_page("about:blank")
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await page.request.post(f"{address}/api/kill/{EAST}", headers=headers)
        assert answer.status == 403
    told = await (await page.request.get(f"{address}/api/regions")).json()
    assert [region["dark"] for region in told["regions"]] == [False, False]


async def test_the_regions_share_one_identity_provider(open_page: OpenPage, pair: RunningCloud) -> None:
    """Rotated on the host's page, it is rotated in a Region's own console."""
    page = await open_page(pair.status["endpoints"]["console"])
    await page.get_by_role("button", name="Rotate").click()
    keys = page.get_by_role("list", name="Published keys").get_by_role("listitem")
    await expect(keys).to_have_count(2)
    shown = await keys.all_text_contents()
    own = await open_page(f"{pair.status['endpoints'][f'console-{WEST}']}/#identity")
    await expect(own.get_by_role("list", name="Published keys").get_by_role("listitem")).to_have_text(shown)
    await own.get_by_role("button", name="Issue token").click()
    await expect(own.get_by_label("The token")).to_have_value(re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$"))
