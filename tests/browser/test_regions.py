"""The page of several Regions, and the identity provider's, on services that say what a test says."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.fake_regions import EAST, THIRD, WEST, FakeRegions, told_alarm, told_failover, told_pair
from tests.browser.fake_service import FakeService
from tests.browser.test_access import CONTRAST, FAINT, FOCUSABLE, PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def host() -> AsyncGenerator[FakeRegions]:
    """Two Regions that are well."""
    async with FakeRegions().serving() as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="session")
async def view(open_page: OpenPage, host: FakeRegions) -> Page:
    """The page of the host, drawn."""
    page = await open_page(host.url)
    await expect(card(page, EAST)).to_be_visible()
    return page


def card(page: Page, region: str) -> Locator:
    return page.get_by_role("article", name=region, exact=True)


# ---------------------------------------------------------------- what is shown


async def test_the_host_has_one_page(view: Page) -> None:
    """No chat, no logs: each Region has those in a console of its own, one link away."""
    await expect(view.get_by_role("navigation", name="Views").get_by_role("link")).to_have_text(["Regions"])
    link = card(view, EAST).get_by_role("link", name="Console of us-east-1")
    await expect(link).to_have_attribute("href", "http://127.0.0.1:9/")


async def test_a_card_tells_of_its_region(view: Page, host: FakeRegions) -> None:
    """Up or dark, home and role, its own word and the other's, alarms, doubts; and all of it as it changes."""
    east = card(view, EAST)
    await expect(east.locator(".chip")).to_have_text(["Home", "Primary"])
    await expect(east.locator(".region-state")).to_have_text("Up")
    await expect(east).to_contain_text(re.compile(r"Well, \d+ s ago, from us-west-2"))
    await expect(east.get_by_text("jobs ok")).to_be_visible()
    await expect(view.locator("#term")).to_contain_text("us-east-1 is home of the group sluiceway: epoch 1")
    failed = told_failover()
    await host.tell(**failed)
    await expect(east.locator(".region-state")).to_have_text("Dark")
    await expect(east).to_contain_text("No healthy answer")
    await expect(east).to_contain_text("other-region-down: OK (as last told)")
    west = card(view, WEST)
    await expect(west).to_contain_text("ALARM: asks to approve a failover")
    await expect(west).to_contain_text("2 keys parked: nobody could be asked; 1 key fenced: begun, and no end is known")
    await expect(west.get_by_text("jobs failed")).to_be_visible()


async def test_a_page_without_a_group_says_so(open_page: OpenPage, host: FakeRegions) -> None:
    """Of any template: no home, no alarms, nothing of names."""
    host.told |= {"group": None, "names": [], "checks": [], "beside": []}
    for region in host.told["regions"]:
        region |= {"home": False, "role": "", "alarms": [], "doubts": None, "health": None, "seen": None}
    page = await open_page(host.url)
    await expect(page.locator("#term")).to_contain_text("nothing says which one is home")
    await expect(card(page, WEST)).to_contain_text("it has no health check")
    await expect(page.locator("#names-card")).to_be_hidden()


async def test_what_is_cut_and_under_way_is_drawn(view: Page, host: FakeRegions) -> None:
    """In the picture, in its description, and in the list."""
    await host.tell(**told_failover())
    picture = view.locator("#region-map svg")
    await expect(picture).to_have_attribute(
        "aria-label",
        "us-east-1 is dark and home, us-west-2 is up, us-east-2 is up, us-west-2 to us-east-2 is cut",
    )
    await expect(picture.locator("[data-way=cut] .cross")).to_have_count(1)
    await expect(picture.get_by_text("12345 · 1 min 35 s")).to_be_visible()
    links = view.get_by_role("list", name="Links").get_by_role("listitem")
    await expect(links).to_have_count(3)
    await expect(links.first).to_contain_text("12,345 changes under way, the oldest for 1 min 35 s")
    await expect(links.last).to_contain_text("us-west-2 to us-east-2: cut")


async def test_the_story_is_told_latest_first_with_times_since_the_loss(view: Page, host: FakeRegions) -> None:
    """New lines come on top; those that were there stay the same elements."""
    told = told_failover()
    await host.tell(**told)
    lines = view.get_by_role("list", name="What happened, the latest first").get_by_role("listitem")
    await expect(lines).to_have_count(3)
    await expect(lines.nth(0)).to_contain_text("+26.0 s")
    await expect(lines.nth(2).locator(".since")).to_have_text("")
    await lines.nth(2).evaluate("line => { line.dataset.mine = 'yes'; }")
    news = {
        "at_ms": told["now_ms"],
        "kind": "approved",
        "tone": "good",
        "since_ms": 35_000,
        "text": "Approved: x, R. Roe",
    }
    await host.tell(story=[news, *told["story"]])
    await expect(lines.nth(0)).to_contain_text("Approved: x, R. Roe")
    await expect(lines.nth(3)).to_have_attribute("data-mine", "yes")
    await expect(view.locator("#announcer")).to_have_text("Approved: x, R. Roe")


async def test_what_the_name_answers_follows(view: Page, host: FakeRegions) -> None:
    """The Region, and for how long clients keep it; and the check that it goes by."""
    names = view.locator("#region-names li")
    await expect(names).to_have_text(
        [re.compile("api.example.com.*answers us-east-1, for 60 s"), re.compile("healthy 5 min")]
    )
    check = {**host.told["checks"][0], "healthy": False, "since_s": host.told["now_ms"] / 1000}
    await host.tell(names=[{"name": "api.example.com", "region": WEST, "ttl_s": 60}], checks=[check])
    await expect(names.first).to_contain_text("answers us-west-2")
    await expect(names.last).to_contain_text("unhealthy")


# ---------------------------------------------------------------- approvals


async def test_a_failover_is_approved_by_keyboard(view: Page, host: FakeRegions) -> None:
    """The card says what it will do and what speaks against it; asks for name and reason; goes when it is done."""
    assert await view.locator(".approval").count() == 0
    await host.tell(**told_failover())
    asked = view.get_by_role("region", name="us-east-1 gives no healthy answer. Hand over to us-west-2?")
    await expect(asked).to_contain_text("us-west-2 begins work 35 s later")
    await expect(asked.get_by_role("list", name="What speaks against it")).to_have_text("Nothing speaks against it.")
    await asked.get_by_label("Your name").focus()
    await view.keyboard.type("R. Roe")
    await view.keyboard.press("Tab")
    await view.keyboard.type("incident 4711")
    await view.keyboard.press("Enter")
    await expect(view.locator("#approved")).to_have_text("Approved. us-west-2 is home from epoch 2 on.")
    assert host.asked[-1] == ("approve", {"to": WEST, "name": "R. Roe", "reason": "incident 4711", "force": False})
    await host.tell(asks=[])
    await expect(asked).to_have_count(0)
    await expect(view.get_by_role("heading", name="Regions", level=1)).to_be_focused()


async def test_nothing_is_approved_without_a_name_and_a_reason(view: Page, host: FakeRegions) -> None:
    """The form insists."""
    await host.tell(**told_failover())
    button = view.get_by_role("button", name="Approve failover to us-west-2")
    await expect(view.get_by_text("Nothing speaks against it.")).to_be_visible()
    await button.click()
    await view.locator(".approval").get_by_label("Your name").fill("R. Roe")
    await button.click()
    assert [what for what, _ in host.asked] == ["look"]


async def test_what_speaks_against_it_is_said_and_may_be_overruled(view: Page, host: FakeRegions) -> None:
    """In words; a refusal as well; only who says so hands over all the same."""
    host.readiness = {"against": ["replication-lags", "keys-parked"], "status": 200, "replicated_ms": None, "parked": 3}
    failback = told_pair()
    failback["group"]["term"] |= {"region": WEST, "epoch": 2}
    failback["regions"][1]["alarms"] = [told_alarm("failback-asked", "ALARM")]
    failback["asks"] = [{"to": EAST, "why": "failback"}]
    await host.tell(**failback)
    asked = view.get_by_role("region", name="us-east-1 is well again. Hand the home back to it?")
    against = asked.get_by_role("list", name="What speaks against it").get_by_role("listitem")
    await expect(against).to_have_text([re.compile("does not arrive"), re.compile("Keys are parked"), "3 keys parked."])
    host.refusal = "Refused: not handed over to us-east-1: replication-lags (not-ready)."
    await asked.get_by_label("Your name").fill("R. Roe")
    await asked.get_by_label("Reason").fill("drill")
    await asked.get_by_role("button", name="Approve failback to us-east-1").click()
    await expect(asked.get_by_role("alert")).to_have_text(host.refusal)
    host.refusal = ""
    await asked.get_by_label("Hand over all the same").check()
    await asked.get_by_role("button", name="Approve failback to us-east-1").click()
    await expect(view.locator("#approved")).to_contain_text("Approved.")
    forced = [body["force"] for what, body in host.asked if what == "approve"]
    assert forced == [False, True]
    host.readiness = {"against": [], "status": 200, "replicated_ms": 240, "parked": 0}
    await asked.get_by_role("button", name="Look again").click()
    await expect(against).to_have_text(["Nothing speaks against it.", "Marks arrive after 240 ms."])


async def test_what_is_typed_stays_while_news_come(view: Page, host: FakeRegions) -> None:
    """A card is not drawn anew: text and focus are where they were."""
    await host.tell(**told_failover())
    name = view.locator(".approval").get_by_label("Your name")
    await name.fill("R. R")
    for pending in range(5):
        await host.tell(lags=[{"source": WEST, "target": EAST, "pending": pending, "oldest_s": 1.0}])
    await expect(view.get_by_role("list", name="Links").get_by_role("listitem").first).to_contain_text("4 changes")
    await expect(name).to_have_value("R. R")
    await expect(name).to_be_focused()


# ---------------------------------------------------------------- what a person does


async def test_a_region_is_killed_and_recovered(view: Page, host: FakeRegions) -> None:
    """One button, which says what it does; the focus stays on it."""
    await view.get_by_role("button", name="Kill us-east-1").click()
    await expect(view.locator("#announcer")).to_have_text("us-east-1 is dark")
    await host.tell(**{**told_failover(), "asks": []})
    await expect(view.get_by_role("button", name="Recover us-east-1")).to_be_focused()
    await view.keyboard.press("Enter")
    await expect(view.locator("#announcer")).to_have_text("us-east-1 is back")
    assert [what for what, _ in host.asked] == ["kill/us-east-1", "recover/us-east-1"]


async def test_links_are_cut_and_healed(view: Page, host: FakeRegions) -> None:
    """Both ways or one; the third Region too."""
    await view.get_by_role("button", name="Cut us-east-1 and us-west-2").click()
    await view.get_by_role("button", name="Cut us-east-2 to us-west-2 only").click()
    await expect(view.locator("#announcer")).to_have_text("It is cut")
    await host.tell(cuts=[[EAST, WEST], [WEST, EAST], [THIRD, WEST]])
    await view.get_by_role("button", name="Heal us-east-1 and us-west-2").click()
    await expect(view.locator("#announcer")).to_have_text("It is healed")
    assert [body for what, body in host.asked if what == "links"] == [
        {"source": EAST, "target": WEST, "both": True, "cut": True},
        {"source": THIRD, "target": WEST, "both": False, "cut": True},
        {"source": EAST, "target": WEST, "both": True, "cut": False},
    ]


async def test_a_drill_is_set_with_a_name(view: Page, host: FakeRegions) -> None:
    """Closed until it is wanted; what is said of it stands beside."""
    west = card(view, WEST)
    await west.get_by_text("Drill", exact=True).click()
    await west.get_by_label("Your name").fill("R. Roe")
    await west.get_by_label("Reason").fill("to see")
    await west.get_by_label("Minutes").fill("5")
    await west.get_by_role("button", name="Set the drill").click()
    await expect(west.get_by_role("status")).to_have_text("us-west-2 says that it is unwell, for 5 min")
    assert host.asked == [("drill", {"region": WEST, "name": "R. Roe", "reason": "to see", "minutes": 5})]


async def test_a_refusal_stands_on_the_page(view: Page, host: FakeRegions) -> None:
    """In the host's words, while news come, until the next thing is done."""
    host.refusal = "Not done: us-east-1 is not dark."
    await view.get_by_role("button", name="Kill us-east-1").click()
    problem = view.locator("#regions-problem")
    await expect(problem).to_have_text(host.refusal)
    await host.tell(cuts=[[EAST, WEST]])
    await expect(view.get_by_role("button", name="Heal us-east-1 to us-west-2 only")).to_be_visible()
    await expect(problem).to_have_text(host.refusal)
    host.refusal = ""
    await view.get_by_role("button", name="Kill us-east-1").click()
    await expect(problem).to_be_hidden()


# ---------------------------------------------------------------- the identity provider


@pytest.mark.parametrize("place", ["host", "cloud"])
async def test_keys_and_outages_are_shown_and_made(
    open_page: OpenPage, host: FakeRegions, service: FakeService, place: str
) -> None:
    """In the console of one cloud and on the page of several Regions: rotate, withdraw, down, hang, up."""
    page = await open_page(host.url if place == "host" else f"{service.url}/#identity")
    issuer = host.issuer if place == "host" else service.issuer
    keys = page.get_by_role("list", name="Published keys").get_by_role("listitem")
    state = page.locator(".issuer .region-state")
    await expect(keys).to_have_text(["0f3aSigns"])
    await page.get_by_role("button", name="Rotate").click()
    await expect(keys).to_have_text(["77b1Signs", "0f3a"])
    await page.get_by_role("button", name="Withdraw old keys").click()
    await expect(keys).to_have_text(["77b1Signs"])
    for button, said in (("Down", "Is down: 503"), ("Hang", "Gives no answer"), ("Up", "Answers")):
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(state).to_have_text(said)
        described = await page.get_by_role("button", name=button, exact=True).get_attribute("aria-describedby")
        assert described
        await expect(page.locator(f"#{described}")).to_be_visible()
    assert issuer.asked == ["rotate", "withdraw", "down", "hang", "up"]
    issuer.refusal = "The identity provider does not answer."
    await page.get_by_role("button", name="Rotate").click()
    await expect(page.locator(".identity").get_by_role("alert")).to_have_text(issuer.refusal)


async def test_a_token_is_shown_once(view: Page, host: FakeRegions) -> None:
    """With groups and tenant; copied by a button; gone with the next one and with the page."""
    await view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await view.get_by_label("Subject").fill("alice")
    await view.get_by_label("Groups, with commas").fill("admin, ops ,")
    await view.get_by_label("Tenant").fill("acme")
    await view.locator(".identity").get_by_label("Minutes").fill("5")
    await view.get_by_role("button", name="Issue token").click()
    token = view.get_by_label("The token")
    await expect(token).to_have_value(re.compile(r"^eyJ"))
    await expect(view.locator(".made-token")).to_contain_text("For alice, good for 5 min")
    order = {"subject": "alice", "minutes": 5, "groups": ["admin", "ops"], "tenant": "acme"}
    assert host.asked == [("token", order)]
    await view.get_by_role("button", name="Copy token").click()
    await expect(view.get_by_role("button", name="Copied")).to_be_visible()
    assert await view.evaluate("navigator.clipboard.readText()") == await token.input_value()
    await view.reload()
    await expect(card(view, EAST)).to_be_visible()
    await expect(view.get_by_label("The token")).to_have_count(0)
    assert "eyJ" not in await view.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")


# ---------------------------------------------------------------- for everyone


async def fill(page: Page, host: FakeRegions) -> None:
    """Everything that the page can show at once."""
    host.readiness = {"against": ["replication-lags"], "status": 0, "replicated_ms": None, "parked": 0}
    await host.tell(**told_failover())
    await expect(page.get_by_label("Hand over all the same")).to_be_visible()
    await card(page, WEST).get_by_text("Drill", exact=True).click()
    await page.get_by_role("button", name="Rotate").click()
    await page.get_by_role("button", name="Issue token").click()
    await expect(page.get_by_label("The token")).to_be_visible()


async def test_nothing_is_wider_than_a_phone(open_page: OpenPage, host: FakeRegions) -> None:
    """At 360 px nothing scrolls sideways, every control is within reach and large enough for a finger."""
    page = await open_page(host.url, **PHONE)
    await fill(page, host)
    assert await page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 360
    assert await page.evaluate("document.querySelector('#regions').scrollWidth") <= 360
    wrong = await page.locator("button, a, input, textarea, summary").evaluate_all(
        "all => all.filter(one => one.getClientRects().length && one.type !== 'checkbox')"
        ".map(one => [one.outerHTML, one.getBoundingClientRect()])"
        ".filter(([, box]) => box.right > 361 || Math.min(box.width, box.height) < 24).map(([html]) => html)"
    )
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_contrast(open_page: OpenPage, host: FakeRegions, scheme: str) -> None:
    """Every visible text stands out from what is behind it, in either theme."""
    page = await open_page(host.url, color_scheme=scheme)
    await fill(page, host)
    assert await page.evaluate(FAINT, CONTRAST) == []


async def test_everything_has_a_name(view: Page, host: FakeRegions) -> None:
    """No control is nameless, and the page has one heading of its own."""
    await fill(view, host)
    session = await view.context.new_cdp_session(view)
    tree = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    assert [role for role, name in found if role in FOCUSABLE and not name.strip()] == []
    await expect(view.get_by_role("heading", level=1)).to_have_text(["Regions"])


async def test_nothing_is_asked_of_anybody_else(open_page: OpenPage, host: FakeRegions) -> None:
    """The page loads from its own origin alone."""
    page = await open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(host.url)
    await fill(page, host)
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(host.url)] == []
